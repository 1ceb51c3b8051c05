"""Registers ebRIM messages in a real database and looks into its tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, func, select

from msim_xds.database import schema
from msim_xds.database.engine import Database
from msim_xds.database.schema import metadata, registry_object
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import AssociationType, ObjectKind, Status
from msim_xds.ihe.transactions import ITI_42
from msim_xds.metadata import ebrim
from msim_xds.metadata.fragments import fill, home_attribute, opening
from msim_xds.metadata.rules import Rules
from msim_xds.registry.columns import APPROVED, ASSOCIATION_TYPE
from msim_xds.registry.drafts import Draft
from msim_xds.registry.fragment_codec import FragmentCodec
from msim_xds.registry.registration import Registration
from msim_xds.settings import Settings
from msim_xds.wire import safexml
from tests.support.metadata import (
    PATIENT,
    association,
    document_entry,
    folder,
    new_uuid,
    original,
    submission_set,
    submit_objects,
)


def entry_message(entry: str, *more: str, patient_id: str = PATIENT, **options: Any) -> bytes:
    """A submission of one entry with its id, and more objects."""
    return submit_objects(
        submission_set(patient_id=patient_id),
        document_entry(entry, patient_id=patient_id, **options),
        original(entry),
        *more,
    )


class Registering:
    """A registration and its database; ``now`` is its time of day."""

    def __init__(self, database: Database, **settings: Any) -> None:
        self.settings = Settings(**settings)
        self.database = database
        self.codec = FragmentCodec(database)
        self.now = datetime(2026, 9, 14, 12, 0, 0, tzinfo=UTC)
        self.registration = Registration(
            self.codec,
            Rules.from_settings(self.settings),
            self.settings,
            lambda: self.now,
            new_uuid,
        )

    def draft(self, message: bytes) -> Draft:
        reading = ebrim.read(safexml.parse(message), self.settings.limits)
        return self.registration.draft(reading, ITI_42)

    def register(self, message: bytes) -> tuple[Finding, ...]:
        """Warnings of a message that is accepted."""
        draft = self.draft(message)
        with self.database.write() as connection:
            self.registration.register(connection, draft)
        return draft.findings

    def added(self, **options: Any) -> str:
        """entryUUID of an entry just registered."""
        entry = new_uuid()
        self.register(entry_message(entry, **options))
        return entry

    def related(self, target: str, kind: str) -> str:
        """entryUUID of an entry just registered with a relationship to ``target``."""
        entry = new_uuid()
        self.register(entry_message(entry, association(entry, target, kind)))
        return entry

    def folder_with(self, *entries: str) -> str:
        """entryUUID of a folder just registered that holds these entries."""
        uuid = new_uuid()
        links = {new_uuid(): entry for entry in entries}
        self.register(
            submit_objects(
                submission_set(),
                folder(uuid),
                association("SubmissionSet01", uuid),
                *(association(uuid, entry, id=link) for link, entry in links.items()),
                *(association("SubmissionSet01", link) for link in links),
            )
        )
        return uuid

    def refused(self, message: bytes) -> list[Finding]:
        """The errors of a message that is refused and leaves nothing behind."""
        before = self.census()
        try:
            self.register(message)
        except Refused as error:
            assert self.census() == before
            return [finding for finding in error.findings if finding.is_error]
        raise AssertionError("the message was accepted")

    def codes(self, message: bytes) -> list[str]:
        """The error codes of a message that is refused."""
        return [finding.code for finding in self.refused(message)]

    def census(self) -> dict[str, int]:
        """How many rows there are in each table."""
        with self.database.snapshot() as connection:
            return {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in metadata.sorted_tables
            }

    def object(self, entry_uuid: str) -> Row[Any]:
        """The row of an entry, set or folder."""
        query = select(registry_object).where(registry_object.c.entry_uuid == entry_uuid)
        with self.database.read() as connection:
            return connection.execute(query).one()

    def objects(self, unique_id: str) -> list[Row[Any]]:
        """The rows of everything with this uniqueId."""
        query = select(registry_object).where(registry_object.c.unique_id == unique_id)
        with self.database.read() as connection:
            return list(connection.execute(query))

    def is_approved(self, entry_uuid: str) -> bool:
        """Whether availabilityStatus is Approved."""
        return bool(self.object(entry_uuid).status == APPROVED)

    def sources(self, target: str, kind: AssociationType = AssociationType.HAS_MEMBER) -> list[str]:
        """The entryUUIDs at the sources of the associations of one type to an entry or folder."""
        named, source = registry_object.alias(), registry_object.alias()
        query = (
            select(source.c.entry_uuid)
            .join_from(schema.association, source, source.c.id == schema.association.c.source_object)
            .join(named, named.c.id == schema.association.c.target_object)
            .where(named.c.entry_uuid == target, schema.association.c.type == ASSOCIATION_TYPE[kind])
            .order_by(schema.association.c.id)
        )
        with self.database.read() as connection:
            return list(connection.execute(query).scalars())

    def memberships(self, folder: str, entry: str) -> list[str]:
        """The entryUUIDs of the SubmissionSets that record that ``folder`` holds ``entry``."""
        holder, held, owner = (registry_object.alias() for _ in range(3))
        membership, record = schema.association.alias(), schema.association.alias()
        query = (
            select(owner.c.entry_uuid)
            .join_from(membership, holder, holder.c.id == membership.c.source_object)
            .join(held, held.c.id == membership.c.target_object)
            .join(record, record.c.target_object == membership.c.id)
            .join(owner, owner.c.id == record.c.source_object)
            .where(holder.c.entry_uuid == folder, held.c.entry_uuid == entry)
        )
        with self.database.read() as connection:
            return list(connection.execute(query).scalars())

    def ebrim(self, entry_uuid: str) -> bytes:
        """The stored object, Approved, as an answer would carry it."""
        row = self.object(entry_uuid)
        fragment = self.codec.unpack(row.dictionary_id, row.fragment)
        head = opening(ObjectKind(row.kind), Status.APPROVED) + home_attribute(row.home)
        return head + fill(fragment, row.last_update_time or "")
