"""Patients of the registry, by their CX string (ITI TF-3 4.2.3.2.16; merges: ITI TF-2 3.8, 3.44)."""

from __future__ import annotations

from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, insert, select
from sqlalchemy.dialects import postgresql

from msim_xds.database.driver import Prepared
from msim_xds.database.engine import allocate
from msim_xds.database.schema import patient


class Patient(NamedTuple):
    """A patient that the registry has met or was told of.

    Attributes:
        id: its key.
        announced: by a feed or an operator, not only by a submission.
        survivor_id: key of the patient that this one was merged into; None for an active one. Never a merged
            one itself: a merge moves the whole chain.
    """

    id: int
    announced: bool
    survivor_id: int | None


_FIND: Final = select(patient.c.id, patient.c.announced, patient.c.survivor_id).where(
    patient.c.cx == bindparam("cx")
)
_FIND_ONE: Final = Prepared(_FIND)
#: A patient's row is the lock under which that patient's objects change: FOR NO KEY UPDATE on PostgreSQL,
#: nothing on SQLite, which has one writer.
_LOCK: Final = Prepared(_FIND.with_for_update(key_share=True))
_ADD: Final = {
    "sqlite": insert(patient),
    "postgresql": postgresql.insert(patient).on_conflict_do_nothing(),
}


def find(connection: Connection, cx: str) -> Patient | None:
    """The patient; None when the registry does not know the id."""
    return _patient(_FIND_ONE.rows(connection, {"cx": cx.strip()}))


def lock(connection: Connection, cx: str) -> Patient | None:
    """Like ``find``; other writers of this patient's objects then wait for this transaction's end."""
    return _patient(_LOCK.rows(connection, {"cx": cx.strip()}))


def add(connection: Connection, cx: str, *, announced: bool = False) -> Patient:
    """Add a patient that ``lock`` did not find, and lock it; also when another writer was faster."""
    (fresh,) = allocate(connection, 1)
    row = {"id": fresh, "cx": cx.strip(), "announced": announced}
    connection.execute(_ADD[connection.dialect.name], row)
    added = lock(connection, cx)
    if added is None:
        raise RuntimeError("a patient that was just added is not there")
    return added


def _patient(rows: list[tuple[int, bool, int | None]]) -> Patient | None:
    if not rows:
        return None
    key, announced, survivor_id = rows[0]
    return Patient(key, bool(announced), survivor_id)
