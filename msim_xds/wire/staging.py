"""The documents of one message while it arrives: all of them staged, or none left behind."""

from __future__ import annotations

from msim_xds.findings import shorten
from msim_xds.settings import LimitSettings
from msim_xds.wire.base64 import BadBase64, Base64Decoder
from msim_xds.wire.exchange import PartSink, StagedPart, Stager


class BadPackage(ValueError):
    """The message's packaging is broken; the text says what is wrong.

    ``http_status`` is the status of the SOAP fault: 400, 413 (over a limit) or 415 (not a SOAP message).
    """

    def __init__(self, message: str, http_status: int = 400) -> None:
        super().__init__(message)
        self.http_status = http_status


class NoDocuments:
    """The stager of messages that carry no documents."""

    def stage(self) -> PartSink:
        """Refuse: a BadPackage that becomes a fault."""
        raise BadPackage("this endpoint takes no documents; allowed: the SOAP part alone")

    def discard(self, part: StagedPart) -> None:
        """Nothing was staged."""


class Staging:
    """Writes one document after another to the store's sinks, decoding and counting on the way.

    ``parts`` holds what is complete, by Content-ID.
    """

    __slots__ = ("_cid", "_decoder", "_limit", "_sink", "_size", "_stager", "parts")

    def __init__(self, stager: Stager, limits: LimitSettings) -> None:
        self._stager = stager
        self._limit = limits.document_bytes
        self._sink: PartSink | None = None
        self._decoder: Base64Decoder | None = None
        self._cid = ""
        self._size = 0
        self.parts: dict[str, StagedPart] = {}

    def open(self, cid: str, *, base64: bool) -> None:
        """Begin a document.

        Raises:
            BadPackage: the Content-ID was there before.
            OSError: the store cannot take it.
        """
        if cid in self.parts:
            raise BadPackage(f"two parts have the Content-ID {shorten(cid)!r}")
        self._cid, self._size = cid, 0
        self._sink = self._stager.stage()
        self._decoder = Base64Decoder(self._keep) if base64 else None

    def write(self, data: bytes) -> None:
        """Take the open document's next octets, encoded as said at ``open``.

        Raises:
            BadPackage: broken base64, or the document is over ``limits.document_bytes`` (status 413).
            OSError: the store cannot take them.
        """
        if self._decoder is None:
            self._keep(data)
            return
        try:
            self._decoder.write(data)
        except BadBase64 as error:
            raise self._broken(error) from None

    def close(self) -> None:
        """End the open document.

        Raises:
            BadPackage: its base64 is incomplete.
            OSError: the store cannot take it.
        """
        try:
            if self._decoder is not None:
                self._decoder.finish()
        except BadBase64 as error:
            raise self._broken(error) from None
        if self._sink is not None:
            self.parts[self._cid] = self._sink.finish()
            self._sink = None

    def discard(self) -> None:
        """Forget all documents of this message."""
        if self._sink is not None:
            self._sink.discard()
            self._sink = None
        while self.parts:
            self._stager.discard(self.parts.popitem()[1])

    def _keep(self, octets: bytes) -> None:
        self._size += len(octets)
        if self._size > self._limit:
            raise BadPackage(f"document {shorten(self._cid)!r} is over {self._limit} bytes", 413)
        if self._sink is not None:
            self._sink.write(octets)

    def _broken(self, error: BadBase64) -> BadPackage:
        return BadPackage(f"document {shorten(self._cid)!r}: {error}")
