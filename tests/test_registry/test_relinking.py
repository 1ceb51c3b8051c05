"""Link changes (ITI-64): entries of a local id get versions that name the new patient, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from msim_xds.database.engine import Database
from msim_xds.database.schema import object_author, object_code, object_reference
from msim_xds.findings import Refused
from msim_xds.ihe.names import AssociationType
from tests.support.metadata import (
    APND,
    APPROVED,
    DEPRECATED,
    OTHER_PATIENT,
    PATIENT,
    RPLC,
    association,
    document_entry,
    folder,
    new_oid,
    new_uuid,
    original,
    submission_set,
    submit_objects,
)
from tests.test_registry.identifying import Identifying, patient_ids, slot_values

LOCAL = "104233^^^&2.16.840.1.113883.3.4424.2.7.99999.17.1&ISO"
OTHER_LOCAL = "104999^^^&2.16.840.1.113883.3.4424.2.7.99999.17.1&ISO"
SOURCE = "sourcePatientId"


@pytest.fixture
def registry(database: Database) -> Identifying:
    registry = Identifying(database, patients={"policy": "known"})
    registry.announce(PATIENT, OTHER_PATIENT)
    return registry


def of(registry: Identifying, local: str, patient_id: str = PATIENT, **options: object) -> str:
    """entryUUID of an entry just registered for a local id."""
    return registry.added(patient_id=patient_id, slots={SOURCE: local}, **options)


class TestMoved:
    def test_the_entries_of_the_local_id(self, registry: Identifying) -> None:
        unique_id = new_oid()
        moving = of(registry, LOCAL, unique_id=unique_id)
        staying = of(registry, OTHER_LOCAL)
        elsewhere = of(registry, LOCAL, OTHER_PATIENT)
        assert registry.relink(OTHER_PATIENT, PATIENT, LOCAL) == 1
        assert registry.documents(PATIENT) == {staying}
        (fresh,) = registry.documents(OTHER_PATIENT) - {elsewhere}
        (before, after) = sorted(registry.objects(unique_id), key=lambda row: row.version)
        assert (before.entry_uuid, before.version, before.logical_id) == (moving, 1, moving)
        assert (after.entry_uuid, after.version, after.logical_id) == (fresh, 2, moving)
        assert not registry.is_approved(moving)

    def test_what_the_new_version_says(self, registry: Identifying, database: Database) -> None:
        event = ("E1", "1.2.3", "zdarzenie")
        slots = {
            SOURCE: LOCAL,
            "serviceStartTime": "202609",
            "urn:extpl:klucz": ["a & b", ""],
            "urn:ihe:iti:xds:2013:referenceIdList": "A1^^^&1.2.3&ISO^urn:ihe:iti:xds:2013:accession",
        }
        old = registry.added(slots=slots, codes={"eventCodeList": [event]}, comments="<uwagi> & 'znaki'")
        registry.relink(OTHER_PATIENT, PATIENT, LOCAL)
        (fresh,) = registry.documents(OTHER_PATIENT)
        before, after = registry.object(old), registry.object(fresh)
        changed = {"id", "patient_id", "status", "entry_uuid", "version", "fragment"}
        assert {name for name in before._fields if getattr(before, name) != getattr(after, name)} == changed
        (text,) = registry.get_all(OTHER_PATIENT)
        assert patient_ids([text]) == {OTHER_PATIENT}
        assert slot_values(text, SOURCE) == [LOCAL]
        assert slot_values(text, "urn:extpl:klucz") == ["a & b", None]
        texts = [
            registry.ebrim(uuid)
            .replace(PATIENT.replace("&", "&amp;").encode(), b"P")
            .replace(OTHER_PATIENT.replace("&", "&amp;").encode(), b"P")
            for uuid in (old, fresh)
        ]
        assert len(texts[0]) == len(texts[1])
        with database.read() as connection:
            for table in (object_code, object_author, object_reference):
                rows = connection.execute(select(table)).all()
                assert (
                    {row[1:] for row in rows if row[0] == before.id}
                    == {row[1:] for row in rows if row[0] == after.id}
                    != set()
                )

    def test_associations_between_them_move_too(self, registry: Identifying) -> None:
        first, other = of(registry, LOCAL), of(registry, OTHER_LOCAL)
        second = new_uuid()
        registry.register(
            submit_objects(
                submission_set(),
                document_entry(second, slots={SOURCE: LOCAL}),
                original(second),
                association(second, first, APND),
                association(second, other, APND),
            )
        )
        assert registry.relink(OTHER_PATIENT, PATIENT, LOCAL) == 2
        things = registry.get_all(OTHER_PATIENT)
        links = [thing for thing in things if thing.get("associationType") == APND]
        assert len(links) == 1
        assert {links[0].get("sourceObject"), links[0].get("targetObject")} == registry.documents(
            OTHER_PATIENT
        )
        assert len(things) == 3

    def test_a_deprecated_entry_stays_deprecated(self, registry: Identifying) -> None:
        old = of(registry, LOCAL)
        new = new_uuid()
        registry.register(
            submit_objects(
                submission_set(),
                document_entry(new, slots={SOURCE: LOCAL}),
                original(new),
                association(new, old, RPLC),
            )
        )
        assert registry.relink(OTHER_PATIENT, PATIENT, LOCAL) == 2
        assert len(registry.documents(OTHER_PATIENT)) == 1
        assert len(registry.documents(OTHER_PATIENT, DEPRECATED)) == 1

    def test_there_and_back(self, registry: Identifying) -> None:
        """Only the last version of an entry goes on."""
        old = of(registry, LOCAL)
        registry.relink(OTHER_PATIENT, PATIENT, LOCAL)
        assert registry.relink(PATIENT, OTHER_PATIENT, LOCAL) == 1
        assert registry.relink(OTHER_PATIENT, PATIENT, LOCAL) == 1
        (fresh,) = registry.documents(OTHER_PATIENT)
        row = registry.object(fresh)
        assert (row.version, row.logical_id) == (4, old)
        assert registry.documents(PATIENT) == set()

    def test_after_a_merge(self, registry: Identifying) -> None:
        """The entry's text names the subsumed id; the new version names the new patient."""
        third = "90863000244^^^&2.16.840.1.113883.3.4424.1.1.616&ISO"
        registry.announce(third)
        of(registry, LOCAL)
        registry.merge(OTHER_PATIENT, PATIENT)
        assert registry.relink(third, OTHER_PATIENT, LOCAL) == 1
        assert patient_ids(registry.get_all(third)) == {third}
        assert patient_ids(registry.get_all(OTHER_PATIENT)) == {OTHER_PATIENT}

    def test_nothing_to_move_is_accepted_and_recorded(self, registry: Identifying) -> None:
        assert registry.relink(OTHER_PATIENT, PATIENT, LOCAL) == 0
        (row,) = registry.merges()
        assert (row.surviving, row.subsumed, row.local_id) == (OTHER_PATIENT, PATIENT, LOCAL)


