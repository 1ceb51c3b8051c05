"""The queries by id and by relation, over registered submissions, on both databases."""

from __future__ import annotations

import pytest

from tests.support.metadata import (
    APND,
    APPROVED,
    DEPRECATED,
    HAS_MEMBER,
    ON_DEMAND,
    OTHER_PATIENT,
    STABLE,
    XFRM,
    association,
    document_entry,
    new_uuid,
    submission_set,
)
from tests.support.queries import many, one, request
from tests.support.registry import Registry
from tests.test_registry.searching import DE, FD, RETURNS, SS, World, as_on_demand, by_id, deprecate


class TestGetDocumentsAndFolders:
    @RETURNS
    def test_by_entry_uuid_and_unique_id(self, registry: Registry, world: World, returns: str) -> None:
        for name, stem, uuid, uid in (
            ("GetDocuments", DE, world.first, world.first_uid),
            ("GetFolders", FD, world.folder, world.folder_uid),
        ):
            for parameter, value in (("EntryUUID", uuid), ("EntryUUID", uuid.upper()), ("UniqueId", uid)):
                message = request(name, by_id(stem + parameter, value), returns=returns)
                assert registry.ask(message).ids == [uuid]
            assert registry.ask(request(name, by_id(f"{stem}UniqueId", world.set_uid))).ids == []
            assert registry.ask(request(name, by_id(f"{stem}EntryUUID", world.set_))).ids == []

    def test_several_each_once(self, registry: Registry, world: World) -> None:
        ids = many(world.first, world.second, world.first, new_uuid())
        found = registry.ask(request("GetDocuments", [(f"{DE}EntryUUID", ids)]))
        assert found.ids == sorted([world.first, world.second])

    def test_every_entry_with_that_unique_id(self, registry: Registry, world: World) -> None:
        again = new_uuid()
        registry.submit(
            submission_set(),
            document_entry(again, unique_id=world.first_uid),
            association("SubmissionSet01", again, status="Original"),
        )
        found = registry.ask(request("GetDocuments", by_id(f"{DE}UniqueId", world.first_uid)))
        assert found.ids == sorted([world.first, again])

    def test_deprecated_and_on_demand_too(self, registry: Registry, world: World) -> None:
        as_on_demand(registry, world.first)
        deprecate(registry, world.first)
        (found,) = registry.ask(request("GetDocuments", by_id(f"{DE}EntryUUID", world.first))).objects
        assert found.get("status") == DEPRECATED

    def test_folder_has_its_current_last_update_time(self, registry: Registry, world: World) -> None:
        (found,) = registry.ask(request("GetFolders", by_id(f"{FD}EntryUUID", world.folder))).objects
        slot = next(s for s in found if s.get("name") == "lastUpdateTime")
        assert str(slot.xpath("string()")).strip() == registry.now.strftime("%Y%m%d%H%M%S")


class TestAssociations:
    @RETURNS
    def test_get_associations(self, registry: Registry, world: World, returns: str) -> None:
        expected = {
            world.first: [world.first_link, world.inner],
            world.second: [world.second_link, world.appending],
            world.folder: [world.folder_link, world.inner, world.filing],
            world.inner: [world.inner_record],
            world.later_set: [world.append_link, world.filing_record],
        }
        for uuid, links in expected.items():
            found = registry.ask(request("GetAssociations", by_id("$uuid", uuid), returns=returns))
            assert found.ids == sorted(links)
        all_of = request("GetAssociations", [("$uuid", many(world.first, world.folder))], returns=returns)
        assert registry.ask(all_of).ids == sorted({*expected[world.first], *expected[world.folder]})

    @RETURNS
    def test_documents_and_associations(self, registry: Registry, world: World, returns: str) -> None:
        for parameter in (by_id(f"{DE}EntryUUID", world.first), by_id(f"{DE}UniqueId", world.first_uid)):
            found = registry.ask(request("GetDocumentsAndAssociations", parameter, returns=returns))
            assert found.ids == sorted([world.first, world.first_link, world.inner])

    def test_an_unknown_id_gives_nothing(self, registry: Registry, world: World) -> None:
        assert registry.ask(request("GetAssociations", by_id("$uuid", new_uuid()))).ids == []
        unknown = by_id(f"{DE}EntryUUID", new_uuid())
        assert registry.ask(request("GetDocumentsAndAssociations", unknown)).ids == []

    def test_deprecated_associations_only_at_level_2(self, registry: Registry, world: World) -> None:
        deprecate(registry, world.inner)
        ids = [("$uuid", many(world.first))]
        assert registry.ask(request("GetAssociations", ids)).ids == [world.first_link]
        found = registry.ask(request("GetAssociations", [*ids, ("$MetadataLevel", "2")]))
        assert found.ids == sorted([world.first_link, world.inner])
        assert {e.get("id"): e.get("status") for e in found.objects} == {
            world.first_link: APPROVED,
            world.inner: DEPRECATED,
        }
        contents = by_id(f"{FD}EntryUUID", world.folder)
        assert world.first not in registry.ask(request("GetFolderAndContents", contents)).ids
        level_2 = request("GetFolderAndContents", [*contents, ("$MetadataLevel", "2")])
        assert world.first in registry.ask(level_2).ids


