"""The signature of an assertion, and the octets that it signs (SAML Core 5.4).

Wrapping is impossible by construction. The signature is the child of the one assertion, its form is fixed to
the last element, its one reference names its own parent, and nothing is searched for by ID. The canonical
octets of that element are digested here, and returned; claims are read from them and from nothing else.
xmlsec then verifies the same tree: both must agree.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Container, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import xmlsec
from lxml import etree

from msim_xds.security.signatures import table
from msim_xds.security.signatures.canonical import NodeSet, NotCanonical, write
from msim_xds.security.signatures.certificates import Certificate, in_key_info
from msim_xds.security.signatures.core import SignedInfo
from msim_xds.security.signatures.names import DS, EXC, SIGNATURE, ds, local, namespace, text
from msim_xds.security.signatures.references import Collected, decode_base64, prefixes_of
from msim_xds.security.transforms import Transform
from msim_xds.security.xua.refusal import Check, refuse

if TYPE_CHECKING:
    from lxml.etree import _Element

_STRONG: Final = frozenset(["sha256", "sha384", "sha512"])
METHODS: Final = {uri: row for uri, row in table.METHODS.items() if row.xmlsec and row.digest in _STRONG}
"""Allowed signature methods: RSA and ECDSA with SHA-2. A key is never taken for the secret of an HMAC."""
DIGESTS: Final = {uri: row for uri, row in table.DIGESTS.items() if row.name in _STRONG}
EXCLUSIVE: Final = {uri: row for uri, row in table.CANONICAL.items() if row.exclusive}
_PLAIN: Final = table.Canonical(exclusive=True)
_FORM: Final = {
    "Signature": re.compile(r"SignedInfo SignatureValue (?:KeyInfo )?"),
    "SignedInfo": re.compile(r"CanonicalizationMethod SignatureMethod Reference "),
    "CanonicalizationMethod": re.compile(r"(?:InclusiveNamespaces )?"),
    "Reference": re.compile(r"Transforms DigestMethod DigestValue "),
    "Transforms": re.compile(r"Transform Transform "),
    "Transform": re.compile(r"(?:InclusiveNamespaces )?"),
}
"""Children of each element; those not named have none. KeyInfo is a hint and may hold anything."""
_EMPTY: Final = re.compile("")
_REFERENCE: Final = f"{ds('SignedInfo')}/{ds('Reference')}"
_CANONICALIZATION: Final = f"{ds('SignedInfo')}/{ds('CanonicalizationMethod')}"
_TRANSFORMS: Final = f"{_REFERENCE}/{ds('Transforms')}/{ds('Transform')}"
_DIGEST_METHOD: Final = f"{_REFERENCE}/{ds('DigestMethod')}"


def written(assertion: _Element) -> bytes:
    """The whole assertion as it came, with every namespace in scope, by which it is recognised.

    Two assertions that are written alike are alike in all that is verified and read of them: tags, prefixes,
    attributes and texts stand here, and what they inherit. Two that differ only in how they are written are
    verified one by one. It costs a quarter of the canonical form.
    """
    return etree.tostring(assertion, encoding="UTF-8", xml_declaration=False, with_tail=False)


def octets_of(assertion: _Element) -> bytes:
    """The whole assertion in exclusive canonical form."""
    collected = Collected()
    try:
        write(NodeSet(assertion), _PLAIN, collected)
    except NotCanonical:
        refuse(Check.FORM, "the assertion has no canonical form")
    return bytes(collected.octets)


class Signed:
    """The signature of an assertion whose algorithms are allowed, whose form is right, and whose digest is.

    Attributes:
        octets: what it signs: the assertion without the signature, in canonical form.
    """

    __slots__ = ("_assertion", "_info", "_signature", "octets")

    def __init__(self, assertion: _Element) -> None:
        """Checks 5 and 6, and of check 7 all that needs no key.

        Args:
            assertion: of which ``octets_of`` has shown that it has a canonical form.

        Raises:
            SecurityFault: one of them fails.
        """
        signature = assertion.find(SIGNATURE)
        if signature is None:
            refuse(Check.SIGNED, "the assertion is not signed")
        self._assertion, self._signature = assertion, signature
        _check_algorithms(signature)
        for element in _outside_key_info(signature):
            if _FORM.get(local(element), _EMPTY).fullmatch(_names(element)) is None:
                refuse(Check.SIGNATURE, f"ds:{local(element)} does not hold what it must and only that")
        reference = signature.find(_REFERENCE)
        if reference is None or reference.get("URI") != f"#{assertion.get('ID')}":
            refuse(Check.SIGNATURE, "the signature refers to something else than its assertion")
        self.octets = self._canonical()
        self._info = SignedInfo(signature)
        if not hmac.compare_digest(self._digest(), decode_base64(text(reference[2])) or b""):
            refuse(Check.SIGNATURE, "the assertion was changed")

    def check(self, trusted: Sequence[Certificate]) -> Certificate:
        """The certificate, of those trusted, with which it was signed (checks 7 and 8).

        Raises:
            SecurityFault: it was signed with none of them.
        """
        for certificate in trusted:
            if self._info.signed_by(certificate) and self._second_opinion(certificate):
                return certificate
        named = in_key_info(self._signature)
        if named and not any(certificate.der in named for certificate in trusted):
            refuse(Check.SIGNER, "signed with a certificate that is not the issuer's")
        return refuse(Check.SIGNATURE, "the signature value is wrong")

    def _canonical(self) -> bytes:
        transform = self._signature.findall(_TRANSFORMS)[1]
        collected = Collected()
        nodes = NodeSet(self._assertion, without=(self._signature,))
        write(nodes, EXCLUSIVE[transform.get("Algorithm", "")], collected, prefixes_of(transform))
        return bytes(collected.octets)

    def _digest(self) -> bytes:
        method = self._signature.find(_DIGEST_METHOD)
        return hashlib.new(DIGESTS[_algorithm(method)].name, self.octets).digest()

    def _second_opinion(self, certificate: Certificate) -> bool:
        """What xmlsec says; it is told this one element by its ID, and these transforms."""
        context = xmlsec.SignatureContext()
        signature = self._signature
        methods = [*signature.findall(_TRANSFORMS)[1:], *signature.findall(_CANONICALIZATION)]
        rows = [EXCLUSIVE[_algorithm(element)] for element in methods]
        names = {"EXCL_C14N_COMMENTS" if row.comments else "EXCL_C14N" for row in rows}
        digest = DIGESTS[_algorithm(signature.find(_DIGEST_METHOD))].name.upper()
        try:
            context.key = xmlsec.Key.from_memory(certificate.der, xmlsec.constants.KeyDataFormatCertDer)
            for name in {*names, "C14N", "ENVELOPED", digest}:
                context.enable_reference_transform(getattr(Transform, name))
            for name in {*names, "C14N", digest, METHODS[self._info.uri].xmlsec}:
                context.enable_signature_transform(getattr(Transform, name))
            context.register_id(self._assertion, "ID")
            context.verify(signature)
        except xmlsec.Error:
            return False
        return True


def _check_algorithms(signature: _Element) -> None:
    methods: dict[str, Container[str]] = {
        _CANONICALIZATION: EXCLUSIVE,
        f"{ds('SignedInfo')}/{ds('SignatureMethod')}": METHODS,
        _DIGEST_METHOD: DIGESTS,
    }
    for path, allowed in methods.items():
        if any(_algorithm(element) not in allowed for element in signature.findall(path)):
            refuse(Check.ALGORITHM, f"{path.rpartition('}')[2]} is not an allowed one")
    transforms = [_algorithm(element) for element in signature.findall(_TRANSFORMS)]
    if transforms[:1] != [table.ENVELOPED] or len(transforms) != 2 or transforms[1] not in EXCLUSIVE:
        refuse(Check.ALGORITHM, "the transforms are not enveloped-signature and exclusive canonicalization")


def _algorithm(element: _Element | None) -> str:
    return element.get("Algorithm", "") if element is not None else ""


def _outside_key_info(element: _Element) -> Iterator[_Element]:
    if element.tag == ds("KeyInfo"):
        return
    yield element
    for child in element:
        yield from _outside_key_info(child)


def _names(element: _Element) -> str:
    return "".join(f"{_name(child)} " for child in element)


def _name(child: _Element) -> str:
    known = namespace(child) == (EXC if local(child) == "InclusiveNamespaces" else DS)
    return local(child) if known else "?"
