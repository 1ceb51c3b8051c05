"""ITI-18: parameters as senders write them, and what comes back, row by row (ITI TF-2 3.18.4.1.2)."""

# ruff: noqa: E501 - tables: one row, one line

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance.node import FAILURE, MULTIPLE_PATIENTS_ACTION, SUCCESS, Node
from tests.conformance.world import RPLC, World, held, submission
from tests.support.metadata import (
    APPROVED,
    DEPRECATED,
    ON_DEMAND,
    PATIENT,
    STABLE,
    XFRM,
    document_entry,
    folder,
    original,
)
from tests.support.queries import IDS, many, one, request, slot

MISSING = (FAILURE, "XDSStoredQueryMissingParam")
NUMBER = (FAILURE, "XDSStoredQueryParamNumber")
MALFORMED = (FAILURE, "XDSRegistryError")
UNKNOWN = (FAILURE, "XDSUnknownStoredQuery")
PERSON = "90863000244^^^&2.16.840.1.113883.3.4424.1.1.616&ISO"
EVENTS = "2.16.840.1.113883.3.4424.11.2.6"
LEVELS = "2.16.840.1.113883.5.25"
ACCESSION = "2013001^^^&1.2.3&ISO^urn:ihe:iti:xds:2013:accession"

_STATUS = "$XDSDocumentEntryStatus"
_BASE = (("$XDSDocumentEntryPatientId", one(PERSON)), (_STATUS, many(APPROVED)))

#: The entries of ``PERSON`` by title.
ENTRIES: dict[str, dict[str, object]] = {
    "day": {"slots": {"creationTime": "20210527", "serviceStartTime": "20210527", "serviceStopTime": "20210528"}},
    "year": {"slots": {"creationTime": "2021"}},
    "second": {"slots": {"creationTime": "20200101000000"}, "authors": ("7^O'Brien^Żaneta^^^^^^&1.2.3&ISO", "^Nowak^Ewa")},
    "events": {"slots": {"creationTime": "2019", "urn:ihe:iti:xds:2013:referenceIdList": ACCESSION}, "codes": {"eventCodeList": [("89.00", EVENTS, "a"), ("88.7", EVENTS, "b")], "confidentialityCode": [("N", LEVELS, "n"), ("R", LEVELS, "r")]}},
    "event": {"slots": {"creationTime": "2019"}, "codes": {"eventCodeList": ("88.7", EVENTS, "b"), "typeCode": ("11502-2", "2.16.840.1.113883.6.1", "Lab")}},
}  # fmt: skip