class TestLocalIdsMerged:
    def test_within_one_patient(self, registry: Identifying) -> None:
        old, other = of(registry, OTHER_LOCAL), of(registry, LOCAL)
        assert registry.relink(PATIENT, PATIENT, LOCAL, OTHER_LOCAL) == 1
        (fresh,) = registry.documents(PATIENT) - {other}
        assert registry.documents(PATIENT, DEPRECATED, level="2") == {old}
        (text,) = (each for each in registry.get_all(PATIENT) if each.get("id") == fresh)
        assert slot_values(text, SOURCE) == [LOCAL]

    def test_a_version_before_is_found_where_associations_lead_to_it(self, registry: Identifying) -> None:
        alone, first, held = (of(registry, LOCAL) for _ in range(3))
        second = new_uuid()
        addendum = document_entry(second, slots={SOURCE: LOCAL})
        registry.register(
            submit_objects(submission_set(), addendum, original(second), association(second, first, APND))
        )
        holder = registry.folder_with(held)
        assert registry.relink(OTHER_PATIENT, PATIENT, LOCAL) == 4
        assert registry.documents(PATIENT, APPROVED, DEPRECATED) == {first, second, held}
        assert registry.documents(PATIENT, APPROVED, DEPRECATED, level="2") == {alone, first, second, held}
        assert holder in registry.sources(held, AssociationType.HAS_MEMBER)

    def test_folders_hold_the_new_version(self, registry: Identifying) -> None:
        old, neighbour = of(registry, OTHER_LOCAL), of(registry, LOCAL)
        holder = registry.folder_with(old, neighbour)
        registry.now = registry.now.replace(hour=13)
        registry.relink(PATIENT, PATIENT, LOCAL, OTHER_LOCAL)
        (fresh,) = registry.documents(PATIENT) - {neighbour}
        assert holder in registry.sources(fresh, AssociationType.HAS_MEMBER)
        assert registry.object(holder).last_update_time == "20260914130000"
        assert len(registry.documents(PATIENT, APPROVED, DEPRECATED)) == 3

    def test_with_another_patient(self, registry: Identifying) -> None:
        of(registry, OTHER_LOCAL)
        assert registry.relink(OTHER_PATIENT, PATIENT, LOCAL, OTHER_LOCAL) == 1
        (text,) = registry.get_all(OTHER_PATIENT)
        assert slot_values(text, SOURCE) == [LOCAL]

    def test_folders_of_the_previous_patient_stay_behind(self, registry: Identifying) -> None:
        registry.register(
            submit_objects(
                submission_set(),
                document_entry("Document01", slots={SOURCE: LOCAL}),
                folder(),
                original(),
                association("SubmissionSet01", "Folder01"),
                association("Folder01", "Document01", id="Membership01"),
                association("SubmissionSet01", "Membership01"),
            )
        )
        registry.relink(OTHER_PATIENT, PATIENT, LOCAL)
        (only,) = registry.get_all(OTHER_PATIENT)
        assert only.get("id") in registry.documents(OTHER_PATIENT)


