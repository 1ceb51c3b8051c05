"""What patients have said about who may see their documents: kept as data, withdrawn, never deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, product
from typing import Any, Final, NamedTuple

from sqlalchemy import BindParameter, Connection, bindparam, exists, insert, select, update

from msim_xds.database.access_tables import consent
from msim_xds.database.engine import allocate
from msim_xds.database.schema import patient
from msim_xds.metadata.period import Period
from msim_xds.security.access.document import Consent


class Said(NamedTuple):
    """By whom something was recorded or withdrawn, when and why."""

    by: str
    at: str
    reason: str


class Recorded(NamedTuple):
    """A consent as operators see it; ``withdrawn`` is None while it is in force."""

    number: int
    patient: str
    consent: Consent
    recorded: Said
    withdrawn: Said | None


_c: Final = consent.c
#: Columns by the fields of a consent that hold every spelling of a code.
_CODES: Final = {"classes": "class_code", "facilities": "facility_code", "events": "event_code"}
_IN_FORCE: Final = _c.withdrawn_at.is_(None)
_WITHDRAW: Final = (
    update(consent)
    .where(_c.number == bindparam("of_number"), _IN_FORCE)
    .values(withdrawn_at=bindparam("at"), withdrawer=bindparam("by"), withdrawal_reason=bindparam("because"))
)
_LIST: Final = (
    select(consent, patient.c.cx).join(patient, patient.c.id == _c.patient_id).order_by(_c.number, _c.id)
)
_OF_PATIENT: Final = _LIST.where(_c.patient_id == bindparam("of_patient"))
_OTHER: Final = consent.alias("other")
_BOTH: Final[tuple[BindParameter[Any], ...]] = (bindparam("old"), bindparam("new"))
#: Of two patients who turn out to be one, neither has allowed what the other has not.
_SUSPEND: Final = (
    update(consent)
    .where(
        _c.patient_id.in_(_BOTH),
        _c.opt_in,
        _IN_FORCE,
        ~exists().where(
            _OTHER.c.patient_id.in_(_BOTH),
            _OTHER.c.patient_id != _c.patient_id,
            _OTHER.c.opt_in,
            _OTHER.c.withdrawn_at.is_(None),
            *(
                _OTHER.c[name].is_not_distinct_from(_c[name])
                for name in (*_CODES.values(), "institution", "created_low", "created_high")
            ),
        ),
    )
    .values(withdrawn_at=bindparam("now"), withdrawer="merge", withdrawal_reason="the patient was merged")
)
_MOVE: Final = update(consent).where(_c.patient_id == bindparam("old")).values(patient_id=bindparam("new"))


def record(connection: Connection, patient_id: int, said: Consent, recorded: Said) -> int:
    """Keep a consent; its number."""
    spellings = list(product(*(_spellings(getattr(said, name)) for name in _CODES)))
    keys = allocate(connection, len(spellings))
    low, high = said.created or (None, None)
    rows = [
        {
            "id": key,
            "number": keys[0],
            "patient_id": patient_id,
            "opt_in": said.opt_in,
            **dict(zip(_CODES.values(), codes, strict=True)),
            "institution": said.institution,
            "created_low": low,
            "created_high": high,
            "recorded_at": recorded.at,
            "recorder": recorded.by,
            "reason": recorded.reason,
        }
        for key, codes in zip(keys, spellings, strict=True)
    ]
    connection.execute(insert(consent), rows)
    return keys[0]


def withdraw(connection: Connection, number: int, withdrawn: Said) -> bool:
    """Take a consent back; False where none of that number is in force."""
    given = {"of_number": number, "at": withdrawn.at, "by": withdrawn.by, "because": withdrawn.reason}
    return connection.execute(_WITHDRAW, given).rowcount > 0


def listed(connection: Connection, patient_id: int | None = None) -> list[Recorded]:
    """All consents of a patient, or of all, the oldest first."""
    rows: Iterable[Any] = (
        connection.execute(_LIST)
        if patient_id is None
        else connection.execute(_OF_PATIENT, {"of_patient": patient_id})
    )
    return [_recorded(list(group)) for _, group in groupby(rows, key=lambda row: row.number)]


def merge(connection: Connection, surviving: int, subsumed: int, now: str) -> None:
    """Give a merged patient's consents to the survivor; of what either has said the stricter holds.

    Each refusal stays. A permission stays where both have given it; others are withdrawn until somebody
    records them again.
    """
    move = {"old": subsumed, "new": surviving}
    connection.execute(_SUSPEND, move | {"now": now})
    connection.execute(_MOVE, move)


def _spellings(codes: frozenset[str] | None) -> Sequence[str | None]:
    """Those of a row each; one that is open where nothing is said."""
    return [None] if codes is None else sorted(codes)


def _recorded(rows: list[Any]) -> Recorded:
    row = rows[0]
    codes = {
        name: None if getattr(row, column) is None else frozenset(getattr(each, column) for each in rows)
        for name, column in _CODES.items()
    }
    created = None if row.created_low is None else Period(row.created_low, row.created_high)
    withdrawn = None
    if row.withdrawn_at is not None:
        withdrawn = Said(row.withdrawer, row.withdrawn_at, row.withdrawal_reason)
    return Recorded(
        row.number,
        row.cx,
        Consent(bool(row.opt_in), institution=row.institution, created=created, **codes),
        Said(row.recorder, row.recorded_at, row.reason),
        withdrawn,
    )
