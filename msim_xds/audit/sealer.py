"""Seals the audit trail: one thread of each server, of which one works at a time."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Final, Self

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.audit.outbox import Outbox

_log: FilteringBoundLogger = structlog.get_logger()

_PAUSE_S: Final = 1.0


class Sealer:
    """Seals what is there, every second, for the length of a with block."""

    def __init__(self, outbox: Outbox, pause_s: float = _PAUSE_S) -> None:
        self._outbox = outbox
        self._pause_s = pause_s
        self._stopping = threading.Event()
        # A daemon: what is left when the program is killed, the next sealer finds.
        self._thread = threading.Thread(target=self._run, name="audit-sealer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; what is being sealed is finished first."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._pause_s):
            try:
                seal_all(self._outbox)
            except Exception as error:  # the database is out of reach, or the chain broken: go on trying
                _log.warning("audit trail not sealed", error=type(error).__name__, reason=str(error))


def seal_all(outbox: Outbox) -> int:
    """Seal until nothing is left that this process can seal; returns how many records that were."""
    total = 0
    while sealed := outbox.seal():
        total += sealed
    return total