#: A parameter of FindDocuments with its values, and the titles of what is found.
FINDS: list[tuple[str, tuple[str, ...], str]] = [
    ("$XDSDocumentEntryClassCode", ("('00.20^^2.16.840.1.113883.3.4424.11.1.32')",), "day year second events event"),
    ("$XDSDocumentEntryClassCode", ("('00.20^^1.2.3')",), ""),
    ("$XDSDocumentEntryTypeCode", ("('11502-2^^2.16.840.1.113883.6.1')",), "event"),
    ("$XDSDocumentEntryTypeCode", ("('x^^1.2','11502-2^^2.16.840.1.113883.6.1')",), "event"),
    ("$XDSDocumentEntryTypeCode", ("('x^^1.2')", "('11502-2^^2.16.840.1.113883.6.1')"), "event"),
    ("$XDSDocumentEntryTypeCode", ("'11502-2^^2.16.840.1.113883.6.1'",), "event"),
    ("$XDSDocumentEntryTypeCode", (" (\n 'x^^1.2' ,\n'11502-2^^2.16.840.1.113883.6.1' )\n",), "event"),
    ("$XDSDocumentEntryTypeCode", (), "day year second events event"),
    ("$XDSDocumentEntryEventCodeList", (f"('89.00^^{EVENTS}','88.7^^{EVENTS}')",), "events event"),
    ("$XDSDocumentEntryConfidentialityCode", (f"('R^^{LEVELS}')",), "events"),
    ("$XDSDocumentEntryFormatCode", ("('none^^1.2')",), ""),
    ("$XDSDocumentEntryPracticeSettingCode", ("('05^^Dziedzina medyczna')",), "day year second events event"),
    ("$XDSDocumentEntryHealthcareFacilityTypeCode", ("('4500^^1.2')",), ""),
    ("$XDSDocumentEntryAuthorPerson", ("('%Brien%')",), "second"),
    ("$XDSDocumentEntryAuthorPerson", ("('%O''Brien%')",), "second"),
    ("$XDSDocumentEntryAuthorPerson", ("('7^O_Brien%')",), "second"),
    ("$XDSDocumentEntryAuthorPerson", ("('%obrien%','^Nowak^Ewa')",), "second"),
    ("$XDSDocumentEntryAuthorPerson", ("'%Żaneta%'",), "second"),
    ("$XDSDocumentEntryAuthorPerson", ("('Nowak')",), ""),
    ("$XDSDocumentEntryCreationTimeFrom", ("20210527",), "day year"),
    ("$XDSDocumentEntryCreationTimeFrom", ("'20210527'",), "day year"),
    ("$XDSDocumentEntryCreationTimeFrom", ("('20210528')",), "year"),
    ("$XDSDocumentEntryCreationTimeFrom", ("20200101000000",), "day year second"),
    ("$XDSDocumentEntryCreationTimeFrom", ("20220101",), ""),
    ("$XDSDocumentEntryCreationTimeTo", ("20210527",), "year second events event"),
    ("$XDSDocumentEntryCreationTimeTo", ("20210528",), "day year second events event"),
    ("$XDSDocumentEntryCreationTimeTo", ("20200101000000",), "events event"),
    ("$XDSDocumentEntryCreationTimeTo", ("20200101000001",), "second events event"),
    ("$XDSDocumentEntryCreationTimeTo", ("2020",), "second events event"),
    ("$XDSDocumentEntryServiceStartTimeFrom", ("20210528",), "year second events event"),
    ("$XDSDocumentEntryServiceStartTimeTo", ("20210527",), "year second events event"),
    ("$XDSDocumentEntryServiceStopTimeTo", ("20210529",), "day year second events event"),
    ("$XDSDocumentEntryServiceStopTimeFrom", ("20210529",), "year second events event"),
    ("$XDSDocumentEntryType", (many(STABLE),), "day year second events event"),
    ("$XDSDocumentEntryType", (many(ON_DEMAND, STABLE),), "day year second events event"),
    ("$XDSDocumentEntryType", (many(ON_DEMAND),), ""),
    ("$XDSDocumentEntryDocumentAvailability", (many("urn:ihe:iti:2010:DocumentAvailability:Online"),), "day year second events event"),
    ("$XDSDocumentEntryDocumentAvailability", (many("urn:ihe:iti:2010:DocumentAvailability:Offline"),), ""),
    ("$MetadataLevel", ("1",), "day year second events event"),
    ("$MetadataLevel", ("2",), "day year second events event"),
    ("$XDSDocumentEntryClassCodeScheme", ("('anything')",), "day year second events event"),
    ("$vendor", ("no 'syntax",), "day year second events event"),
]  # fmt: skip


def _find(*slots: str) -> bytes:
    base = "".join(slot(name, value) for name, value in _BASE)
    plain = request("FindDocuments").decode()
    return plain.replace("</rim:AdhocQuery>", f"{base}{''.join(slots)}</rim:AdhocQuery>").encode()


def _by_id(query: str, *parameters: tuple[str, str], returns: str = "LeafClass") -> Callable[[World], bytes]:
    """A query whose values name attributes of the world in braces."""

    def build(world: World) -> bytes:
        filled = [(name, value.format_map(vars(world))) for name, value in parameters]
        return request(query, filled, returns=returns)

    return build


_DE, _SS, _FD = "$XDSDocumentEntry", "$XDSSubmissionSet", "$XDSFolder"

