"""MTOM/XOP messages and simple SOAP ones, between octet streams and their parts (ITI TF-2 Appendix V.3.6).

No I/O of its own: octets come from an iterable, documents go to a Stager's sinks, answers are iterables.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

import multipart

from msim_xds.findings import shorten
from msim_xds.settings import LimitSettings
from msim_xds.wire.base64 import BadBase64, Base64Decoder, encode, encoded_size
from msim_xds.wire.exchange import OutgoingDocument, StagedPart, Stager
from msim_xds.wire.inline import RootCollector
from msim_xds.wire.safexml import check_encoding
from msim_xds.wire.staging import BadPackage, Staging
from msim_xds.wire.xop import content_id, include

SOAP_TYPE: Final = "application/soap+xml"
XOP_TYPE: Final = "application/xop+xml"

_PLAIN_TYPES: Final = frozenset(
    {SOAP_TYPE, "text/xml", "application/xml"}
)  # the envelope tells SOAP 1.1 apart
_IDENTITY: Final = frozenset({"", "binary", "8bit", "7bit"})
_HEADERS: Final = 32  # in one part; real stacks send five at most
_JOINED_BYTES: Final = 256 << 10  # up to this size documents are sent in one piece with the rest
_BLANKS: Final = 64 << 10  # at a time
_MIME_TYPE: Final = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?:; ?[\w.+-]+=[\w.+-]+)*", re.ASCII)
_ROOT_CID: Final = "root@msim-xds"
_ROOT_HEADERS: Final = (
    f'\r\nContent-Type: {XOP_TYPE}; charset=UTF-8; type="{SOAP_TYPE}"\r\n'
    f"Content-Transfer-Encoding: binary\r\nContent-ID: <{_ROOT_CID}>\r\n\r\n"
)

Event: TypeAlias = Any
"""A multipart.MultipartSegment, octets, or None for a part's end. The library has no types."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message received: the SOAP part's octets, staged documents by Content-ID, and whether it was MTOM."""

    root: bytes
    parts: dict[str, StagedPart]
    mtom: bool


def read(content_type: str, chunks: Iterable[bytes], stager: Stager, limits: LimitSettings) -> Message:
    """Take a request or answer apart while it arrives.

    Whatever is raised, here or by ``chunks``, every document staged so far is discarded before.

    Args:
        content_type: the HTTP header.
        chunks: the HTTP body.
        stager: takes the documents.
        limits: bounds on everything.

    Raises:
        BadPackage: broken framing, encoding or size; see its ``http_status``.
        MalformedXml: a large SOAP part is not well-formed, or the charset is not UTF-8 or UTF-16.
        OSError: the store cannot take a document.
    """
    kind, options = media_type(content_type)
    staging = Staging(stager, limits)
    chunks = _bounded(chunks, limits.request_bytes)
    try:
        if "charset" in options:
            check_encoding(options["charset"])
        if kind == "multipart/related":
            return Message(_read_related(options, chunks, staging, limits), staging.parts, mtom=True)
        check_plain(content_type)
        collector = RootCollector(staging, limits)
        for chunk in chunks:
            collector.write(chunk)
        return Message(collector.finish(), staging.parts, mtom=False)
    except BaseException:
        staging.discard()
        raise


@lru_cache(maxsize=256)
def media_type(header: str) -> tuple[str, Mapping[str, str]]:
    """Media type and parameters; a client sends the same again and again, unless it makes up boundaries."""
    kind, options = multipart.parse_options_header(header)
    return kind, options


def check_plain(content_type: str) -> None:
    """Whether it is a simple SOAP message's. Raises BadPackage, MalformedXml."""
    kind, options = media_type(content_type)
    if kind not in _PLAIN_TYPES:
        allowed = f"multipart/related, {SOAP_TYPE}"
        raise BadPackage(f"Content-Type {shorten(content_type)!r}; allowed: {allowed}", 415)
    if "charset" in options:
        check_encoding(options["charset"])


