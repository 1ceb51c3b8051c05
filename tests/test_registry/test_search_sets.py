"""The queries for sets, for folders, for what they hold and for all of a patient, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, select

from msim_xds.database.schema import object_code, registry_object
from tests.support.metadata import (
    APPROVED,
    CODES,
    DEPRECATED,
    ON_DEMAND,
    PATIENT,
    STABLE,
    association,
    new_uuid,
    submission_set,
)
from tests.support.queries import many, one, request
from tests.support.registry import Registry
from tests.test_registry.searching import DE, FD, PDF, RETURNS, SS, World, as_on_demand, by_id, deprecate


class TestMembership:
    @RETURNS
    def test_get_submission_sets(self, registry: Registry, world: World, returns: str) -> None:
        expected = {
            world.first: [world.set_, world.first_link],
            world.folder: [world.set_, world.folder_link],
            world.append: [world.later_set, world.append_link],
            world.inner: [],
        }
        for uuid, ids in expected.items():
            found = registry.ask(request("GetSubmissionSets", by_id("$uuid", uuid), returns=returns))
            assert found.ids == sorted(ids)
        several = request("GetSubmissionSets", [("$uuid", many(world.first, world.folder, world.append))])
        assert registry.ask(several).ids == sorted(
            {*expected[world.first], *expected[world.folder], *expected[world.append]}
        )

    def test_a_reference_counts_as_membership(self, registry: Registry, world: World) -> None:
        other, link = new_uuid(), new_uuid()
        registry.submit(submission_set(other), association(other, world.first, id=link, status="Reference"))
        found = registry.ask(request("GetSubmissionSets", by_id("$uuid", world.first)))
        assert found.ids == sorted([world.set_, world.first_link, other, link])

    @RETURNS
    def test_submission_set_and_contents(self, registry: Registry, world: World, returns: str) -> None:
        name = "GetSubmissionSetAndContents"
        common = {world.set_, world.first, world.first_link, world.folder, world.folder_link}
        common |= {world.inner, world.inner_record}
        for parameters in ([(f"{SS}EntryUUID", one(world.set_))], [(f"{SS}UniqueId", one(world.set_uid))]):
            found = registry.ask(request(name, parameters, returns=returns))
            assert set(found.ids) == {*common, world.second, world.second_link}
            plain = [*parameters, (f"{DE}ConfidentialityCode", many("N^^2.16.840.1.113883.5.25"))]
            assert set(registry.ask(request(name, plain, returns=returns)).ids) == common

    def test_submission_set_without_the_filtered_documents(self, registry: Registry, world: World) -> None:
        """Associations with an end that is not returned are left out, and what records them too."""
        pdf = (f"{DE}FormatCode", many(f"{PDF[0]}^^{PDF[1]}"))
        found = registry.ask(
            request("GetSubmissionSetAndContents", [(f"{SS}EntryUUID", one(world.set_)), pdf])
        )
        assert set(found.ids) == {
            world.set_,
            world.second,
            world.second_link,
            world.folder,
            world.folder_link,
        }

    def test_a_set_that_files_into_an_older_folder(self, registry: Registry, world: World) -> None:
        found = registry.ask(
            request("GetSubmissionSetAndContents", [(f"{SS}EntryUUID", one(world.later_set))])
        )
        assert set(found.ids) == {world.later_set, world.append, world.append_link}

    @RETURNS
    def test_folder_and_contents(self, registry: Registry, world: World, returns: str) -> None:
        for parameters in (
            [(f"{FD}EntryUUID", one(world.folder))],
            [(f"{FD}UniqueId", many(world.folder_uid))],
        ):
            found = registry.ask(request("GetFolderAndContents", parameters, returns=returns))
            members = {world.first, world.inner, world.append, world.filing}
            assert set(found.ids) == {world.folder, *members}
        narrow = [(f"{FD}EntryUUID", one(world.folder)), (f"{DE}FormatCode", many("a^^b"))]
        assert registry.ask(request("GetFolderAndContents", narrow)).ids == [world.folder]

    @pytest.mark.parametrize(
        ("types", "members"),
        [((), ["append"]), ((ON_DEMAND,), ["first"]), ((STABLE, ON_DEMAND), ["append", "first"])],
    )
    def test_object_type_filter(
        self, registry: Registry, world: World, types: tuple[str, ...], members: list[str]
    ) -> None:
        as_on_demand(registry, world.first)
        parameters = [(f"{FD}EntryUUID", one(world.folder))]
        parameters += [(f"{DE}Type", many(*types))] if types else []
        found = registry.ask(request("GetFolderAndContents", parameters))
        assert sorted(e.get("id", "") for e in found.of("ExtrinsicObject")) == sorted(
            getattr(world, name) for name in members
        )
        assert len(found.of("Association")) == len(members)

    @RETURNS
    def test_folders_for_document(self, registry: Registry, world: World, returns: str) -> None:
        name = "GetFoldersForDocument"
        for parameter in ((f"{DE}EntryUUID", one(world.first)), (f"{DE}UniqueId", one(world.first_uid))):
            assert registry.ask(request(name, [parameter], returns=returns)).ids == [world.folder]
        assert registry.ask(request(name, [(f"{DE}EntryUUID", one(world.second))])).ids == []


class TestGetAll:
    BASE = (
        ("$patientId", one(PATIENT)),
        (f"{DE}Status", many(APPROVED)),
        (f"{SS}Status", many(APPROVED)),
        (f"{FD}Status", many(APPROVED)),
    )

    @RETURNS
    def test_everything_of_the_patient(self, registry: Registry, world: World, returns: str) -> None:
        found = registry.ask(request("GetAll", self.BASE, returns=returns))
        names = set(World.__dataclass_fields__) - {"patient", "first_uid", "folder_uid", "set_uid"}
        assert set(found.ids) == {getattr(world, name) for name in names}
        assert len(found.ids) == len(set(found.ids))

    def test_filters_restrict_entries_only(self, registry: Registry, world: World) -> None:
        narrow = (*self.BASE, (f"{DE}FormatCode", many("a^^b")))
        found = registry.ask(request("GetAll", narrow))
        assert found.of("ExtrinsicObject") == []
        assert len(found.of("RegistryPackage")) == 3

    def test_an_association_needs_one_end_only(self, registry: Registry, world: World) -> None:
        deprecated = tuple((n, many(DEPRECATED) if n != "$patientId" else v) for n, v in self.BASE)
        assert registry.ask(request("GetAll", deprecated)).ids == []
        deprecate(registry, world.first)
        found = registry.ask(request("GetAll", deprecated))
        assert set(found.ids) == {world.first, world.first_link, world.inner}

    def test_statuses_are_apart(self, registry: Registry, world: World) -> None:
        mixed = (*self.BASE[:1], (f"{DE}Status", many(DEPRECATED)), *self.BASE[2:])
        found = registry.ask(request("GetAll", mixed))
        assert found.of("ExtrinsicObject") == []
        assert len(found.of("RegistryPackage")) == 3


class TestFindSetsAndFolders:
    def test_submission_sets(self, registry: Registry, world: World) -> None:
        base = ((f"{SS}PatientId", one(PATIENT)), (f"{SS}Status", many(APPROVED)))
        mine = sorted([world.set_, world.later_set])
        cases: list[tuple[list[tuple[str, str]], list[str]]] = [
            ([], mine),
            ([(f"{SS}SourceId", many("2.16.840.1.113883.3.4424.2.7.99999", "1.2"))], mine),
            ([(f"{SS}SourceId", many("1.2"))], []),
            ([(f"{SS}SubmissionTimeFrom", "2026"), (f"{SS}SubmissionTimeTo", "202609")], mine),
            ([(f"{SS}SubmissionTimeTo", "20260914113512")], []),
            ([(f"{SS}AuthorPerson", one("%Wzorcowy%"))], mine),
            ([(f"{SS}AuthorPerson", one("%Nowak%"))], []),
            ([(f"{SS}ContentType", many("^^".join(CODES["contentTypeCode"][:2])))], mine),
            ([(f"{SS}ContentType", many("REGISTER^^1.2"))], []),
        ]
        for more, expected in cases:
            assert registry.ask(request("FindSubmissionSets", (*base, *more))).ids == expected

    def test_folders(self, registry: Registry, world: World) -> None:
        base = ((f"{FD}PatientId", one(PATIENT)), (f"{FD}Status", many(APPROVED)))
        code = "^^".join(CODES["codeList"][:2])
        moment = registry.now.strftime("%Y%m%d%H%M%S")
        with registry.database.write() as connection:
            key = connection.execute(
                select(registry_object.c.id).where(registry_object.c.entry_uuid == world.folder)
            ).scalar_one()
            connection.execute(insert(object_code), {"object_id": key, "attribute": 3, "code": "b^^1"})
        cases: list[tuple[list[tuple[str, str]], list[str]]] = [
            ([], [world.folder]),
            ([(f"{FD}LastUpdateTimeFrom", moment)], [world.folder]),
            ([(f"{FD}LastUpdateTimeTo", moment)], [world.folder]),
            ([(f"{FD}LastUpdateTimeTo", str(int(moment) - 1))], []),
            ([(f"{FD}CodeList", many(code, "x^^1"))], [world.folder]),
            ([(f"{FD}CodeList", many(code)), (f"{FD}CodeList", many("b^^1"))], [world.folder]),
            ([(f"{FD}CodeList", many(code)), (f"{FD}CodeList", many("x^^1"))], []),
        ]
        for more, expected in cases:
            assert registry.ask(request("FindFolders", (*base, *more))).ids == expected
