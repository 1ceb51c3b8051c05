"""Updates ebRIM messages in a real database and looks into its tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lxml import etree
from sqlalchemy import select

from msim_xds.database.engine import Database
from msim_xds.database.schema import association, registry_object
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import AssociationType
from msim_xds.ihe.transactions import ITI_57, Transaction
from msim_xds.metadata import ebrim
from msim_xds.metadata.rules import Rules
from msim_xds.registry.columns import APPROVED, ASSOCIATION_TYPE
from msim_xds.registry.drafts import Draft
from msim_xds.registry.updates import Updates
from msim_xds.wire import safexml
from tests.support.metadata import new_uuid
from tests.support.updates import entry_version, folder_version, update
from tests.test_registry.registering import Registering

_TYPES = {number: name for name, number in ASSOCIATION_TYPE.items()}


@dataclass(frozen=True)
class Related:
    """An Association: type, entryUUIDs of its ends, whether it is Approved, its key."""

    type: AssociationType
    source: str
    target: str
    approved: bool
    id: int


class Updating(Registering):
    """A registration that also takes updates."""

    def __init__(self, database: Database, **settings: Any) -> None:
        super().__init__(database, **settings)
        self.updates = Updates(
            self.codec, Rules.from_settings(self.settings), self.settings, lambda: self.now, new_uuid
        )

    def update_draft(self, message: bytes, transaction: Transaction = ITI_57) -> Draft:
        reading = ebrim.read(safexml.parse(message), self.settings.limits)
        return self.updates.draft(reading, transaction)

    def update(self, message: bytes, transaction: Transaction = ITI_57) -> tuple[Finding, ...]:
        """Warnings of an update that is carried out."""
        draft = self.update_draft(message, transaction)
        with self.database.write() as connection:
            return self.updates.update(connection, draft, transaction)

    def refused_update(self, message: bytes, transaction: Transaction = ITI_57) -> list[Finding]:
        """The errors of an update that is refused and changes nothing."""
        before = self.picture()
        try:
            self.update(message, transaction)
        except Refused as error:
            assert self.picture() == before
            return [finding for finding in error.findings if finding.is_error]
        raise AssertionError("the update was carried out")

    def update_codes(self, message: bytes, transaction: Transaction = ITI_57) -> list[str]:
        """The error codes of an update that is refused."""
        return [finding.code for finding in self.refused_update(message, transaction)]

    def updated(
        self, lid: str, previous: int = 1, *, transaction: Transaction = ITI_57, **options: Any
    ) -> str:
        """entryUUID of a new version just made of an entry."""
        uuid = new_uuid()
        patient = {key: options[key] for key in ("patient_id",) if key in options}
        message = entry_version(lid, self.object(lid).unique_id, uuid, previous=str(previous), **options)
        self.update(update(message, **patient), transaction)
        return uuid

    def updated_folder(self, lid: str, previous: int = 1, **options: Any) -> str:
        """entryUUID of a new version just made of a folder."""
        uuid = new_uuid()
        self.update(
            update(folder_version(lid, self.object(lid).unique_id, uuid, previous=str(previous), **options))
        )
        return uuid

    def picture(self) -> dict[str, Any]:
        """Everything that an update could change."""
        with self.database.snapshot() as connection:
            statuses = {
                table.name: sorted(map(tuple, connection.execute(select(table.c.id, table.c.status))))
                for table in (registry_object, association)
            }
            times = connection.execute(select(registry_object.c.id, registry_object.c.last_update_time))
            return {**self.census(), **statuses, "times": sorted(map(tuple, times))}

    def related_to(self, *uuids: str) -> list[Related]:
        """The Associations from and to these objects, by their keys; none of a SubmissionSet's."""
        source, target = registry_object.alias(), registry_object.alias()
        query = (
            select(
                association.c.type,
                source.c.entry_uuid,
                target.c.entry_uuid,
                association.c.status,
                association.c.id,
            )
            .join_from(association, source, source.c.id == association.c.source_object)
            .join(target, target.c.id == association.c.target_object)
            .where(source.c.kind != 3, source.c.entry_uuid.in_(uuids) | target.c.entry_uuid.in_(uuids))
            .order_by(association.c.id)
        )
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        return [Related(_TYPES[kind], s, t, status == APPROVED, key) for kind, s, t, status, key in rows]

    def pairs(self, *uuids: str) -> set[tuple[str, str]]:
        """Source and target of the Approved ones."""
        return {(each.source, each.target) for each in self.related_to(*uuids) if each.approved}

    def association_uuid(self, source: str, target: str) -> str:
        """entryUUID of the one Association between two objects."""
        (found,) = [each.id for each in self.related_to(source) if each.target == target]
        with self.database.read() as connection:
            query = select(association.c.entry_uuid).where(association.c.id == found)
            return str(connection.execute(query).scalar_one())

    def association_xml(self, key: int) -> etree._Element:
        """An Association as an answer would carry it."""
        with self.database.read() as connection:
            row = connection.execute(select(association).where(association.c.id == key)).one()
        text = self.codec.unpack(row.dictionary_id, row.fragment)
        namespace = b'xmlns:rim="urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"'
        return safexml.parse(b"<rim:Association " + namespace + text)
