"""Work of the audit trail that never ends: a thread for each kind, which nothing that goes wrong stops."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Rounds(ABC):
    """Rounds of work in a thread of its own, for the length of a with block; the round under way is finished.

    Args:
        name: of the thread.
        pause_s: before the first round.
    """

    def __init__(self, name: str, pause_s: float) -> None:
        self._pause_s = pause_s
        self._stopping = threading.Event()
        # A daemon: what is left when the program is killed, the next one finds.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    @abstractmethod
    def _round(self) -> float:
        """Do what there is to do; returns seconds until the next round."""

    @abstractmethod
    def _failed(self, error: Exception) -> float:
        """Say that a round failed; returns seconds until the next."""

    def _run(self) -> None:
        while not self._stopping.wait(self._pause_s):
            try:
                self._pause_s = self._round()
            except Exception as error:  # the database is out of reach; the thread must outlive that
                self._pause_s = self._failed(error)
