"""The one place that creates XML parsers for bytes from outside.

Everything is brought to UTF-8 first and libxml2 is told so, whatever the XML declaration says: an encoding
that hides markup (UTF-7) has no chance. A DOCTYPE is refused before libxml2 sees it, so no entity, default
attribute or external subset is ever processed. Comments and processing instructions are dropped: an
identifier cut in two by a comment reads as one again, and nobody has to skip them. Only where a signature's
digest is taken over the document (``parse_signed``) are they kept.
"""

from __future__ import annotations

import re
import threading
from typing import Final, NoReturn
from xml.parsers import expat

from lxml import etree

MAX_MARKUP: Final = 500_000
"""Most ``<`` in one message; 8 MB of the densest real metadata has under half of it."""
MAX_DEPTH: Final = 256
"""Deepest nesting of elements; libxml2's own bound without huge_tree."""

_ENCODINGS: Final = frozenset({"utf-8", "utf8", "utf-16", "utf-16le", "utf-16be", "us-ascii", "ascii"})
_NO_DOCTYPE: Final = "XML with a DOCTYPE is not accepted"
_SINGLE_BYTE: Final = {f"iso-8859-{n}": f"iso8859_{n}" for n in (1, 2, 15)} | {
    f"windows-{n}": f"cp{n}" for n in (1250, 1252)
}
_DECLARED: Final = re.compile(rb"""(?:\xef\xbb\xbf)?<\?xml\s[^>]*?encoding\s*=\s*["']([^"'<>]{0,40})""")
_DOCTYPE: Final = re.compile(rb"(?s)(?:\xef\xbb\xbf)?(?:\s++|<\?.*?\?>|<!--.*?-->)*+<!DOCTYPE")
MAX_SIGNED_MARKUP: Final = 800_000
"""Most ``<`` in a signed document of up to 20 MB; real ones have one in 35 octets. About 180 MB of memory."""
_HUGE: Final = 8_000_000
"""From this size on a text may be longer than libxml2 takes without huge_tree."""
UTF16: Final = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"<\0": "utf-16-le", b"\0<": "utf-16-be"}
"""How UTF-16 begins: with a byte order mark, or with a tag."""


class MalformedXml(ValueError):
    """The bytes are not acceptable XML; the message names place and kind and quotes no content."""


class _Parsers(threading.local):
    """A parser for each thread: reuse saves a tenth of a small parse, a shared one would hold threads up."""

    def __init__(self) -> None:
        self.parser = _parser(bare=True)
        self.signed = _parser(bare=False)


def _parser(*, bare: bool, huge: bool = False) -> etree.XMLParser:
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=huge,
        collect_ids=False,
        remove_comments=bare,
        remove_pis=bare,
    )


_parsers: Final = _Parsers()


def parse(data: bytes) -> etree._Element:
    """The root element of an XML document (SOAP 1.2 Part 1, section 5: no DTD in a message).

    Args:
        data: the whole document in UTF-8, UTF-16 or ASCII. Its size is the caller's to bound.

    Raises:
        MalformedXml: not well-formed, a DOCTYPE, another encoding, too deep or too many elements.
    """
    encoding = UTF16.get(data[:2])
    if encoding:
        data = _from_utf16(data, encoding)
    elif declared := _DECLARED.match(data):
        check_encoding(declared[1].decode("ascii", "replace"))
    return _parse(data, MAX_MARKUP, _parsers.parser)


def parse_signed(data: bytes) -> etree._Element:
    """The root element of a document whose signature is to be verified: nothing is dropped.

    The same refusals as in ``parse``, with room for large documents; the single-octet encodings of Central
    and Western Europe are read as well, because archived signed documents come in them.

    Args:
        data: the whole document. Its size is the caller's to bound.

    Raises:
        MalformedXml: not well-formed, a DOCTYPE, an unknown encoding, too deep or too many elements.
    """
    declared = _DECLARED.match(data)
    name = declared[1].decode("ascii", "replace").lower() if declared else ""
    if encoding := UTF16.get(data[:2]):
        data = _from_utf16(data, encoding)
    elif name in _SINGLE_BYTE:
        data = data.decode(_SINGLE_BYTE[name], "replace").encode()
    elif name:
        check_encoding(name)
    if len(data) < _HUGE:
        return _parse(data, MAX_SIGNED_MARKUP, _parsers.signed)
    root = _parse(data, MAX_SIGNED_MARKUP, _parser(bare=False, huge=True))
    _check_depth(root)
    return root


def _parse(data: bytes, most: int, parser: etree.XMLParser) -> etree._Element:
    if _DOCTYPE.match(data):
        raise MalformedXml(_NO_DOCTYPE)
    if data.count(b"<") > most:
        raise MalformedXml(f"XML has too many elements; at most {most} tags are accepted")
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise _malformed(error) from None


def _check_depth(root: etree._Element) -> None:
    """huge_tree lifts libxml2's bound on depth together with the one on text."""
    depth = 0
    for event, _ in etree.iterwalk(root, ("start", "end")):
        depth += 1 if event == "start" else -1
        if depth > MAX_DEPTH:
            raise MalformedXml(f"XML is nested deeper than {MAX_DEPTH} elements")


class StreamParser:
    """An expat parser with the same refusals, for a document that is too large for a tree.

    ``expat`` is the parser, for setting handlers; it names elements ``namespace local``.
    """

    __slots__ = ("expat",)

    def __init__(self, buffer_size: int) -> None:
        self.expat = expat.ParserCreate("utf-8", " ")
        self.expat.buffer_text = True
        self.expat.buffer_size = buffer_size
        self.expat.XmlDeclHandler = _declaration
        self.expat.StartDoctypeDeclHandler = _doctype

    def feed(self, data: bytes, *, final: bool) -> None:
        """Parse the next octets.

        Raises:
            MalformedXml: not well-formed, a DOCTYPE, or another encoding. Depth is the handlers' to bound.
        """
        try:
            self.expat.Parse(data, final)
        except expat.ExpatError as error:
            raise _not_well_formed(error.lineno, error.offset, expat.ErrorString(error.code)) from None


def check_encoding(name: str) -> None:
    """Refuse a declared encoding or charset that is not UTF-8, UTF-16 or ASCII.

    Raises:
        MalformedXml: another encoding.
    """
    if name.lower() not in _ENCODINGS:
        raise MalformedXml("XML must be encoded in UTF-8 or UTF-16; another encoding is declared")


def _from_utf16(data: bytes, encoding: str) -> bytes:
    try:
        return data.decode(encoding).encode()
    except UnicodeError:
        raise MalformedXml("XML is not valid UTF-16") from None


def _malformed(error: etree.XMLSyntaxError) -> MalformedXml:
    """libxml2's message quotes names of the document; its error type does not."""
    last = error.error_log.last_error  # type: ignore[attr-defined]  # absent from the stubs
    kind = last.type_name.removeprefix("ERR_").replace("_", " ").lower() if last is not None else "syntax"
    return _not_well_formed(*error.position, kind)


def _not_well_formed(line: int, column: int, kind: str) -> MalformedXml:
    return MalformedXml(f"XML is not well-formed at line {line}, column {column} ({kind})")


def _declaration(version: str, encoding: str | None, standalone: int) -> None:
    if encoding:
        check_encoding(encoding)


def _doctype(*unused: object) -> NoReturn:
    raise MalformedXml(_NO_DOCTYPE)
