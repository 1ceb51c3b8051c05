"""Updates on both databases: changes of status, retries, what is refused, what the service answers."""

from __future__ import annotations

from typing import Any

import pytest

from msim_xds.database.engine import Database
from msim_xds.findings import Refused
from msim_xds.ihe.names import ResponseStatus
from msim_xds.ihe.transactions import ITI_57, ITI_92
from msim_xds.registry.columns import APPROVED, DEPRECATED, SUPERSEDED
from msim_xds.registry.updates import UpdateService
from msim_xds.wire import safexml
from msim_xds.wire.exchange import Addressing, Request
from tests.support.metadata import APPROVED as APPROVED_URN
from tests.support.metadata import DEPRECATED as DEPRECATED_URN
from tests.support.metadata import HAS_MEMBER, XFRM, new_oid, new_uuid, submission_set, submit_objects
from tests.support.updates import entry_version, status_change, submitted, update
from tests.test_registry.updating import Updating


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
