"""A community that fails again and again is left alone for a while, so that nobody waits for it in vain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final


class Breaker:
    """Counts failures in a row; safe to share between threads.

    Args:
        failures: so many open it.
        pause_s: how long it stays open; then one request at a time may try.
        clock: gives seconds that only go forward.
    """

    def __init__(self, failures: int, pause_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most: Final = failures
        self._pause_s: Final = pause_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._closed_again = 0.0

    def wait_s(self) -> float:
        """Seconds for which nothing may be asked; who is let (0.0) must say the outcome."""
        with self._lock:
            if self._failures < self._most:
                return 0.0
            now = self._clock()
            if now < self._closed_again:
                return self._closed_again - now
            self._closed_again = now + self._pause_s  # whoever comes meanwhile waits for this trial
            return 0.0

    def unused(self) -> None:
        """Whoever was let has not asked after all: where that was the trial, the next may try."""
        with self._lock:
            if self._failures >= self._most:
                self._closed_again = self._clock()

    def succeeded(self) -> None:
        """It has answered."""
        with self._lock:
            self._failures = 0

    def failed(self) -> None:
        """It has not."""
        with self._lock:
            self._failures += 1
            self._closed_again = self._clock() + self._pause_s
