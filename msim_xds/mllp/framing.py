"""MLLP: messages framed by single octets in a stream (ITI TF-2 Appendix C.2.1; HL7 Transport: MLLP).

A frame is START, message, END, carriage return. Packets mean nothing: a frame may come in any number of
pieces, START alone included, and a piece may hold several frames.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import Final, NamedTuple

START: Final = b"\x0b"
END: Final = b"\x1c"
_MARK: Final = re.compile(b"[\x0b\x1c]")
_LINE_END: Final = b"\r\n"


class Frame(NamedTuple):
    """A message; only the beginning of one that is larger than the reader takes (``whole`` is False)."""

    data: bytes
    whole: bool


def framed(message: bytes) -> bytes:
    """A message ready for the stream."""
    return START + message + END + b"\r"


class FrameReader:
    """Takes a stream as it comes and gives the frames in it.

    Lenient as far as nothing is guessed: octets between frames are passed over, the carriage return may be
    missing, and a START within a frame begins a new one, since the end of the first was lost.

    Args:
        limit: most octets of a message.

    Attributes:
        inside: whether a frame has begun and not ended.
        strays: octets so far that belonged to no whole frame.
    """

    def __init__(self, limit: int) -> None:
        self.inside = False
        self.strays = 0
        self._limit = limit
        self._kept = bytearray()
        self._size = 0

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that end in ``data``, which must be read to their end."""
        rest = data
        while rest:
            rest = (yield from self._in_frame(rest)) if self.inside else self._between(rest)

    def _between(self, data: bytes) -> bytes:
        at = data.find(START)
        outside = data if at < 0 else data[:at]
        self.strays += len(outside.strip(_LINE_END))
        self.inside = at >= 0
        return b"" if at < 0 else data[at + 1 :]

    def _in_frame(self, data: bytes) -> Generator[Frame, None, bytes]:
        mark = _MARK.search(data)
        self._take(data if mark is None else data[: mark.start()])
        if mark is None:
            return b""
        if mark[0] == START:
            self.strays += self._size
        else:
            yield Frame(bytes(self._kept), self._size <= self._limit)
            self.inside = False
        self._kept.clear()
        self._size = 0
        return data[mark.end() :]

    def _take(self, data: bytes) -> None:
        self._kept += data[: self._limit - len(self._kept)]
        self._size += len(data)