#: Queries by id, and how many of each element they return.
CONTENTS: dict[str, tuple[Callable[[World], bytes], dict[str, int]]] = {
    "GetDocuments": (_by_id("GetDocuments", (f"{_DE}EntryUUID", "('{approved}','{outdated}')")), {"ExtrinsicObject": 2}),
    "GetDocuments, no list": (_by_id("GetDocuments", (f"{_DE}EntryUUID", "'{approved}'")), {"ExtrinsicObject": 1}),
    "GetDocuments by uniqueId": (_by_id("GetDocuments", (f"{_DE}UniqueId", "('{unique_id}')")), {"ExtrinsicObject": 1}),
    "GetDocuments of nothing": (_by_id("GetDocuments", (f"{_DE}EntryUUID", "('nothing')")), {}),
    "GetDocuments with the id of a Folder": (_by_id("GetDocuments", (f"{_DE}EntryUUID", "('{folder}')")), {}),
    "GetFolders": (_by_id("GetFolders", (f"{_FD}EntryUUID", "('{folder}')")), {"RegistryPackage": 1}),
    "GetFolders by uniqueId": (_by_id("GetFolders", (f"{_FD}UniqueId", "('{folder_unique_id}')")), {"RegistryPackage": 1}),
    "GetFolders with the id of a SubmissionSet": (_by_id("GetFolders", (f"{_FD}EntryUUID", "('{set}')")), {}),
    "GetAssociations": (_by_id("GetAssociations", ("$uuid", "('{approved}')")), {"Association": 3}),
    "GetAssociations of a SubmissionSet": (_by_id("GetAssociations", ("$uuid", "('{set}')")), {"Association": 4}),
    "GetAssociations of two": (_by_id("GetAssociations", ("$uuid", "('{approved}','{set}')")), {"Association": 6}),
    "GetAssociations as ObjectRefs": (_by_id("GetAssociations", ("$uuid", "('{approved}')"), returns="ObjectRef"), {"ObjectRef": 3}),
    "GetDocumentsAndAssociations": (_by_id("GetDocumentsAndAssociations", (f"{_DE}EntryUUID", "('{approved}')")), {"Association": 3, "ExtrinsicObject": 1}),
    "GetDocumentsAndAssociations as ObjectRefs": (_by_id("GetDocumentsAndAssociations", (f"{_DE}UniqueId", "('{unique_id}')"), returns="ObjectRef"), {"ObjectRef": 4}),
    "GetSubmissionSets": (_by_id("GetSubmissionSets", ("$uuid", "('{approved}','{folder}')")), {"Association": 2, "RegistryPackage": 1}),
    "GetSubmissionSets of a SubmissionSet": (_by_id("GetSubmissionSets", ("$uuid", "('{set}')")), {}),
    "GetSubmissionSetAndContents": (_by_id("GetSubmissionSetAndContents", (f"{_SS}EntryUUID", "'{set}'")), {"Association": 5, "ExtrinsicObject": 2, "RegistryPackage": 2}),
    "GetSubmissionSetAndContents by uniqueId": (_by_id("GetSubmissionSetAndContents", (f"{_SS}UniqueId", "'{set_unique_id}'")), {"Association": 5, "ExtrinsicObject": 2, "RegistryPackage": 2}),
    "GetSubmissionSetAndContents, a list": (_by_id("GetSubmissionSetAndContents", (f"{_SS}UniqueId", "('{set_unique_id}')")), {"Association": 5, "ExtrinsicObject": 2, "RegistryPackage": 2}),
    "GetSubmissionSetAndContents without its documents": (_by_id("GetSubmissionSetAndContents", (f"{_SS}EntryUUID", "'{set}'"), (f"{_DE}FormatCode", "('x^^1.2')")), {"Association": 1, "RegistryPackage": 2}),
    "GetSubmissionSetAndContents of nothing": (_by_id("GetSubmissionSetAndContents", (f"{_SS}EntryUUID", "'urn:uuid:0'")), {}),
    "GetFolderAndContents": (_by_id("GetFolderAndContents", (f"{_FD}EntryUUID", "'{folder}'")), {"Association": 1, "ExtrinsicObject": 1, "RegistryPackage": 1}),
    "GetFolderAndContents without its documents": (_by_id("GetFolderAndContents", (f"{_FD}UniqueId", "'{folder_unique_id}'"), (f"{_DE}ConfidentialityCode", "('V^^1.2')")), {"RegistryPackage": 1}),
    "GetFolderAndContents, on-demand only": (_by_id("GetFolderAndContents", (f"{_FD}EntryUUID", "'{folder}'"), (f"{_DE}Type", many(ON_DEMAND))), {"RegistryPackage": 1}),
    "GetFoldersForDocument": (_by_id("GetFoldersForDocument", (f"{_DE}EntryUUID", "'{approved}'")), {"RegistryPackage": 1}),
    "GetFoldersForDocument by uniqueId": (_by_id("GetFoldersForDocument", (f"{_DE}UniqueId", "'{unique_id}'")), {"RegistryPackage": 1}),
    "GetFoldersForDocument in none": (_by_id("GetFoldersForDocument", (f"{_DE}EntryUUID", "'{outdated}'")), {}),
    "GetRelatedDocuments": (_by_id("GetRelatedDocuments", (f"{_DE}EntryUUID", "'{approved}'"), ("$AssociationTypes", many(XFRM))), {"Association": 1, "ExtrinsicObject": 2}),
    "GetRelatedDocuments from the other side": (_by_id("GetRelatedDocuments", (f"{_DE}EntryUUID", "'{transform}'"), ("$AssociationTypes", many(XFRM, RPLC))), {"Association": 1, "ExtrinsicObject": 2}),
    "GetRelatedDocuments of the outdated": (_by_id("GetRelatedDocuments", (f"{_DE}EntryUUID", "'{outdated}'"), ("$AssociationTypes", many(RPLC))), {"Association": 1, "ExtrinsicObject": 2}),
    "GetRelatedDocuments of another type": (_by_id("GetRelatedDocuments", (f"{_DE}EntryUUID", "'{approved}'"), ("$AssociationTypes", many(RPLC))), {}),
}  # fmt: skip

