"""What the registry already holds of the things that a submission mentions. Reads only."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    bindparam,
    literal_column,
    or_,
    select,
    union_all,
)

from msim_xds.database.among import among
from msim_xds.database.driver import Prepared
from msim_xds.database.schema import association, registry_object, unique_identity
from msim_xds.ihe.names import AssociationType, ObjectKind
from msim_xds.registry.columns import APPROVED, ASSOCIATION_TYPE


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
        uuid: Held(key, patient_id, ObjectKind(kind), status)
        for key, patient_id, kind, status, uuid in _BY_UUID.among(connection, uuids)
    }


def identities(connection: Connection, unique_ids: Collection[str]) -> dict[str, Identity]:
    """First use of these uniqueIds, by uniqueId."""
    return {
        unique_id: Identity(ObjectKind(kind), hash_, size, digest)
        for unique_id, kind, hash_, size, digest in _BY_UNIQUE_ID.among(connection, unique_ids)
    }


def transforms(connection: Connection, entries: Collection[int]) -> set[int]:
    """Those of the entries that are transforms beside their original (ITI TF-3 4.2.2.2.3)."""
    return {key for (key,) in _TRANSFORMS.among(connection, entries)}


def replaced(connection: Connection, entries: Collection[int]) -> set[int]:
    """Those of the entries that another one replaces (ITI TF-3 4.2.2.2.1)."""
    return {key for (key,) in _REPLACED.among(connection, entries)}


def registered_as(connection: Connection, unique_ids: Collection[str]) -> dict[str, str]:
    """The DocumentEntries with these uniqueIds, by entryUUID; of several the latest, Approved ones first."""
    rows = sorted(_REGISTERED_AS.among(connection, unique_ids), key=lambda row: (row[2] == APPROVED, row[3]))
    return {unique_id: entry_uuid for unique_id, entry_uuid, _, _ in rows}


def derived(connection: Connection, entries: Collection[int]) -> set[int]:
    """Approved entries that append or transform one of ``entries``, or one of those in turn."""
    return {key for (key,) in _DERIVED.among(connection, entries)}


def holders(connection: Connection, entries: Collection[int]) -> list[Holder]:
    """The Approved Folders that hold these entries."""
    return [Holder(*row) for row in _HOLDERS.among(connection, entries)]


_object, _association = registry_object.c, association.c
_GIVEN: Final[BindParameter[Any]] = bindparam("given")


def _any_of(*types: AssociationType) -> ColumnElement[bool]:
    """Whether an association is of one of these types."""
    return or_(*(_association.type == ASSOCIATION_TYPE[name] for name in types))


_BY_UUID: Final = Prepared(
    union_all(
        select(_object.id, _object.patient_id, _object.kind, _object.status, _object.entry_uuid).where(
            among(_object.entry_uuid, _GIVEN)
        ),
        select(
            _association.id,
            _association.patient_id,
            literal_column(str(int(ObjectKind.ASSOCIATION))),
            _association.status,
            _association.entry_uuid,
        ).where(among(_association.entry_uuid, _GIVEN)),
    )
)
_BY_UNIQUE_ID: Final = Prepared(select(unique_identity).where(among(unique_identity.c.unique_id, _GIVEN)))
_TRANSFORMS: Final = Prepared(
    select(_association.source_object).where(
        among(_association.source_object, _GIVEN), _any_of(AssociationType.XFRM)
    )
)
_REPLACED: Final = Prepared(
    select(_association.target_object).where(
        among(_association.target_object, _GIVEN), _any_of(AssociationType.RPLC, AssociationType.XFRM_RPLC)
    )
)
_REGISTERED_AS: Final = Prepared(
    select(_object.unique_id, _object.entry_uuid, _object.status, _object.id).where(
        among(_object.unique_id, _GIVEN),
        or_(
            _object.kind == int(ObjectKind.STABLE_DOCUMENT_ENTRY),
            _object.kind == int(ObjectKind.ON_DEMAND_DOCUMENT_ENTRY),
        ),
    )
)
_HOLDERS: Final = Prepared(
    select(_object.id, _object.entry_uuid, _association.target_object)
    .join_from(association, registry_object, _object.id == _association.source_object)
    .where(
        among(_association.target_object, _GIVEN),
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
            _any_of(AssociationType.APND, AssociationType.XFRM),
            _object.status == APPROVED,
        )
    )


_first = _approved_sources().where(among(_association.target_object, _GIVEN)).cte("derived", recursive=True)
_DERIVED: Final = Prepared(
    select(_first.union(_approved_sources().join(_first, _association.target_object == _first.c.id)).c.id)
)