def _bounded(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise BadPackage(f"the request is over {limit} bytes", 413)
        if chunk:
            yield chunk


class _RelatedParser(multipart.PushMultipartParser):  # type: ignore[misc]  # the library has no types
    """Reads multipart/related; the library asks for form-data unless this is overridden.

    The octets of a part that says its length are not searched for the boundary, which must not be among them;
    behind them it must stand, else the library refuses the message.
    """

    def parse(self, chunk: bytes) -> Iterator[Event]:
        """Beginnings of parts, their octets, and None for their ends. Raises multipart.MultipartError."""
        segment = self._segment
        if segment is not None and not segment.complete and not self._buffer:
            due = self._segment_limit - segment.bytes_received
            if len(chunk) <= due:
                yield self._on_segment_payload(chunk)
                return
        yield from super().parse(chunk)

    def _create_segment(self, headerlist: list[tuple[str, str]]) -> multipart.MultipartSegment:
        return multipart.MultipartSegment(headerlist)


def related_parser(options: Mapping[str, str], limits: LimitSettings) -> multipart.PushMultipartParser:
    """A parser of multipart/related, by the parameters of its Content-Type. Raises BadPackage."""
    if not options.get("boundary"):
        raise BadPackage("Content-Type multipart/related without a boundary")
    return _RelatedParser(
        options["boundary"],
        max_header_size=limits.part_header_bytes,
        max_header_count=_HEADERS,
        max_segment_count=limits.parts,
    )


def _read_related(
    options: Mapping[str, str], chunks: Iterable[bytes], staging: Staging, limits: LimitSettings
) -> bytes:
    parser = related_parser(options, limits)
    related = _Related(options.get("start"), staging, limits)
    try:
        for chunk in chunks:
            for event in parser.parse(chunk):
                if event is None:
                    related.end()
                elif isinstance(event, multipart.MultipartSegment):
                    related.begin(event)
                else:
                    related.write(event)
        parser.close()
    except multipart.ParserLimitReached as error:
        raise BadPackage(f"multipart/related: {error.args[0]}", 413) from None
    except multipart.MultipartError as error:
        # further arguments quote the message
        raise BadPackage(f"multipart/related: {error.args[0]}") from None
    except BadBase64 as error:
        raise BadPackage(f"SOAP part: {error}") from None
    if related.root is None:
        raise BadPackage("multipart/related without a SOAP part: start names none of the parts")
    return related.root


class _Related:
    """Sorts the parts of one multipart/related message into the root and the documents (RFC 2387).

    The root is the part that ``start`` names; without ``start`` the first; with a ``start`` that names none,
    the one of type application/xop+xml.
    """

    __slots__ = ("_collector", "_count", "_decoder", "_limits", "_staging", "_start", "root")

    def __init__(self, start: str | None, staging: Staging, limits: LimitSettings) -> None:
        self._start = content_id(start) if start else None
        self._staging = staging
        self._limits = limits
        self._count = 0
        self._collector: RootCollector | None = None  # while in the root
        self._decoder: Base64Decoder | None = None  # while in a root in base64
        self.root: bytes | None = None

    def begin(self, segment: multipart.MultipartSegment) -> None:
        self._count += 1
        if sum(len(name) + len(value) for name, value in segment.headerlist) > self._limits.part_header_bytes:
            raise BadPackage(
                f"part {self._count} has over {self._limits.part_header_bytes} bytes of headers", 413
            )
        cid = content_id(segment.header("Content-Id") or "")
        base64 = self._is_base64(segment)
        if self._is_root(cid, segment):
            self._begin_root(segment, base64)
        elif cid:
            self._staging.open(cid, base64=base64)
        else:
            raise BadPackage(f"part {self._count} has no Content-ID")

    def write(self, data: bytes) -> None:
        if self._decoder is not None:
            self._decoder.write(data)
        elif self._collector is not None:
            self._collector.write(data)
        else:
            self._staging.write(data)

    def end(self) -> None:
        if self._decoder is not None:
            self._decoder.finish()
        if self._collector is not None:
            self.root = self._collector.finish()
        else:
            self._staging.close()
        self._collector = self._decoder = None

    def _begin_root(self, segment: multipart.MultipartSegment, base64: bool) -> None:
        if self.root is not None:
            raise BadPackage(f"part {self._count} is a second SOAP part")
        if segment.charset:
            check_encoding(segment.charset)
        self._collector = RootCollector(self._staging, self._limits)
        self._decoder = Base64Decoder(self._collector.write) if base64 else None

    def _is_root(self, cid: str, segment: multipart.MultipartSegment) -> bool:
        if self._start is None:
            return self._count == 1
        return cid == self._start or bool(segment.content_type == XOP_TYPE)

    def _is_base64(self, segment: multipart.MultipartSegment) -> bool:
        encoding = (segment.header("Content-Transfer-Encoding") or "").strip().lower()
        if encoding not in _IDENTITY and encoding != "base64":
            raise BadPackage(
                f"part {self._count} has Content-Transfer-Encoding {shorten(encoding)!r}; "
                "allowed: binary, 8bit, 7bit, base64"
            )
        return bool(encoding == "base64")


@dataclass(frozen=True, slots=True)
class Packaged:
    """A message to send: HTTP Content-Type, exact Content-Length in bytes, and the body.

    ``length`` is None where a document's size is not known beforehand. ``close`` lets go of what the
    documents come from, sent or not.
    """

    content_type: str
    length: int | None
    chunks: Iterable[bytes]
    close: Callable[[], None] | None = None


def package(
    root: Sequence[bytes], documents: Sequence[OutgoingDocument], action: str, room: int | None = None
) -> Packaged:
    """An MTOM/XOP message, also when there is no document (ITI TF-2 Appendix V.3.6).

    Args:
        root: the envelope in pieces; refers to each document by ``xop.include(document.cid)``.
        documents: sent as binary parts in this order.
        action: the wsa:Action, repeated in Content-Type.
        room: what documents of unknown size have at most, all together. With it the message has a length all
            the same: what is left of it is filled with blanks behind the last boundary, where MIME lets
            anything stand (RFC 2046 5.1.1). So an answer that breaks off is too short for its Content-Length.
    """
    boundary = "uuid-" + secrets.token_hex(16)
    pieces: list[bytes | OutgoingDocument] = [f"--{boundary}{_ROOT_HEADERS}".encode(), *root]
    for document in documents:
        pieces += (_part_headers(boundary, document), document)
    pieces.append(f"\r\n--{boundary}--\r\n".encode())
    content_type = (
        f'multipart/related; type="{XOP_TYPE}"; start="<{_ROOT_CID}>"; start-info="{SOAP_TYPE}"; '
        f'boundary="{boundary}"; action="{action}"'
    )
    length = _total(len(p) if isinstance(p, bytes) else p.size for p in pieces)
    if length is not None or room is None:
        return _packaged(content_type, length, _binary(pieces), documents)
    known = sum(len(p) if isinstance(p, bytes) else p.size or 0 for p in pieces)
    return Packaged(content_type, known + room, _filled(_binary(pieces), known + room))


def plain(root: Sequence[bytes], documents: Sequence[OutgoingDocument], action: str) -> Packaged:
    """A simple SOAP message; documents stand in it as base64 where the payload refers to them.

    Args:
        root: the envelope in pieces; refers to each document by ``xop.include(document.cid)``, in order.
        documents: sent as base64.
        action: the wsa:Action, repeated in Content-Type.
    """
    pieces: list[bytes | OutgoingDocument] = []
    rest = b"".join(root)
    for document in documents:
        head, reference, rest = rest.partition(include(document.cid).encode())
        if not reference:
            raise ValueError(f"the payload does not refer to document {document.cid!r} in its place")
        pieces += (head, document)
    pieces.append(rest)
    length = _total(len(p) if isinstance(p, bytes) else _encoded(p.size) for p in pieces)
    content_type = f'{SOAP_TYPE}; charset=UTF-8; action="{action}"'
    return _packaged(content_type, length, _base64(pieces), documents)


def _total(sizes: Iterable[int | None]) -> int | None:
    """Their sum; None where one of them is not known."""
    total = 0
    for size in sizes:
        if size is None:
            return None
        total += size
    return total


def _encoded(size: int | None) -> int | None:
    return None if size is None else encoded_size(size)


def _packaged(
    content_type: str, length: int | None, body: Iterator[bytes], documents: Sequence[OutgoingDocument]
) -> Packaged:
    """Large documents stay a stream; everything else is one piece, which servers send fastest."""
    joined = not documents or (length is not None and length <= _JOINED_BYTES)
    return Packaged(content_type, length, [b"".join(body)] if joined else body)


def _binary(pieces: Iterable[bytes | OutgoingDocument]) -> Iterator[bytes]:
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
        else:
            yield from piece.chunks


def _filled(chunks: Iterable[bytes], length: int) -> Iterator[bytes]:
    """The chunks, and blanks up to the length. Raises BadPackage where they are longer."""
    for chunk in chunks:
        length -= len(chunk)
        if length < 0:
            raise BadPackage("the documents are larger than the message that brought them")
        yield chunk
    while length > 0:
        yield b" " * min(length, _BLANKS)
        length -= _BLANKS


def _base64(pieces: Iterable[bytes | OutgoingDocument]) -> Iterator[bytes]:
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
        else:
            yield from encode(piece.chunks)


def _part_headers(boundary: str, document: OutgoingDocument) -> bytes:
    """Headers of a document part; a mimeType that is none, from the metadata, must not write headers.

    Content-Length means nothing in MIME and is left alone by other stacks; ours need not search the octets.
    """
    length = "" if document.size is None else f"Content-Length: {document.size}\r\n"
    mime_type = document.mime_type if _MIME_TYPE.fullmatch(document.mime_type) else "application/octet-stream"
    return (
        f"\r\n--{boundary}\r\nContent-Type: {mime_type}\r\n"
        f"Content-Transfer-Encoding: binary\r\nContent-ID: <{document.cid}>\r\n{length}\r\n"
    ).encode()
