"""The queries by id, by membership and by relation, over registered submissions, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from sqlalchemy import insert, select, update

from msim_xds.database.schema import association as association_table
from msim_xds.database.schema import object_code, registry_object
from msim_xds.registry.columns import DEPRECATED as DEPRECATED_NUMBER
from tests.support.metadata import (
    APPROVED,
    CODES,
    DEPRECATED,
    HAS_MEMBER,
    OTHER_PATIENT,
    PATIENT,
    association,
    document_entry,
    folder,
    new_oid,
    new_uuid,
    submission_set,
)
from tests.support.queries import ON_DEMAND, STABLE, many, one, request
from tests.support.registry import Registry

DE, FD, SS = "$XDSDocumentEntry", "$XDSFolder", "$XDSSubmissionSet"
APND = "urn:ihe:iti:2007:AssociationType:APND"
XFRM = "urn:ihe:iti:2007:AssociationType:XFRM"
RETURNS = pytest.mark.parametrize("returns", ["LeafClass", "ObjectRef"])
SECRET = ("R", "2.16.840.1.113883.5.25", "restricted")
PDF = ("urn:ihe:iti:xds-sd:pdf:2008", "1.3.6.1.4.1.19376.1.2.3", "pdf")


@dataclass
class World:
    """Two submissions: the first has a folder with one of its two documents, the second adds to it.

    ``append`` appends to ``second`` and is filed by ``filing``. ``inner`` and ``inner_record`` are the FD-DE
    and SS-HM associations of the first set.
    """

    patient: str = PATIENT
    set_: str = field(default_factory=new_uuid)
    later_set: str = field(default_factory=new_uuid)
    first: str = field(default_factory=new_uuid)
    second: str = field(default_factory=new_uuid)
    append: str = field(default_factory=new_uuid)
    folder: str = field(default_factory=new_uuid)
    first_link: str = field(default_factory=new_uuid)
    second_link: str = field(default_factory=new_uuid)
    folder_link: str = field(default_factory=new_uuid)
    inner: str = field(default_factory=new_uuid)
    inner_record: str = field(default_factory=new_uuid)
    append_link: str = field(default_factory=new_uuid)
    appending: str = field(default_factory=new_uuid)
    filing: str = field(default_factory=new_uuid)
    filing_record: str = field(default_factory=new_uuid)
    first_uid: str = field(default_factory=new_oid)
    folder_uid: str = field(default_factory=new_oid)
    set_uid: str = field(default_factory=new_oid)

    def submit(self, registry: Registry) -> None:
        registry.submit(
            submission_set(self.set_, unique_id=self.set_uid, patient_id=self.patient),
            document_entry(self.first, unique_id=self.first_uid, patient_id=self.patient),
            document_entry(
                self.second,
                patient_id=self.patient,
                codes={"confidentialityCode": SECRET, "formatCode": PDF},
            ),
            folder(self.folder, unique_id=self.folder_uid, patient_id=self.patient),
            association(self.set_, self.first, id=self.first_link, status="Original"),
            association(self.set_, self.second, id=self.second_link, status="Original"),
            association(self.set_, self.folder, id=self.folder_link),
            association(self.folder, self.first, id=self.inner),
            association(self.set_, self.inner, id=self.inner_record),
        )
        registry.submit(
            submission_set(self.later_set, patient_id=self.patient),
            document_entry(self.append, patient_id=self.patient),
            association(self.later_set, self.append, id=self.append_link, status="Original"),
            association(self.append, self.second, APND, id=self.appending),
            association(self.folder, self.append, id=self.filing),
            association(self.later_set, self.filing, id=self.filing_record),
        )


@pytest.fixture
def registry(database_url: str) -> Iterator[Registry]:
    with Registry(database_url) as ready:
        yield ready


@pytest.fixture
def world(registry: Registry) -> World:
    """What is asked about; a second world of another patient stands beside it."""
    World(OTHER_PATIENT).submit(registry)
    world = World()
    world.submit(registry)
    return world


def by_id(parameter: str, value: str, *more: tuple[str, str]) -> list[tuple[str, str]]:
    return [(parameter, many(value)), *more]


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


def as_on_demand(registry: Registry, uuid: str) -> None:
    """Make an entry on-demand, as ITI-61 registers them: of that kind, without creationTime."""
    with registry.database.write() as connection:
        connection.execute(
            update(registry_object)
            .where(registry_object.c.entry_uuid == uuid)
            .values(kind=2, time_low=None, time_high=None)
        )


def deprecate(registry: Registry, uuid: str) -> None:
    with registry.database.write() as connection:
        for table in (registry_object, association_table):
            connection.execute(
                update(table).where(table.c.entry_uuid == uuid).values(status=DEPRECATED_NUMBER)
            )


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


class TestReferenceId:
    def test_patterns_and_groups(self, registry: Registry) -> None:
        name = f"{DE}ReferenceIdList"
        accession = "2013^^^&1.2.3&ISO^urn:ihe:iti:xds:2013:accession"
        order = "77^^^&1.2.4&ISO^urn:ihe:iti:xds:2013:order"
        entry = new_uuid()
        slots = {"urn:ihe:iti:xds:2013:referenceIdList": [accession, order]}
        registry.submit(
            submission_set(),
            document_entry(entry, slots=slots),
            association("SubmissionSet01", entry, status="Original"),
        )
        base = ((f"{DE}PatientId", one(PATIENT)), (f"{DE}Status", many(APPROVED)))
        for lists, matches in (
            ([many(accession)], True),
            ([many("2013%")], True),
            ([many("2013")], False),
            ([many("no", order)], True),
            ([many(accession), many(order)], True),
            ([many(accession), many("no")], False),
        ):
            parameters = (*base, *((name, values) for values in lists))
            found = registry.ask(request("FindDocumentsByReferenceId", parameters))
            assert found.ids == ([entry] if matches else [])


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