@pytest.mark.parametrize(
    ("ids", "code", "place"),
    [
        ((OTHER_PATIENT, PATIENT), "101", "PID-3"),
        ((PATIENT, PATIENT, LOCAL), "205", "PID-3"),
        ((PATIENT, PATIENT, LOCAL, LOCAL), "205", "PID-3"),
        ((PATIENT, PATIENT, "", LOCAL), "205", "PID-3"),
        (("9^^^&1.2.3&ISO", PATIENT, LOCAL), "204", "PID-3"),
        ((PATIENT, "9^^^&1.2.3&ISO", LOCAL), "204", "MRG-1"),
    ],
)
def test_refused(registry: Identifying, ids: tuple[str, ...], code: str, place: str) -> None:
    of(registry, LOCAL)
    before = registry.everything()
    with pytest.raises(Refused) as refused:
        registry.relink(*ids)
    assert [(each.code, each.attribute) for each in refused.value.findings] == [(code, place)]
    assert registry.everything() == before


def test_a_merged_id_is_refused(registry: Identifying) -> None:
    registry.merge(PATIENT, OTHER_PATIENT)
    with pytest.raises(Refused, match="204"):
        registry.relink(OTHER_PATIENT, PATIENT, LOCAL)


def test_narrower_limits_than_those_of_its_registration_lose_nothing(database: Database) -> None:
    registry = Identifying(database)
    registry.added(slots={SOURCE: LOCAL, "urn:extpl:klucz": ["a", "b", "c"]})
    registry.announce(OTHER_PATIENT)
    narrow = Identifying(database, limits={"slots": 2, "values": 2})
    assert narrow.relink(OTHER_PATIENT, PATIENT, LOCAL) == 1
    (moved,) = registry.get_all(OTHER_PATIENT)
    assert slot_values(moved, "urn:extpl:klucz") == ["a", "b", "c"]
