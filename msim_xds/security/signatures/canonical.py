"""Canonical octets of a document or a part of it, written into a digest without a copy of the tree.

lxml canonicalizes subtrees but neither leaves elements out nor tells the root from the document. Both are
done with two processing instructions of an unguessable name around the element, which are found in the
output, and taken out of the tree again. Moving the element itself would let lxml rename its prefixes.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from lxml import etree

from msim_xds.security.signatures.names import XML
from msim_xds.security.signatures.table import Canonical

if TYPE_CHECKING:
    from lxml.etree import _Element

_PREFIX: Final = f"{{{XML}}}"
_BASE: Final = f"{_PREFIX}base"
_ID: Final = f"{_PREFIX}id"
_START_TAG: Final = re.compile(rb"""<[^\s>]+(?: [^\s=]+="[^"]*+")*+>""")
_ESCAPES: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", '"': "&quot;", "\t": "&#x9;", "\n": "&#xA;", "\r": "&#xD;"}
)


class Sink(Protocol):
    """What takes the octets."""

    def update(self, data: bytes, /) -> object:
        """The next octets."""


class NotCanonical(ValueError):
    """There is no canonical form: relative namespace names, or nothing is left of the nodes."""


@dataclass(frozen=True, slots=True)
class NodeSet:
    """Nodes of a tree.

    Attributes:
        apex: the element; of a whole document its root.
        whole: the document with comments and instructions around the root, not only the element.
        comments: whether comments belong to it.
        without: elements that have been taken out.
    """

    apex: _Element
    whole: bool = False
    comments: bool = False
    without: tuple[_Element, ...] = ()


def write(nodes: NodeSet, method: Canonical, sink: Sink, prefixes: tuple[str, ...] = ()) -> None:
    """The canonical octets of ``nodes`` (XML Signature 6.5).

    Args:
        nodes: what to write.
        method: the canonicalization.
        sink: takes the octets.
        prefixes: InclusiveNamespaces/@PrefixList of an exclusive one.

    Raises:
        NotCanonical: no octets, or none that are canonical.
    """
    apex = nodes.apex
    if any(apex is gone or gone in apex.iterancestors() for gone in nodes.without):
        raise NotCanonical("the transforms leave nothing to be digested")
    is_root = apex.getparent() is None
    alone = is_root or method.exclusive or _stands_alone(apex)
    cut = _Cut(sink)
    with ExitStack() as stack:
        for element in nodes.without:
            stack.enter_context(_marked(element, cut.start, cut.stop))
        if not alone or (is_root and not nodes.whole):
            stack.enter_context(_marked(apex, cut.open, cut.close))
            cut.wait_for(b"" if alone else _start_tag(apex, method), beside_root=is_root)
        try:
            (etree.ElementTree(apex) if alone else apex.getroottree()).write_c14n(  # type: ignore[call-arg]  # exclusive
                cut,  # type: ignore[arg-type]  # anything with write() will do
                exclusive=method.exclusive,
                with_comments=method.comments and nodes.comments,
                inclusive_ns_prefixes=list(prefixes),
            )
        except etree.C14NError:
            raise NotCanonical("it has no canonical form (relative namespace names)") from None
        cut.finish()
    if not cut.count:
        raise NotCanonical("the canonical form is empty")


def _stands_alone(apex: _Element) -> bool:
    """Whether lxml's inclusive form of a subtree is right.

    libxml2 writes ``xmlns=""`` into a subtree that lxml has cut out below a default namespace, and lxml
    leaves out the xml: attributes of ancestors; then the subtree is taken from the document's canonical form.
    """
    return None not in apex.nsmap and not any(
        name.startswith(_PREFIX) for ancestor in apex.iterancestors() for name in map(str, ancestor.attrib)
    )


def _start_tag(apex: _Element, method: Canonical) -> bytes:
    """The apex's start tag as it is with nothing around it: with all that it inherits (C14N 2.3, 2.4)."""
    spaces = sorted((prefix or "", uri) for prefix, uri in apex.nsmap.items() if uri and prefix != "xml")
    names = {uri: prefix for prefix, uri in spaces if prefix}
    attributes = {
        **_inherited(apex, method),
        **{str(name): str(value) for name, value in apex.attrib.items()},
    }
    rows = sorted((*_split(name), value) for name, value in attributes.items())
    tag = apex.tag.rpartition("}")[2] if isinstance(apex.tag, str) else ""
    parts = [f"{apex.prefix}:{tag}" if apex.prefix else tag]
    parts += [f'xmlns{":" + prefix if prefix else ""}="{_escape(uri)}"' for prefix, uri in spaces]
    for space, name, value in rows:
        prefix = "xml:" if space == XML else f"{names[space]}:" if space else ""
        parts.append(f'{prefix}{name}="{_escape(value)}"')
    return f"<{' '.join(parts)}>".encode()