#: Refused queries.
REFUSED: dict[str, tuple[Callable[[World], bytes], tuple[str, ...]]] = {
    "no parameters": (lambda w: request("FindDocuments"), MISSING),
    "no status": (lambda w: request("FindDocuments", _BASE[:1]), MISSING),
    "no patient": (lambda w: request("FindDocuments", _BASE[1:]), MISSING),
    "empty status": (lambda w: request("FindDocuments", (_BASE[0], (_STATUS, "()"))), MALFORMED),
    "no known status": (lambda w: request("FindDocuments", (_BASE[0], (_STATUS, "('Approved')"))), MISSING),
    "two patients": (lambda w: request("FindDocuments", ((_BASE[0][0], many(PATIENT, PERSON)), _BASE[1])), NUMBER),
    "patient without quotes": (lambda w: request("FindDocuments", ((_BASE[0][0], PATIENT), _BASE[1])), MALFORMED),
    "double quotes": (lambda w: request("FindDocuments", (_BASE[0], (_STATUS, f'("{APPROVED}")'))), MALFORMED),
    "status twice": (lambda w: _find(slot(_STATUS, many(DEPRECATED))), NUMBER),
    "class code twice": (lambda w: _find(*[slot(f"{_DE}ClassCode", "('a^^1.2')")] * 2), NUMBER),
    "code without scheme": (lambda w: _find(slot(f"{_DE}ClassCode", "('00.20')")), MALFORMED),
    "code with an empty scheme": (lambda w: _find(slot(f"{_DE}ClassCode", "('00.20^^')")), MALFORMED),
    "open quote": (lambda w: _find(slot(f"{_DE}ClassCode", "('00.20^^1.2)")), MALFORMED),
    "no comma": (lambda w: _find(slot(f"{_DE}ClassCode", "('a^^1.2' 'b^^1.2')")), MALFORMED),
    "no time": (lambda w: _find(slot(f"{_DE}CreationTimeFrom", "yesterday")), MALFORMED),
    "no day of the calendar": (lambda w: _find(slot(f"{_DE}CreationTimeTo", "20210230")), MALFORMED),
    "two times": (lambda w: _find(slot(f"{_DE}CreationTimeTo", "2020", "2021")), NUMBER),
    "level 3": (lambda w: _find(slot("$MetadataLevel", "3")), MALFORMED),
    "no returnType": (lambda w: request("FindDocuments", _BASE, returns=None), MALFORMED),
    "returnType RegistryObject": (lambda w: request("FindDocuments", _BASE, returns="RegistryObject"), MALFORMED),
    "returnType with repository item": (lambda w: request("FindDocuments", _BASE, returns="LeafClassWithRepositoryItem"), MALFORMED),
    "unknown query": (lambda w: request("urn:uuid:00000000-0000-4000-8000-000000000000"), UNKNOWN),
    "query of ITI-51": (lambda w: request("urn:uuid:3d1bdb10-39a2-11de-89c2-2f44d94eaa9f"), UNKNOWN),
    "query id without urn:uuid:": (lambda w: request(IDS["GetAll"]), UNKNOWN),
    "GetDocuments by nothing": (_by_id("GetDocuments"), MISSING),
    "GetDocuments by both": (_by_id("GetDocuments", (f"{_DE}EntryUUID", "('{approved}')"), (f"{_DE}UniqueId", "('{unique_id}')")), NUMBER),
    "GetFolders by nothing": (_by_id("GetFolders"), MISSING),
    "GetAssociations by nothing": (_by_id("GetAssociations"), MISSING),
    "GetSubmissionSets by nothing": (_by_id("GetSubmissionSets"), MISSING),
    "GetSubmissionSetAndContents of two": (_by_id("GetSubmissionSetAndContents", (f"{_SS}EntryUUID", "('{set}','{folder}')")), NUMBER),
    "GetFolderAndContents by both": (_by_id("GetFolderAndContents", (f"{_FD}EntryUUID", "'{folder}'"), (f"{_FD}UniqueId", "'{folder_unique_id}'")), NUMBER),
    "GetFoldersForDocument of two": (_by_id("GetFoldersForDocument", (f"{_DE}EntryUUID", "('{approved}','{outdated}')")), NUMBER),
    "GetRelatedDocuments without types": (_by_id("GetRelatedDocuments", (f"{_DE}EntryUUID", "'{approved}'")), MISSING),
    "GetRelatedDocuments of no known type": (_by_id("GetRelatedDocuments", (f"{_DE}EntryUUID", "'{approved}'"), ("$AssociationTypes", "('RPLC')")), MISSING),
    "GetAll without a Folder status": (_by_id("GetAll", ("$patientId", one(PATIENT)), (_STATUS, many(APPROVED)), ("$XDSSubmissionSetStatus", many(APPROVED))), MISSING),
    "FindSubmissionSets without a status": (_by_id("FindSubmissionSets", (f"{_SS}PatientId", one(PATIENT))), MISSING),
    "FindFolders without a patient": (_by_id("FindFolders", ("$XDSFolderStatus", many(APPROVED))), MISSING),
    "FindDocumentsByReferenceId without one": (lambda w: request("FindDocumentsByReferenceId", _BASE), MISSING),
    "two patients' documents": (_by_id("GetDocuments", (f"{_DE}EntryUUID", "('{approved}','{foreign}')")), (FAILURE, "XDSResultNotSinglePatient")),
    "two patients' folders": (_by_id("GetFolders", (f"{_FD}EntryUUID", "('{folder}','{foreign_folder}')")), (FAILURE, "XDSResultNotSinglePatient")),
    "two patients' SubmissionSets": (_by_id("GetSubmissionSets", ("$uuid", "('{folder}','{foreign_folder}')")), (FAILURE, "XDSResultNotSinglePatient")),
}  # fmt: skip

