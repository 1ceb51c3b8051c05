"""Announcements and merges of patients on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from msim_xds.database.engine import Database
from msim_xds.database.schema import association, patient, registry_object
from msim_xds.findings import Refused
from msim_xds.metadata.identity import Announcement, Demographics
from tests.support.metadata import OTHER_PATIENT, PATIENT, single_document
from tests.test_registry.identifying import Identifying, given, patient_ids

THIRD = "90863000244^^^&2.16.840.1.113883.3.4424.1.1.616&ISO"
FOREIGN = "1^^^&1.2.3&ISO"
AUTHORITY = "2.16.840.1.113883.3.4424.1.1.616"


@pytest.fixture
def registry(database: Database) -> Identifying:
    """A registry that takes announced patients of one authority only."""
    return Identifying(database, patients={"policy": "known", "authorities": [AUTHORITY]})


class TestAnnounce:
    def test_only_announced_patients_are_registered_for(self, registry: Identifying) -> None:
        assert registry.codes(single_document()) == ["XDSUnknownPatientId"]
        registry.announce(PATIENT)
        registry.added()

    def test_one_that_was_only_met_is_not_announced(self, database: Database, registry: Identifying) -> None:
        Identifying(database).added()
        assert registry.codes(single_document()) == ["XDSUnknownPatientId"]
        registry.announce(PATIENT)
        registry.added()

    def test_again_is_harmless_and_keeps_what_is_not_told(self, registry: Identifying) -> None:
        registry.announce(
            PATIENT, family_name="Żółcińska", given_name="Łucja", birth_date="18580314", sex="F"
        )
        registry.announce(PATIENT, family_name="Nowak")
        registry.announce(PATIENT)
        (listed,) = registry.identity.listed()
        assert (listed.cx, listed.announced, listed.survivor) == (PATIENT, True, None)
        assert listed.demographics == Demographics("Nowak", "Łucja", "18580314", "F")
        assert listed.changed_at == "2026-09-14T12:00:00Z"

    def test_several_ids_at_once(self, registry: Identifying) -> None:
        registry.identity.announce(Announcement(given("PID-3", PATIENT, FOREIGN, OTHER_PATIENT)))
        assert [each.cx for each in registry.identity.listed()] == sorted([PATIENT, OTHER_PATIENT])

    def test_none_of_the_domain(self, registry: Identifying) -> None:
        with pytest.raises(Refused) as refused:
            registry.announce(FOREIGN)
        assert [finding.code for finding in refused.value.findings] == ["204"]
        assert registry.census()["patient"] == 0

    @pytest.mark.parametrize(("level", "known"), [("off", True), ("warn", True), ("reject", False)])
    def test_a_wrong_pesel(self, database: Database, level: str, known: bool) -> None:
        registry = Identifying(database, patients={"pesel": level})
        announcement = Announcement(given("PID-3", PATIENT.replace("726^", "725^")))
        if known:
            doubts = registry.identity.announce(announcement)
            assert [doubt.code for doubt in doubts] == ([] if level == "off" else ["102"])
        else:
            with pytest.raises(Refused, match="102"):
                registry.identity.announce(announcement)
        assert registry.census()["patient"] == int(known)

    def test_a_merged_id_stays_merged(self, registry: Identifying) -> None:
        registry.announce(PATIENT, OTHER_PATIENT)
        registry.merge(PATIENT, OTHER_PATIENT)
        before = registry.everything()
        with pytest.raises(Refused, match="204"):
            registry.announce(OTHER_PATIENT, family_name="Again")
        assert registry.everything() == before

    def test_listing_goes_on_behind_a_page(
        self, registry: Identifying, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("msim_xds.registry.identity._PAGE", 2)
        registry.announce(PATIENT, OTHER_PATIENT, THIRD)
        assert [each.cx for each in registry.identity.listed()] == sorted([PATIENT, OTHER_PATIENT, THIRD])


class TestMergeRefused:
    """Each condition of ITI TF-2 3.8.4.2.3; nothing changes."""

    @pytest.fixture(autouse=True)
    def _announced(self, registry: Identifying) -> None:
        registry.announce(PATIENT, OTHER_PATIENT)

    def test_1_subsumed_of_another_authority(self, registry: Identifying) -> None:
        assert registry.refusal(PATIENT, FOREIGN) == ("204", "MRG-1")

    def test_2_surviving_of_another_authority(self, registry: Identifying) -> None:
        assert registry.refusal(FOREIGN, PATIENT) == ("204", "PID-3")

    def test_3_both_the_same(self, registry: Identifying) -> None:
        assert registry.refusal(PATIENT, PATIENT) == ("205", "MRG-1")

    def test_4_subsumed_already(self, registry: Identifying) -> None:
        registry.announce(THIRD)
        registry.merge(PATIENT, OTHER_PATIENT)
        assert registry.refusal(THIRD, OTHER_PATIENT) == ("204", "MRG-1")
        assert registry.refusal(PATIENT, OTHER_PATIENT) == ("204", "MRG-1")

    def test_5_into_one_that_was_subsumed(self, registry: Identifying) -> None:
        registry.announce(THIRD)
        registry.merge(PATIENT, OTHER_PATIENT)
        assert registry.refusal(OTHER_PATIENT, THIRD) == ("204", "PID-3")

    def test_6_subsumed_never_fed(self, registry: Identifying) -> None:
        assert registry.refusal(PATIENT, THIRD) == ("204", "MRG-1")

    def test_7_surviving_never_fed(self, registry: Identifying) -> None:
        assert registry.refusal(THIRD, PATIENT) == ("204", "PID-3")

    def test_6_and_7_one_that_was_only_met(self, database: Database, registry: Identifying) -> None:
        Identifying(database).added(patient_id=THIRD)
        assert registry.refusal(PATIENT, THIRD) == ("204", "MRG-1")
        assert registry.refusal(THIRD, PATIENT) == ("204", "PID-3")

    def test_no_way_back(self, registry: Identifying) -> None:
        registry.merge(PATIENT, OTHER_PATIENT)
        assert registry.refusal(OTHER_PATIENT, PATIENT) == ("204", "PID-3")


class TestMerge:
    @pytest.fixture(autouse=True)
    def _announced(self, registry: Identifying) -> None:
        registry.announce(PATIENT, OTHER_PATIENT, THIRD)

    def test_the_survivor_owns_everything(self, registry: Identifying) -> None:
        mine, theirs = registry.added(), registry.added(patient_id=OTHER_PATIENT)
        registry.merge(PATIENT, OTHER_PATIENT)
        assert registry.documents(PATIENT) == {mine, theirs}
        assert registry.documents(OTHER_PATIENT) == set()
        things = registry.get_all(PATIENT)
        assert len(things) == 2 * 3  # set, entry, HasMember
        assert patient_ids(things) == {PATIENT}

    def test_registration_under_the_subsumed_id(self, registry: Identifying, database: Database) -> None:
        registry.merge(PATIENT, OTHER_PATIENT)
        message = single_document(patient_id=OTHER_PATIENT)
        assert registry.codes(message) == ["XDSUnknownPatientId"]
        assert Identifying(database).codes(message) == ["XDSUnknownPatientId"]  # also where any id is taken

    def test_a_chain_moves_as_a_whole(self, registry: Identifying) -> None:
        entries = {registry.added(patient_id=cx) for cx in (PATIENT, OTHER_PATIENT, THIRD)}
        registry.merge(OTHER_PATIENT, PATIENT)
        registry.merge(THIRD, OTHER_PATIENT)
        assert registry.documents(THIRD) == entries
        assert patient_ids(registry.get_all(THIRD)) == {THIRD}
        assert {each.survivor for each in registry.identity.listed()} == {None, THIRD}
        with registry.database.read() as connection:
            names = {key: cx for key, cx in connection.execute(select(patient.c.id, patient.c.cx))}
            objects = connection.execute(
                select(registry_object.c.patient_id, registry_object.c.submitted_patient_id)
            ).all()
            links = connection.execute(select(association.c.patient_id)).scalars().all()
        assert {names[owner] for owner, _ in objects} == {names[owner] for owner in links} == {THIRD}
        submitted = sorted(str(names.get(first)) for _, first in objects)
        assert submitted == sorted([OTHER_PATIENT, PATIENT, "None"] * 2)

    def test_what_belongs_to_others_stays(self, registry: Identifying) -> None:
        entry = registry.added(patient_id=THIRD)
        registry.merge(PATIENT, OTHER_PATIENT)
        assert registry.documents(THIRD) == {entry}

    def test_folders_and_later_submissions_go_on(self, registry: Identifying) -> None:
        """What was submitted before the merge is the same patient's as what comes after it."""
        old, kept = (registry.added(patient_id=OTHER_PATIENT) for _ in range(2))
        registry.merge(PATIENT, OTHER_PATIENT)
        replacement = registry.related(old, "urn:ihe:iti:2007:AssociationType:RPLC")
        assert registry.documents(PATIENT) == {kept, replacement}
        assert not registry.is_approved(old)
        registry.folder_with(kept, replacement)

    def test_it_is_recorded(self, registry: Identifying) -> None:
        registry.merge(PATIENT, OTHER_PATIENT)
        (row,) = registry.merges()
        assert (row.surviving, row.subsumed, row.message_id) == (PATIENT, OTHER_PATIENT, "MSG1")
        assert (row.local_id, row.merged_at) == (None, "2026-09-14T12:00:00Z")

    def test_where_any_patient_is_taken_those_met_can_be_merged(self, database: Database) -> None:
        registry = Identifying(database)
        met, known = "5^^^&1.2.3&ISO", "6^^^&1.2.3&ISO"
        entries = {registry.added(patient_id=cx) for cx in (met, known)}
        registry.merge(known, met)
        assert registry.documents(known) == entries
        assert registry.refusal(known, "7^^^&1.2.3&ISO") == ("204", "MRG-1")
