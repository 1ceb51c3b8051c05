"""How often a system calls, and how much at a time: a token bucket and a count, in one process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import ceil
from typing import Final

from msim_xds.security.systems.table import Limits

_BUSY_S: Final = 1.0
"""When to try again where the count is full; nobody knows when a request ends."""


class Meter:
    """Counts the requests of one system; safe to share between threads.

    Args:
        limits: what is allowed.
        clock: seconds, never going back.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._rate = limits.requests_per_s or 0.0
        self._burst = float(limits.burst or ceil(self._rate))
        self._concurrent = limits.concurrent
        self._clock = clock
        self._tokens = self._burst
        self._filled = clock()
        self._running = 0
        self._lock = threading.Lock()

    def enter(self) -> float:
        """Take a request in, to be ended by ``leave``; else the seconds after which to try again, over 0."""
        with self._lock:
            if self._concurrent is not None and self._running >= self._concurrent:
                return _BUSY_S
            if self._rate:
                self._fill()
                if self._tokens < 1:
                    return (1 - self._tokens) / self._rate
                self._tokens -= 1
            self._running += 1
            return 0.0

    def leave(self) -> None:
        """A request that was taken in has ended."""
        with self._lock:
            self._running -= 1

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
