"""What updates ask the registry: latest versions, and what is connected to them. Reads only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import BindParameter, Connection, bindparam, exists, not_, select, union_all

from msim_xds.database.among import among
from msim_xds.database.driver import Prepared
from msim_xds.database.schema import association, registry_object
from msim_xds.ihe.names import ObjectKind
from msim_xds.registry.columns import APPROVED


class Latest(NamedTuple):
    """The latest version of a logical object."""

    logical_id: str
    id: int
    patient_id: int
    kind: ObjectKind
    status: int
    version: int
    entry_uuid: str
    unique_id: str
    hash: str | None
    size: int | None
    home: str | None
    signature_id: int | None
    dictionary_id: int
    fragment: bytes


class End(NamedTuple):
    """An object at an end of an Association."""

    id: int
    entry_uuid: str
    kind: ObjectKind
    patient_id: int


class Connected(NamedTuple):
    """An Approved Association of DocumentEntries, or of a Folder with one."""

    id: int
    home: str | None
    dictionary_id: int
    fragment: bytes
    source: End
    target: End


class Link(NamedTuple):
    """An Association of the registry, its ends by their keys."""

    type: int
    source: int
    target: int
    source_kind: ObjectKind


def latest(connection: Connection, logical_ids: Collection[str]) -> dict[str, Latest]:
    """The latest versions of these logical objects, by logicalID."""
    rows = (Latest(*row) for row in _LATEST.among(connection, logical_ids))
    return {row.logical_id: row._replace(kind=ObjectKind(row.kind)) for row in rows}


def outdated(connection: Connection, ids: Collection[int]) -> set[int]:
    """Those of these objects that have a later version, whatever their status says of it."""
    return {key for (key,) in _OUTDATED.among(connection, ids)}


def connections(connection: Connection, ids: Collection[int]) -> list[Connected]:
    """The Approved Associations from and to these objects, without memberships of SubmissionSets."""
    found = {}
    for key, home, dictionary_id, fragment, *ends in _CONNECTED.among(connection, ids):
        half = len(End._fields)
        found[key] = Connected(key, home, dictionary_id, fragment, _end(ends[:half]), _end(ends[half:]))
    return [found[key] for key in sorted(found)]


def links(connection: Connection, uuids: Collection[str]) -> dict[str, Link]:
    """Those of these ids that are Associations, by entryUUID."""
    return {
        uuid: Link(type_, source, target, ObjectKind(kind))
        for uuid, type_, source, target, kind in _LINKS.among(connection, uuids)
    }


def pairs(connection: Connection, ids: Collection[int]) -> set[tuple[int, int, int]]:
    """Type, source and target of the Approved Associations between any two of these objects."""
    return {(type_, source, target) for type_, source, target in _PAIRS.among(connection, ids)}


def _end(values: Sequence[Any]) -> End:
    end = End(*values)
    return end._replace(kind=ObjectKind(end.kind))


_object, _association = registry_object.c, association.c
_GIVEN: Final[BindParameter[Any]] = bindparam("given")
_LATER: Final = registry_object.alias("later")
#: Later versions are found by uq_registry_object_version, whose condition must be said to be used.
_HAS_LATER: Final = exists().where(
    _LATER.c.logical_id == _object.logical_id,
    _LATER.c.logical_id != _LATER.c.entry_uuid,
    _LATER.c.version > _object.version,
)
_OUTDATED: Final = Prepared(select(_object.id).where(among(_object.id, _GIVEN), _HAS_LATER))
_NEWEST: Final = select(*(_object[name] for name in Latest._fields)).where(not_(_HAS_LATER))
_LATEST: Final = Prepared(
    union_all(
        _NEWEST.where(among(_object.entry_uuid, _GIVEN), _object.logical_id == _object.entry_uuid),
        _NEWEST.where(among(_object.logical_id, _GIVEN), _object.logical_id != _object.entry_uuid),
    )
)
_SOURCE, _TARGET = registry_object.alias("source"), registry_object.alias("target")
_BETWEEN: Final = (
    select(
        _association.id,
        _association.home,
        _association.dictionary_id,
        _association.fragment,
        *(end.c[name] for end in (_SOURCE, _TARGET) for name in End._fields),
    )
    .join_from(association, _SOURCE, _SOURCE.c.id == _association.source_object)
    .join(_TARGET, _TARGET.c.id == _association.target_object)
    .where(_association.status == APPROVED, _SOURCE.c.kind != int(ObjectKind.SUBMISSION_SET))
)
_CONNECTED: Final = Prepared(
    union_all(
        _BETWEEN.where(among(_association.source_object, _GIVEN)),
        _BETWEEN.where(among(_association.target_object, _GIVEN)),
    )
)
_LINKS: Final = Prepared(
    select(
        _association.entry_uuid,
        _association.type,
        _association.source_object,
        _association.target_object,
        _SOURCE.c.kind,
    )
    .join_from(association, _SOURCE, _SOURCE.c.id == _association.source_object)
    .where(among(_association.entry_uuid, _GIVEN))
)
_PAIRS: Final = Prepared(
    select(_association.type, _association.source_object, _association.target_object).where(
        among(_association.source_object, _GIVEN),
        among(_association.target_object, _GIVEN),
        _association.status == APPROVED,
    )
)
