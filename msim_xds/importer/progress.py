"""How far an import has come, noted in the registry's own database and its own transactions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from msim_xds.database.driver import Prepared
from msim_xds.database.schema import import_progress


@dataclass(frozen=True, slots=True)
class Progress:
    """An import's state.

    Attributes:
        source: what is imported.
        fingerprint: of the source when the import began.
        report: path of the report.
        report_octets: its length as far as it is about what is counted here.
        position: tasks dealt with: those imported, those present before, those refused, and empty ones.
    """

    source: str
    fingerprint: str
    report: str
    report_octets: int = 0
    position: int = 0
    imported: int = 0
    present: int = 0
    refused: int = 0


_FIELDS: Final = tuple(Progress.__dataclass_fields__)
_FIND: Final = select(*(import_progress.c[name] for name in _FIELDS)).where(
    import_progress.c.source == bindparam("of")
)
_LOCK: Final = Prepared(_FIND.with_for_update())
_INSERT: Final = Prepared(insert(import_progress))
_SAVE: Final = Prepared(
    update(import_progress)
    .where(import_progress.c.source == bindparam("of"))
    .values({name: bindparam(name) for name in (*_FIELDS[3:], "updated_at")})
)
_FORGET: Final = delete(import_progress).where(import_progress.c.source == bindparam("of"))


class Journal:
    """The row of one source; every method belongs to the caller's transaction."""

    def __init__(self, source: str, clock: Callable[[], datetime]) -> None:
        self._source = source
        self._clock = clock

    def lock(self, connection: Connection) -> Progress | None:
        """The state, which nobody else changes before this transaction's end; None before the first."""
        rows = _LOCK.rows(connection, {"of": self._source})
        return Progress(*rows[0]) if rows else None

    def begin(self, connection: Connection, progress: Progress) -> None:
        """Begin anew."""
        connection.execute(_FORGET, {"of": self._source})
        _INSERT.run(connection, [self._row(progress)])

    def save(self, connection: Connection, progress: Progress) -> None:
        """Note how far it has come."""
        _SAVE.run(connection, [{**self._row(progress), "of": self._source}])

    def _row(self, progress: Progress) -> dict[str, Any]:
        row: dict[str, Any] = {name: getattr(progress, name) for name in _FIELDS}
        return {**row, "updated_at": self._clock().isoformat(timespec="seconds")}
