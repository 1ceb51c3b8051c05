"""Updates on both databases: what they leave, what goes on to new versions, what is refused."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from lxml import etree
from sqlalchemy import insert, select

from msim_xds.database.engine import Database
from msim_xds.database.schema import association as association_table
from msim_xds.database.schema import patient, unique_identity
from msim_xds.findings import Refused
from msim_xds.ihe.names import AssociationType, ResponseStatus
from msim_xds.ihe.transactions import ITI_57, ITI_61, ITI_92
from msim_xds.metadata import ebrim
from msim_xds.registry import merging, patients, records
from msim_xds.registry.columns import APPROVED, DEPRECATED, SUPERSEDED
from msim_xds.registry.updates import UpdateService
from msim_xds.wire import safexml
from msim_xds.wire.exchange import Addressing, Request
from tests.support.metadata import (
    APPROVED as APPROVED_URN,
)
from tests.support.metadata import (
    DEPRECATED as DEPRECATED_URN,
)
from tests.support.metadata import (
    HAS_MEMBER,
    OTHER_PATIENT,
    PATIENT,
    RPLC,
    association,
    classification,
    document_entry,
    new_oid,
    new_uuid,
    original,
    single_document,
    submission_set,
    submit_objects,
)
from tests.support.updates import (
    entry_version,
    folder_version,
    put_into,
    status_change,
    submitted,
    update,
)
from tests.test_registry.registering import APND, XFRM, entry_message
from tests.test_registry.updating import Updating

RIM = "{urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0}"
ON_DEMAND = "urn:uuid:34268e47-fdf5-41a6-ba33-82133c465248"
REASON = ("1", "1.3.6.1.4.1.19376.1.2.6.1", "amendment")


@pytest.fixture
def updating(database: Database) -> Updating:
    """Updates with the settings as they are by default."""
    return Updating(database)


def xml(updating: Updating, uuid: str) -> etree._Element:
    text = updating.ebrim(uuid)
    return safexml.parse(text.replace(b" ", b' xmlns:rim="%b" ' % RIM[1:-1].encode(), 1))


class TestVersions:
    def test_a_new_version_follows_the_one_before(self, updating: Updating) -> None:
        first = updating.added()
        second = updating.updated(first, title="Poprawiona")
        third = updating.updated(first, 2)
        rows = [updating.object(each) for each in (first, second, third)]
        assert [row.logical_id for row in rows] == [first] * 3
        assert [row.version for row in rows] == [1, 2, 3]
        assert [row.status for row in rows] == [SUPERSEDED, SUPERSEDED, APPROVED]
        assert len({row.unique_id for row in rows}) == 1

    def test_what_an_answer_says_of_a_version(self, updating: Updating) -> None:
        first = updating.added()
        second = updating.updated(first, extra='<rim:VersionInfo versionName="9"/>')
        for uuid, number in ((first, "1"), (second, "2")):
            element = xml(updating, uuid)
            assert (element.get("id"), element.get("lid")) == (uuid, first)
            assert [each.get("versionName") for each in element.iter(f"{RIM}VersionInfo")] == [number]

    def test_search_columns_are_those_of_the_version(self, updating: Updating) -> None:
        first = updating.added(content=b"")
        second = updating.updated(first, content=b"octets", slots={"creationTime": "2027"})
        row = updating.object(second)
        assert (row.hash, row.size) == (hashlib.sha1(b"octets").hexdigest(), 6)
        assert (row.time_low, row.time_high) == (20270000000000, 20279999999999)
        assert updating.object(first).size == 0

    def test_the_membership_is_kept_with_its_slots(self, updating: Updating) -> None:
        first = updating.added()
        second = updating.updated(first, propagation="no")
        query = select(association_table.c.id).where(
            association_table.c.target_object == updating.object(second).id
        )
        with updating.database.read() as connection:
            (key,) = connection.execute(query).scalars().all()
        slots = {
            slot.get("name"): [value.text for value in slot.iter(f"{RIM}Value")]
            for slot in updating.association_xml(key).iter(f"{RIM}Slot")
        }
        assert slots == {
            "SubmissionSetStatus": ["Original"],
            "PreviousVersion": ["1"],
            "AssociationPropagation": ["no"],
        }

    def test_the_slots_stay_where_extra_metadata_is_dropped(self, database: Database) -> None:
        updating = Updating(database, validation={"extra_metadata": "drop"})
        first = updating.added()
        second = updating.updated(first, slots={"urn:pl:ward": "7B"})
        assert updating.object(second).version == 2
        assert b"urn:pl:ward" not in updating.ebrim(second)

    def test_symbolic_ids_become_uuids(self, updating: Updating) -> None:
        first = updating.added()
        unique_id = updating.object(first).unique_id
        updating.update(update(entry_version(first, unique_id)))
        _, second = sorted(updating.objects(unique_id), key=lambda row: row.version)
        assert second.entry_uuid.startswith("urn:uuid:")
        assert second.logical_id == first

    def test_a_home_that_is_not_said_stays(self, updating: Updating) -> None:
        first = updating.added(attributes=' home="urn:oid:1.2.3"')
        second = updating.updated(first, transaction=ITI_92)
        third = updating.updated(first, 2, attributes=' home="urn:oid:1.2.4"')
        assert [updating.object(each).home for each in (second, third)] == ["urn:oid:1.2.3", "urn:oid:1.2.4"]

    def test_the_communitys_own_home_is_what_answers_show(self, database: Database) -> None:
        updating = Updating(database, registry={"home_community_id": "urn:oid:1.2.3"})
        first = updating.added()
        updating.updated(first, transaction=ITI_92, attributes=' home="urn:oid:1.2.3"')
        again = entry_version(
            first, updating.object(first).unique_id, previous="2", attributes=' home="urn:oid:1.9"'
        )
        (finding,) = updating.refused_update(update(again), ITI_92)
        assert (finding.code, finding.attribute) == ("UnmodifiableMetadataError", "homeCommunityId")

    def test_later_entries_are_compared_with_the_new_octets(self, updating: Updating) -> None:
        """Delayed assembly: registered empty, stated when the document exists."""
        first = updating.added(content=b"")
        unique_id = updating.object(first).unique_id
        updating.updated(first, content=b"octets")
        with updating.database.read() as connection:
            identity = connection.execute(
                select(unique_identity).where(unique_identity.c.unique_id == unique_id)
            ).one()
        assert (identity.hash, identity.size) == (hashlib.sha1(b"octets").hexdigest(), 6)
        updating.register(single_document(unique_id=unique_id, content=b"octets"))
        assert "XDSNonIdenticalHash" in updating.codes(single_document(unique_id=unique_id, content=b""))

    def test_on_demand_entries_are_updated_without_hash(self, updating: Updating) -> None:
        plain: dict[str, Any] = {
            "content": None,
            "object_type": ON_DEMAND,
            "slots": {"creationTime": None},
        }
        first = new_uuid()
        message = submit_objects(submission_set(), document_entry(first, **plain), original(first))
        reading = ebrim.read(safexml.parse(message), updating.settings.limits)
        with updating.database.write() as connection:
            updating.registration.register(connection, updating.registration.draft(reading, ITI_61))
        second = updating.updated(first, transaction=ITI_92, **plain)
        assert (updating.object(second).version, updating.object(second).kind) == (2, 2)

    def test_a_logical_id_of_the_senders_own(self, database: Database) -> None:
        updating = Updating(database, validation={"tolerate": {"versioned_submission": True}})
        lid = "urn:oid:1.2.3.4.5"
        first = updating.added(attributes=f' lid="{lid}"')
        unique_id = updating.object(first).unique_id
        updating.update(update(entry_version(lid, unique_id)))
        assert sorted((row.logical_id, row.version) for row in updating.objects(unique_id)) == [
            (lid, 1),
            (lid, 2),
        ]
        assert updating.update_codes(update(entry_version(first, unique_id))) == ["XDSMetadataVersionError"]

    def test_the_former_version_can_no_longer_be_replaced_or_filed(self, updating: Updating) -> None:
        first, folder = updating.added(), updating.folder_with()
        second = updating.updated(first)
        deprecated = ["XDSRegistryDeprecatedDocumentError"]
        assert (
            updating.codes(entry_message("Document01", association("Document01", first, RPLC))) == deprecated
        )
        updating.updated_folder(folder)
        into = association(folder, second, id="m") + association("SubmissionSet01", "m")
        assert updating.codes(submit_objects(submission_set(), into)) == deprecated
        updating.related(second, RPLC)
        assert updating.object(second).status == DEPRECATED
        assert updating.object(first).status == SUPERSEDED


class TestPropagation:
    def test_both_directions(self, updating: Updating) -> None:
        target = updating.added()
        entry = updating.related(target, APND)
        source = updating.related(entry, XFRM)
        folder = updating.folder_with(entry)
        second = updating.updated(entry)
        assert updating.pairs(second) == {(second, target), (source, second), (folder, second)}
        assert updating.pairs(entry) == {(entry, target), (source, entry), (folder, entry)}
        assert {each.type for each in updating.related_to(second)} == {
            AssociationType.APND,
            AssociationType.XFRM,
            AssociationType.HAS_MEMBER,
        }
        assert updating.memberships(folder, second) == []

    def test_none_where_the_request_says_no(self, updating: Updating) -> None:
        entry = updating.added()
        folder = updating.folder_with(entry)
        second = updating.updated(entry, propagation="no")
        assert updating.related_to(second) == []
        assert updating.pairs(folder) == {(folder, entry)}

    def test_only_approved_associations(self, updating: Updating) -> None:
        target = updating.added()
        entry = updating.related(target, APND)
        updating.update(update(status_change(updating.association_uuid(entry, target))))
        assert updating.related_to(updating.updated(entry)) == []

    def test_content_of_a_folder(self, updating: Updating) -> None:
        entries = [updating.added(), updating.added()]
        first = updating.folder_with(*entries)
        second = updating.updated_folder(first)
        assert updating.pairs(second) == {(second, entry) for entry in entries}
        assert len(updating.related_to(first, second)) == 4

    def test_both_ends_at_once(self, updating: Updating) -> None:
        entry = updating.added()
        folder = updating.folder_with(entry)
        updating.update(
            update(
                entry_version(entry, updating.object(entry).unique_id, new := new_uuid()),
                folder_version(folder, updating.object(folder).unique_id, new_folder := new_uuid()),
            )
        )
        assert updating.pairs(new, new_folder) == {(new_folder, new)}

    def test_an_end_that_stays_behind_takes_its_associations_along(self, updating: Updating) -> None:
        """One of two says no; and so it was with an older version."""
        entry = updating.added()
        folder = updating.folder_with(entry)
        updating.update(
            update(
                entry_version(entry, updating.object(entry).unique_id, second := new_uuid()),
                folder_version(folder, updating.object(folder).unique_id, propagation="no"),
            )
        )
        assert updating.related_to(second) == []
        assert updating.related_to(updating.updated(entry, 2)) == []

    def test_what_an_association_says_goes_on(self, updating: Updating) -> None:
        target, entry = updating.added(), new_uuid()
        reason = classification("Relation", "abd807a3-4432-4053-87b4-fd82c643d1f3", REASON)
        link = association(entry, target, APND, id="Relation", slots={"urn:pl:note": "Ź <&>"}, extra=reason)
        updating.register(entry_message(entry, link))
        second = updating.updated(entry)
        (copy,) = updating.related_to(second)
        element = updating.association_xml(copy.id)
        assert (element.get("sourceObject"), element.get("targetObject")) == (second, target)
        assert [each.text for each in element.iter(f"{RIM}Value")] == ["Ź <&>", REASON[1]]
        (code,) = element.iter(f"{RIM}Classification")
        assert (code.get("nodeRepresentation"), code.get("classifiedObject")) == ("1", element.get("id"))

    def test_folders_know_the_time(self, updating: Updating) -> None:
        entry = updating.added()
        holding, other = updating.folder_with(entry), updating.folder_with()
        before = updating.object(other).last_update_time
        updating.now = updating.now.replace(minute=30)
        updating.updated(entry)
        assert updating.object(holding).last_update_time == "20260914123000"
        assert updating.object(other).last_update_time == before
        updating.now = updating.now.replace(minute=31)
        assert updating.object(updating.updated_folder(holding)).last_update_time == "20260914123100"
        assert updating.object(holding).last_update_time == "20260914123000"

    def test_changes_of_its_memberships_touch_a_folder(self, updating: Updating) -> None:
        entry = updating.added()
        folder = updating.folder_with()
        updating.now = updating.now.replace(minute=30)
        updating.update(update(put_into(folder, entry)))
        assert updating.object(folder).last_update_time == "20260914123000"
        assert updating.memberships(folder, entry) != []
        updating.now = updating.now.replace(minute=31)
        updating.update(update(status_change(updating.association_uuid(folder, entry))))
        assert updating.object(folder).last_update_time == "20260914123100"
        assert updating.pairs(folder) == set()


class TestStatuses:
    def test_there_and_back(self, updating: Updating) -> None:
        entry = updating.added()
        updating.update(update(status_change(entry)))
        assert updating.object(entry).status == DEPRECATED
        updating.update(update(status_change(entry, DEPRECATED_URN, APPROVED_URN)))
        assert updating.object(entry).status == APPROVED

    def test_both_ways_in_one_request(self, updating: Updating) -> None:
        one, other = updating.added(), updating.added()
        updating.update(update(status_change(one)))
        updating.update(update(status_change(one, DEPRECATED_URN, APPROVED_URN), status_change(other)))
        assert [updating.object(each).status for each in (one, other)] == [APPROVED, DEPRECATED]

    def test_a_new_version_may_be_deprecated_at_once(self, updating: Updating) -> None:
        entry = updating.added()
        message = entry_version(entry, updating.object(entry).unique_id, second := new_uuid())
        updating.update(update(message, status_change(second)))
        assert [updating.object(each).status for each in (entry, second)] == [SUPERSEDED, DEPRECATED]

    def test_a_submitted_association_may_be_deprecated_at_once(self, updating: Updating) -> None:
        one, other = updating.added(), updating.added()
        updating.update(update(submitted(one, other, id="Relation"), status_change("Relation")))
        assert [each.approved for each in updating.related_to(one)] == [False]

    def test_a_restricted_update_leaves_a_deprecated_object_deprecated(self, updating: Updating) -> None:
        entry = updating.added()
        updating.update(update(status_change(entry)))
        second = updating.updated(entry, transaction=ITI_92)
        assert updating.object(second).status == DEPRECATED
        again = update(entry_version(entry, updating.object(entry).unique_id, previous="1"))
        assert updating.update_codes(again, ITI_92) == ["XDSMetadataVersionError"]

    def test_nothing_is_kept_of_a_mere_change_of_status_but_its_set(self, updating: Updating) -> None:
        entry = updating.added()
        before = updating.census()
        updating.update(update(status_change(entry)))
        after = updating.census()
        assert after["association"] == before["association"]
        assert after["registry_object"] == before["registry_object"] + 1


class TestOlderVersions:
    """Also those that a link change of patients has left Deprecated instead of superseded."""

    @pytest.fixture
    def older(self, updating: Updating) -> str:
        entry = updating.added()
        updating.updated(entry)
        with updating.database.write() as connection:
            records.deprecate(connection, [updating.object(entry).id])
        return entry

    def test_they_are_not_approved_again(self, updating: Updating, older: str) -> None:
        (finding,) = updating.refused_update(update(status_change(older, DEPRECATED_URN, APPROVED_URN)))
        assert (finding.code, finding.attribute) == ("XDSMetadataUpdateError", "targetObject")

    def test_their_associations_go_nowhere(self, updating: Updating) -> None:
        target = updating.added()
        entry = updating.related(target, APND)
        updating.updated(entry, propagation="no")
        with updating.database.write() as connection:
            records.deprecate(connection, [updating.object(entry).id])
        assert updating.related_to(updating.updated(target)) == []


class TestPatients:
    def test_an_unconnected_entry_moves(self, updating: Updating) -> None:
        entry = updating.added()
        second = updating.updated(entry, patient_id=OTHER_PATIENT)
        with updating.database.read() as connection:
            keys = {cx: key for cx, key in connection.execute(select(patient.c.cx, patient.c.id))}
        assert updating.object(second).patient_id == keys[OTHER_PATIENT]
        assert updating.object(entry).patient_id == keys[PATIENT]

    def test_entry_and_folder_move_together(self, updating: Updating) -> None:
        entry = updating.added()
        folder = updating.folder_with(entry)
        updating.update(
            update(
                entry_version(
                    entry, updating.object(entry).unique_id, new := new_uuid(), patient_id=OTHER_PATIENT
                ),
                folder_version(
                    folder,
                    updating.object(folder).unique_id,
                    new_folder := new_uuid(),
                    patient_id=OTHER_PATIENT,
                ),
                patient_id=OTHER_PATIENT,
            )
        )
        assert updating.pairs(new) == {(new_folder, new)}

    def test_a_connected_entry_does_not(self, updating: Updating) -> None:
        entry = updating.added()
        updating.folder_with(entry)
        updating.folder_with(entry)
        message = entry_version(entry, updating.object(entry).unique_id, patient_id=OTHER_PATIENT)
        (finding,) = updating.refused_update(update(message, patient_id=OTHER_PATIENT))
        assert (finding.code, finding.context) == ("XDSPatientIDReconciliationError", "Document01")

    def test_patients_are_compared_after_a_merge(self, updating: Updating) -> None:
        entry, folder = updating.added(patient_id=OTHER_PATIENT), updating.folder_with()
        self.merge(updating, PATIENT, OTHER_PATIENT)
        second = updating.updated(entry, transaction=ITI_92)
        row = updating.object(second)
        assert row.patient_id == updating.object(folder).patient_id == updating.object(entry).patient_id
        assert row.submitted_patient_id is None
        updating.update(update(put_into(folder, second)))
        assert updating.pairs(second) == {(folder, second)}

    def test_a_merged_id_is_in_use_no_more(self, updating: Updating) -> None:
        entry = updating.added(patient_id=OTHER_PATIENT)
        updating.added()
        self.merge(updating, PATIENT, OTHER_PATIENT)
        message = entry_version(entry, updating.object(entry).unique_id, patient_id=OTHER_PATIENT)
        (finding,) = updating.refused_update(update(message, patient_id=OTHER_PATIENT))
        assert (finding.code, finding.context) == ("XDSUnknownPatientId", OTHER_PATIENT)

    def test_a_retry_is_harmless_after_the_merge(self, updating: Updating) -> None:
        entry = updating.added(patient_id=OTHER_PATIENT)
        updating.added()
        version = entry_version(entry, updating.object(entry).unique_id, patient_id=OTHER_PATIENT)
        message = update(version, patient_id=OTHER_PATIENT)
        updating.update(message)
        self.merge(updating, PATIENT, OTHER_PATIENT)
        before = updating.picture()
        assert updating.update(message) == ()
        assert updating.picture() == before

    def test_unknown_patients(self, database: Database) -> None:
        updating = Updating(database, patients={"policy": "known"})
        with database.write() as connection:
            connection.execute(insert(patient), {"id": 1, "cx": PATIENT, "announced": True})
        entry = updating.added()
        version = entry_version(entry, updating.object(entry).unique_id, patient_id=OTHER_PATIENT)
        (finding,) = updating.refused_update(update(version, patient_id=OTHER_PATIENT))
        assert (finding.code, finding.context) == ("XDSUnknownPatientId", OTHER_PATIENT)

    @staticmethod
    def merge(updating: Updating, surviving: str, subsumed: str) -> None:
        with updating.database.write() as connection:
            first, second = patients.lock(connection, surviving), patients.lock(connection, subsumed)
            assert first is not None
            assert second is not None
            merging.merge(connection, first, second, "20260914120000")


class TestRetry:
    def test_changes_nothing(self, updating: Updating) -> None:
        entry, other = updating.added(), updating.added()
        updating.folder_with(entry)
        version = entry_version(entry, updating.object(entry).unique_id, new_uuid())
        message = update(version, status_change(other), submitted(other, updating.added(), XFRM))
        updating.update(update(status_change(other)))
        updating.update(update(status_change(other, DEPRECATED_URN, APPROVED_URN)))
        with pytest.raises(Refused):  # its Association would name what it deprecates itself
            updating.update(message)
        message = update(version, status_change(other))
        updating.update(message)
        before = updating.picture()
        assert updating.update(message) == ()
        assert updating.picture() == before

    def test_another_request_under_the_same_unique_id(self, updating: Updating) -> None:
        entry, unique_id = updating.added(), new_oid()
        updating.update(update(status_change(entry), set_unique_id=unique_id))
        again = update(status_change(entry, DEPRECATED_URN, APPROVED_URN), set_unique_id=unique_id)
        (finding,) = updating.refused_update(again)
        assert (finding.code, finding.context) == ("XDSDuplicateUniqueIdInRegistry", unique_id)

    def test_a_refused_request_can_be_sent_again(self, updating: Updating) -> None:
        entry = updating.added()
        message = update(status_change(entry, DEPRECATED_URN, APPROVED_URN))
        assert updating.update_codes(message) == ["XDSMetadataUpdateError"]
        updating.update(update(status_change(entry)))
        updating.update(message)
        assert updating.object(entry).status == APPROVED


class TestRefusals:
    def test_everything_at_once(self, updating: Updating) -> None:
        """One answer tells of the metadata, of the request and of the registry's contents."""
        entry, other = updating.added(), updating.added()
        version = entry_version(entry, new_oid(), previous="3", codes={"classCode": None})
        message = update(
            version, status_change(other, DEPRECATED_URN, APPROVED_URN), status_change(new_uuid())
        )
        codes = updating.update_codes(message)
        assert sorted(codes) == [
            "UnresolvedReferenceException",
            "XDSMetadataUpdateError",
            "XDSMetadataUpdateError",
            "XDSMetadataVersionError",
            "XDSRegistryMetadataError",
        ]

    def test_one_wrong_operation_keeps_the_others_from_happening(self, updating: Updating) -> None:
        entry, other = updating.added(), updating.added()
        version = entry_version(entry, updating.object(entry).unique_id)
        message = update(version, status_change(other), submitted(new_uuid(), other))
        assert "UnresolvedReferenceException" in updating.update_codes(message)

    def test_the_object_is_named_as_it_was_sent(self, updating: Updating) -> None:
        entry = updating.added()
        version = entry_version(entry, updating.object(entry).unique_id, "Document77", previous="2")
        (finding,) = updating.refused_update(update(version))
        assert finding.code_context == "Document77"
        assert finding.attribute == "PreviousVersion"
        assert (finding.seen, finding.allowed) == ("2", "1")
        assert "ITI TF-2 3.57.4.1.3.1.3" in finding.error_location

    @pytest.mark.parametrize("patient_id", [None, "no CX"])
    def test_without_a_patient_the_registry_is_not_asked(
        self, updating: Updating, patient_id: str | None
    ) -> None:
        entry = updating.added()
        version = entry_version(entry, "1.2.3.4", patient_id=patient_id)
        message = submit_objects(submission_set(patient_id=patient_id), version)
        assert set(updating.update_codes(message)) == {"XDSRegistryMetadataError"}

    def test_an_end_in_a_submitted_membership_is_of_the_right_kind(self, updating: Updating) -> None:
        folder, entry = updating.folder_with(), updating.added()
        (finding,) = updating.refused_update(update(submitted(entry, folder, HAS_MEMBER)))[:1]
        assert (finding.attribute, finding.allowed) == ("sourceObject", "a Folder")


class TestService:
    @pytest.mark.parametrize("transaction", [ITI_57, ITI_92], ids=lambda row: row.name)
    def test_from_payload_to_payload(self, updating: Updating, transaction: Any) -> None:
        entry = updating.added()
        message = update(entry_version(entry, updating.object(entry).unique_id))
        service = UpdateService(updating.database, updating.updates, updating.settings)
        answer = service.update_document_set(
            Request(transaction, safexml.parse(message), Addressing(transaction.action))
        )
        root = safexml.parse(b"".join(answer.payload))
        assert (root.tag, root.get("status")) == (transaction.answer.value, ResponseStatus.SUCCESS)
        assert len(updating.objects(updating.object(entry).unique_id)) == 2

    def test_warnings_travel_with_success(self, database: Database) -> None:
        updating = Updating(database, validation={"extra_metadata": "drop"})
        entry = updating.added()
        message = update(entry_version(entry, updating.object(entry).unique_id, slots={"urn:pl:ward": "7B"}))
        service = UpdateService(updating.database, updating.updates, updating.settings)
        answer = service.update_document_set(Request(ITI_57, safexml.parse(message), Addressing("")))
        assert [finding.code for finding in answer.findings] == ["XDSExtraMetadataNotSaved"]
