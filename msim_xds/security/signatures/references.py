"""References of a signature: what they lead to, what is digested, and whether that is the document."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from msim_xds.security.signatures import table
from msim_xds.security.signatures.canonical import NodeSet, NotCanonical, Sink, write
from msim_xds.security.signatures.document import Document
from msim_xds.security.signatures.names import (
    DS,
    EXC,
    SIGNATURE,
    TRANSFORM_PATH,
    ds,
    text,
)
from msim_xds.security.signatures.reasons import Reason, reason
from msim_xds.wire.safexml import MalformedXml, parse_signed

if TYPE_CHECKING:
    from lxml.etree import _Element

_POINTER: Final = re.compile(r"#xpointer\(id\((['\"])(.+?)\1\)\)")
_NOT_SIGNATURES: Final = re.compile(r"not\(ancestor-or-self::([\w.-]+):Signature\)")
_SUBTRACT: Final = re.compile(r"/(?:descendant::|/|\*/)([\w.-]+):Signature")
_FILTER: Final = f"{{{table.FILTER2}}}XPath"


class Unresolved(ValueError):
    """A reference leads nowhere, to several elements, or outside."""

    def __init__(self, why: Reason) -> None:
        super().__init__(why.code)
        self.why = why


class Refused(ValueError):
    """A transform that is not carried out, or that cannot be."""

    def __init__(self, why: Reason) -> None:
        super().__init__(why.code)
        self.why = why


Data = NodeSet | bytes


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a reference's URI leads to.

    Attributes:
        data: nodes of the document or octets of a detached one.
        element: the element of the document, None for a detached one.
        detached: name of the detached document.
    """

    data: Data
    element: _Element | None = None
    detached: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one reference.

    Attributes:
        element: the ds:Reference.
        uri: its URI; None where it has none.
        type: its Type.
        target: what it leads to; None where that is nothing.
        intact: whether it was found and its digest is right.
        covers: whether what was digested is the whole document less signatures, or a whole detached one.
        digest: hashlib's name of the digest; '' where it is unknown.
        why: what is wrong.
    """

    element: _Element
    uri: str | None
    type: str
    target: Resolved | None
    intact: bool
    covers: bool
    digest: str
    why: Reason | None


class _Counted:
    """A digest that pays for what it takes."""

    def __init__(self, sink: Sink, document: Document) -> None:
        self._sink = sink
        self._budget = document.budget

    def update(self, data: bytes) -> None:
        self._budget.spend(len(data))
        self._sink.update(data)


class Collected:
    """Octets in memory."""

    def __init__(self) -> None:
        self.octets = bytearray()

    def update(self, data: bytes) -> None:
        """More of them."""
        self.octets += data


def check(document: Document, reference: _Element, signature: _Element) -> Outcome:
    """Find and digest what a ds:Reference names (XML Signature 3.2.1).

    Raises:
        OverLimit: that would cost too much.
    """
    uri, kind = reference.get("URI"), reference.get("Type", "")
    algorithm = table.DIGESTS.get(_digest_method(reference))
    name = algorithm.name if algorithm else ""

    def failed(why: Reason, target: Resolved | None = None) -> Outcome:
        return Outcome(reference, uri, kind, target, False, False, name, why)

    try:
        target = resolve(document, reference, uri)
    except Unresolved as error:
        return failed(error.why)
    expected = _decoded(text(reference.find(ds("DigestValue"))))
    if algorithm is None:
        return failed(reason("digest-unknown", algorithm=_digest_method(reference)), target)
    if expected is None or len(expected) != algorithm.size:
        return failed(reason("digest-malformed"), target)
    value = hashlib.new(algorithm.name, usedforsecurity=False)
    try:
        covers = feed(document, reference, signature, target, table.DEFAULT_CANONICAL, value)
    except (Refused, Unresolved) as error:
        return failed(error.why, target)
    except NotCanonical as error:
        return failed(reason("no-canonical-form", detail=str(error)), target)
    intact = hmac.compare_digest(value.digest(), expected)
    why = None if intact else reason("digest-differs", uri=uri or "")
    return Outcome(reference, uri, kind, target, intact, covers, name, why)


def resolve(document: Document, reference: _Element, uri: str | None) -> Resolved:
    """What a URI leads to; nothing outside the document and the detached ones is ever opened.

    Raises:
        Unresolved: nothing, or more than one thing.
    """
    if uri is None:
        return _nameless(document, reference)
    if uri in ("", "#xpointer(/)"):
        return Resolved(NodeSet(document.root, whole=True, comments=bool(uri)), document.root)
    if uri.startswith("#"):
        pointer = _POINTER.fullmatch(uri)
        element = by_id(document, pointer[2] if pointer else uri[1:])
        return Resolved(NodeSet(element, comments=bool(pointer)), element)
    name = uri if uri in document.detached else unquote(uri)
    if name not in document.detached:
        raise Unresolved(reason("not-handed-in", uri=uri))
    return Resolved(document.detached[name], detached=name)


def _nameless(document: Document, reference: _Element) -> Resolved:
    signed_info = reference.getparent()
    nameless = signed_info is not None and sum(
        other.get("URI") is None for other in signed_info.iterchildren(ds("Reference"))
    )
    if nameless == 1 and len(document.detached) == 1:
        name, octets = next(iter(document.detached.items()))
        return Resolved(octets, detached=name)
    raise Unresolved(reason("nameless"))


def by_id(document: Document, value: str) -> _Element:
    """The one element with this Id.

    Raises:
        Unresolved: none, or several.
    """
    found = document.with_id(value) or document.with_id(unquote(value))
    if len(found) != 1:
        raise Unresolved(reason("id-ambiguous" if found else "id-missing", id=value))
    return found[0]


def feed(
    document: Document,
    reference: _Element,
    signature: _Element,
    target: Resolved,
    method: table.Canonical,
    sink: Sink,
) -> bool:
    """Write what a reference's transforms make of its target; nodes that remain are canonicalized.

    Returns:
        Whether that is the whole document less signatures, or the whole of a detached one.

    Raises:
        Refused: a transform that is not allowed or not possible.
        NotCanonical: there is no canonical form.
        OverLimit: it costs too much.
    """
    transforms = reference.findall(TRANSFORM_PATH)
    if len(transforms) > document.limits.transforms:
        raise Refused(reason("too-many-transforms", limit=str(document.limits.transforms)))
    document.budget.spend_transforms(len(transforms))
    counted = _Counted(sink, document)
    data, covers = target.data, _is_whole(document, target)
    for transform in transforms[:-1]:
        data, kept = _apply(document, transform, signature, data)
        covers = covers and kept
    last = transforms[-1] if transforms else None
    if last is not None and isinstance(data, NodeSet) and (how := _canonical(last)):
        write(data, how, counted, _prefixes(last))
        return covers
    if last is not None:
        data, kept = _apply(document, last, signature, data)
        covers = covers and kept
    if isinstance(data, bytes):
        counted.update(data)
    else:
        write(data, method, counted)
    return covers


def _is_whole(document: Document, target: Resolved) -> bool:
    return target.detached is not None or target.element is document.root


def _apply(document: Document, transform: _Element, signature: _Element, data: Data) -> tuple[Data, bool]:
    """What a transform makes of ``data``, and whether it leaves everything but signatures.

    Of XPath only ``not(ancestor-or-self::ds:Signature)``; of FILTER2, by setting, only the subtraction of all
    signatures, which is the same; XSLT never.
    """
    name = transform.get("Algorithm", "")
    if how := _canonical(transform):
        collected = Collected()
        write(_nodes(data), how, collected, _prefixes(transform))
        return bytes(collected.octets), True
    if name == table.BASE64:
        return _from_base64(data), False
    if name == table.ENVELOPED:
        return _less(_nodes(data), (signature,)), True
    if name in (table.XPATH, table.FILTER2) and (path := _signatures_path(transform, name, document)):
        nodes = _nodes(data)
        gone = _of_root(nodes.apex) if path.startswith("/*/") else _topmost(nodes.apex)
        return _less(nodes, tuple(gone)), True
    raise Refused(reason("transform-refused", algorithm=name))


def _canonical(transform: _Element) -> table.Canonical | None:
    return table.CANONICAL.get(transform.get("Algorithm", ""))


def _signatures_path(transform: _Element, name: str, document: Document) -> str:
    """The expression, spaces aside, where it takes out signatures and nothing else; otherwise ''."""
    paths = list(transform.iterchildren("*"))
    if len(paths) != 1 or len(paths[0]):
        return ""
    path = paths[0]
    if name == table.FILTER2 and not (
        document.limits.filter2 and path.tag == _FILTER and path.get("Filter") == "subtract"
    ):
        return ""
    expression = "".join((path.text or "").split())
    found = (_NOT_SIGNATURES if name == table.XPATH else _SUBTRACT).fullmatch(expression)
    return expression if found is not None and path.nsmap.get(found[1]) == DS else ""


def _of_root(apex: _Element) -> Iterator[_Element]:
    """The signatures that are children of the document's element."""
    return iter(list(apex.getroottree().getroot().iterchildren(SIGNATURE)))


