"""An answer taken apart while it is read: the SOAP part first, then one document after another, kept nowhere.

What ``mtom.read`` is for a server that keeps documents, this is for a gateway that passes them through. The
parts must come in the order in which they are asked for; every stack known writes them so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import multipart

from msim_xds.findings import shorten
from msim_xds.settings import LimitSettings
from msim_xds.wire import mtom
from msim_xds.wire.base64 import BadBase64, Base64Decoder
from msim_xds.wire.staging import BadPackage
from msim_xds.wire.xop import content_id

_IDENTITY: Final = frozenset({"", "binary", "8bit", "7bit"})


class IncomingAnswer:
    """A SOAP message, simple or MTOM/XOP (ITI TF-2 Appendix V.3.6).

    Args:
        content_type: the HTTP header.
        chunks: the HTTP body.
        limits: bounds on everything.

    Raises:
        BadPackage: broken framing or encoding, over a limit, or the SOAP part does not come first.
        MalformedXml: a charset that is not UTF-8 or UTF-16.
    """

    def __init__(self, content_type: str, chunks: Iterable[bytes], limits: LimitSettings) -> None:
        media_type, options = mtom.media_type(content_type)
        self._limits = limits
        self._left = limits.request_bytes
        if media_type == "multipart/related":
            self._events = self._parsed(options, chunks)
            self.root = self._first_part(options.get("start"))
        else:
            self._events = iter(())
            self.root = self._whole(content_type, chunks)

    def document(self, cid: str) -> Iterator[bytes]:
        """The octets of the next part, which must have this Content-ID.

        The last octets are held back until the part's end has come, so what breaks off never looks whole.

        Raises:
            BadPackage: it is another part, or none, broken, or over a limit.
        """
        segment = self._next_segment()
        if segment is None:
            raise BadPackage(f"there is no part {shorten(cid)!r}")
        seen = content_id(segment.header("Content-Id") or "")
        if seen != cid:
            raise BadPackage(f"part {shorten(seen)!r} comes where {shorten(cid)!r} is due")
        size, held = 0, b""
        for octets in self._decoded(segment):
            size += len(octets)
            if size > self._limits.document_bytes:
                raise BadPackage(
                    f"document {shorten(cid)!r} is over {self._limits.document_bytes} bytes", 413
                )
            if held:
                yield held
            held = octets
        if held:
            yield held

    def finish(self) -> None:
        """Read the end of the message. Raises BadPackage where there is more, or it breaks off."""
        if self._next_segment() is not None:
            raise BadPackage("there are more parts than documents")

    def _whole(self, content_type: str, chunks: Iterable[bytes]) -> bytes:
        mtom.check_plain(content_type)
        return self._bounded_root(chunks)

    def _bounded_root(self, chunks: Iterable[bytes]) -> bytes:
        root = bytearray()
        for chunk in chunks:
            root += chunk
            if len(root) > self._limits.root_part_bytes:
                raise BadPackage(f"the SOAP part is over {self._limits.root_part_bytes} bytes", 413)
        return bytes(root)

    def _first_part(self, start: str | None) -> bytes:
        segment = self._next_segment()
        if segment is None:
            raise BadPackage("multipart/related without a SOAP part")
        cid = content_id(segment.header("Content-Id") or "")
        if start and cid != content_id(start) and segment.content_type != mtom.XOP_TYPE:
            raise BadPackage("the SOAP part is not the first one")
        return self._bounded_root(self._decoded(segment))

    def _next_segment(self) -> mtom.Event:
        event = next(self._events, None)
        if event is not None and not isinstance(event, multipart.MultipartSegment):
            raise BadPackage("a part was left unread")
        return event

    def _decoded(self, segment: mtom.Event) -> Iterator[bytes]:
        """The open part's octets, without their transfer encoding."""
        encoding = (segment.header("Content-Transfer-Encoding") or "").strip().lower()
        if encoding in _IDENTITY:
            yield from self._octets()
            return
        if encoding != "base64":
            raise BadPackage(f"Content-Transfer-Encoding {shorten(encoding)!r}; allowed: binary, base64")
        waiting: list[bytes] = []
        decoder = Base64Decoder(waiting.append)
        try:
            for octets in self._octets():
                decoder.write(octets)
                yield from waiting
                waiting.clear()
            decoder.finish()
        except BadBase64 as error:
            raise BadPackage(str(error)) from None
        yield from waiting

    def _octets(self) -> Iterator[bytes]:
        for event in self._events:
            if event is None:
                return
            if isinstance(event, multipart.MultipartSegment):
                break
            yield bytes(event)
        raise BadPackage("the message breaks off inside a part")

    def _parsed(self, options: Mapping[str, str], chunks: Iterable[bytes]) -> Iterator[mtom.Event]:
        """Beginnings of parts, their octets, and None for their ends."""
        try:
            parser = mtom.related_parser(options, self._limits)
            for chunk in chunks:
                self._left -= len(chunk)
                if self._left < 0:
                    raise BadPackage(f"the answer is over {self._limits.request_bytes} bytes", 413)
                yield from parser.parse(chunk)
            parser.close()
        except multipart.ParserLimitReached as error:
            raise BadPackage(f"multipart/related: {error.args[0]}", 413) from None
        except multipart.MultipartError as error:
            raise BadPackage(f"multipart/related: {error.args[0]}") from None
