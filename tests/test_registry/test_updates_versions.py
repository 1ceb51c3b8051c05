"""New versions by updates, and what becomes of those before them, on both databases."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from lxml import etree
from sqlalchemy import select

from msim_xds.database.engine import Database
from msim_xds.database.schema import association as association_table
from msim_xds.database.schema import unique_identity
from msim_xds.ihe.transactions import ITI_61, ITI_92
from msim_xds.metadata import ebrim
from msim_xds.registry import records
from msim_xds.registry.columns import APPROVED, DEPRECATED, SUPERSEDED
from msim_xds.wire import safexml
from tests.support.metadata import (
    APND,
    ON_DEMAND,
    RIM,
    RPLC,
    association,
    document_entry,
    new_uuid,
    original,
    single_document,
    submission_set,
    submit_objects,
)
from tests.support.metadata import APPROVED as APPROVED_URN
from tests.support.metadata import DEPRECATED as DEPRECATED_URN
from tests.support.updates import entry_version, status_change, update
from tests.test_registry.registering import entry_message
from tests.test_registry.updating import Updating


def xml(updating: Updating, uuid: str) -> etree._Element:
    text = updating.ebrim(uuid)
    return safexml.parse(text.replace(b" ", b' xmlns:rim="%b" ' % RIM.encode(), 1))


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
            assert [each.get("versionName") for each in element.iter(f"{{{RIM}}}VersionInfo")] == [number]

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
            slot.get("name"): [value.text for value in slot.iter(f"{{{RIM}}}Value")]
            for slot in updating.association_xml(key).iter(f"{{{RIM}}}Slot")
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