class TestRelated:
    @RETURNS
    def test_either_direction(self, registry: Registry, world: World, returns: str) -> None:
        for uuid in (world.append, world.second):
            parameters = [(f"{DE}EntryUUID", one(uuid)), ("$AssociationTypes", many(APND, XFRM))]
            found = registry.ask(request("GetRelatedDocuments", parameters, returns=returns))
            assert set(found.ids) == {world.append, world.second, world.appending}

    @pytest.mark.parametrize("types", [(XFRM,), (HAS_MEMBER,), ("urn:vendor:type", XFRM)])
    def test_nothing_without_such_an_association(
        self, registry: Registry, world: World, types: tuple[str, ...]
    ) -> None:
        """A HasMember from a set or folder is no relation between documents."""
        parameters = [(f"{DE}EntryUUID", one(world.append)), ("$AssociationTypes", many(*types))]
        assert registry.ask(request("GetRelatedDocuments", parameters)).ids == []

    def test_types_that_are_never_stored(self, registry: Registry, world: World) -> None:
        never = "urn:ihe:iti:2010:AssociationType:SubmitAssociation"
        parameters = [(f"{DE}EntryUUID", one(world.append)), ("$AssociationTypes", many(never))]
        assert registry.ask(request("GetRelatedDocuments", parameters)).ids == []

    def test_both_ends_have_the_type_asked_for(self, registry: Registry, world: World) -> None:
        as_on_demand(registry, world.second)
        parameters = [(f"{DE}EntryUUID", one(world.append)), ("$AssociationTypes", many(APND))]
        assert registry.ask(request("GetRelatedDocuments", parameters)).ids == []
        both = [*parameters, (f"{DE}Type", many(STABLE, ON_DEMAND))]
        assert set(registry.ask(request("GetRelatedDocuments", both)).ids) == {
            world.append,
            world.second,
            world.appending,
        }


class TestSeveralPatients:
    def test_leaf_class_is_refused_object_ref_is_not(self, registry: Registry) -> None:
        mine, theirs = World(), World(OTHER_PATIENT)
        mine.submit(registry)
        theirs.submit(registry)
        for name, parameters in (
            ("GetDocuments", [(f"{DE}EntryUUID", many(mine.first, theirs.first))]),
            ("GetFolders", [(f"{FD}EntryUUID", many(mine.folder, theirs.folder))]),
            ("GetDocumentsAndAssociations", [(f"{DE}UniqueId", many(mine.first_uid, theirs.first_uid))]),
            ("GetSubmissionSets", [("$uuid", many(mine.first, theirs.first))]),
        ):
            assert registry.refusal(request(name, parameters)).code == "XDSResultNotSinglePatient"
            assert len(registry.ask(request(name, parameters, returns="ObjectRef")).ids) >= 2
        links = registry.ask(request("GetAssociations", [("$uuid", many(mine.first, theirs.first))]))
        assert len(links.ids) == 4

    def test_a_set_that_refers_to_another_patients_document(self, registry: Registry) -> None:
        mother = World(OTHER_PATIENT)
        mother.submit(registry)
        child = new_uuid()
        registry.submit(submission_set(child), association(child, mother.first, status="Reference"))
        parameters = [(f"{SS}EntryUUID", one(child))]
        finding = registry.refusal(request("GetSubmissionSetAndContents", parameters))
        assert finding.code == "XDSResultNotSinglePatient"
        found = registry.ask(request("GetSubmissionSetAndContents", parameters, returns="ObjectRef"))
        assert mother.first in found.ids