def _split(name: str) -> tuple[str, str]:
    space, _, local = name[1:].partition("}") if name.startswith("{") else ("", "", name)
    return space, local


def _escape(value: str) -> str:
    return value.translate(_ESCAPES)


class _Cut:
    """Passes on what stands outside of start and stop, and inside of open and close."""

    def __init__(self, sink: Sink) -> None:
        self.start, self.stop, self.open, self.close = (f"m{secrets.token_hex(12)}" for _ in range(4))
        self.count = 0
        self._sink = sink
        self._closed = False
        self._tag = b""
        self._beginning = b""
        self._held = b""
        self._depth = 0
        self._marks: dict[bytes, Callable[[], None]] = {
            f"<?{self.start}?>".encode(): self._enter,
            f"<?{self.stop}?>".encode(): self._leave,
        }
        self._longest = max(map(len, self._marks))

    def wait_for(self, tag: bytes, *, beside_root: bool) -> None:
        """Only what stands between open and close is wanted, with ``tag`` instead of its first start tag."""
        line = "\n" if beside_root else ""
        self._closed, self._tag = True, tag
        self._marks |= {
            f"<?{self.open}?>{line}".encode(): self._unlock,
            f"{line}<?{self.close}?>".encode(): self._lock,
        }
        self._longest = max(map(len, self._marks))

    def write(self, data: bytes) -> None:
        """The next octets of the canonicalization."""
        held = self._held + data if self._held else data
        while (found := self._first(held)) is not None:
            place, mark = found
            self._emit(held[:place])
            self._marks[mark]()
            held = held[place + len(mark) :]
        keep = max(len(held) - self._longest, 0)
        self._emit(held[:keep])
        self._held = held[keep:]

    def finish(self) -> None:
        """The end."""
        self._emit(self._held)
        self._held = b""

    def _first(self, data: bytes) -> tuple[int, bytes] | None:
        places = [(place, mark) for mark in self._marks if (place := data.find(mark)) >= 0]
        return min(places, default=None)

    def _emit(self, data: bytes) -> None:
        if not data or self._closed or self._depth:
            return
        if self._tag:
            data = self._retagged(data)
        self.count += len(data)
        self._sink.update(data)

    def _retagged(self, data: bytes) -> bytes:
        """Nothing until the whole start tag has come, then the wanted one and what follows."""
        self._beginning += data
        found = _START_TAG.match(self._beginning)
        if found is None:
            return b""
        tag, self._tag = self._tag, b""
        return tag + self._beginning[found.end() :]

    def _enter(self) -> None:
        self._depth += 1

    def _leave(self) -> None:
        self._depth -= 1

    def _unlock(self) -> None:
        self._closed = False

    def _lock(self) -> None:
        self._closed = True


@contextmanager
def _marked(element: _Element, before: str, after: str) -> Iterator[None]:
    """Instructions of these names around an element while the block runs; all text stays in its place."""
    first, last = etree.ProcessingInstruction(before), etree.ProcessingInstruction(after)
    element.addprevious(first)
    element.addnext(last)
    if element.tail:  # addnext goes behind it
        last.tail, element.tail = element.tail, None
    try:
        yield
    finally:
        _drop(first)
        _drop(last)


def _drop(mark: etree._ProcessingInstruction) -> None:
    parent = mark.getparent()
    if parent is None:  # beside the root
        holder = etree.Element("holder")
        holder.append(mark)
        return
    text, mark.tail = mark.tail, None
    before = mark.getprevious()
    parent.remove(mark)
    if text and before is not None:
        before.tail = (before.tail or "") + text
    elif text:
        parent.text = (parent.text or "") + text


def _inherited(apex: _Element, method: Canonical) -> dict[str, str]:
    """The xml: attributes that an inclusive canonicalization takes over from ancestors (C14N 2.4)."""
    found: dict[str, str] = {}
    bases = 1 if _BASE in apex.attrib else 0
    for ancestor in apex.iterancestors():
        for name, value in ancestor.attrib.items():
            if not str(name).startswith(_PREFIX) or (method.version11 and name == _ID):
                continue
            bases += name == _BASE
            found.setdefault(str(name), str(value))
    if method.version11 and bases > 1:
        raise NotCanonical("nested xml:base values are not joined")
    return found