SETS: list[tuple[str, str, int]] = [
    (f"{_SS}SourceId", "('2.16.840.1.113883.3.4424.2.7.99999')", 5),
    (f"{_SS}SourceId", "('1.2.3','9.9')", 0),
    (f"{_SS}AuthorPerson", "'%Wzorcowy%'", 5),
    (f"{_SS}AuthorPerson", "('%Wzorcowy%')", 5),
    (f"{_SS}AuthorPerson", "'%Nobody%'", 0),
    (f"{_SS}ContentType", "('18842-5^^2.16.840.1.113883.6.1')", 5),
    (f"{_SS}ContentType", "('18842-5^^1.2')", 0),
    (f"{_SS}SubmissionTimeFrom", "20260914113512", 5),
    (f"{_SS}SubmissionTimeFrom", "20260915", 0),
    (f"{_SS}SubmissionTimeTo", "20260914113512", 0),
    (f"{_SS}SubmissionTimeTo", "2026", 5),
]
FOLDERS: list[tuple[str, str, int]] = [
    ("$XDSFolderCodeList", "('00.20^^2.16.840.1.113883.3.4424.11.1.32')", 1),
    ("$XDSFolderCodeList", "('00.20^^1.2')", 0),
    ("$XDSFolderLastUpdateTimeFrom", "2020", 1),
    ("$XDSFolderLastUpdateTimeTo", "2020", 0),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    path: Path = tmp_path_factory.mktemp("world")
    world = World(Node(path))
    for title, options in ENTRIES.items():
        more = (folder(patient_id=PERSON), held()) if title == "day" else ()
        entry = document_entry(title=title, patient_id=PERSON, **options)  # type: ignore[arg-type]
        outcome = world.node.register(submission(entry, original(), *more, patient=PERSON))
        assert outcome.short == (SUCCESS,), outcome.texts
    return world


def _titles(world: World, message: bytes) -> set[str]:
    outcome = world.node.ask(message)
    assert outcome.short == (SUCCESS,), outcome.texts
    assert set(outcome.kinds) <= {"ExtrinsicObject"}
    names = "{urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0}"
    return {each.find(f"{names}Name/{names}LocalizedString").get("value", "") for each in outcome.objects}  # type: ignore[union-attr]


@pytest.mark.parametrize(("name", "values", "found"), FINDS)
def test_find_documents(world: World, name: str, values: tuple[str, ...], found: str) -> None:
    assert _titles(world, _find(slot(name, *values))) == set(found.split())


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        (("$XDSDocumentEntryCreationTimeFrom", "2021"), ("$XDSDocumentEntryCreationTimeTo", "2021"), "day"),
        (("$XDSDocumentEntryCreationTimeFrom", "20210701"), ("$XDSDocumentEntryCreationTimeTo", "20210701"), "year"),
        (("$XDSDocumentEntryCreationTimeFrom", "20100101"), ("$XDSDocumentEntryCreationTimeTo", "20191231"), "events event"),
        (("$XDSDocumentEntryEventCodeList", f"('89.00^^{EVENTS}')"), ("$XDSDocumentEntryEventCodeList", f"('88.7^^{EVENTS}','x^^1.2')"), "events"),
        (("$XDSDocumentEntryConfidentialityCode", f"('N^^{LEVELS}')"), ("$XDSDocumentEntryConfidentialityCode", f"('R^^{LEVELS}')"), "events"),
        (("$XDSDocumentEntryConfidentialityCode", f"('R^^{LEVELS}')"), ("$XDSDocumentEntryEventCodeList", "('x^^1.2')"), ""),
    ],
)  # fmt: skip
def test_all_parameters_must_match(
    world: World, first: tuple[str, str], second: tuple[str, str], found: str
) -> None:
    assert _titles(world, _find(slot(*first), slot(*second))) == set(found.split())


