"""Replacement and folders: what a submission changes of what is registered, on both databases."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import update

from msim_xds.database.engine import Database
from msim_xds.database.schema import registry_object
from tests.support.metadata import (
    APND,
    OTHER_PATIENT,
    PATIENT,
    RPLC,
    SIGNS,
    XFRM,
    association,
    folder,
    new_uuid,
    slot,
    submission_set,
    submit_objects,
)
from tests.test_registry.registering import Registering, entry_message


class TestReplacement:
    def test_one_entry_replaces_several(self, registering: Registering) -> None:
        targets = [registering.added(), registering.added()]
        registering.register(
            entry_message("Document01", *(association("Document01", target, RPLC) for target in targets))
        )
        assert not any(map(registering.is_approved, targets))

    def test_replacement_reaches_what_hangs_on_the_replaced(self, registering: Registering) -> None:
        target = registering.added()
        appendix = registering.related(target, APND)
        transform = registering.related(appendix, XFRM)
        signature = registering.related(target, SIGNS)
        bystander = registering.added()
        replacement = registering.related(target, RPLC)
        approved = {
            uuid: registering.is_approved(uuid)
            for uuid in (target, appendix, transform, signature, bystander, replacement)
        }
        assert approved == {
            target: False,
            appendix: False,
            transform: False,
            signature: True,
            bystander: True,
            replacement: True,
        }


class TestFolders:
    @staticmethod
    def adding(folder_uuid: str, entry: str, patient_id: str = PATIENT) -> bytes:
        """Put an entry of the registry into a folder of the registry."""
        link = new_uuid()
        return submit_objects(
            submission_set(patient_id=patient_id),
            association(folder_uuid, entry, id=link),
            association("SubmissionSet01", link),
        )

    def test_an_addition_moves_last_update_time(self, registering: Registering) -> None:
        target = registering.folder_with()
        assert registering.object(target).last_update_time == "20260914120000"
        entry = registering.added()
        registering.now += timedelta(hours=1)
        registering.register(self.adding(target, entry))
        row = registering.object(target)
        assert row.last_update_time == "20260914130000"
        assert (row.time_low, row.time_high) == (20260914130000, 20260914130000)
        assert len(registering.memberships(target, entry)) == 1

    def test_last_update_time_never_goes_back(self, registering: Registering) -> None:
        target, entry = registering.folder_with(), registering.added()
        registering.now -= timedelta(hours=1)
        registering.register(self.adding(target, entry))
        assert registering.object(target).last_update_time == "20260914120000"

    def test_a_submitted_last_update_time_is_ignored(self, registering: Registering) -> None:
        uuid = new_uuid()
        late = slot("lastUpdateTime", "20300101")
        registering.register(
            submit_objects(
                submission_set(),
                folder(uuid).replace("<rim:Name>", late + "<rim:Name>", 1),
                association("SubmissionSet01", uuid),
            )
        )
        assert registering.object(uuid).time_low == 20260914120000

    def test_another_patients_folder_or_entry(self, registering: Registering) -> None:
        target, entry = registering.folder_with(), registering.added(patient_id=OTHER_PATIENT)
        assert registering.codes(self.adding(target, entry)) == ["XDSPatientIdDoesNotMatch"]
        assert registering.codes(self.adding(target, entry, OTHER_PATIENT)) == ["XDSPatientIdDoesNotMatch"]

    def test_a_deprecated_entry(self, registering: Registering) -> None:
        target, entry = registering.folder_with(), registering.added()
        registering.related(entry, RPLC)
        assert registering.codes(self.adding(target, entry)) == ["XDSRegistryDeprecatedDocumentError"]

    def test_a_deprecated_folder(self, registering: Registering, database: Database) -> None:
        target, entry = registering.folder_with(), registering.added()
        with database.write() as connection:
            connection.execute(
                update(registry_object).where(registry_object.c.entry_uuid == target).values(status=2)
            )
        assert registering.codes(self.adding(target, entry)) == ["XDSRegistryDeprecatedDocumentError"]

    def test_an_older_submission_set_takes_no_members(self, registering: Registering) -> None:
        entry = registering.added()
        (older,) = registering.sources(entry)
        assert registering.codes(self.adding(older, registering.added())) == ["XDSRegistryMetadataError"]

    def test_a_replacement_joins_the_folders_of_the_replaced(self, registering: Registering) -> None:
        entry = registering.added()
        folders = [registering.folder_with(entry), registering.folder_with(entry)]
        untouched = registering.folder_with(registering.added())
        registering.now += timedelta(minutes=1)
        replacement = registering.related(entry, RPLC)
        submission_sets = set(registering.sources(replacement)) - set(folders)
        assert len(submission_sets) == 1
        for uuid in folders:
            assert set(registering.memberships(uuid, replacement)) == submission_sets
            assert len(registering.memberships(uuid, entry)) == 1
            assert registering.object(uuid).last_update_time == "20260914120100"
        assert registering.object(untouched).last_update_time == "20260914120000"

    def test_a_replacement_already_put_there_joins_once(self, registering: Registering) -> None:
        entry = registering.added()
        target = registering.folder_with(entry)
        replacement, link = new_uuid(), new_uuid()
        registering.register(
            entry_message(
                replacement,
                association(replacement, entry, RPLC),
                association(target, replacement, id=link),
                association("SubmissionSet01", link),
            )
        )
        assert len(registering.memberships(target, replacement)) == 1
        assert registering.sources(replacement).count(target) == 1
