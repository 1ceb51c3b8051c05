"""Guesses at what happened to a document whose digest differs: each is tried, and only what fits is said."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from msim_xds.security.signatures import table
from msim_xds.security.signatures.canonical import NotCanonical
from msim_xds.security.signatures.document import Document, OverLimit
from msim_xds.security.signatures.names import ds, text
from msim_xds.security.signatures.reasons import Reason, reason
from msim_xds.security.signatures.references import (
    Collected,
    Outcome,
    Refused,
    Unresolved,
    decode_base64,
    feed,
)

if TYPE_CHECKING:
    from lxml.etree import _Element

_ENCODINGS: Final = {
    "cp1250": "windows-1250",
    "iso8859_2": "ISO-8859-2",
    "cp1252": "windows-1252",
    "latin-1": "ISO-8859-1",
}
_BOM: Final = b"\xef\xbb\xbf"


def why(document: Document, outcome: Outcome, signature: _Element) -> list[Reason]:
    """What was done to the data of a reference, where that can be told from the digest."""
    expected = decode_base64(text(outcome.element.find(ds("DigestValue"))))
    if outcome.target is None or not outcome.digest or expected is None:
        return []

    def fits(octets: bytes) -> bool:
        return hashlib.new(outcome.digest, octets, usedforsecurity=False).digest() == expected

    try:
        octets = _octets(document, outcome, signature)
        found = next((why for candidate, why in _guesses(octets) if fits(candidate)), None)
        if (
            found is None
            and outcome.target.element is not None
            and fits(_unindented(document, outcome, signature))
        ):
            found = reason("indented")
    except (OverLimit, NotCanonical, Refused, Unresolved):
        return []
    return [found] if found is not None else []


def _octets(document: Document, outcome: Outcome, signature: _Element) -> bytes:
    collected = Collected()
    if outcome.target is not None:
        feed(document, outcome.element, signature, outcome.target, table.DEFAULT_CANONICAL, collected)
    return bytes(collected.octets)


def _guesses(octets: bytes) -> Iterator[tuple[bytes, Reason]]:
    """Other forms that the octets may have had when they were signed."""
    yield octets.replace(b"&#xD;", b""), reason("line-ends")
    yield octets.replace(b"\r\n", b"\n"), reason("line-ends")
    yield octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), reason("line-ends")
    yield octets.replace(b"&#xD;", b"").replace(b"\n", b"&#xD;\n"), reason("line-ends")
    yield octets.removeprefix(_BOM), reason("byte-order-mark")
    yield _BOM + octets, reason("byte-order-mark")
    yield _without_instructions(octets), reason("instructions")
    try:
        characters = octets.decode()
    except UnicodeDecodeError:
        return
    for codec, name in _ENCODINGS.items():
        # signed as UTF-8 and later read as this: what is there now, written as this, is the old octets
        yield characters.encode(codec, "replace"), reason("encoded", encoding=name)
        yield octets.decode(codec, "replace").encode(), reason("encoded", encoding=name)


def _without_instructions(octets: bytes) -> bytes:
    while octets.startswith(b"<?") and (end := octets.find(b"?>\n")) > 0:
        octets = octets[end + 3 :]
    return octets


def _unindented(document: Document, outcome: Outcome, signature: _Element) -> bytes:
    """The octets without white space between elements; the tree is as before afterwards."""
    gone: list[tuple[_Element, bool, str]] = []
    try:
        for element in document.root.iter():
            if element.text and not element.text.strip() and len(element) and isinstance(element.tag, str):
                gone.append((element, False, element.text))
                element.text = None
            if element.tail and not element.tail.strip():
                gone.append((element, True, element.tail))
                element.tail = None
        return _octets(document, outcome, signature)
    finally:
        for element, is_tail, value in gone:
            setattr(element, "tail" if is_tail else "text", value)
