"""From AdhocQueryRequest to a checked query: what each query takes, and how it is understood."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from lxml import etree

from msim_xds.ihe.names import ObjectKind, Status
from msim_xds.ihe.queries import QUERIES, Match, offered
from msim_xds.metadata.datatypes import Period
from msim_xds.registry.query_reader import read
from tests.support.metadata import APPROVED, DEPRECATED, ON_DEMAND, PATIENT, RIM, STABLE
from tests.support.queries import IDS, MULTIPLE_IDS, PREVIEW_IDS, find_documents, many, one, request, slot
from tests.test_registry.querying import CODE, LIMITS, codes, groups, query, refused


@pytest.mark.parametrize(
    ("transaction", "preview", "ids"),
    [
        ("ITI-18", False, IDS),
        ("ITI-18", True, IDS | PREVIEW_IDS),
        ("ITI-51", False, MULTIPLE_IDS),
        ("ITI-51", True, MULTIPLE_IDS),
    ],
)
def test_what_each_transaction_offers(transaction: str, preview: bool, ids: Mapping[str, str]) -> None:
    rows = offered(transaction, preview=preview)
    assert {row.name: key for key, row in rows.items()} == {k: f"urn:uuid:{v}" for k, v in ids.items()}
    others = {row.id: row for row in QUERIES.values() if row.id not in rows}
    for row in others.values():
        (finding,) = refused(request(row.id), rows)
        assert finding.code == "XDSUnknownStoredQuery"
        assert row.transaction in finding.problem
        assert ("search.preview" in finding.problem) == row.preview
        assert row.name not in finding.allowed.replace("MultiplePatients", "").split()


def test_a_whole_query() -> None:
    found = query(
        find_documents(
            ("$XDSDocumentEntryCreationTimeFrom", "2021"),
            ("$XDSDocumentEntryClassCode", many(CODE)),
            ("$XDSDocumentEntryType", many(ON_DEMAND, STABLE)),
            ("$MetadataLevel", "2"),
            status=(APPROVED, DEPRECATED),
        )
    )
    assert found.row.name == "FindDocuments"
    assert found.leaf
    assert found.patients == (PATIENT,)
    assert found.level == 2
    assert found.entry_kinds == (ObjectKind.STABLE_DOCUMENT_ENTRY, ObjectKind.ON_DEMAND_DOCUMENT_ENTRY)
    assert {c.param.name: c.groups for c in found.criteria} == {
        "$XDSDocumentEntryPatientId": ((PATIENT,),),
        "$XDSDocumentEntryStatus": ((Status.APPROVED, Status.DEPRECATED),),
        "$XDSDocumentEntryClassCode": ((CODE,),),
        "$XDSDocumentEntryCreationTimeFrom": ((Period(20210000000000, 20219999999999),),),
        "$XDSDocumentEntryType": ((ObjectKind.ON_DEMAND_DOCUMENT_ENTRY, ObjectKind.STABLE_DOCUMENT_ENTRY),),
    }


def test_object_type_is_stable_where_the_parameter_exists_and_is_absent() -> None:
    assert query(find_documents()).entry_kinds == (ObjectKind.STABLE_DOCUMENT_ENTRY,)
    by_id = request("GetDocuments", [("$XDSDocumentEntryUniqueId", many("1.2"))])
    assert len(query(by_id).entry_kinds) == 2
    only = find_documents(("$XDSDocumentEntryType", many(ON_DEMAND)))
    assert query(only).entry_kinds == (ObjectKind.ON_DEMAND_DOCUMENT_ENTRY,)


def test_ids_are_read_in_either_case() -> None:
    message = request(
        f" URN:UUID:{IDS['GetDocuments'].upper()} ", [("$XDSDocumentEntryEntryUUID", many("urn:uuid:AB"))]
    )
    assert groups(message, "$XDSDocumentEntryEntryUUID") == (("urn:uuid:ab",),)


def test_repeated_slots_are_and() -> None:
    name = "$XDSDocumentEntryEventCodeList"
    message = find_documents((name, many("a^^1", "b^^1")), (name, many("c^^1")))
    assert groups(message, name) == (("a^^1", "b^^1"), ("c^^1",))


def test_values_of_one_slot_are_or() -> None:
    name = "$XDSDocumentEntryClassCode"
    body = etree.fromstring(find_documents())
    extra = slot(name, many("a^^1", "b^^1"), many("c^^1")).replace(
        "<rim:Slot", f'<rim:Slot xmlns:rim="{RIM}"', 1
    )
    body[1].append(etree.fromstring(extra))
    assert [c.groups for c in read(body, QUERIES, LIMITS).criteria if c.param.name == name] == [
        (("a^^1", "b^^1", "c^^1"),)
    ]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("$XDSDocumentEntryCreationTimeTo", "'20210527'", Period(20210527000000, 20210527999999)),
        ("$XDSDocumentEntryCreationTimeTo", "(20210527)", Period(20210527000000, 20210527999999)),
        ("$XDSDocumentEntryCreationTimeTo", "20210527101112", Period(20210527101112, 20210527101112)),
        ("$XDSDocumentEntryClassCode", "'a^^1'", "a^^1"),
        ("$XDSDocumentEntryAuthorPerson", "('%O''Reilly_')", "%O'Reilly_"),
        ("$XDSDocumentEntryAuthorPerson", "('%Lo\u0301dz%')", "%L\u00f3dz%"),
    ],
)
def test_values(name: str, text: str, value: object) -> None:
    assert groups(find_documents((name, text)), name) == ((value,),)


@pytest.mark.parametrize(("text", "level"), [("1", 1), ("'1'", 1), ("2", 2), ("(2)", 2), (None, 1)])
def test_metadata_level(text: str | None, level: int) -> None:
    given = [] if text is None else [("$MetadataLevel", text)]
    assert query(find_documents(*given)).level == level


def test_submission_sets_have_no_level() -> None:
    base = [("$XDSSubmissionSetPatientId", one(PATIENT)), ("$XDSSubmissionSetStatus", many(APPROVED))]
    assert query(request("FindSubmissionSets", [*base, ("$MetadataLevel", "nonsense")])).level == 1


def test_association_status_exists_at_level_2_only() -> None:
    base = [("$uuid", many("urn:uuid:1")), ("$XDSAssociationStatus", many(DEPRECATED))]
    assert query(request("GetAssociations", base)).values(Match.ASSOCIATION_STATUS) == ()
    at_2 = query(request("GetAssociations", [*base, ("$MetadataLevel", "2")]))
    assert at_2.values(Match.ASSOCIATION_STATUS) == (Status.DEPRECATED,)
    unknown = [("$uuid", many("urn:uuid:1")), ("$XDSAssociationStatus", many("x")), ("$MetadataLevel", "2")]
    assert codes(refused(request("GetAssociations", unknown))) == [
        ("XDSRegistryError", "$XDSAssociationStatus")
    ]


LOGICAL = [("GetDocuments", "$XDSDocumentEntry"), ("GetFolders", "$XDSFolder")]


@pytest.mark.parametrize(("name", "stem"), LOGICAL)
def test_logical_ids_at_level_2(name: str, stem: str) -> None:
    lid, level = (f"{stem}LogicalID", many("urn:uuid:AB", "urn:uuid:c")), ("$MetadataLevel", "2")
    found = query(request(name, [lid, level]))
    assert found.values(Match.LOGICAL_ID) == ("urn:uuid:ab", "urn:uuid:c")
    both = refused(request(name, [lid, level, (f"{stem}UniqueId", many("1.2"))]))
    assert codes(both) == [("XDSStoredQueryParamNumber", f"{stem}LogicalID")]


@pytest.mark.parametrize(("name", "stem"), LOGICAL)
def test_logical_ids_do_not_exist_at_level_1(name: str, stem: str) -> None:
    lid = (f"{stem}LogicalID", many("urn:uuid:ab"))
    (finding,) = refused(request(name, [lid]))
    assert (finding.code, finding.attribute) == (
        "XDSStoredQueryMissingParam",
        f"{stem}EntryUUID or {stem}UniqueId",
    )
    assert f"{stem}LogicalID with $MetadataLevel 2" in finding.allowed
    assert len(query(request(name, [lid, (f"{stem}UniqueId", many("1.2"))])).criteria) == 1


class TestMultiplePatients:
    ROWS = offered("ITI-51", preview=False)

    def test_several_or_none(self) -> None:
        status, code = ("$XDSDocumentEntryStatus", many(APPROVED)), ("$XDSDocumentEntryClassCode", many(CODE))
        patients = ("$XDSDocumentEntryPatientId", many("1^^^&2&ISO", PATIENT))
        name = "FindDocumentsForMultiplePatients"
        assert query(request(name, [status, patients]), self.ROWS).patients == ("1^^^&2&ISO", PATIENT)
        assert query(request(name, [status, code]), self.ROWS).patients == ()

    @pytest.mark.parametrize(
        ("name", "parameter", "anything"),
        [
            ("FindDocumentsForMultiplePatients", "$XDSDocumentEntryPatientId", many(PATIENT)),
            ("FindDocumentsForMultiplePatients", "$XDSDocumentEntryClassCode", many(CODE)),
            ("FindDocumentsForMultiplePatients", "$XDSDocumentEntryEventCodeList", many(CODE)),
            ("FindDocumentsForMultiplePatients", "$XDSDocumentEntryHealthcareFacilityTypeCode", many(CODE)),
            ("FindFoldersForMultiplePatients", "$XDSFolderPatientId", many(PATIENT)),
            ("FindFoldersForMultiplePatients", "$XDSFolderCodeList", many(CODE)),
        ],
    )
    def test_at_least_one_of(self, name: str, parameter: str, anything: str) -> None:
        stem = "$XDSFolder" if "Folder" in name else "$XDSDocumentEntry"
        status = (f"{stem}Status", many(APPROVED))
        weak = [status, ("$XDSDocumentEntryTypeCode", many(CODE)), ("$XDSFolderLastUpdateTimeFrom", "2020")]
        (finding,) = refused(request(name, weak), self.ROWS)
        assert finding.code == "XDSStoredQueryMissingParam"
        assert parameter in finding.code_context.split(" or ")
        assert query(request(name, [*weak, (parameter, anything)]), self.ROWS).row.name == name

    def test_a_reference_id_is_enough(self) -> None:
        status = ("$XDSDocumentEntryStatus", many(APPROVED))
        name = "FindDocumentsByReferenceIdForMultiplePatients"
        reference = ("$XDSDocumentEntryReferenceIdList", many("%"))
        assert query(request(name, [status, reference]), self.ROWS).patients == ()
        assert codes(refused(request(name, [status]), self.ROWS)) == [
            ("XDSStoredQueryMissingParam", "$XDSDocumentEntryReferenceIdList")
        ]


def excluding() -> list[str]:
    row = QUERIES["urn:uuid:" + PREVIEW_IDS["FindDocumentsExclude"]]
    return [param.name for param in row.params if param.negated]


def test_what_can_be_excluded() -> None:
    names = {name.removeprefix("$XDSDocumentEntry").removesuffix("Exclude") for name in excluding()}
    assert names == {
        "AuthorPerson",
        "ClassCode",
        "ConfidentialityCode",
        "DocumentAvailability",
        "EventCodeList",
        "FormatCode",
        "HealthcareFacilityTypeCode",
        "PracticeSettingCode",
        "TypeCode",
    }


@pytest.mark.parametrize("name", excluding())
def test_a_parameter_and_its_exclusion_exclude_each_other(name: str) -> None:
    online = "urn:ihe:iti:2010:DocumentAvailability:Online"
    base = [("$XDSDocumentEntryPatientId", one(PATIENT)), ("$XDSDocumentEntryStatus", many(APPROVED))]
    value = many(online if "Availability" in name else CODE)
    both = [*base, (name, value), (name.removesuffix("Exclude"), value)]
    assert codes(refused(request("FindDocumentsExclude", both))) == [("XDSStoredQueryParamNumber", name)]
    assert len(query(request("FindDocumentsExclude", both[:3])).criteria) == 3


def test_parameters_that_the_query_does_not_have_are_ignored() -> None:
    message = find_documents(
        ("$vendor", "anything ' at ( all"), ("$vendor", "twice"), ("$XDSFolderStatus", "()"), ("", "x")
    )
    assert len(query(message).criteria) == 2


def test_an_empty_value_list_is_an_absent_parameter() -> None:
    body = etree.fromstring(find_documents(("$XDSDocumentEntryClassCode", "x")))
    values = body.find(f".//{{{RIM}}}Slot[@name='$XDSDocumentEntryClassCode']/{{{RIM}}}ValueList")
    assert values is not None
    values.clear()
    assert len(read(body, QUERIES, LIMITS).criteria) == 2
