"""Patients of the registry, by their CX string (ITI TF-3 4.2.3.2.16; merges: ITI TF-2 3.8, 3.44)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql

from msim_xds.database.among import among, given
from msim_xds.database.driver import Prepared
from msim_xds.database.engine import allocate
from msim_xds.database.schema import patient
from msim_xds.metadata.identity import Demographics


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

    @property
    def active_id(self) -> int:
        """Its own key, or that of the patient whom it is now."""
        return self.id if self.survivor_id is None else self.survivor_id


class Listed(NamedTuple):
    """A patient as operators see it; ``survivor`` is the CX of the one that it was merged into."""

    cx: str
    announced: bool
    survivor: str | None
    demographics: Demographics
    changed_at: str | None


_FIND: Final = select(patient.c.id, patient.c.announced, patient.c.survivor_id).where(
    patient.c.cx == bindparam("cx")
)
_FIND_ONE: Final = Prepared(_FIND)
_NAMES: Final = Prepared(select(patient.c.id, patient.c.cx).where(among(patient.c.id, bindparam("given"))))
#: A patient's row is the lock under which that patient's objects change: FOR NO KEY UPDATE on PostgreSQL,
#: nothing on SQLite, which has one writer.
_LOCK: Final = Prepared(_FIND.with_for_update(key_share=True))
_LOCK_ALL: Final = Prepared(
    select(patient.c.cx, patient.c.id, patient.c.announced, patient.c.survivor_id)
    .where(among(patient.c.cx, bindparam("given")))
    .order_by(patient.c.cx)
    .with_for_update(key_share=True)
)
_ADD_ALL: Final = Prepared(
    insert(patient).values({name: bindparam(name) for name in ("id", "cx", "announced")})
)
_ADD: Final = {
    "sqlite": insert(patient),
    "postgresql": postgresql.insert(patient).on_conflict_do_nothing(),
}
#: What the message does not tell stays as it was.
_ANNOUNCE: Final = (
    update(patient)
    .where(patient.c.id == bindparam("key"))
    .values(
        announced=True,
        changed_at=bindparam("now"),
        **{name: func.coalesce(bindparam(f"new_{name}"), patient.c[name]) for name in Demographics._fields},
    )
)
_BORN: Final = (
    select(patient.c.cx, *(patient.c[name] for name in Demographics._fields))
    .where(patient.c.birth_date == bindparam("birth_date"), patient.c.survivor_id.is_(None))
    .order_by(patient.c.cx)
    .limit(bindparam("most"))
)
_PERSON: Final = select(*(patient.c[name] for name in Demographics._fields)).where(
    patient.c.cx == bindparam("cx")
)
_SURVIVOR: Final = patient.alias("survivor")
_LIST: Final = (
    select(
        patient.c.cx,
        patient.c.announced,
        _SURVIVOR.c.cx,
        *(patient.c[name] for name in Demographics._fields),
        patient.c.changed_at,
    )
    .outerjoin(_SURVIVOR, _SURVIVOR.c.id == patient.c.survivor_id)
    .where(patient.c.cx > bindparam("after"))
    .order_by(patient.c.cx)
    .limit(bindparam("most"))
)


def find(connection: Connection, cx: str) -> Patient | None:
    """The patient; None when the registry does not know the id."""
    return _patient(_FIND_ONE.rows(connection, {"cx": cx.strip()}))


def active_id(connection: Connection, cx: str) -> int | None:
    """Key of the patient, of a merged one the survivor's; None where the registry does not know the id."""
    found = find(connection, cx)
    return None if found is None else found.active_id


def names(connection: Connection, keys: Collection[int]) -> dict[int, str]:
    """The CX of each of these patients, by key."""
    return dict(_NAMES.rows(connection, {"given": given(connection, keys)})) if keys else {}


def lock(connection: Connection, cx: str) -> Patient | None:
    """Like ``find``; other writers of this patient's objects then wait for this transaction's end."""
    return _patient(_LOCK.rows(connection, {"cx": cx.strip()}))


def lock_all(connection: Connection, cxs: Collection[str]) -> dict[str, Patient]:
    """Lock those that are known, in one order for all, so that two batches cannot wait for each other."""
    if not cxs:
        return {}
    rows = _LOCK_ALL.rows(connection, {"given": given(connection, cxs)})
    return {cx: Patient(key, bool(announced), survivor) for cx, key, announced, survivor in rows}


def add(connection: Connection, cx: str, *, announced: bool = False) -> Patient:
    """Add a patient that ``lock`` did not find, and lock it; also when another writer was faster."""
    (fresh,) = allocate(connection, 1)
    row = {"id": fresh, "cx": cx.strip(), "announced": announced}
    connection.execute(_ADD[connection.dialect.name], row)
    added = lock(connection, cx)
    if added is None:
        raise RuntimeError("a patient that was just added is not there")
    return added


def add_all(connection: Connection, met: Mapping[str, Patient]) -> None:
    """Add patients by their CX; raises IntegrityError where another writer was faster."""
    if met:
        rows = [{"id": each.id, "cx": cx, "announced": each.announced} for cx, each in sorted(met.items())]
        _ADD_ALL.run(connection, rows)


def announce(connection: Connection, patient_id: int, demographics: Demographics, now: str) -> None:
    """Note that a patient was announced, and what the message tells of the person."""
    told = {f"new_{name}": value for name, value in demographics._asdict().items()}
    connection.execute(_ANNOUNCE, {"key": patient_id, "now": now, **told})


def born(connection: Connection, birth_date: str, most: int) -> list[tuple[str, Demographics]]:
    """CX and person of the active patients born on a day (eight digits), in order of their CX."""
    rows = connection.execute(_BORN, {"birth_date": birth_date, "most": most})
    return [(cx, Demographics(*person)) for cx, *person in rows]


def person(connection: Connection, cx: str) -> Demographics:
    """What feeds have told of a patient; nothing of one who is unknown."""
    row = connection.execute(_PERSON, {"cx": cx}).first()
    return Demographics() if row is None else Demographics(*row)


def listed(connection: Connection, after: str = "", most: int = 1000) -> list[Listed]:
    """The next patients behind the CX ``after``, in order of their CX."""
    rows = connection.execute(_LIST, {"after": after, "most": most})
    return [_listed(*row) for row in rows]


def _listed(cx: str, announced: bool, survivor: str | None, *rest: Any) -> Listed:  # noqa: ANN401  # columns
    *person, changed_at = rest
    return Listed(cx, bool(announced), survivor, Demographics(*person), changed_at)


def _patient(rows: list[tuple[int, bool, int | None]]) -> Patient | None:
    if not rows:
        return None
    key, announced, survivor_id = rows[0]
    return Patient(key, bool(announced), survivor_id)
