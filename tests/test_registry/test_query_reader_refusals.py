"""Queries that are refused: unknown ones, parameters that are missing, repeated, malformed or too many."""

from __future__ import annotations

import time

import pytest
from lxml import etree

from msim_xds.findings import Refused
from msim_xds.ihe.names import AssociationType, Status
from msim_xds.ihe.queries import QUERIES, Match
from msim_xds.registry.query_reader import MOST_GROUPS, read
from tests.support.metadata import APPROVED, DEPRECATED, PATIENT, RIM
from tests.support.queries import QUERY, find_documents, many, one, request
from tests.test_registry.querying import LIMITS, codes, groups, query, refused


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
