"""$MetadataLevel: versions of entries and folders, logicalIDs, status of associations, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from sqlalchemy import update

from msim_xds.database.schema import association as association_table
from msim_xds.registry.columns import DEPRECATED as DEPRECATED_NUMBER
from tests.support.metadata import (
    APND,
    APPROVED,
    DEPRECATED,
    OTHER_PATIENT,
    PATIENT,
    association,
    document_entry,
    folder,
    new_oid,
    new_uuid,
    submission_set,
)
from tests.support.queries import find_documents, many, one, request
from tests.support.registry import Registry
from tests.test_registry.versions import supersede

DE, FD, SS = "$XDSDocumentEntry", "$XDSFolder", "$XDSSubmissionSet"
LEVEL_2 = ("$MetadataLevel", "2")


@dataclass
class World:
    """A folder with two documents, one appended to the other; then second versions of ``entry`` and folder.

    The associations of the first versions stay, copies of them belong to the second ones (ITI TF-2 3.57).
    """

    uid: str = field(default_factory=new_oid)
    later_uid: str = field(default_factory=new_oid)
    set_: str = field(default_factory=new_uuid)
    later_set: str = field(default_factory=new_uuid)
    entry: str = field(default_factory=new_uuid)
    other: str = field(default_factory=new_uuid)
    folder: str = field(default_factory=new_uuid)
    later: str = field(default_factory=new_uuid)
    later_folder: str = field(default_factory=new_uuid)
    filed: dict[str, tuple[str, str]] = field(default_factory=dict)
    filed_later: dict[str, tuple[str, str]] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)
    appending: str = field(default_factory=new_uuid)
    appending_later: str = field(default_factory=new_uuid)
    links: list[str] = field(default_factory=lambda: [new_uuid() for _ in range(5)])

    def submit(self, registry: Registry) -> None:
        self.filed = {new_uuid(): (self.folder, e) for e in (self.entry, self.other)}
        self.filed_later = {
            new_uuid(): (self.later_folder, e) for e in (self.entry, self.other, self.later)
        } | {new_uuid(): (self.folder, self.later)}
        registry.submit(
            submission_set(self.set_),
            document_entry(self.entry, unique_id=self.uid),
            document_entry(self.other),
            folder(self.folder),
            *self._link(self.set_, self.entry, self.other, self.folder),
            *self._file(self.set_, self.filed),
            association(self.other, self.entry, APND, id=self.appending),
        )
        registry.submit(
            submission_set(self.later_set),
            document_entry(self.later, unique_id=self.later_uid),
            folder(self.later_folder),
            *self._link(self.later_set, self.later, self.later_folder),
            *self._file(self.later_set, self.filed_later),
            association(self.later, self.other, APND, id=self.appending_later),
        )
        supersede(registry.database, self.entry, self.later)
        supersede(registry.database, self.folder, self.later_folder)

    def _link(self, source: str, *targets: str) -> Iterator[str]:
        for target in targets:
            status = None if target in (self.folder, self.later_folder) else "Original"
            yield association(source, target, id=self.links.pop(), status=status)

    def _file(self, set_: str, links: dict[str, tuple[str, str]]) -> Iterator[str]:
        for link, (source, target) in links.items():
            self.records[link] = new_uuid()
            yield association(source, target, id=link)
            yield association(set_, link, id=self.records[link])

    def filing(self, *pairs: tuple[str, str]) -> list[str]:
        """HasMembers of a folder with an entry."""
        return [link for link, pair in (self.filed | self.filed_later).items() if pair in pairs]


@pytest.fixture
def world(registry: Registry) -> World:
    world = World()
    world.submit(registry)
    return world


def deprecate(registry: Registry, *links: str) -> None:
    with registry.database.write() as connection:
        chosen = association_table.c.entry_uuid.in_(links)
        connection.execute(update(association_table).where(chosen).values(status=DEPRECATED_NUMBER))


class TestVersions:
    def test_level_1_finds_the_latest(self, registry: Registry, world: World) -> None:
        for status in ((APPROVED,), (APPROVED, DEPRECATED)):
            assert registry.ask(find_documents(status=status)).ids == sorted([world.other, world.later])
        assert registry.ask(find_documents(status=(DEPRECATED,))).ids == []

    def test_level_2_finds_all_and_shows_them_deprecated(self, registry: Registry, world: World) -> None:
        assert registry.ask(find_documents(LEVEL_2)).ids == sorted([world.other, world.later])
        found = registry.ask(find_documents(LEVEL_2, status=(DEPRECATED,)))
        assert [(e.get("id"), e.get("status")) for e in found.objects] == [(world.entry, DEPRECATED)]
        both = registry.ask(find_documents(LEVEL_2, status=(APPROVED, DEPRECATED)))
        assert both.ids == sorted([world.entry, world.other, world.later])

    def test_folders(self, registry: Registry, world: World) -> None:
        base = [(f"{FD}PatientId", one(PATIENT)), (f"{FD}Status", many(APPROVED, DEPRECATED))]
        assert registry.ask(request("FindFolders", base)).ids == [world.later_folder]
        both = sorted([world.folder, world.later_folder])
        assert registry.ask(request("FindFolders", [*base, LEVEL_2])).ids == both

    @pytest.mark.parametrize("level", ["1", "2"])
    def test_an_entry_uuid_names_its_version_at_any_level(
        self, registry: Registry, world: World, level: str
    ) -> None:
        for name, stem, uuid in (("GetDocuments", DE, world.entry), ("GetFolders", FD, world.folder)):
            named = [(f"{stem}EntryUUID", many(uuid)), ("$MetadataLevel", level)]
            (found,) = registry.ask(request(name, named)).objects
            assert (found.get("id"), found.get("status")) == (uuid, DEPRECATED)

    def test_a_unique_id_of_an_older_version(self, registry: Registry, world: World) -> None:
        named = [(f"{DE}UniqueId", many(world.uid, world.later_uid))]
        assert registry.ask(request("GetDocuments", named)).ids == [world.later]
        both = sorted([world.entry, world.later])
        assert registry.ask(request("GetDocuments", [*named, LEVEL_2])).ids == both

    def test_logical_ids(self, registry: Registry, world: World) -> None:
        for name, stem, first, later in (
            ("GetDocuments", DE, world.entry, world.later),
            ("GetFolders", FD, world.folder, world.later_folder),
        ):
            by_lid = [(f"{stem}LogicalID", many(first.upper())), LEVEL_2]
            assert registry.ask(request(name, by_lid)).ids == sorted([first, later])
            by_later = [(f"{stem}LogicalID", many(later)), LEVEL_2]
            assert registry.ask(request(name, by_later)).ids == []
        several = [(f"{DE}LogicalID", many(world.entry, world.other)), LEVEL_2]
        assert registry.ask(request("GetDocuments", several)).ids == sorted(
            [world.entry, world.later, world.other]
        )

    def test_versions_of_two_patients_are_not_one_answer(self, registry: Registry, world: World) -> None:
        moved = new_uuid()
        registry.submit(
            submission_set(patient_id=OTHER_PATIENT),
            document_entry(moved, patient_id=OTHER_PATIENT),
            association("SubmissionSet01", moved, status="Original"),
        )
        supersede(registry.database, world.later, moved)
        message = [(f"{DE}LogicalID", many(world.entry)), LEVEL_2]
        assert registry.refusal(request("GetDocuments", message)).code == "XDSResultNotSinglePatient"
        references = registry.ask(request("GetDocuments", message, returns="ObjectRef"))
        assert references.ids == sorted([world.entry, world.later, moved])


class TestContents:
    def test_folder(self, registry: Registry, world: World) -> None:
        named = [(f"{FD}EntryUUID", one(world.later_folder))]
        new = world.filing((world.later_folder, world.other), (world.later_folder, world.later))
        expected = [world.later_folder, world.other, world.later, *new]
        assert registry.ask(request("GetFolderAndContents", named)).ids == sorted(expected)
        expected += [world.entry, *world.filing((world.later_folder, world.entry))]
        assert registry.ask(request("GetFolderAndContents", [*named, LEVEL_2])).ids == sorted(expected)

    def test_folders_of_a_document(self, registry: Registry, world: World) -> None:
        named = [(f"{DE}EntryUUID", one(world.other))]
        assert registry.ask(request("GetFoldersForDocument", named)).ids == [world.later_folder]
        both = sorted([world.folder, world.later_folder])
        assert registry.ask(request("GetFoldersForDocument", [*named, LEVEL_2])).ids == both

    def test_submission_set_whose_document_has_a_later_version(
        self, registry: Registry, world: World
    ) -> None:
        named = [(f"{SS}EntryUUID", one(world.set_))]
        found = registry.ask(request("GetSubmissionSetAndContents", named))
        assert world.other in found.ids
        assert not {world.entry, world.folder, *world.filed} & set(found.ids)
        assert len(found.of("Association")) == 1
        found = registry.ask(request("GetSubmissionSetAndContents", [*named, LEVEL_2]))
        assert {world.entry, world.folder, *world.filed, world.other} <= set(found.ids)

    def test_submission_sets_of_an_older_version_that_is_named(
        self, registry: Registry, world: World
    ) -> None:
        found = registry.ask(request("GetSubmissionSets", [("$uuid", many(world.entry))]))
        assert world.set_ in found.ids
        assert len(found.ids) == 2


class TestAssociations:
    def test_those_of_older_versions_only_at_level_2(self, registry: Registry, world: World) -> None:
        named = [("$uuid", many(world.other))]
        old = [world.appending, *world.filing((world.folder, world.other))]
        new = [world.appending_later, *world.filing((world.later_folder, world.other))]
        found = registry.ask(request("GetAssociations", named)).ids
        assert set(new) <= set(found)
        assert not set(old) & set(found)
        assert {*old, *new} <= set(registry.ask(request("GetAssociations", [*named, LEVEL_2])).ids)

    def test_those_of_an_older_version_that_is_named(self, registry: Registry, world: World) -> None:
        named = [(f"{DE}EntryUUID", many(world.entry))]
        found = registry.ask(request("GetDocumentsAndAssociations", named)).ids
        assert {world.entry, world.appending} <= set(found)
        assert not {world.appending_later, *world.filing((world.folder, world.entry))} & set(found)

    def test_everything_of_the_patient(self, registry: Registry, world: World) -> None:
        base = [("$patientId", one(PATIENT))]
        base += [(f"$XDS{n}Status", many(APPROVED)) for n in ("DocumentEntry", "SubmissionSet", "Folder")]
        old = {world.appending, *world.filing((world.folder, world.other), (world.folder, world.later))}
        assert not old & set(registry.ask(request("GetAll", base)).ids)
        assert old <= set(registry.ask(request("GetAll", [*base, LEVEL_2])).ids)

    def test_related(self, registry: Registry, world: World) -> None:
        def related(document: str, *more: tuple[str, str]) -> list[str]:
            types = ("$AssociationTypes", many(APND))
            return registry.ask(
                request("GetRelatedDocuments", [(f"{DE}EntryUUID", one(document)), types, *more])
            ).ids

        new = [world.other, world.later, world.appending_later]
        old = [world.other, world.entry, world.appending]
        assert related(world.other) == sorted(new)
        assert related(world.other, LEVEL_2) == sorted({*new, *old})
        assert related(world.entry) == sorted(old)

    def test_status(self, registry: Registry, world: World) -> None:
        gone, kept = world.filing((world.later_folder, world.other), (world.later_folder, world.later))
        deprecate(registry, gone)
        named = [(f"{FD}EntryUUID", one(world.later_folder))]

        def links(*more: tuple[str, str]) -> set[str]:
            found = registry.ask(request("GetFolderAndContents", [*named, *more]))
            shown = {e.get("id", ""): e.get("status") for e in found.of("Association")}
            assert all(status == (DEPRECATED if link == gone else APPROVED) for link, status in shown.items())
            return set(shown)

        wanted = ("$XDSAssociationStatus", many(DEPRECATED))
        assert links() == {kept}
        assert links(wanted) == {kept}  # which level 1 does not know
        assert links(LEVEL_2) >= {kept, gone}
        assert links(LEVEL_2, wanted) == {gone}

    def test_a_deprecated_association_that_is_named(self, registry: Registry, world: World) -> None:
        """Only the associations in the answer have to count, not those that the query names."""
        filing = next(iter(world.filed))
        deprecate(registry, filing)
        assert registry.ask(request("GetAssociations", [("$uuid", many(filing))])).ids == [
            world.records[filing]
        ]
