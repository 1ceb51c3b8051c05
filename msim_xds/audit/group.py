"""Group commit: what several threads want written at the same time is written by one of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class _Batch(Generic[Item]):
    """What is written together."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.done = threading.Event()
        self.written = False


class GroupCommit(Generic[Item]):
    """Writes items in batches; while one batch is being written the next one gathers.

    Args:
        write: writes items durably, all or none.
    """

    def __init__(self, write: Callable[[Sequence[Item]], None]) -> None:
        self._write = write
        self._gathering: _Batch[Item] | None = None
        self._changing = threading.Lock()
        self._turn = threading.Lock()

    def put(self, items: Sequence[Item]) -> None:
        """Return when the items are durable.

        Raises:
            Exception: whatever ``write`` raises for these items; those of others do not matter.
        """
        with self._changing:
            batch = self._gathering
            leads = batch is None
            if batch is None:
                batch = self._gathering = _Batch()
            batch.items += items
        if leads:
            self._lead(batch)
            return
        batch.done.wait()
        if not batch.written:  # perhaps for the sake of another's
            self._write(items)

    def _lead(self, batch: _Batch[Item]) -> None:
        try:
            with self._turn:
                with self._changing:
                    self._gathering = None
                self._write(batch.items)
            batch.written = True
        finally:
            batch.done.set()
