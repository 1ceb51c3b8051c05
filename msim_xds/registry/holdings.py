"""What the registry already holds of the things that a submission mentions. Reads only."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import BindParameter, Connection, Select, bindparam, literal, select, union_all

from msim_xds.database.schema import association, registry_object, unique_identity
from msim_xds.ihe.names import AssociationType, ObjectKind
from msim_xds.registry.columns import APPROVED, ASSOCIATION_TYPE

_Key = TypeVar("_Key", int, str)

#: Values in one statement: below the bind parameters that SQLite and PostgreSQL take.
_BATCH: Final = 10_000


class Held(NamedTuple):
    """An object or association of the registry."""

    id: int
    patient_id: int
    kind: ObjectKind
    status: int


class Identity(NamedTuple):
    """First use of a uniqueId."""

    kind: ObjectKind
    hash: str | None
    size: int | None
    submission_digest: bytes | None


class Holder(NamedTuple):
    """An Approved Folder that has a DocumentEntry as a member."""

    folder_id: int
    folder_uuid: str
    entry_id: int


def objects(connection: Connection, uuids: Collection[str]) -> dict[str, Held]:
    """The objects and associations with these entryUUIDs, by entryUUID."""
    return {
        row.entry_uuid: Held(row.id, row.patient_id, ObjectKind(row.kind), row.status)
        for batch in _batches(uuids)
        for row in connection.execute(_BY_UUID, {"given": batch})
    }


def identities(connection: Connection, unique_ids: Collection[str]) -> dict[str, Identity]:
    """First use of these uniqueIds, by uniqueId."""
    return {
        row.unique_id: Identity(ObjectKind(row.kind), row.hash, row.size, row.submission_digest)
        for batch in _batches(unique_ids)
        for row in connection.execute(_BY_UNIQUE_ID, {"given": batch})
    }


def transforms(connection: Connection, entries: Collection[int]) -> set[int]:
    """Those of the entries that are transforms of another (ITI TF-3 4.2.2.2.3)."""
    return {
        row.source_object
        for batch in _batches(entries)
        for row in connection.execute(_TRANSFORMS, {"given": batch})
    }


def derived(connection: Connection, entries: Collection[int]) -> set[int]:
    """Approved entries that append or transform one of ``entries``, or one of those in turn."""
    return {row.id for batch in _batches(entries) for row in connection.execute(_DERIVED, {"given": batch})}


def holders(connection: Connection, entries: Collection[int]) -> list[Holder]:
    """The Approved Folders that hold these entries."""
    return [
        Holder(*row) for batch in _batches(entries) for row in connection.execute(_HOLDERS, {"given": batch})
    ]


def _batches(values: Collection[_Key]) -> Iterator[list[_Key]]:
    ordered = list(values)
    for start in range(0, len(ordered), _BATCH):
        yield ordered[start : start + _BATCH]


_object, _association = registry_object.c, association.c
_GIVEN: Final[BindParameter[Any]] = bindparam("given", expanding=True)

_BY_UUID: Final = union_all(
    select(_object.id, _object.patient_id, _object.kind, _object.status, _object.entry_uuid).where(
        _object.entry_uuid.in_(_GIVEN)
    ),
    select(
        _association.id,
        _association.patient_id,
        literal(int(ObjectKind.ASSOCIATION), literal_execute=True),
        _association.status,
        _association.entry_uuid,
    ).where(_association.entry_uuid.in_(_GIVEN)),
)
_BY_UNIQUE_ID: Final = select(unique_identity).where(unique_identity.c.unique_id.in_(_GIVEN))
_TRANSFORMS: Final = select(_association.source_object).where(
    _association.source_object.in_(_GIVEN),
    _association.type.in_(
        ASSOCIATION_TYPE[name] for name in (AssociationType.XFRM, AssociationType.XFRM_RPLC)
    ),
)
_HOLDERS: Final = (
    select(_object.id, _object.entry_uuid, _association.target_object)
    .join_from(association, registry_object, _object.id == _association.source_object)
    .where(
        _association.target_object.in_(_GIVEN),
        _association.type == ASSOCIATION_TYPE[AssociationType.HAS_MEMBER],
        _association.status == APPROVED,
        _object.kind == int(ObjectKind.FOLDER),
        _object.status == APPROVED,
    )
)


def _approved_sources() -> Select[tuple[int]]:
    """Approved entries at the source of an APND or XFRM."""
    return (
        select(_object.id)
        .join_from(association, registry_object, _object.id == _association.source_object)
        .where(
            _association.type.in_(
                ASSOCIATION_TYPE[name] for name in (AssociationType.APND, AssociationType.XFRM)
            ),
            _object.status == APPROVED,
        )
    )


_first = _approved_sources().where(_association.target_object.in_(_GIVEN)).cte("derived", recursive=True)
_DERIVED: Final = select(
    _first.union(_approved_sources().join(_first, _association.target_object == _first.c.id)).c.id
)
