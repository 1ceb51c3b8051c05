"""Payloads of answers: valid against the schemas, complete, and safe for any text."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from msim_xds.findings import Finding
from msim_xds.ihe.names import RIM, RS, XDS, ResponseStatus, Severity
from msim_xds.ihe.transactions import ITI_18, ITI_41, ITI_42, ITI_43, TRANSACTIONS, AnswerKind, Transaction
from msim_xds.wire.answers import (
    DeliveredDocument,
    adhoc_query_response,
    failure,
    registry_response,
    retrieve_response,
)
from msim_xds.wire.safexml import parse
from msim_xds.wire.xop import INCLUDE

ERROR = Finding("XDSRegistryError", "broken", place='Doc "<1>" & more', source="ITI TF-3 4.2")
WARNING = Finding("XDSExtraMetadataNotSaved", "dropped", severity=Severity.WARNING, context="urn:x:slot")
REF = b'<rim:ObjectRef id="urn:uuid:1"/>'
SCHEMAS = {
    AnswerKind.REGISTRY_RESPONSE: "rs.xsd",
    AnswerKind.ADHOC_QUERY_RESPONSE: "query.xsd",
    AnswerKind.RETRIEVE_RESPONSE: "XDS.b_DocumentRepository.xsd",
}


@pytest.fixture(scope="module")
def schemas() -> dict[AnswerKind, etree.XMLSchema]:
    with as_file(files("msim_xds.schemas")) as folder:
        return {kind: etree.XMLSchema(etree.parse(Path(folder) / name)) for kind, name in SCHEMAS.items()}


Schemas = dict[AnswerKind, etree.XMLSchema]


def checked(schemas: Schemas, kind: AnswerKind, data: bytes) -> etree._Element:
    """The answer as a tree; parts become base64 first, as a schema sees them (XOP 1.0, section 2)."""
    root = parse(data)
    assert root.tag == kind.value
    plain = parse(data)
    for element in list(plain.iter(INCLUDE)):
        parent = element.getparent()
        assert parent is not None
        parent.remove(element)
        parent.text = "QUJD"
    schemas[kind].assertValid(plain)
    return root


def errors_of(root: etree._Element) -> list[dict[str, str]]:
    return [
        {str(k): str(v) for k, v in error.attrib.items()} for error in root.iter(f"{{{RS}}}RegistryError")
    ]


def test_registry_response_without_findings(schemas: Schemas) -> None:
    root = checked(schemas, AnswerKind.REGISTRY_RESPONSE, registry_response(ResponseStatus.SUCCESS))
    assert (root.items(), len(root)) == ([("status", ResponseStatus.SUCCESS.value)], 0)


def test_registry_errors(schemas: Schemas) -> None:
    data = registry_response(ResponseStatus.FAILURE, [WARNING, ERROR])
    root = checked(schemas, AnswerKind.REGISTRY_RESPONSE, data)
    assert root[0].get("highestSeverity") == Severity.ERROR
    assert errors_of(root) == [
        {
            "errorCode": "XDSExtraMetadataNotSaved",
            "codeContext": "urn:x:slot",
            "severity": Severity.WARNING,
            "location": WARNING.text(),
        },
        {"errorCode": "XDSRegistryError", "codeContext": ERROR.text(), "severity": Severity.ERROR},
    ]


def test_warnings_travel_with_success(schemas: Schemas) -> None:
    data = registry_response(ResponseStatus.SUCCESS, [WARNING])
    assert checked(schemas, AnswerKind.REGISTRY_RESPONSE, data)[0].get("highestSeverity") == Severity.WARNING


@pytest.mark.parametrize("findings", [[], [WARNING], [ERROR]])
@pytest.mark.parametrize("objects", [[], [REF, REF]])
def test_adhoc_query_response(schemas: Schemas, findings: list[Finding], objects: list[bytes]) -> None:
    data = b"".join(adhoc_query_response(ResponseStatus.SUCCESS, findings, iter(objects)))
    root = checked(schemas, AnswerKind.ADHOC_QUERY_RESPONSE, data)
    assert root[-1].tag == f"{{{RIM}}}RegistryObjectList"
    assert [child.get("id") for child in root[-1]] == ["urn:uuid:1"] * len(objects)
    assert len(errors_of(root)) == len(findings)


def test_retrieve_response(schemas: Schemas) -> None:
    documents = [
        DeliveredDocument("urn:oid:1.2", "1.2.3", "1.2.3^<ż>", "text/xml", "0@x"),
        DeliveredDocument(None, "1.2.3", "1.2.4", "a/b", "1@x"),
    ]
    lost = Finding("XDSDocumentUniqueIdError", "unknown", location="1.2.5")
    data = retrieve_response(ResponseStatus.PARTIAL_SUCCESS, [lost], documents)
    root = checked(schemas, AnswerKind.RETRIEVE_RESPONSE, data)
    assert errors_of(root)[0]["location"] == "1.2.5"
    names = [[child.tag.removeprefix(f"{{{XDS}}}") for child in response] for response in list(root)[1:]]
    required = ["RepositoryUniqueId", "DocumentUniqueId", "mimeType", "Document"]
    assert names == [["HomeCommunityId", *required], required]
    assert [child.text for child in root[1]][:4] == ["urn:oid:1.2", "1.2.3", "1.2.3^<ż>", "text/xml"]
    assert [element.get("href") for element in root.iter(INCLUDE)] == ["cid:0@x", "cid:1@x"]


def test_documents_made_on_demand(schemas: Schemas) -> None:
    """The order of elements as ITI TF-2 3.43.5 has it."""
    documents = [
        DeliveredDocument("urn:oid:1.2", "1.2.3", "1.1", "text/xml", "0@x", "1.2.<3>", "2.25.1^&a"),
        DeliveredDocument(None, "1.2.3", "1.2", "text/xml", "1@x", None, "2.25.2"),
    ]
    data = retrieve_response(ResponseStatus.SUCCESS, (), documents)
    root = checked(schemas, AnswerKind.RETRIEVE_RESPONSE, data)
    kept, made = ({etree.QName(child).localname: child.text for child in each} for each in list(root)[1:])
    assert list(kept) == [
        "HomeCommunityId",
        "RepositoryUniqueId",
        "DocumentUniqueId",
        "NewRepositoryUniqueId",
        "NewDocumentUniqueId",
        "mimeType",
        "Document",
    ]
    assert (kept["NewRepositoryUniqueId"], kept["NewDocumentUniqueId"]) == ("1.2.<3>", "2.25.1^&a")
    assert list(made) == [
        "RepositoryUniqueId",
        "DocumentUniqueId",
        "NewDocumentUniqueId",
        "mimeType",
        "Document",
    ]


@pytest.mark.parametrize(
    "transaction",
    [row for row in TRANSACTIONS if row.answer in SCHEMAS],
    ids=lambda t: t.name,
)
def test_failure_of_every_transaction(schemas: Schemas, transaction: Transaction) -> None:
    root = checked(schemas, transaction.answer, b"".join(failure(transaction, [ERROR])))
    status = next(element.get("status") for element in root.iter() if element.get("status"))
    assert status == ResponseStatus.FAILURE
    assert len(errors_of(root)) == 1


@pytest.mark.parametrize("transaction", [ITI_18, ITI_41, ITI_42], ids=lambda t: t.name)
def test_errors_come_first_when_there_are_too_many(schemas: Schemas, transaction: Transaction) -> None:
    findings = [WARNING] * 150 + [ERROR] * 10
    root = checked(schemas, transaction.answer, b"".join(failure(transaction, findings)))
    assert [row["errorCode"] for row in errors_of(root)] == [ERROR.code] * 10 + [WARNING.code] * 90
    root = checked(schemas, transaction.answer, b"".join(failure(transaction, findings, limit=3)))
    assert [row["errorCode"] for row in errors_of(root)] == [ERROR.code] * 3


def test_each_document_not_retrieved_has_its_error(schemas: Schemas) -> None:
    data = b"".join(failure(ITI_43, [ERROR] * 150))
    assert len(errors_of(checked(schemas, ITI_43.answer, data))) == 150


@settings(max_examples=50, deadline=None)
@given(st.text(), st.text(), st.text())
def test_any_text_is_carried(schemas: Schemas, context: str, location: str, unique_id: str) -> None:
    finding = Finding("XDSDocumentUniqueIdError", "p", context=context, location=location)
    document = DeliveredDocument(unique_id, unique_id, unique_id, unique_id, "c")
    parse(retrieve_response(ResponseStatus.PARTIAL_SUCCESS, [finding], [document]))
    checked(schemas, AnswerKind.REGISTRY_RESPONSE, registry_response(ResponseStatus.FAILURE, [finding]))
