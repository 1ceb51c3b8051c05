"""Patients of a real registry: announced, merged, linked, and looked for as a consumer would."""

from __future__ import annotations

from typing import Any

from lxml import etree
from sqlalchemy import Row, select

from msim_xds.database.engine import Database
from msim_xds.database.schema import patient, patient_merge
from msim_xds.findings import Refused
from msim_xds.ihe.transactions import ITI_18
from msim_xds.metadata.identity import (
    Announcement,
    Demographics,
    Given,
    LinkChange,
    Merge,
    identifier,
)
from msim_xds.registry.identity import PatientIdentity
from msim_xds.registry.relinking import Relinker
from msim_xds.registry.search import StoredQueries
from msim_xds.wire.exchange import Addressing, Request
from tests.support.metadata import APPROVED, DEPRECATED, RIM, new_uuid
from tests.support.queries import find_documents, many, one, request
from tests.test_registry.registering import Registering

SOURCE_PATIENT = "104233^^^&2.16.840.1.113883.3.4424.2.7.99999.17.1&ISO"


def given(place: str, *ids: str) -> Given:
    """A field with these CX strings."""
    return Given(place, tuple(map(identifier, ids)))


class Identifying(Registering):
    """A registration whose patients change."""

    def __init__(self, database: Database, **settings: Any) -> None:
        super().__init__(database, **settings)
        relinker = Relinker(self.codec, lambda: self.now, new_uuid)
        self.identity = PatientIdentity(database, self.settings.patients, relinker, lambda: self.now)
        self.queries = StoredQueries(database, self.codec, self.settings)

    def announce(self, *ids: str, **person: str) -> None:
        """Announce each of these ids by a message of its own."""
        for cx in ids:
            self.identity.announce(Announcement(given("PID-3", cx), Demographics(**person)))

    def merge(self, surviving: str, subsumed: str) -> None:
        """Merge ``subsumed`` into ``surviving``."""
        self.identity.merge(Merge(given("PID-3", surviving), given("MRG-1", subsumed)), "MSG1")

    def refusal(self, surviving: str, subsumed: str) -> tuple[str, str]:
        """Code and place of the one finding for which a merge is refused; it changes nothing."""
        before = self.everything()
        try:
            self.merge(surviving, subsumed)
        except Refused as refused:
            assert self.everything() == before
            (finding,) = refused.findings
            return finding.code, finding.attribute
        raise AssertionError("the merge was accepted")

    def relink(self, patient: str, previous: str, local: str = "", previous_local: str = "") -> int:
        """Carry out a link change; how many entries have a new version."""
        change = LinkChange(
            given("PID-3", patient),
            given("MRG-1", previous),
            Given("PID-3", tuple(map(identifier, filter(None, [local])))),
            Given("MRG-1", tuple(map(identifier, filter(None, [previous_local])))),
        )
        return self.identity.relink(change, "MSG1")

    def everything(self) -> tuple[list[Row[Any]], dict[str, int]]:
        """Every patient, and how many rows there are in each table."""
        with self.database.read() as connection:
            rows = list(connection.execute(select(patient).order_by(patient.c.cx)))
        return rows, self.census()

    def merges(self) -> list[Row[Any]]:
        """What is kept of merges and link changes."""
        with self.database.read() as connection:
            return list(connection.execute(select(patient_merge).order_by(patient_merge.c.id)))

    def ask(self, message: bytes) -> list[etree._Element]:
        """The objects of a stored query's answer."""
        body = etree.fromstring(message)
        answer = self.queries.answer(Request(ITI_18, body, Addressing(ITI_18.action)))
        root = etree.fromstring(b"".join(answer.payload))
        assert root.get("status", "").endswith(":Success")
        return list(root[-1])

    def documents(self, cx: str, *statuses: str, level: str = "1") -> set[str]:
        """entryUUIDs of a patient's entries; Approved ones unless statuses are given."""
        asked = find_documents(("$MetadataLevel", level), patient=cx, status=statuses or (APPROVED,))
        return {each.get("id", "") for each in self.ask(asked)}

    def get_all(self, cx: str) -> list[etree._Element]:
        """Everything of a patient."""
        names = ("$XDSDocumentEntryStatus", "$XDSSubmissionSetStatus", "$XDSFolderStatus")
        statuses = [(name, many(APPROVED, DEPRECATED)) for name in names]
        return self.ask(request("GetAll", [("$patientId", one(cx)), *statuses]))


def patient_ids(things: list[etree._Element]) -> set[str]:
    """The patientId of each object that has one."""
    found = set()
    for thing in things:
        for each in thing.iter(f"{{{RIM}}}ExternalIdentifier"):
            name = each.find(f"{{{RIM}}}Name/{{{RIM}}}LocalizedString")
            if name is not None and name.get("value", "").endswith(".patientId"):
                found.add(each.get("value", ""))
    return found


def slot_values(thing: etree._Element, name: str) -> list[str | None]:
    """Values of one slot of an object."""
    path = f"{{{RIM}}}Slot[@name='{name}']/{{{RIM}}}ValueList/{{{RIM}}}Value"
    return [value.text for value in thing.findall(path)]