def _topmost(apex: _Element) -> Iterator[_Element]:
    """The signatures at or below an element that stand in no other; an apex inside of one is itself gone."""
    if apex.tag == SIGNATURE or any(parent.tag == SIGNATURE for parent in apex.iterancestors()):
        yield apex
        return
    for found in apex.iter(SIGNATURE):
        if not any(parent.tag == SIGNATURE for parent in found.iterancestors()):
            yield found


def _less(nodes: NodeSet, gone: tuple[_Element, ...]) -> NodeSet:
    return NodeSet(nodes.apex, nodes.whole, nodes.comments, nodes.without + gone)


def _nodes(data: Data) -> NodeSet:
    if isinstance(data, NodeSet):
        return data
    try:
        return NodeSet(parse_signed(data), whole=True, comments=True)
    except MalformedXml as error:
        raise Refused(reason("not-xml", detail=str(error))) from None


def _from_base64(data: Data) -> bytes:
    if isinstance(data, NodeSet):
        if data.without:
            raise Refused(reason("not-base64"))
        data = str(data.apex.xpath("string()")).encode()
    decoded = _decoded(data.decode("ascii", "replace"))
    if decoded is None:
        raise Refused(reason("not-base64"))
    return decoded


def _prefixes(transform: _Element) -> tuple[str, ...]:
    element = transform.find(f"{{{EXC}}}InclusiveNamespaces")
    return tuple((element.get("PrefixList", "") if element is not None else "").split())


def prefixes_of(method: _Element | None) -> tuple[str, ...]:
    """InclusiveNamespaces of a canonicalization method."""
    return _prefixes(method) if method is not None else ()


def _digest_method(reference: _Element) -> str:
    method = reference.find(ds("DigestMethod"))
    return method.get("Algorithm", "") if method is not None else ""


def _decoded(value: str) -> bytes | None:
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


decode_base64: Final = _decoded
