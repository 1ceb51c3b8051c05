"""Two submissions that stored queries are asked about, and how their objects are asked for and changed."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from sqlalchemy import update

from msim_xds.database.schema import association as association_table
from msim_xds.database.schema import registry_object
from msim_xds.registry.columns import DEPRECATED as DEPRECATED_NUMBER
from tests.support.metadata import (
    APND,
    PATIENT,
    association,
    document_entry,
    folder,
    new_oid,
    new_uuid,
    submission_set,
)
from tests.support.queries import many
from tests.support.registry import Registry

DE, FD, SS = "$XDSDocumentEntry", "$XDSFolder", "$XDSSubmissionSet"
RETURNS = pytest.mark.parametrize("returns", ["LeafClass", "ObjectRef"])
SECRET = ("R", "2.16.840.1.113883.5.25", "restricted")
PDF = ("urn:ihe:iti:xds-sd:pdf:2008", "1.3.6.1.4.1.19376.1.2.3", "pdf")


@dataclass
class World:
    """Two submissions: the first has a folder with one of its two documents, the second adds to it.

    ``append`` appends to ``second`` and is filed by ``filing``. ``inner`` and ``inner_record`` are the FD-DE
    and SS-HM associations of the first set.
    """

    patient: str = PATIENT
    set_: str = field(default_factory=new_uuid)
    later_set: str = field(default_factory=new_uuid)
    first: str = field(default_factory=new_uuid)
    second: str = field(default_factory=new_uuid)
    append: str = field(default_factory=new_uuid)
    folder: str = field(default_factory=new_uuid)
    first_link: str = field(default_factory=new_uuid)
    second_link: str = field(default_factory=new_uuid)
    folder_link: str = field(default_factory=new_uuid)
    inner: str = field(default_factory=new_uuid)
    inner_record: str = field(default_factory=new_uuid)
    append_link: str = field(default_factory=new_uuid)
    appending: str = field(default_factory=new_uuid)
    filing: str = field(default_factory=new_uuid)
    filing_record: str = field(default_factory=new_uuid)
    first_uid: str = field(default_factory=new_oid)
    folder_uid: str = field(default_factory=new_oid)
    set_uid: str = field(default_factory=new_oid)

    def submit(self, registry: Registry) -> None:
        registry.submit(
            submission_set(self.set_, unique_id=self.set_uid, patient_id=self.patient),
            document_entry(self.first, unique_id=self.first_uid, patient_id=self.patient),
            document_entry(
                self.second,
                patient_id=self.patient,
                codes={"confidentialityCode": SECRET, "formatCode": PDF},
            ),
            folder(self.folder, unique_id=self.folder_uid, patient_id=self.patient),
            association(self.set_, self.first, id=self.first_link, status="Original"),
            association(self.set_, self.second, id=self.second_link, status="Original"),
            association(self.set_, self.folder, id=self.folder_link),
            association(self.folder, self.first, id=self.inner),
            association(self.set_, self.inner, id=self.inner_record),
        )
        registry.submit(
            submission_set(self.later_set, patient_id=self.patient),
            document_entry(self.append, patient_id=self.patient),
            association(self.later_set, self.append, id=self.append_link, status="Original"),
            association(self.append, self.second, APND, id=self.appending),
            association(self.folder, self.append, id=self.filing),
            association(self.later_set, self.filing, id=self.filing_record),
        )


def by_id(parameter: str, value: str, *more: tuple[str, str]) -> list[tuple[str, str]]:
    return [(parameter, many(value)), *more]


def as_on_demand(registry: Registry, uuid: str) -> None:
    """Make an entry on-demand, as ITI-61 registers them: of that kind, without creationTime."""
    with registry.database.write() as connection:
        connection.execute(
            update(registry_object)
            .where(registry_object.c.entry_uuid == uuid)
            .values(kind=2, time_low=None, time_high=None)
        )


def deprecate(registry: Registry, uuid: str) -> None:
    with registry.database.write() as connection:
        for table in (registry_object, association_table):
            connection.execute(
                update(table).where(table.c.entry_uuid == uuid).values(status=DEPRECATED_NUMBER)
            )
