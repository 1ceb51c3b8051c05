"""Base64 that arrives or leaves in pieces; white space is allowed on the way in, nothing else is."""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterable, Iterator

import pybase64


class BadBase64(ValueError):
    """Not the base64 of XML Schema and RFC 2045."""


class Base64Decoder:
    """Decodes pieces of any length and hands the octets on."""

    __slots__ = ("_ended", "_rest", "_write")

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._rest = b""
        self._ended = False

    def write(self, data: bytes) -> None:
        """Decode as many whole groups of four characters as there are.

        Raises:
            BadBase64: a character outside the alphabet, or something behind the padding.
        """
        data = self._rest + data.translate(None, b" \t\r\n")
        whole = len(data) & ~3
        self._rest = data[whole:]
        if self._ended and data:
            raise BadBase64("base64 goes on behind its padding")
        if not whole:
            return
        data = data[:whole]
        self._ended = data.endswith(b"=")
        try:
            octets = pybase64.b64decode(data, validate=True)
        except binascii.Error:
            raise BadBase64("not base64: wrong characters or padding") from None
        self._write(octets)

    def finish(self) -> None:
        """Everything was written.

        Raises:
            BadBase64: the last group of four is incomplete.
        """
        if self._rest:
            raise BadBase64("base64 ends in the middle of a group")


def encoded_size(size: int) -> int:
    """Characters of base64 for ``size`` octets."""
    return (size + 2) // 3 * 4


def encode(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The base64 of all chunks taken together, without line breaks."""
    rest = b""
    for chunk in chunks:
        data = rest + chunk if rest else chunk
        whole = len(data) - len(data) % 3
        rest = data[whole:]
        if whole:
            yield pybase64.b64encode(data[:whole])
    if rest:
        yield pybase64.b64encode(rest)
