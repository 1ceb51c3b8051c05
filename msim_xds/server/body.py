"""A request's body, read in bounded pieces and within a time limit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

from msim_xds.wire.staging import BadPackage

PIECE: Final = 1 << 18
"""Octets asked for at a time."""

_DRAIN: Final = 64 << 20
"""Most octets of a refused request that are still read; behind them the HTTP server closes the connection."""

_DIGITS: Final = 19


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Body:
    """The octets of a POST, by Content-Length or until the server says that they end.

    Args:
        environ: the WSGI environ.
        timeout_s: longest time that reading may take altogether, in seconds; looked at between pieces.

    Raises:
        BadPackage: no length (411), or a Content-Length that is no number (400).
    """

    def __init__(self, environ: Mapping[str, Any], timeout_s: float) -> None:
        self._input: _Readable = environ["wsgi.input"]
        self._expected = _expected(environ)
        self._deadline = time.monotonic() + timeout_s
        self._count = 0

    def check_size(self, limit: int) -> None:
        """Refuse a body that says at once that it is over ``limit`` octets.

        Raises:
            BadPackage: Content-Length is over the limit (413).
        """
        if self._expected is not None and self._expected > limit:
            raise BadPackage(f"the request is over {limit} bytes", 413)

    def __iter__(self) -> Iterator[bytes]:
        """The pieces.

        Raises:
            BadPackage: too slow (408), or it breaks off (400).
        """
        while piece := self._read():
            yield piece

    def drain(self) -> None:
        """Read and forget what is left, up to a bound, so that the sender gets to see why it is refused."""
        bound = self._count + _DRAIN
        with suppress(BadPackage):
            while self._count < bound and self._read():
                pass

    def _read(self) -> bytes:
        size = PIECE if self._expected is None else min(PIECE, self._expected - self._count)
        if size == 0:
            return b""
        if time.monotonic() > self._deadline:
            raise BadPackage("the request's body came too slowly", 408)
        try:
            piece = self._input.read(size)
        except TimeoutError:
            raise BadPackage("the request's body came too slowly", 408) from None
        except (OSError, ValueError):
            raise BadPackage("the request's body breaks off") from None
        self._count += len(piece)
        if not piece and self._expected is not None:
            raise BadPackage(f"the request's body ends after {self._count} of {self._expected} bytes")
        return piece


def _expected(environ: Mapping[str, Any]) -> int | None:
    """Octets to come; None when the server ends the input itself."""
    text = environ.get("CONTENT_LENGTH") or ""
    if "chunked" not in environ.get("HTTP_TRANSFER_ENCODING", "").lower() and text:
        if not (text.isascii() and text.isdigit() and len(text) < _DIGITS):
            raise BadPackage("Content-Length is not a number")
        return int(text)
    if environ.get("wsgi.input_terminated"):
        return None
    raise BadPackage("a request needs a Content-Length, or chunked transfer coding where supported", 411)
