"""Registered entries as access decisions look at them, for people who ask why one is shown or hidden.

Read from the columns that ``registry.visibility`` asks, so that an explanation is about what queries do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, or_, select

from msim_xds.database.schema import object_code, patient, registry_object
from msim_xds.ihe.names import Status
from msim_xds.ihe.queries import ENTRIES
from msim_xds.metadata.period import Period
from msim_xds.registry import consents
from msim_xds.registry.columns import CODE_ATTRIBUTE, INSTITUTION, STATUS_OF, SUPERSEDED
from msim_xds.registry.consents import Recorded
from msim_xds.security.access.document import SINGLE_CODES, Document


class Judged(NamedTuple):
    """A DocumentEntry, and what decisions look at in it.

    Attributes:
        entry_uuid, unique_id, version, status: which it is.
        patient_id: key of its patient.
        patient: the patient's CX.
        consents: what the patient has said and not withdrawn, in the order of ``document.consents``.
        document: its side of a decision.
    """

    entry_uuid: str
    unique_id: str
    version: int
    status: Status
    patient_id: int
    patient: str
    consents: tuple[Recorded, ...]
    document: Document


_object: Final = registry_object.c
_ENTRIES: Final = (
    select(registry_object, patient.c.cx)
    .join(patient, patient.c.id == _object.patient_id)
    .where(_object.kind.in_([int(kind) for kind in ENTRIES]))
    .order_by(_object.version, _object.id)
)
_NAMED: Final = _ENTRIES.where(
    or_(
        _object.entry_uuid == bindparam("name"),
        (_object.unique_id == bindparam("name")) & (_object.status != SUPERSEDED),
    )
)
_LATER: Final = _ENTRIES.where(
    _object.logical_id == bindparam("logical_id"), _object.version > bindparam("version")
)
_OBJECT_CODES: Final = select(object_code.c.attribute, object_code.c.code).where(
    object_code.c.object_id == bindparam("key")
)


def judged(connection: Connection, name: str) -> list[Judged]:
    """The entries that must all be shown for the one of this entryUUID or uniqueId to be; none is unknown.

    Of an entryUUID they are the entry and its later versions (``visibility.shown``), of a uniqueId all
    entries that have it and no later version (``disclosure.shown_documents``).
    """
    found: list[Judged] = []
    for row in connection.execute(_NAMED, {"name": name}):
        found.append(_judged(connection, row))
        if row.status == SUPERSEDED:
            later = {"logical_id": row.logical_id, "version": row.version}
            found.extend(_judged(connection, each) for each in connection.execute(_LATER, later))
    return found


def _judged(connection: Connection, row: Any) -> Judged:  # noqa: ANN401 - a row of _ENTRIES
    said = tuple(each for each in consents.listed(connection, row.patient_id) if each.withdrawn is None)
    several = [(each.attribute, each.code) for each in connection.execute(_OBJECT_CODES, {"key": row.id})]
    document = Document(
        frozenset(_of(several, CODE_ATTRIBUTE["confidentiality_codes"])),
        {fact: code for fact, name in SINGLE_CODES.items() if (code := getattr(row, name)) is not None},
        frozenset(_of(several, INSTITUTION)),
        None if row.time_low is None else Period(row.time_low, row.time_high),
        tuple(each.consent for each in said),
        frozenset(_of(several, CODE_ATTRIBUTE["event_codes"])),
    )
    status = STATUS_OF[row.status]
    return Judged(row.entry_uuid, row.unique_id, row.version, status, row.patient_id, row.cx, said, document)


def _of(codes: list[tuple[int, str]], attribute: int) -> Iterator[str]:
    return (code for number, code in codes if number == attribute)