@pytest.mark.parametrize(
    ("values", "found"), [((ACCESSION,), "events"), (("2013001^%",), "events"), (("2013",), "")]
)
def test_find_documents_by_reference_id(world: World, values: tuple[str, ...], found: str) -> None:
    asked = (*_BASE, ("$XDSDocumentEntryReferenceIdList", many(*values)))
    assert _titles(world, request("FindDocumentsByReferenceId", asked)) == set(found.split())


@pytest.mark.parametrize(
    "change",
    [
        ("'urn:oasis", " 'urn:oasis"),
        ("</rim:Value>", "\n  </rim:Value>"),
        ('returnComposedObjects="true"', 'returnComposedObjects="false"'),
        (' returnComposedObjects="true"', ""),
        ("<rim:AdhocQuery ", '<rim:AdhocQuery home="urn:oid:1.2.3" '),
        ("<query:AdhocQueryRequest ", '<query:AdhocQueryRequest startIndex="3" maxResults="1" federated="true" '),
        ("<query:AdhocQueryRequest ", '<query:AdhocQueryRequest id="a" comment="b" '),
        ("14d4debf-8f97-4251", "14D4DEBF-8F97-4251"),
        (f"('{APPROVED}')", f"'{APPROVED}'"),
        (f"('{APPROVED}')", f"('{APPROVED}','{DEPRECATED}')"),
        (f"('{APPROVED}')", f"('urn:oasis:names:tc:ebxml-regrep:StatusType:Submitted','{APPROVED}')"),
        (f"<rim:Value>('{APPROVED}')", f"<rim:Value>('{DEPRECATED}')</rim:Value><rim:Value>('{APPROVED}')"),
        (f"'{PERSON}'".replace("&", "&amp;"), f"('{PERSON}')".replace("&", "&amp;")),
    ],
)  # fmt: skip
def test_other_ways_to_ask_the_same(world: World, change: tuple[str, str]) -> None:
    message = _find().decode()
    assert change[0] in message
    assert _titles(world, message.replace(*change).encode()) == set(ENTRIES)


@pytest.mark.parametrize(("message", "kinds"), CONTENTS.values(), ids=list(CONTENTS))
def test_contents(world: World, message: Callable[[World], bytes], kinds: dict[str, int]) -> None:
    outcome = world.node.ask(message(world))
    assert outcome.short == (SUCCESS,), outcome.texts
    assert outcome.kinds == kinds
    assert len(set(outcome.ids)) == len(outcome.ids)


