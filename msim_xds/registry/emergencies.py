"""Requests that passed as emergency access: kept for good, to be reviewed by people."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, bindparam, insert, or_, select, update

from msim_xds.database.access_tables import emergency_access
from msim_xds.database.among import among, given
from msim_xds.database.engine import allocate
from msim_xds.database.schema import patient, registry_object


class Emergency(NamedTuple):
    """One request, as it concerned one patient; ``patient`` is empty where it named or found none."""

    happened_at: str
    transaction: str
    patient: str
    caller: str
    organization: str
    system: str
    roles: str
    purposes: str
    reason: str
    documents: int


class Reviewed(NamedTuple):
    """An emergency with its number, and who has looked at it."""

    id: int
    emergency: Emergency
    reviewed_at: str | None
    reviewer: str | None
    verdict: str | None


_e: Final = emergency_access.c
_COLUMNS: Final = (_e.id, *(_e[name] for name in Emergency._fields), _e.reviewed_at, _e.reviewer, _e.verdict)
_ALL: Final = select(*_COLUMNS).order_by(_e.id)
#: Also those recorded under ids that were merged into the patient's since.
_OF_PATIENT: Final = _ALL.where(
    _e.patient.in_(
        select(patient.c.cx).where(
            or_(patient.c.id == bindparam("of_patient"), patient.c.survivor_id == bindparam("of_patient"))
        )
    )
)
_OPEN: Final = _ALL.where(_e.reviewed_at.is_(None))
_REVIEW: Final = (
    update(emergency_access)
    .where(_e.id == bindparam("of_id"), _e.reviewed_at.is_(None))
    .values(reviewed_at=bindparam("at"), reviewer=bindparam("by"), verdict=bindparam("said"))
)
_PATIENTS: Final = (
    select(patient.c.cx)
    .join(registry_object, registry_object.c.patient_id == patient.c.id)
    .where(among(registry_object.c.unique_id, bindparam("given")))
    .distinct()
)


def record(connection: Connection, emergency: Emergency, patients: Collection[str]) -> None:
    """Keep an emergency, once for each patient."""
    named = sorted(patients) or [""]
    rows = [
        {"id": key, **emergency._asdict(), "patient": cx}
        for key, cx in zip(allocate(connection, len(named)), named, strict=True)
    ]
    connection.execute(insert(emergency_access), rows)


def patients_of(connection: Connection, unique_ids: Collection[str]) -> set[str]:
    """Whose documents these are."""
    if not unique_ids:
        return set()
    return set(connection.execute(_PATIENTS, {"given": given(connection, unique_ids)}).scalars())


def listed(connection: Connection, *, all_of_them: bool) -> list[Reviewed]:
    """Emergencies that nobody has reviewed, or all, the oldest first."""
    return [_reviewed(row) for row in connection.execute(_ALL if all_of_them else _OPEN)]


def of_patient(connection: Connection, patient_id: int) -> list[Reviewed]:
    """A patient's emergencies, the oldest first."""
    return [_reviewed(row) for row in connection.execute(_OF_PATIENT, {"of_patient": patient_id})]


def review(connection: Connection, number: int, at: str, by: str, verdict: str) -> bool:
    """Note who has looked at an emergency and what came of it; False where none of that number waits."""
    given_ = {"of_id": number, "at": at, "by": by, "said": verdict}
    return connection.execute(_REVIEW, given_).rowcount > 0


def _reviewed(row: Row[Any]) -> Reviewed:
    end = 1 + len(Emergency._fields)
    return Reviewed(row[0], Emergency(*row[1:end]), *row[end:])
