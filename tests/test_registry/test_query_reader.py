"""From AdhocQueryRequest to a checked query."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import pytest
from lxml import etree

from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import AssociationType, ObjectKind, Status
from msim_xds.ihe.queries import QUERIES, Match, StoredQuery, offered
from msim_xds.metadata.datatypes import Period
from msim_xds.registry.query_reader import MOST_GROUPS, Query, read
from msim_xds.settings import LimitSettings
from tests.support.metadata import APPROVED, DEPRECATED, PATIENT, RIM
from tests.support.queries import (
    IDS,
    MULTIPLE_IDS,
    ON_DEMAND,
    PREVIEW_IDS,
    QUERY,
    STABLE,
    find_documents,
    many,
    one,
    request,
    slot,
)

LIMITS = LimitSettings()
CODE = "34133-9^^2.16.840.1.113883.6.1"


def query(message: bytes, queries: Mapping[str, StoredQuery] = QUERIES) -> Query:
    return read(etree.fromstring(message), queries, LIMITS)


def refused(message: bytes, queries: Mapping[str, StoredQuery] = QUERIES) -> tuple[Finding, ...]:
    with pytest.raises(Refused) as caught:
        query(message, queries)
    return caught.value.findings


def codes(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(finding.code, finding.attribute) for finding in findings]


def groups(message: bytes, name: str) -> tuple[tuple[object, ...], ...]:
    return next(c.groups for c in query(message).criteria if c.param.name == name)


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


@pytest.mark.parametrize("returns", ["RegistryObject", "LeafClassWithRepositoryItem", "leafclass", ""])
def test_return_types_that_are_not_answered(returns: str) -> None:
    (finding,) = refused(find_documents(returns=returns))
    assert (finding.code, finding.attribute, finding.seen) == ("XDSRegistryError", "returnType", returns)


def test_no_response_option_at_all() -> None:
    assert codes(refused(request("FindDocuments", returns=None))) == [
        ("XDSRegistryError", "returnType"),
        ("XDSStoredQueryMissingParam", "$XDSDocumentEntryPatientId"),
        ("XDSStoredQueryMissingParam", "$XDSDocumentEntryStatus"),
    ]


def test_the_schema_default_of_return_type_is_not_answered() -> None:
    message = find_documents().replace(b' returnType="LeafClass"', b"")
    assert codes(refused(message)) == [("XDSRegistryError", "returnType")]


@pytest.mark.parametrize("query_id", ["urn:uuid:00000000-0000-0000-0000-000000000000", "FindNothing", ""])
def test_unknown_query(query_id: str) -> None:
    (finding,) = refused(request(query_id))
    assert finding.code == "XDSUnknownStoredQuery"
    assert "FindDocuments urn:uuid:14d4debf" in finding.text()


def test_no_query_at_all() -> None:
    option = '<q:ResponseOption returnType="LeafClass"/>'
    message = f'<q:AdhocQueryRequest xmlns:q="{QUERY}">{option}</q:AdhocQueryRequest>'
    assert codes(refused(message.encode())) == [("XDSUnknownStoredQuery", "id")]


def required() -> list[tuple[str, str]]:
    return [(row.name, param.name) for row in QUERIES.values() for param in row.params if param.required]


@pytest.mark.parametrize(("name", "parameter"), required())
def test_required_parameters(name: str, parameter: str) -> None:
    missing = [f for f in refused(request(name)) if f.attribute == parameter]
    assert [(f.code, f.code_context) for f in missing] == [("XDSStoredQueryMissingParam", parameter)]


@pytest.mark.parametrize("name", [row.name for row in QUERIES.values() if row.identifiers])
def test_exactly_one_identifier(name: str) -> None:
    row = next(row for row in QUERIES.values() if row.name == name)
    names = [p.name for p in row.params if p.name in row.identifiers and p.level == 1]
    given = [(name, one("urn:uuid:1")) for name in names]
    rest = [(p.name, many(AssociationType.APND)) for p in row.params if p.required]
    assert len(query(request(name, [given[0], *rest])).criteria) == 1 + len(rest)
    assert codes(refused(request(name, rest))) == [("XDSStoredQueryMissingParam", " or ".join(names))]
    (finding,) = refused(request(name, [*given, *rest]))
    assert (finding.code, finding.code_context) == ("XDSStoredQueryParamNumber", names[1])


def single_valued() -> list[tuple[str, str]]:
    return [(row.name, p.name) for row in QUERIES.values() for p in row.params if not p.many]


@pytest.mark.parametrize(("name", "parameter"), single_valued())
def test_single_valued_parameters(name: str, parameter: str) -> None:
    for text in (f"({one('2021')},{one('2022')})", "'2021','2022'"):
        found = [f for f in refused(request(name, [(parameter, text)])) if f.attribute == parameter]
        assert [(f.code, f.code_context) for f in found] == [("XDSStoredQueryParamNumber", parameter)]


def unrepeatable() -> list[tuple[str, str]]:
    return [(row.name, p.name) for row in QUERIES.values() for p in row.params if not p.repeat]


@pytest.mark.parametrize(("name", "parameter"), unrepeatable())
def test_slots_that_may_not_be_repeated(name: str, parameter: str) -> None:
    level = [] if parameter == "$MetadataLevel" else [("$MetadataLevel", "2")]
    findings = refused(request(name, [(parameter, "'a'"), (parameter, "'a'"), *level]))
    assert ("XDSStoredQueryParamNumber", parameter) in codes(findings)


def test_only_these_parameters_may_be_repeated() -> None:
    assert {p.attribute for row in QUERIES.values() for p in row.params if p.repeat} == {
        "event_codes",
        "confidentiality_codes",
        "reference_ids",
        "codes",
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("$XDSDocumentEntryClassCode", "('34133-9')"),
        ("$XDSDocumentEntryClassCode", "('34133-9^^')"),
        ("$XDSDocumentEntryClassCode", "('^^2.16.840.1.113883.6.1')"),
        ("$XDSDocumentEntryClassCode", "('a^Name^1.2')"),
        ("$XDSDocumentEntryClassCode", "('a^^1.2^x')"),
        ("$XDSDocumentEntryClassCode", "(a^^1.2)"),
        ("$XDSDocumentEntryCreationTimeFrom", "'2021-05-27'"),
        ("$XDSDocumentEntryCreationTimeFrom", "20210230"),
        ("$XDSDocumentEntryCreationTimeFrom", "20210527101112.5"),
        ("$XDSDocumentEntryServiceStopTimeTo", "202"),
        ("$XDSDocumentEntryServiceStopTimeTo", "'２０２１'"),
        ("$XDSDocumentEntryAuthorPerson", "('%a%)"),
        ("$XDSDocumentEntryAuthorPerson", "('')"),
        ("$MetadataLevel", "3"),
        ("$MetadataLevel", "one"),
        ("$XDSDocumentEntryType", many("urn:uuid:1")),
        ("$XDSDocumentEntryDocumentAvailability", many("Online")),
    ],
)
def test_malformed_values(name: str, text: str) -> None:
    (finding,) = refused(find_documents((name, text)))
    assert (finding.code, finding.attribute) == ("XDSRegistryError", name)
    assert finding.allowed


def test_a_malformed_required_value_is_not_called_missing_too() -> None:
    base = [("$XDSDocumentEntryPatientId", PATIENT), ("$XDSDocumentEntryStatus", many(APPROVED))]
    assert codes(refused(request("FindDocuments", base))) == [
        ("XDSRegistryError", "$XDSDocumentEntryPatientId")
    ]


def test_unknown_status_values_are_ignored() -> None:
    unknown = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Approved"
    assert query(find_documents(status=(unknown, DEPRECATED))).values(Match.STATUS) == (Status.DEPRECATED,)
    (finding,) = refused(find_documents(status=(unknown,)))
    assert (finding.code, finding.code_context) == (
        "XDSStoredQueryMissingParam",
        "$XDSDocumentEntryStatus",
    )
    assert finding.seen == unknown


def test_every_finding_is_told() -> None:
    message = request(
        "FindDocuments",
        [
            ("$XDSDocumentEntryClassCode", "('x')"),
            ("$XDSDocumentEntryCreationTimeFrom", "abc"),
            ("$XDSDocumentEntryPatientId", "'a','b'"),
        ],
        returns="RegistryObject",
    )
    assert sorted(codes(refused(message))) == [
        ("XDSRegistryError", "$XDSDocumentEntryClassCode"),
        ("XDSRegistryError", "$XDSDocumentEntryCreationTimeFrom"),
        ("XDSRegistryError", "returnType"),
        ("XDSStoredQueryMissingParam", "$XDSDocumentEntryStatus"),
        ("XDSStoredQueryParamNumber", "$XDSDocumentEntryPatientId"),
    ]


def test_slots_are_bounded() -> None:
    message = find_documents(*[("$vendor", "'x'")] * LIMITS.slots)
    assert codes(refused(message)) == [("XDSRegistryError", "")]


def test_and_groups_are_bounded() -> None:
    name = "$XDSDocumentEntryEventCodeList"
    assert len(groups(find_documents(*[(name, "'a^^1'")] * MOST_GROUPS), name)) == MOST_GROUPS
    assert codes(refused(find_documents(*[(name, "'a^^1'")] * (MOST_GROUPS + 1)))) == [
        ("XDSRegistryError", name)
    ]
    assert codes(refused(find_documents(*[("$MetadataLevel", "2")] * (MOST_GROUPS + 1)))) == [
        ("XDSStoredQueryParamNumber", "$MetadataLevel"),
        ("XDSRegistryError", "$MetadataLevel"),
    ]


@pytest.mark.parametrize("together", [True, False])
def test_100_000_values_are_refused_quickly(together: bool) -> None:
    name = "$XDSDocumentEntryClassCode"
    values = [many(*["a^^1"] * 100_000)] if together else ["'a^^1'"] * 100_000
    body = etree.fromstring(find_documents((name, "?")))
    values_list = body.find(f".//{{{RIM}}}Slot[@name='{name}']/{{{RIM}}}ValueList")
    assert values_list is not None
    values_list.clear()
    for value in values:
        etree.SubElement(values_list, f"{{{RIM}}}Value").text = value
    started = time.process_time()
    with pytest.raises(Refused) as caught:
        read(body, QUERIES, LIMITS)
    assert time.process_time() - started < 1
    assert codes(caught.value.findings) == [("XDSRegistryError", name)]
