"""Refused TLS handshakes as records, few of them: a flood of handshakes must not become one of records.

Whoever refuses them has no time to wait for a database, so a thread of its own does that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from msim_xds.audit.trail import Trail

#: Addresses that have records of their own at a time; what comes from others is one record together.
_ADDRESSES: Final = 256
_OTHERS: Final = ""

Record = Callable[[str, str, str], None]
"""``Trail.node_refused``."""


@dataclass(slots=True)
class _Seen:
    """What was refused of one address: so many since its last record, and when the next one is due."""

    due: float
    reason: str = ""
    count: int = 0


class Refusals:
    """Records the first refusal of an address at once, and what follows in ``pause_s`` as one record.

    Args:
        record: keeps one.
        pause_s: between two records of an address.
    """

    def __init__(self, record: Record, pause_s: float = 60.0) -> None:
        self._record = record
        self._pause_s = pause_s
        self._seen: dict[str, _Seen] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="refused handshakes", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Record what is left, and end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def add(self, address: str, reason: str) -> None:
        """One more; never waits for a record."""
        with self._changed:
            if address not in self._seen and len(self._seen) >= _ADDRESSES:
                address = _OTHERS
            seen = self._seen.setdefault(address, _Seen(time.monotonic()))
            seen.reason = reason
            seen.count += 1
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._is_due(), self._wait_s())
                ends = self._stopping
                due = self._taken(everything=ends)
            for address, reason in due:
                self._record(address, reason, "" if address else "other addresses")
            if ends:
                return

    def _is_due(self) -> bool:
        now = time.monotonic()
        return any(each.count and each.due <= now for each in self._seen.values())

    def _wait_s(self) -> float | None:
        """Until something may be recorded or forgotten; None for as long as nothing is added."""
        due = [each.due for each in self._seen.values()]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _taken(self, *, everything: bool) -> list[tuple[str, str]]:
        """What is to be recorded now. Addresses of which nothing came in their pause are forgotten."""
        now = time.monotonic()
        taken = []
        for address, seen in list(self._seen.items()):
            if seen.due > now and not everything:
                continue
            del self._seen[address]
            if seen.count:
                taken.append((address, _words(seen)))
                self._seen[address] = _Seen(now + self._pause_s)
        return taken


def _words(seen: _Seen) -> str:
    return seen.reason if seen.count == 1 else f"{seen.reason} ({seen.count} handshakes)"


@contextmanager
def refusals(trail: Trail | None) -> Iterator[Callable[[str, str], None] | None]:
    """What takes refusals for a trail; what is left of them is recorded at the end. None for no trail."""
    if trail is None:
        yield None
        return
    taking = Refusals(trail.node_refused)
    taking.start()
    try:
        yield taking.add
    finally:
        taking.stop()
