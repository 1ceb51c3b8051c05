"""Time-stamps of a signature: which octets each is about, and whether its tokens are about them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msim_xds.security.signatures import table
from msim_xds.security.signatures.canonical import NodeSet, NotCanonical, Sink, write
from msim_xds.security.signatures.document import Document
from msim_xds.security.signatures.names import OBJECT, XADES141, ds, local, namespace, text
from msim_xds.security.signatures.properties import Properties, is_archive_stamp
from msim_xds.security.signatures.reasons import Reason, reason
from msim_xds.security.signatures.references import Refused, Unresolved, decode_base64, feed, prefixes_of
from msim_xds.security.signatures.structure import Placed, Role
from msim_xds.security.signatures.tokens import BadToken, Token

if TYPE_CHECKING:
    from lxml.etree import _Element

_BY_REFS: Final = {
    "SigAndRefsTimeStamp": ("CompleteCertificateRefs", "AttributeCertificateRefs"),
    "SigAndRefsTimeStampV2": ("CompleteCertificateRefsV2", "AttributeCertificateRefsV2"),
    "RefsOnlyTimeStamp": ("CompleteCertificateRefs", "AttributeCertificateRefs"),
    "RefsOnlyTimeStampV2": ("CompleteCertificateRefsV2", "AttributeCertificateRefsV2"),
}
_REVOCATION_REFS: Final = ("CompleteRevocationRefs", "AttributeRevocationRefs")


@dataclass(frozen=True, slots=True)
class Stamp:
    """One token of a time-stamp element.

    Attributes:
        element: the time-stamp property.
        token: what it says; None when it cannot be read.
        intact: whether it is about these octets and its own signature is right.
        why: what is wrong.
    """

    element: _Element
    token: Token | None
    intact: bool
    why: Reason | None

    @property
    def name(self) -> str:
        """The property's name."""
        return local(self.element)

    @property
    def is_archive(self) -> bool:
        """Whether it is an archive time-stamp."""
        return is_archive_stamp(self.element)


@dataclass(frozen=True, slots=True)
class Signed:
    """The signature as its time-stamps see it."""

    document: Document
    signature: _Element
    properties: Properties
    placed: Sequence[Placed]


def check(signed: Signed) -> list[Stamp]:
    """Every token of every time-stamp, in the order of the properties.

    Raises:
        OverLimit: that would cost too much.
    """
    found: list[Stamp] = []
    for element in signed.properties.stamps:
        for value in element.iterchildren("{*}EncapsulatedTimeStamp"):
            if len(found) >= signed.document.limits.tokens:
                return found
            found.append(_check(signed, element, value))
    return found


def _check(signed: Signed, element: _Element, value: _Element) -> Stamp:
    der = decode_base64(text(value))
    if not der or len(der) > signed.document.limits.token_bytes:
        return Stamp(element, None, False, reason("token-unreadable"))
    try:
        token = Token(der)
    except BadToken:
        return Stamp(element, None, False, reason("token-unreadable"))
    try:
        digest = hashlib.new(token.imprint_algorithm, usedforsecurity=False)
        _imprint(signed, element, digest)
    except (NotCanonical, Refused, Unresolved, ValueError):
        return Stamp(element, token, False, reason("token-imprint", type=local(element)))
    if digest.digest() != token.imprint:
        return Stamp(element, token, False, reason("token-imprint", type=local(element)))
    why = token.problem()
    return Stamp(element, token, why is None, why)


def _imprint(signed: Signed, stamp: _Element, sink: Sink) -> None:
    """Write the octets that a time-stamp is about."""
    how = stamp.find(ds("CanonicalizationMethod"))
    algorithm = how.get("Algorithm", "") if how is not None else ""
    method = table.CANONICAL.get(algorithm) if algorithm else table.DEFAULT_CANONICAL
    if method is None:
        raise NotCanonical("its canonicalization is not an allowed one")
    paid = _Paid(sink, signed.document)
    for part in _parts(signed, stamp):
        if not isinstance(part, Placed):
            write(NodeSet(part, comments=True), method, paid, prefixes_of(how))
        elif part.outcome.target is None:
            raise NotCanonical("a reference leads nowhere")
        else:
            feed(signed.document, part.outcome.element, signed.signature, part.outcome.target, method, sink)


def _parts(signed: Signed, stamp: _Element) -> Iterator[_Element | Placed]:
    """The references and elements that a time-stamp is about, in the order in which they are digested."""
    name = local(stamp)
    if name == "ArchiveTimeStamp":
        yield from signed.placed
        yield from _archive(signed, stamp)
    elif name == "AllDataObjectsTimeStamp":
        yield from (row for row in signed.placed if row.role is not Role.SIGNED_PROPERTIES)
    elif name == "IndividualDataObjectsTimeStamp":
        yield from _included(signed, stamp)
    else:
        if not name.startswith("RefsOnly"):
            yield _required(signed.signature, "SignatureValue")
        yield from _refs_before(signed.properties, stamp)


class _Paid:
    def __init__(self, sink: Sink, document: Document) -> None:
        self._sink = sink
        self._document = document

    def update(self, data: bytes) -> None:
        self._document.budget.spend(len(data))
        self._sink.update(data)


def _archive(signed: Signed, stamp: _Element) -> Iterator[_Element]:
    yield _required(signed.signature, "SignedInfo")
    yield _required(signed.signature, "SignatureValue")
    yield from signed.signature.iterchildren(ds("KeyInfo"))
    yield from _before(signed.properties, stamp)
    referenced = [row.outcome.target.element for row in signed.placed if row.outcome.target is not None]
    for holder in signed.signature.iterchildren(OBJECT):
        if holder is signed.properties.element.getparent():
            continue
        if namespace(stamp) == XADES141 or not any(holder is one for one in referenced):
            yield holder


def _required(signature: _Element, name: str) -> _Element:
    found = signature.find(ds(name))
    if found is None:
        raise NotCanonical(f"there is no {name}")
    return found


def _before(properties: Properties, stamp: _Element) -> Iterator[_Element]:
    for one in properties.unsigned:
        if one is stamp:
            return
        yield one


def _refs_before(properties: Properties, stamp: _Element) -> Iterator[_Element]:
    name = local(stamp)
    lists = _BY_REFS.get(name, ())
    wanted = {*lists, *_REVOCATION_REFS} if lists else set()
    if name.startswith("SigAndRefs"):
        wanted.add("SignatureTimeStamp")
    return (one for one in _before(properties, stamp) if local(one) in wanted)


def _included(signed: Signed, stamp: _Element) -> Iterator[Placed]:
    for include in stamp.iterchildren("{*}Include"):
        uri = include.get("URI", "")
        named = [row for row in signed.placed if f"#{row.outcome.element.get('Id')}" == uri]
        if len(named) != 1:
            raise NotCanonical("an Include leads nowhere")
        yield named[0]