def test_ids_in_capitals(world: World) -> None:
    asked = ("$XDSDocumentEntryEntryUUID", many("urn:uuid:" + world.approved[9:].upper()))
    assert world.node.get("GetDocuments", asked).ids == [world.approved]


@pytest.mark.parametrize(("message", "expected"), REFUSED.values(), ids=list(REFUSED))
def test_refused(world: World, message: Callable[[World], bytes], expected: tuple[str, ...]) -> None:
    outcome = world.node.ask(message(world))
    assert outcome.short == expected, outcome.texts
    assert outcome.objects == []


def test_object_refs_may_mix_patients(world: World) -> None:
    asked = ("$XDSDocumentEntryEntryUUID", many(world.approved, world.foreign))
    assert world.node.get("GetDocuments", asked, returns="ObjectRef").kinds == {"ObjectRef": 2}


@pytest.mark.parametrize(("name", "value", "count"), SETS)
def test_find_submission_sets(world: World, name: str, value: str, count: int) -> None:
    base = ((f"{_SS}PatientId", one(PERSON)), (f"{_SS}Status", many(APPROVED)))
    found = world.node.get("FindSubmissionSets", *base, (name, value))
    assert found.kinds == ({"RegistryPackage": count} if count else {})


@pytest.mark.parametrize(("name", "value", "count"), FOLDERS)
def test_find_folders(world: World, name: str, value: str, count: int) -> None:
    base = ((f"{_FD}PatientId", one(PERSON)), (f"{_FD}Status", many(APPROVED)))
    assert len(world.node.get("FindFolders", *base, (name, value)).objects) == count


@pytest.mark.parametrize(
    ("status", "filters", "kinds"),
    [
        ((APPROVED, DEPRECATED), (), {"Association": 9, "ExtrinsicObject": 4, "RegistryPackage": 4}),
        ((APPROVED,), (), {"Association": 9, "ExtrinsicObject": 3, "RegistryPackage": 4}),
        ((APPROVED,), ((f"{_DE}FormatCode", "('x^^1.2')"),), {"Association": 7, "RegistryPackage": 4}),
        ((APPROVED,), ((f"{_DE}Type", many(ON_DEMAND)),), {"Association": 7, "RegistryPackage": 4}),
    ],
)
def test_get_all(
    world: World, status: tuple[str, ...], filters: tuple[tuple[str, str], ...], kinds: dict[str, int]
) -> None:
    statuses = [
        (f"${kind}Status", many(*status)) for kind in ("XDSDocumentEntry", "XDSSubmissionSet", "XDSFolder")
    ]
    assert world.node.get("GetAll", ("$patientId", one(PATIENT)), *statuses, *filters).kinds == kinds


#: A query of ITI-51, and status, codes and number of objects.
MULTIPLE: dict[str, tuple[bytes, tuple[str, ...], int]] = {
    "several patients": (request("FindDocumentsForMultiplePatients", (_BASE[1], (f"{_DE}PatientId", many(PERSON, PATIENT)))), (SUCCESS,), 8),
    "a code": (request("FindDocumentsForMultiplePatients", (_BASE[1], (f"{_DE}EventCodeList", many(f"89.00^^{EVENTS}")))), (SUCCESS,), 1),
    "neither": (request("FindDocumentsForMultiplePatients", (_BASE[1],)), MISSING, 0),
    "a reference id": (request("FindDocumentsByReferenceIdForMultiplePatients", (_BASE[1], (f"{_DE}ReferenceIdList", many(ACCESSION)))), (SUCCESS,), 1),
    "query of ITI-18": (_find(), UNKNOWN, 0),
}  # fmt: skip


@pytest.mark.parametrize(("message", "expected", "count"), MULTIPLE.values(), ids=list(MULTIPLE))
def test_several_patients(world: World, message: bytes, expected: tuple[str, ...], count: int) -> None:
    outcome = world.node.ask(message, MULTIPLE_PATIENTS_ACTION)
    assert outcome.short == expected, outcome.texts
    assert len(outcome.objects) == count


def test_a_patient_that_nobody_knows(world: World) -> None:
    nobody = ("$XDSDocumentEntryPatientId", one("1^^^&1.2.3&ISO"))
    assert world.node.get("FindDocuments", nobody, _BASE[1]).objects == []
