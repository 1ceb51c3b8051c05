"""Documents inside the SOAP part as base64 (ITI TF-2 Appendix V.3.6: a receiver takes inline and XOP alike).

Below a threshold the payload stays as it is and ``document_part`` decodes it from the parsed tree. Above it
lxml would refuse the text or need many times its size in memory, so an expat pass moves the text of each
xds:Document to the store while it arrives; what remains keeps its octets and has an xop:Include instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from lxml.etree import _Element

from msim_xds.findings import shorten
from msim_xds.ihe.names import XDS
from msim_xds.settings import MIB, LimitSettings
from msim_xds.wire.exchange import StagedPart, Stager
from msim_xds.wire.safexml import MAX_DEPTH, MAX_MARKUP, UTF16, MalformedXml, StreamParser
from msim_xds.wire.staging import BadPackage, Staging
from msim_xds.wire.xop import INCLUDE, cid_of, include

_THRESHOLD: Final = 8 * MIB  # libxml2 refuses a text over 10 MB
_BATCH: Final = 1 << 18  # expat scans an unfinished tag again at each call, so it gets few large pieces
_DOCUMENT: Final = f"{XDS} Document"
_TAG: Final = re.compile(rb"""<(?:[^>"']++|"[^"]*+"|'[^']*+')*+>""")
_SPACE: Final = " \t\r\n"


def document_part(
    document: _Element, parts: Mapping[str, StagedPart], stager: Stager, limits: LimitSettings
) -> StagedPart:
    """The octets of one xds:Document, whether it refers to a part or holds base64.

    Args:
        document: the element.
        parts: parts of the message by Content-ID.
        stager: takes the octets of inline base64; what it stages is the caller's to discard.
        limits: bounds the document's size.

    Raises:
        BadPackage: a reference to no part, other content, broken base64, or over a limit.
        OSError: the store cannot take it.
    """
    if len(document):
        return _referred(document, parts)
    staging = Staging(stager, limits)
    try:
        staging.open(document.get("id", ""), base64=True)
        staging.write(_ascii(document.text or ""))
        staging.close()
    except BaseException:
        staging.discard()
        raise
    return next(iter(staging.parts.values()))


def _referred(document: _Element, parts: Mapping[str, StagedPart]) -> StagedPart:
    reference = document[0]
    text = (document.text or "") + (reference.tail or "")
    if len(document) > 1 or reference.tag != INCLUDE or text.strip(_SPACE):
        raise BadPackage("a Document holds either base64 or one xop:Include and nothing else")
    href = reference.get("href", "")
    part = parts.get(cid_of(href) or "")
    if part is None:
        raise BadPackage(f"xop:Include href {shorten(href)!r} names no part of the message")
    return part


class RootCollector:
    """Takes the SOAP part while it arrives; large ones give their inline documents to the staging at once."""

    __slots__ = ("_buffer", "_extractor", "_limits", "_staging", "_threshold")

    def __init__(self, staging: Staging, limits: LimitSettings) -> None:
        self._staging = staging
        self._limits = limits
        self._threshold = min(_THRESHOLD, limits.root_part_bytes)
        self._buffer = bytearray()
        self._extractor: _Extractor | None = None

    def write(self, data: bytes) -> None:
        """Take the next octets.

        Raises:
            BadPackage: too large without its documents (status 413), or a document is broken.
            MalformedXml: large, and not well-formed, or with a DOCTYPE.
            OSError: the store cannot take a document.
        """
        if self._extractor is not None:
            self._extractor.write(data)
            return
        self._buffer += data
        if len(self._buffer) > self._threshold:
            self._extractor = self._switch()

    def finish(self) -> bytes:
        """The SOAP part, at most ``limits.root_part_bytes`` long. Raises as ``write``."""
        return bytes(self._buffer) if self._extractor is None else self._extractor.finish()

    def _switch(self) -> _Extractor:
        if bytes(self._buffer[:2]) in UTF16:
            raise BadPackage(f"a SOAP part over {self._threshold} bytes must be in UTF-8", 413)
        extractor = _Extractor(self._staging, self._limits)
        for start in range(0, len(self._buffer), _BATCH):
            extractor.write(bytes(self._buffer[start : start + _BATCH]))
        self._buffer.clear()
        return extractor


class _Extractor:
    """Cuts the text of xds:Document out of an octet stream.

    ``_kept`` is the remainder so far; ``_window`` the octets behind it, from input offset ``_base`` on, of
    which the last ``_pending`` are not parsed yet.
    """

    def __init__(self, staging: Staging, limits: LimitSettings) -> None:
        self._staging = staging
        self._limit = limits.root_part_bytes
        self._kept = bytearray()
        self._window = bytearray()
        self._base = 0
        self._pending = 0
        self._depth = 0
        self._elements = 0
        self._documents = 0
        self._inside = 0  # depth of the xds:Document that we are in
        self._content = 0  # input offset of its content
        self._has_child = False
        self._moving = False  # its text goes to the staging
        self._parser = StreamParser(_BATCH)
        self._events = self._parser.expat
        self._events.StartElementHandler = self._start
        self._events.EndElementHandler = self._end

    def write(self, data: bytes) -> None:
        self._window += data
        self._pending += len(data)
        if self._pending >= _BATCH:
            self._advance(final=False)

    def finish(self) -> bytes:
        self._advance(final=True)
        self._keep_to(self._base + len(self._window))
        self._check_size(0)
        del self._parser, self._events  # handlers refer back: free both without waiting for a collection
        return bytes(self._kept)

    def _advance(self, *, final: bool) -> None:
        fresh = bytes(self._window[len(self._window) - self._pending :])
        self._pending = 0
        self._parser.feed(fresh, final=final)
        if not final:
            self._settle()
            self._check_size(2 * _BATCH)

    def _settle(self) -> None:
        """Move the window behind the last event; what comes before cannot be asked for any more."""
        settled = max(self._events.CurrentByteIndex, self._base)  # -1 before the first event
        if self._moving:
            self._drop_to(settled)
        elif not self._inside:
            self._keep_to(settled)

    def _check_size(self, slack: int) -> None:
        """Bound what is held: the remainder, an endless tag, and text that expat has yet to give."""
        if len(self._kept) + len(self._window) > self._limit + slack:
            raise BadPackage(f"the SOAP part is over {self._limit} bytes without its documents", 413)

    def _keep_to(self, offset: int) -> None:
        self._kept += self._window[: offset - self._base]
        self._drop_to(offset)

    def _drop_to(self, offset: int) -> None:
        del self._window[: offset - self._base]
        self._base = offset

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > MAX_DEPTH or self._elements > MAX_MARKUP:
            raise MalformedXml("XML is nested too deep or has too many elements")
        if self._inside:
            self._has_child = True
            if self._moving:
                raise self._mixed()
        elif name == _DOCUMENT:
            start = self._events.CurrentByteIndex
            tag = _TAG.match(self._window, start - self._base)
            self._content = self._base + tag.end() if tag else start
            self._inside, self._has_child = self._depth, False
            self._events.CharacterDataHandler = self._text

    def _text(self, text: str) -> None:
        if not self._moving:
            if not text.strip(_SPACE):
                return
            if self._has_child:
                raise self._mixed()
            self._documents += 1
            self._staging.open(f"inline-document-{self._documents}", base64=True)
            self._moving = True
            self._keep_to(self._content)
        self._staging.write(_ascii(text))

    def _end(self, name: str) -> None:
        if self._depth == self._inside:
            if self._moving:
                self._staging.close()
                self._drop_to(self._events.CurrentByteIndex)
                self._kept += include(f"inline-document-{self._documents}").encode()
            self._inside, self._moving = 0, False
            self._events.CharacterDataHandler = None
        self._depth -= 1

    def _mixed(self) -> BadPackage:
        return BadPackage("a Document holds either base64 or one xop:Include and nothing else")


def _ascii(text: str) -> bytes:
    try:
        return text.encode("ascii")
    except UnicodeEncodeError:
        raise BadPackage("a Document holds characters that are not base64") from None
