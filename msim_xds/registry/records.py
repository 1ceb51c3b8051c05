"""Writes registry rows: statements built once, many rows each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, Table, bindparam, insert, update
from sqlalchemy.dialects import postgresql, sqlite

from msim_xds.database.among import among, given
from msim_xds.database.driver import Prepared
from msim_xds.database.schema import (
    association,
    object_author,
    object_code,
    object_reference,
    pending_signature,
    registry_object,
    unique_identity,
)
from msim_xds.ihe.names import AssociationType, ObjectKind
from msim_xds.metadata.model import DocumentEntry, MetadataObject
from msim_xds.registry.columns import APPROVED, ASSOCIATION_TYPE, DEPRECATED, SUPERSEDED, fold
from msim_xds.registry.drafts import AssociationDraft, ObjectDraft

Row = dict[str, Any]

_ADD_OBJECTS: Final = Prepared(insert(registry_object))
_ADD_CODES: Final = Prepared(insert(object_code))
_ADD_AUTHORS: Final = Prepared(insert(object_author))
_ADD_REFERENCES: Final = Prepared(insert(object_reference))
_ADD_ASSOCIATIONS: Final = Prepared(insert(association))
_ADD_WAITING: Final = Prepared(insert(pending_signature))
_CLAIM: Final = {
    "sqlite": sqlite.insert(unique_identity).on_conflict_do_nothing().returning(unique_identity.c.unique_id),
    "postgresql": (
        postgresql.insert(unique_identity).on_conflict_do_nothing().returning(unique_identity.c.unique_id)
    ),
}
_CLAIM_ONE: Final = Prepared(_CLAIM)
_ADD_IDENTITIES: Final = Prepared(insert(unique_identity))
_GIVEN: Final[BindParameter[Any]] = bindparam("given")
#: An object and an Association never have the same id, so each table finds its own.
_SET_STATUS: Final = {
    table: update(table).where(among(table.c.id, _GIVEN)).values(status=bindparam("to"))
    for table in (registry_object, association)
}
_RESTATE: Final = (
    update(unique_identity)
    .where(unique_identity.c.unique_id == bindparam("id"))
    .values(hash=bindparam("new_hash"), size=bindparam("new_size"))
)
#: A Folder's time never goes back, however long its submission has waited for its turn.
_TOUCH: Final = (
    update(registry_object)
    .where(among(registry_object.c.id, _GIVEN), registry_object.c.time_low < bindparam("moment"))
    .values(last_update_time=bindparam("dtm"), time_low=bindparam("moment"), time_high=bindparam("moment"))
)


@dataclass(frozen=True, slots=True)
class Rows:
    """What registrations add, on its way into the tables."""

    objects: list[Row] = field(default_factory=list)
    codes: list[Row] = field(default_factory=list)
    authors: list[Row] = field(default_factory=list)
    references: list[Row] = field(default_factory=list)
    associations: list[Row] = field(default_factory=list)
    waiting: list[Row] = field(default_factory=list)

    def add_objects(self, patient_id: int, numbered: Iterable[tuple[int, ObjectDraft]]) -> None:
        """Take sets, entries and folders with everything that is searched for."""
        for key, draft in numbered:
            columns = draft.columns
            self.objects.append(
                columns.row
                | {
                    "id": key,
                    "patient_id": patient_id,
                    "dictionary_id": draft.dictionary_id,
                    "fragment": draft.fragment,
                }
            )
            self.codes.extend({"object_id": key, "attribute": n, "code": code} for n, code in columns.codes)
            self.references.extend({"object_id": key, "value": value} for value in columns.references)
            self.authors.extend(
                {"object_id": key, "position": position, "person": person, "person_folded": fold(person)}
                for position, person in enumerate(columns.persons)
            )

    def add_associations(
        self, patient_id: int, numbered: Iterable[tuple[int, AssociationDraft]], keys: Mapping[str, int]
    ) -> None:
        """Take associations; ``keys`` gives the ids of what they name."""
        self.associations.extend(
            {
                "id": key,
                "patient_id": patient_id,
                "entry_uuid": draft.association.entry_uuid,
                "type": ASSOCIATION_TYPE[AssociationType(draft.association.type)],
                "status": APPROVED,
                "source_object": keys[draft.association.source],
                "target_object": keys[draft.association.target],
                "home": draft.association.home,
                "dictionary_id": draft.dictionary_id,
                "fragment": draft.fragment,
            }
            for key, draft in numbered
        )

    def extend(self, others: Rows) -> None:
        """Take what ``others`` hold."""
        self.objects.extend(others.objects)
        self.codes.extend(others.codes)
        self.authors.extend(others.authors)
        self.references.extend(others.references)
        self.associations.extend(others.associations)
        self.waiting.extend(others.waiting)

    def insert(self, connection: Connection) -> None:
        """Write them all."""
        for statement, rows in (
            (_ADD_OBJECTS, self.objects),
            (_ADD_CODES, self.codes),
            (_ADD_AUTHORS, self.authors),
            (_ADD_REFERENCES, self.references),
            (_ADD_ASSOCIATIONS, self.associations),
            (_ADD_WAITING, self.waiting),
        ):
            if rows:
                statement.run(connection, rows)


def identities_of(things: Iterable[MetadataObject], digest: bytes) -> dict[str, Row]:
    """What is noted at the first use of each uniqueId, by uniqueId."""
    return {
        thing.unique_id: {
            "unique_id": thing.unique_id,
            "kind": int(thing.kind),
            "hash": thing.hash and thing.hash.lower() if isinstance(thing, DocumentEntry) else None,
            "size": thing.size and int(thing.size) if isinstance(thing, DocumentEntry) else None,
            "submission_digest": digest if thing.kind is ObjectKind.SUBMISSION_SET else None,
        }
        for thing in things
        if thing.unique_id is not None
    }


def claim_unique_ids(connection: Connection, things: Iterable[MetadataObject], digest: bytes) -> set[str]:
    """Note the first use of every uniqueId that is free; those that are not come back.

    One that another transaction is just taking is waited for.
    """
    rows = identities_of(things, digest)
    if not rows:
        return set()
    ordered = _ordered(rows)
    if connection.dialect.name == "sqlite":  # where no round trip is saved by sending them together
        free = {unique_id for row in ordered for (unique_id,) in _CLAIM_ONE.rows(connection, row)}
    else:
        free = set(connection.execute(_CLAIM["postgresql"], ordered).scalars())
    return rows.keys() - free


def add_identities(connection: Connection, rows: Mapping[str, Row]) -> None:
    """Note the first use of uniqueIds, by uniqueId; raises IntegrityError where one is not free."""
    if rows:
        _ADD_IDENTITIES.run(connection, _ordered(rows))


def _ordered(rows: Mapping[str, Row]) -> list[Row]:
    """In one order for all transactions, so that none deadlock."""
    return [rows[unique_id] for unique_id in sorted(rows)]


def deprecate(connection: Connection, entries: Collection[int]) -> None:
    """Set availabilityStatus of these entries to Deprecated."""
    _set_status(connection, registry_object, entries, DEPRECATED)


def supersede(connection: Connection, things: Collection[int]) -> None:
    """Mark these entries and folders as having a later version; they are Deprecated from now on."""
    _set_status(connection, registry_object, things, SUPERSEDED)


def set_status(connection: Connection, keys: Collection[int], status: int) -> None:
    """Set availabilityStatus of these objects and Associations, as ``columns.STATUS`` numbers it."""
    for table in _SET_STATUS:
        _set_status(connection, table, keys, status)


def restate(connection: Connection, entry: DocumentEntry) -> None:
    """Take hash and size of an entry for those of its uniqueId: later entries are compared with them."""
    values = {"new_hash": entry.hash and entry.hash.lower(), "new_size": entry.size and int(entry.size)}
    connection.execute(_RESTATE, {"id": entry.unique_id, **values})


def _set_status(connection: Connection, table: Table, keys: Collection[int], status: int) -> None:
    if keys:
        connection.execute(_SET_STATUS[table], {"given": given(connection, keys), "to": status})


def touch_folders(connection: Connection, folders: Collection[int], dtm: str) -> None:
    """Set lastUpdateTime of these folders to ``dtm``, 14 digits."""
    if folders:
        connection.execute(_TOUCH, {"given": given(connection, folders), "dtm": dtm, "moment": int(dtm)})
