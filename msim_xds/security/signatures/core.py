"""Core validation of one signature: SignedInfo, SignatureValue, and the digests of all references.

Digests are computed here, one reference at a time, so that it can be said which one fails; xmlsec then
verifies the same tree as a whole. Only where both agree is a signature intact. What xmlsec cannot be
asked (detached documents, manifests, RSA-PSS, SHA-3, base64) rests on the first of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import xmlsec

from msim_xds.security.signatures import table
from msim_xds.security.signatures.canonical import NodeSet, NotCanonical, write
from msim_xds.security.signatures.certificates import Certificate, ecdsa_as_sequence, verifies
from msim_xds.security.signatures.document import Document
from msim_xds.security.signatures.names import OBJECT, TRANSFORM_PATH, ds, text
from msim_xds.security.signatures.references import Collected, Outcome, decode_base64, prefixes_of
from msim_xds.security.transforms import Transform

if TYPE_CHECKING:
    from lxml.etree import _Element

xmlsec.cleanup_callbacks()  # process-wide: xmlsec opens no file and no address any more

_TRANSFORMS: Final = {
    **{uri: row.name.upper() for uri, row in table.DIGESTS.items() if "sha3" not in row.name},
    "http://www.w3.org/TR/2001/REC-xml-c14n-20010315": "C14N",
    "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments": "C14N_COMMENTS",
    "http://www.w3.org/2006/12/xml-c14n11": "C14N11",
    "http://www.w3.org/2006/12/xml-c14n11#WithComments": "C14N11_COMMENTS",
    "http://www.w3.org/2001/10/xml-exc-c14n#": "EXCL_C14N",
    "http://www.w3.org/2001/10/xml-exc-c14n#WithComments": "EXCL_C14N_COMMENTS",
    table.ENVELOPED: "ENVELOPED",
    table.XPATH: "XPATH",
}
_ID_NAMES: Final = ("Id", "ID", "id")
_MANIFEST_PATH: Final = f"{OBJECT}/{ds('Manifest')}"


class SignedInfo:
    """What the signature value signs, and the value."""

    __slots__ = ("element", "method", "octets", "uri", "value")

    def __init__(self, signature: _Element) -> None:
        """Read it.

        Raises:
            NotCanonical: it has no canonical form, or none that is known.
        """
        self.element = signature.find(ds("SignedInfo"))
        if self.element is None:
            raise NotCanonical("there is no SignedInfo")
        method = self.element.find(ds("SignatureMethod"))
        self.uri = method.get("Algorithm", "") if method is not None else ""
        self.method = table.METHODS.get(self.uri)
        self.value = decode_base64(text(signature.find(ds("SignatureValue"))))
        how = self.element.find(ds("CanonicalizationMethod"))
        canonical = table.CANONICAL.get(how.get("Algorithm", "")) if how is not None else None
        if canonical is None:
            raise NotCanonical("its canonicalization is not an allowed one")
        collected = Collected()
        write(NodeSet(self.element, comments=True), canonical, collected, prefixes_of(how))
        self.octets = bytes(collected.octets)

    def signed_by(self, certificate: Certificate) -> bool:
        """Whether the value was made with this certificate's key."""
        key = certificate.key
        if key is None or self.method is None or not self.value:
            return False
        value = ecdsa_as_sequence(self.value, key)
        return verifies(key, self.method.scheme, self.method.digest, value, self.octets)


def second_opinion(
    document: Document,
    signature: _Element,
    info: SignedInfo,
    certificate: Certificate,
    outcomes: Sequence[Outcome],
) -> bool | None:
    """What xmlsec says about the whole signature; None where it cannot be asked."""
    names = _names(signature, info, outcomes)
    if names is None:
        return None
    method, transforms = names
    context = xmlsec.SignatureContext()
    try:
        context.key = xmlsec.Key.from_memory(certificate.der, xmlsec.constants.KeyDataFormatCertDer)
        for name in transforms:
            context.enable_reference_transform(getattr(Transform, name))
        context.enable_signature_transform(getattr(Transform, method))
        for name in {"C14N", *transforms} - {"XPATH", "ENVELOPED"}:
            context.enable_signature_transform(getattr(Transform, name))
        for outcome in outcomes:
            _register(context, outcome)
        context.verify(signature)
    except xmlsec.Error:
        return False
    return True


def _names(
    signature: _Element, info: SignedInfo, outcomes: Sequence[Outcome]
) -> tuple[str, list[str]] | None:
    """Xmlsec's names of the signature's method and of everything the references need.

    None where one is missing or a target is outside.
    """
    if info.element is None or info.method is None or not info.method.xmlsec:
        return None
    if signature.find(_MANIFEST_PATH) is not None or not all(map(_can_be_named, outcomes)):
        return None
    algorithms = info.element.findall(ds("CanonicalizationMethod"))
    for outcome in outcomes:
        algorithms += outcome.element.findall(ds("DigestMethod"))
        algorithms += outcome.element.findall(TRANSFORM_PATH)
    wanted = {algorithm.get("Algorithm", "") for algorithm in algorithms}
    if not wanted <= _TRANSFORMS.keys():
        return None
    return info.method.xmlsec, ["C14N", *(_TRANSFORMS[uri] for uri in wanted)]


def _can_be_named(outcome: Outcome) -> bool:
    """Whether xmlsec can be told what a reference leads to: an element of the document, by a plain Id."""
    element, uri = outcome.target.element if outcome.target is not None else None, outcome.uri or ""
    if element is None or "%" in uri:
        return False
    return uri in ("", "#xpointer(/)") or any(element.get(name) for name in _ID_NAMES)


def _register(context: xmlsec.SignatureContext, outcome: Outcome) -> None:
    """Tell xmlsec exactly the element that was resolved here, and no other."""
    uri = outcome.uri or ""
    element = outcome.target.element if outcome.target is not None else None
    if element is None or not uri.startswith("#"):
        return
    for name in _ID_NAMES:
        if element.get(name) and element.get(name, "") in uri:
            context.register_id(element, name)
