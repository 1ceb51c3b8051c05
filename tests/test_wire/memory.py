"""A Stager that keeps octets in memory and knows what was left behind."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from msim_xds.wire.exchange import OutgoingDocument, StagedPart
from msim_xds.wire.mtom import Packaged
from tests.support.parts import part_of


class MemorySink:
    def __init__(self, stager: MemoryStager, token: str) -> None:
        self._stager, self._token = stager, token
        stager.octets[token] = b""

    def write(self, data: bytes) -> None:
        self._stager.written += len(data)
        if self._stager.counting_only:
            return
        self._stager.octets[self._token] += data

    def finish(self) -> StagedPart:
        return part_of(self._stager.octets[self._token], self._token)

    def discard(self) -> None:
        self._stager.octets.pop(self._token, None)


class MemoryStager:
    """``octets`` by token: what is staged now; ``counting_only`` keeps none of them."""

    def __init__(self, *, counting_only: bool = False) -> None:
        self.octets: dict[str, bytes] = {}
        self.written = 0
        self.counting_only = counting_only
        self._tokens = itertools.count()

    def stage(self) -> MemorySink:
        return MemorySink(self, str(next(self._tokens)))

    def discard(self, part: StagedPart) -> None:
        self.octets.pop(part.token, None)

    def of(self, parts: dict[str, StagedPart]) -> dict[str, bytes]:
        """The octets of each part by Content-ID."""
        return {cid: self.octets[part.token] for cid, part in parts.items()}


def outgoing(cid: str, data: bytes, mime_type: str = "text/xml", piece: int = 1000) -> OutgoingDocument:
    """A document that comes in pieces."""
    pieces = [data[start : start + piece] for start in range(0, len(data), piece)]
    return OutgoingDocument(cid, mime_type, len(data), pieces)


def cut(data: bytes, size: int = 1 << 16) -> Iterable[bytes]:
    """``data`` in pieces of ``size`` octets."""
    return (data[start : start + size] for start in range(0, len(data), size))


def joined(packaged: Packaged) -> bytes:
    """The body of a message to send; its length is as announced."""
    data = b"".join(packaged.chunks)
    assert len(data) == packaged.length
    return data
