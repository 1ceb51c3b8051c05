"""What hangs on what in the registry: the Associations that a removal must take along or would break.

Objects and Associations go by their keys here, which come from one number space.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NamedTuple

from sqlalchemy import BindParameter, Connection, bindparam, literal_column, null, select, union, union_all

from msim_xds.database.among import among
from msim_xds.database.driver import Prepared
from msim_xds.database.schema import association, patient, registry_object
from msim_xds.ihe.names import AssociationType, ObjectKind
from msim_xds.registry.columns import ASSOCIATION_TYPE
from msim_xds.registry.retention import KeptEntry


class Link(NamedTuple):
    """An Association: its key, the keys of its ends, and its entryUUID."""

    id: int
    source: int
    target: int
    entry_uuid: str


class Thing(NamedTuple):
    """An object or Association of the registry, with what is asked of it before it goes.

    ``unique_id``, ``logical_id``, ``time_high``, ``dictionary_id`` and ``fragment`` are None of Associations,
    ``source`` and ``target`` of all else.
    """

    id: int
    patient: str
    kind: ObjectKind
    entry_uuid: str
    unique_id: str | None
    logical_id: str | None
    time_high: int | None
    dictionary_id: int | None
    fragment: bytes | None
    type: int | None
    source: int | None
    target: int | None

    @property
    def place(self) -> str:
        """How findings name it."""
        return f"{KIND_NAMES[self.kind]} {self.entry_uuid}"

    @property
    def link(self) -> Link:
        """It as an Association; an Association only."""
        return Link(self.id, self.source or 0, self.target or 0, self.entry_uuid)

    def as_entry(self) -> KeptEntry:
        """It as retention sees it; a DocumentEntry only."""
        return KeptEntry(
            self.entry_uuid,
            self.unique_id or "",
            self.time_high,
            self.dictionary_id or 0,
            self.fragment or b"",
        )


KIND_NAMES: Final = {
    ObjectKind.STABLE_DOCUMENT_ENTRY: "DocumentEntry",
    ObjectKind.ON_DEMAND_DOCUMENT_ENTRY: "DocumentEntry",
    ObjectKind.SUBMISSION_SET: "SubmissionSet",
    ObjectKind.FOLDER: "Folder",
    ObjectKind.ASSOCIATION: "Association",
}


def things(connection: Connection, ids: Collection[int]) -> list[Thing]:
    """The objects and Associations with these keys, in the order of the keys."""
    rows = (Thing(*row) for row in _THINGS.among(connection, ids))
    return sorted((row._replace(kind=ObjectKind(row.kind)) for row in rows), key=lambda each: each.id)


def named(connection: Connection, names: Collection[str]) -> set[int]:
    """The keys of what has one of these for its entryUUID or uniqueId; of a uniqueId, every version."""
    return {key for (key,) in _NAMED.among(connection, names)}


def touching(connection: Connection, ids: Collection[int]) -> list[Link]:
    """The Associations that have one of these at an end, in the order of their keys."""
    return sorted(Link(*row) for row in _TOUCHING.among(connection, ids))


def stranded(connection: Connection, gone: Collection[Thing]) -> list[Thing]:
    """What would be left without the Association that must hold it, once ``gone`` is gone.

    That is a SubmissionSet that loses its last member, and whatever loses the last SubmissionSet that has it
    as a member. What has had none before is not judged: a Folder membership that an update has copied to a
    new version belongs to no SubmissionSet.
    """
    ids = {thing.id for thing in gone}
    links = [thing.link for thing in gone if thing.type == _HAS_MEMBER]
    ends = {end for link in links for end in (link.source, link.target)}
    by_id = {thing.id: thing for thing in (*things(connection, ends - ids), *gone)}
    losing: set[int] = set()
    for link in links:
        source = by_id.get(link.source)
        if source is not None and source.kind is ObjectKind.SUBMISSION_SET:
            losing |= {link.source, link.target} - ids
    staying = (Link(*row) for row in _MEMBERSHIPS.among(connection, losing))
    held = {end for link in staying if link.id not in ids for end in (link.source, link.target)}
    return [by_id[key] for key in sorted(losing - held) if key in by_id]


def complete(connection: Connection, ids: Collection[int]) -> set[int]:
    """``ids`` with all that must go along: every Association that touches them, and what that strands."""
    whole = set(ids)
    while True:
        grown = whole | {link.id for link in touching(connection, whole)}
        grown |= {thing.id for thing in stranded(connection, things(connection, grown))}
        if grown == whole:
            return whole
        whole = grown


_HAS_MEMBER: Final = ASSOCIATION_TYPE[AssociationType.HAS_MEMBER]
_object, _association = registry_object.c, association.c
_GIVEN: Final[BindParameter[Any]] = bindparam("given")
_LINK: Final = (
    _association.id,
    _association.source_object,
    _association.target_object,
    _association.entry_uuid,
)
_THINGS: Final = Prepared(
    union_all(
        select(
            _object.id,
            patient.c.cx,
            _object.kind,
            _object.entry_uuid,
            _object.unique_id,
            _object.logical_id,
            _object.time_high,
            _object.dictionary_id,
            _object.fragment,
            null(),
            null(),
            null(),
        )
        .join_from(registry_object, patient, patient.c.id == _object.patient_id)
        .where(among(_object.id, _GIVEN)),
        select(
            _association.id,
            patient.c.cx,
            literal_column(str(int(ObjectKind.ASSOCIATION))),
            _association.entry_uuid,
            null(),
            null(),
            null(),
            null(),
            null(),
            _association.type,
            _association.source_object,
            _association.target_object,
        )
        .join_from(association, patient, patient.c.id == _association.patient_id)
        .where(among(_association.id, _GIVEN)),
    )
)
_NAMED: Final = Prepared(
    union(
        select(_object.id).where(among(_object.entry_uuid, _GIVEN)),
        select(_object.id).where(among(_object.unique_id, _GIVEN)),
        select(_association.id).where(among(_association.entry_uuid, _GIVEN)),
    )
)
_TOUCHING: Final = Prepared(
    union(
        select(*_LINK).where(among(_association.source_object, _GIVEN)),
        select(*_LINK).where(among(_association.target_object, _GIVEN)),
    )
)
_IN_SETS: Final = (
    select(*_LINK)
    .join_from(association, registry_object, _object.id == _association.source_object)
    .where(_association.type == _HAS_MEMBER, _object.kind == int(ObjectKind.SUBMISSION_SET))
)
_MEMBERSHIPS: Final = Prepared(
    union(
        _IN_SETS.where(among(_association.source_object, _GIVEN)),
        _IN_SETS.where(among(_association.target_object, _GIVEN)),
    )
)
