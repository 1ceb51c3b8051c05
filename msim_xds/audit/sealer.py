"""Seals the audit trail: one thread of each server, of which one works at a time."""

from __future__ import annotations

from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.audit.outbox import Outbox
from msim_xds.audit.rounds import Rounds

_log: FilteringBoundLogger = structlog.get_logger()

_PAUSE_S: Final = 1.0


class Sealer(Rounds):
    """Seals what is there, every second, for the length of a with block."""

    def __init__(self, outbox: Outbox, pause_s: float = _PAUSE_S) -> None:
        super().__init__("audit-sealer", pause_s)
        self._outbox = outbox

    def _round(self) -> float:
        seal_all(self._outbox)
        return self._pause_s

    def _failed(self, error: Exception) -> float:
        """The database is out of reach, or the chain is broken."""
        _log.warning("audit trail not sealed", error=type(error).__name__, reason=str(error))
        return self._pause_s


def seal_all(outbox: Outbox) -> int:
    """Seal until nothing is left that this process can seal; returns how many records that were."""
    total = 0
    while sealed := outbox.seal():
        total += sealed
    return total
