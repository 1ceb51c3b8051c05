"""Names of WS-Security and the algorithms that are known here."""

from __future__ import annotations

from typing import Final, NamedTuple

from msim_xds.ihe.names import WSSE
from msim_xds.security.signatures.names import EXC
from msim_xds.security.xua.names import WSU

ID: Final = f"{{{WSU}}}Id"
TOKEN: Final = f"{{{WSSE}}}BinarySecurityToken"
REFERENCE: Final = f"{{{WSSE}}}SecurityTokenReference"
_X509_PROFILE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0"
X509V3: Final = f"{_X509_PROFILE}#X509v3"
BASE64: Final = (
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary"
)


class Algorithm(NamedTuple):
    """An algorithm: its identifier, and xmlsec's name for it."""

    uri: str
    xmlsec: str


_MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
METHODS: Final = {
    f"rsa-sha{bits}": Algorithm(f"{_MORE}rsa-sha{bits}", f"RSA_SHA{bits}") for bits in (256, 384, 512)
}
"""Signature methods by the names that settings use."""
DIGESTS: Final = {
    "sha256": Algorithm("http://www.w3.org/2001/04/xmlenc#sha256", "SHA256"),
    "sha512": Algorithm("http://www.w3.org/2001/04/xmlenc#sha512", "SHA512"),
}
"""Digests, likewise."""
CANONICAL: Final = {"exclusive": EXC, "inclusive": "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"}
"""Canonical XML, likewise."""
