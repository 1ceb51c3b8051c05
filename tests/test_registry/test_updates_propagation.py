"""Associations that go on to new versions, and the time of the folders that hold them, on both databases."""

from __future__ import annotations

from msim_xds.ihe.names import AssociationType
from tests.support.metadata import APND, RIM, XFRM, association, classification, new_uuid
from tests.support.updates import entry_version, folder_version, put_into, status_change, update
from tests.test_registry.registering import entry_message
from tests.test_registry.updating import Updating

REASON = ("1", "1.3.6.1.4.1.19376.1.2.6.1", "amendment")


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
        assert [each.text for each in element.iter(f"{{{RIM}}}Value")] == ["Ź <&>", REASON[1]]
        (code,) = element.iter(f"{{{RIM}}}Classification")
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
