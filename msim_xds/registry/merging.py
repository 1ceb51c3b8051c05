"""Merges of patients: what the subsumed id owned is the surviving id's (ITI TF-2 3.8.4.2.3, 3.44.4.3)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, func, insert, or_, select, update

from msim_xds.database.engine import allocate
from msim_xds.database.schema import association, patient, patient_merge, registry_object
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.acknowledgements import Condition
from msim_xds.registry import consents, patients
from msim_xds.registry.patients import Patient

_SOURCE: Final = "ITI TF-2 3.8.4.2.3"

_OWNED: Final = registry_object.c.patient_id == bindparam("old")
#: An association belongs to its source's patient: that is how those of a patient are found, by an index.
_MOVE_ASSOCIATIONS: Final = (
    update(association)
    .where(association.c.source_object.in_(select(registry_object.c.id).where(_OWNED)))
    .values(patient_id=bindparam("new"))
)
_MOVE_OBJECTS: Final = (
    update(registry_object)
    .where(_OWNED)
    .values(
        patient_id=bindparam("new"),
        submitted_patient_id=func.coalesce(
            registry_object.c.submitted_patient_id, registry_object.c.patient_id
        ),
    )
)
_MOVE_CHAIN: Final = (
    update(patient)
    .where(or_(patient.c.id == bindparam("old"), patient.c.survivor_id == bindparam("old")))
    .values(survivor_id=bindparam("new"), changed_at=bindparam("now"))
)


def lock_both(
    connection: Connection, one: str, other: str, *, any_patient: bool, places: tuple[str, str]
) -> tuple[Patient, Patient]:
    """Lock two patients, in an order that is the same for all, so that no two writers wait for each other.

    Args:
        connection: of a write transaction.
        one: a CX.
        other: another.
        any_patient: a patient counts as known that only submissions have named (``patients.policy`` open).
        places: how findings name the two.

    Raises:
        Refused: one of them is not an active id.
    """
    locked = {cx: patients.lock(connection, cx) for cx in sorted({one, other})}
    found = [
        finding
        for cx, place in zip((one, other), places, strict=True)
        if (finding := _inactive(locked[cx], cx, place, any_patient=any_patient))
    ]
    first, second = locked[one], locked[other]
    if found or first is None or second is None:
        raise Refused(found)
    return first, second


def merge(connection: Connection, surviving: Patient, subsumed: Patient, now: str) -> None:
    """Move the subsumed patient, all that were merged into it, and all objects and consents to the survivor.

    Both are locked; the caller's transaction holds until all of it has moved. Fragments stay as they are:
    ``submitted_patient_id`` keeps, from an object's first move on, whom its fragment names.
    """
    move = {"old": subsumed.id, "new": surviving.id}
    connection.execute(_MOVE_ASSOCIATIONS, move)
    connection.execute(_MOVE_OBJECTS, move)
    connection.execute(_MOVE_CHAIN, move | {"now": now})
    consents.merge(connection, surviving.id, subsumed.id, now)


def record(
    connection: Connection,
    surviving: str,
    subsumed: str,
    message_id: str | None,
    now: str,
    local_id: str | None = None,
) -> None:
    """Note for ever that a merge or a link change was made, and by which message."""
    (key,) = allocate(connection, 1)
    connection.execute(
        insert(patient_merge),
        {
            "id": key,
            "surviving": surviving,
            "subsumed": subsumed,
            "local_id": local_id,
            "message_id": message_id,
            "merged_at": now,
        },
    )


def already_merged(cx: str, place: str) -> Finding:
    """That an id cannot be used any more, since a merge cannot be undone."""
    return Finding(
        Condition.UNKNOWN_KEY,
        "this id was merged into another patient's",
        attribute=place,
        seen=cx,
        allowed="the surviving id",
        source=_SOURCE,
    )


def same_id(cx: str, place: str) -> Finding:
    """That a message names one id twice."""
    return Finding(
        Condition.DUPLICATE_KEY,
        "both ids are the same",
        attribute=place,
        seen=cx,
        allowed="another id",
        source=_SOURCE,
    )


def _inactive(known: Patient | None, cx: str, place: str, *, any_patient: bool) -> Finding | None:
    if known is None or not (known.announced or any_patient):
        return Finding(
            Condition.UNKNOWN_KEY,
            "the registry does not know this id",
            attribute=place,
            seen=cx,
            allowed="an id that was announced",
            source=_SOURCE,
        )
    return already_merged(cx, place) if known.survivor_id is not None else None
