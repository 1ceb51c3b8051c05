"""Patients of the registry, by their CX string (ITI TF-3 4.2.3.2.16)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, insert, select
from sqlalchemy.dialects import postgresql

from msim_xds.database.driver import Prepared
from msim_xds.database.engine import allocate
from msim_xds.database.schema import patient

_FIND: Final = select(patient.c.id).where(patient.c.cx == bindparam("cx"))
#: A patient's row is the lock under which that patient's objects change: FOR NO KEY UPDATE on PostgreSQL,
#: nothing on SQLite, which has one writer.
_LOCK: Final = Prepared(_FIND.with_for_update(key_share=True))
_ADD: Final = {
    "sqlite": insert(patient),
    "postgresql": postgresql.insert(patient).on_conflict_do_nothing(),
}


def find(connection: Connection, cx: str) -> int | None:
    """The patient's id; None when the registry has not met the patient."""
    return connection.execute(_FIND, {"cx": cx.strip()}).scalar_one_or_none()


def lock(connection: Connection, cx: str) -> int | None:
    """Like ``find``; other writers of this patient's objects then wait for this transaction's end."""
    rows = _LOCK.rows(connection, {"cx": cx.strip()})
    return rows[0][0] if rows else None


def add(connection: Connection, cx: str) -> int:
    """Add a patient that ``lock`` did not find, and lock it; its id, also when another writer was faster."""
    (fresh,) = allocate(connection, 1)
    connection.execute(_ADD[connection.dialect.name], {"id": fresh, "cx": cx.strip()})
    ((found,),) = _LOCK.rows(connection, {"cx": cx.strip()})
    return int(found)
