"""Every kind of message that the server sends, held against the schemas that it serves itself."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote
from urllib.request import urlopen

import pytest
from lxml import etree

from msim_xds.ihe.descriptions import BY_TRANSACTION, DESCRIPTIONS
from msim_xds.ihe.transactions import (
    ITI_18,
    ITI_18_GATEWAY,
    ITI_38,
    ITI_39,
    ITI_41,
    ITI_42,
    ITI_43,
    ITI_43_GATEWAY,
    ITI_51,
    ITI_55,
    ITI_57,
    ITI_61,
    ITI_62,
    ITI_86,
    ITI_92,
    Transaction,
)
from tests.contract.conftest import HOME
from tests.support import metadata, updates, xcpd
from tests.support.metadata import (
    APPROVED,
    DEPRECATED,
    OTHER_PATIENT,
    PATIENT,
    REPOSITORY,
    RPLC,
    association,
    document_entry,
    folder,
    original,
    single_document,
    submission_set,
    submit_objects,
)
from tests.support.queries import find_documents, many, one, request
from tests.support.server import ServerProcess, provide_message
from tests.test_registry.removing import remove_objects
from tests.test_repository.messages import XOP, retrieve, wanted
from tests.test_repository.removing import remove_documents
from tests.test_server.soap import NS, SIMPLE, Response, envelope, mtom

STATUS = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:"
PARTIAL = "urn:ihe:iti:2007:ResponseStatusType:PartialSuccess"
XSD = "http://www.w3.org/2001/XMLSchema"
CONTENT, UNIQUE_ID, REPLACED = b"<a>\r\n</a>", metadata.new_oid(), metadata.new_uuid()
HERE, ELSEWHERE = wanted(REPOSITORY, UNIQUE_ID, "urn:oid:1.2.3"), wanted("1.2.3", "1.2.3.4")
UPDATED, REVISED, REVISED_ID = metadata.new_uuid(), metadata.new_uuid(), metadata.new_oid()
REMOVED, REMOVED_ID = [metadata.new_uuid() for _ in range(3)], metadata.new_oid()
UNKNOWN_CODE = {"classCode": ("no-such-code", "1.2.3", "Unheard of")}

Message = tuple[str, bytes]


class Served(etree.Resolver):
    """Fetches imported schemas from where their importers say that they are."""

    def resolve(self, system_url: str, _public_id: Any, context: Any) -> Any:  # type: ignore[override]
        with urlopen(system_url) as answer:
            return self.resolve_string(answer.read(), context, base_url=system_url)


@pytest.fixture(scope="module")
def schemas(server: ServerProcess) -> dict[str, etree.XMLSchema]:
    """By WSDL file, what its types import."""
    parser = etree.XMLParser()
    parser.resolvers.add(Served())
    found = {}
    for each in DESCRIPTIONS:
        wsdl = server.request("GET", each.endpoint + each.query).body
        types = etree.fromstring(wsdl).find(f".//{{{XSD}}}schema")
        assert types is not None
        found[each.file] = etree.XMLSchema(etree.fromstring(etree.tostring(types), parser))
    return found


@pytest.fixture(scope="module", autouse=True)
def _holdings(server: ServerProcess) -> None:
    """For PATIENT: objects of every kind with attributes of every kind, approved and deprecated."""
    entry = document_entry(
        REPLACED,
        unique_id=UNIQUE_ID,
        content=CONTENT,
        comments="<uwagi> & 'znaki'",
        codes={"eventCodeList": metadata.CODES["classCode"]},
        slots={
            "sourcePatientInfo": ["PID-3|1^^^&1.2.3&ISO", "PID-5|Wzorcowa^Anna^^^"],
            "serviceStartTime": "202609",
            "serviceStopTime": "20260914",
            "urn:ihe:iti:xds:2013:referenceIdList": "1^^^&1.2.3&ISO^urn:ihe:iti:xds:2013:accession",
            "urn:extpl:klucz": ["a", ""],
        },
    )
    first = submit_objects(
        submission_set(slots={"intendedRecipient": "|^Nowak^Jan"}),
        entry,
        folder(),
        original(REPLACED),
        association("SubmissionSet01", "Folder01"),
        association("Folder01", REPLACED, id="Membership01", extra=metadata.text("Name", "w teczce")),
        association("SubmissionSet01", "Membership01"),
    )
    replacement = submit_objects(
        submission_set(), document_entry(), original(), association("Document01", REPLACED, RPLC)
    )
    submission, entry_uuid, member = REMOVED
    removable = submit_objects(
        submission_set(submission),
        document_entry(entry_uuid, unique_id=REMOVED_ID),
        association(submission, entry_uuid, id=member, status="Original"),
    )
    changeable = submit_objects(
        submission_set(),
        *(document_entry(UPDATED), original(UPDATED)),
        *(document_entry(REVISED, unique_id=REVISED_ID), original(REVISED)),
    )
    for message in (
        provide_message(first, {REPLACED: CONTENT}),
        provide_message(replacement, {"Document01": b"hello"}),
        provide_message(removable, {entry_uuid: b"hello"}),
        provide_message(changeable, {UPDATED: b"hello", REVISED: b"hello"}),
    ):
        answer = send(server, ITI_41, message)
        assert payload(answer).get("status") == f"{STATUS}Success", answer.root.decode()


def simple(row: Transaction, body: bytes) -> Message:
    return SIMPLE, envelope(body.decode(), row.action)


def provide(**options: Any) -> Message:
    return provide_message(single_document(**options), {"Document01": b"hello"})


def register(**options: Any) -> Message:
    return simple(ITI_42, single_document(**options))


def query(body: bytes) -> Message:
    return simple(ITI_18, body)


def get_all(returns: str) -> Message:
    statuses = many(APPROVED, DEPRECATED)
    names = ("$XDSDocumentEntryStatus", "$XDSSubmissionSetStatus", "$XDSFolderStatus")
    parameters = [("$patientId", one(PATIENT)), *((name, statuses) for name in names)]
    return query(request("GetAll", parameters, returns=returns))


def across_patients() -> Message:
    """FindDocumentsForMultiplePatients for one patient of two."""
    parameters = [
        ("$XDSDocumentEntryPatientId", many(PATIENT, OTHER_PATIENT)),
        ("$XDSDocumentEntryStatus", many(APPROVED)),
        ("$XDSDocumentEntryClassCode", many("^^".join(metadata.CODES["classCode"][:2]))),
    ]
    return simple(ITI_51, request("FindDocumentsForMultiplePatients", parameters))


def on_demand() -> Message:
    return simple(ITI_61, submit_objects(submission_set(), metadata.on_demand_entry(), original()))


def fetch(*requests: str, row: Transaction = ITI_43) -> Message:
    return mtom(envelope(retrieve(*requests).decode(), row.action))


def send(server: ServerProcess, row: Transaction, message: Message) -> Response:
    content_type, body = message
    return server.request("POST", row.endpoint, body, content_type)


def payload(answer: Response) -> etree._Element:
    """What soap:Body holds, as a document of its own, with the octets where XOP took them out."""
    body = answer.xml().find("s:Body", NS)
    assert body is not None
    element = etree.fromstring(etree.tostring(body[0]))
    parts = dict(answer.parts()) if answer.is_mtom else {}
    for include in list(element.iter(f"{{{XOP}}}Include")):
        document = include.getparent()
        assert document is not None
        content = parts[f"<{unquote(include.get('href', '').removeprefix('cid:'))}>"]
        document.remove(include)
        document.text = base64.b64encode(content).decode()
    return element


MESSAGES: dict[str, tuple[Transaction, Callable[[], Message], str, set[str]]] = {
    "ITI-41 success": (ITI_41, provide, f"{STATUS}Success", set()),
    "ITI-41 warnings": (ITI_41, lambda: provide(codes=UNKNOWN_CODE), f"{STATUS}Success", {"RegistryError"}),
    "ITI-41 failure": (ITI_41, lambda: provide(patient_id=None), f"{STATUS}Failure", {"RegistryError"}),
    "ITI-42 success": (ITI_42, register, f"{STATUS}Success", set()),
    "ITI-42 warnings": (ITI_42, lambda: register(codes=UNKNOWN_CODE), f"{STATUS}Success", {"RegistryError"}),
    "ITI-42 failure": (
        ITI_42,
        lambda: register(title="&<\"'" * 99, codes={"typeCode": None}, unique_id=None),
        f"{STATUS}Failure",
        {"RegistryError"},
    ),
    "ITI-18 objects": (
        ITI_18,
        lambda: get_all("LeafClass"),
        f"{STATUS}Success",
        {"ExtrinsicObject", "RegistryPackage", "Association", "VersionInfo", "Description"},
    ),
    "ITI-18 references": (ITI_18, lambda: get_all("ObjectRef"), f"{STATUS}Success", {"ObjectRef"}),
    "ITI-18 empty": (
        ITI_18,
        lambda: query(find_documents(patient=OTHER_PATIENT)),
        f"{STATUS}Success",
        {"RegistryObjectList"},
    ),
    "ITI-18 failure": (
        ITI_18,
        lambda: query(request("urn:uuid:none")),
        f"{STATUS}Failure",
        {"RegistryError", "RegistryObjectList"},
    ),
    "ITI-43 success": (
        ITI_43,
        lambda: fetch(HERE, HERE),
        f"{STATUS}Success",
        {"Document", "HomeCommunityId"},
    ),
    "ITI-43 partial": (ITI_43, lambda: fetch(ELSEWHERE, HERE), PARTIAL, {"Document", "RegistryError"}),
    "ITI-43 failure": (ITI_43, lambda: fetch(ELSEWHERE), f"{STATUS}Failure", {"RegistryError"}),
    "ITI-51 objects": (
        ITI_51,
        across_patients,
        f"{STATUS}Success",
        {"ExtrinsicObject", "VersionInfo"},
    ),
    "ITI-51 failure": (
        ITI_51,
        lambda: simple(ITI_51, request("urn:uuid:none")),
        f"{STATUS}Failure",
        {"RegistryError", "RegistryObjectList"},
    ),
    "ITI-57 success": (
        ITI_57,
        lambda: simple(ITI_57, updates.update(updates.status_change(UPDATED))),
        f"{STATUS}Success",
        set(),
    ),
    "ITI-57 failure": (
        ITI_57,
        lambda: simple(ITI_57, updates.update(updates.status_change(metadata.new_uuid(), "<&>"))),
        f"{STATUS}Failure",
        {"RegistryError"},
    ),
    "ITI-92 success": (
        ITI_92,
        lambda: simple(ITI_92, updates.update(updates.entry_version(REVISED, REVISED_ID, title="<&>"))),
        f"{STATUS}Success",
        set(),
    ),
    "ITI-92 failure": (
        ITI_92,
        lambda: simple(ITI_92, updates.update(updates.entry_version(metadata.new_uuid(), "1.2.3"))),
        f"{STATUS}Failure",
        {"RegistryError"},
    ),
    "ITI-61 success": (ITI_61, on_demand, f"{STATUS}Success", set()),
    "ITI-61 failure": (
        ITI_61,
        lambda: simple(ITI_61, single_document()),
        f"{STATUS}Failure",
        {"RegistryError"},
    ),
    "ITI-62 success": (
        ITI_62,
        lambda: simple(ITI_62, remove_objects(*REMOVED)),
        f"{STATUS}Success",
        set(),
    ),
    "ITI-62 failure": (
        ITI_62,
        lambda: simple(ITI_62, remove_objects("<&>", metadata.new_uuid(), "x" * 999)),
        f"{STATUS}Failure",
        {"RegistryError"},
    ),
    "ITI-86 success": (
        ITI_86,
        lambda: simple(ITI_86, remove_documents(wanted(REPOSITORY, REMOVED_ID))),
        f"{STATUS}Success",
        set(),
    ),
    "ITI-86 failure": (
        ITI_86,
        lambda: simple(ITI_86, remove_documents(ELSEWHERE, wanted(REPOSITORY, "<&>"))),
        f"{STATUS}Failure",
        {"RegistryError"},
    ),
    "ITI-38 objects": (
        ITI_38,
        lambda: simple(ITI_38, find_documents()),
        f"{STATUS}Success",
        {"ExtrinsicObject"},
    ),
    "ITI-38 failure": (
        ITI_38,
        lambda: simple(ITI_38, request("urn:uuid:none", home="urn:oid:1.2.3")),
        f"{STATUS}Failure",
        {"RegistryError", "RegistryObjectList"},
    ),
    "ITI-39 success": (
        ITI_39,
        lambda: fetch(wanted(REPOSITORY, UNIQUE_ID, HOME), row=ITI_39),
        f"{STATUS}Success",
        {"Document", "HomeCommunityId"},
    ),
    "ITI-39 failure": (ITI_39, lambda: fetch(HERE, row=ITI_39), f"{STATUS}Failure", {"RegistryError"}),
    "ITI-18 gateway objects": (
        ITI_18_GATEWAY,
        lambda: simple(ITI_18, find_documents()),
        f"{STATUS}Success",
        {"ExtrinsicObject"},
    ),
    "ITI-18 gateway failure": (
        ITI_18_GATEWAY,
        lambda: simple(ITI_18, request("GetDocuments", home="urn:oid:1.2.3")),
        f"{STATUS}Failure",
        {"RegistryError", "RegistryObjectList"},
    ),
    "ITI-43 gateway partial": (
        ITI_43_GATEWAY,
        lambda: fetch(HERE, wanted(REPOSITORY, UNIQUE_ID, HOME)),
        PARTIAL,
        {"Document", "HomeCommunityId", "RegistryError"},
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_answer_is_valid(server: ServerProcess, schemas: dict[str, etree.XMLSchema], name: str) -> None:
    row, message, status, expected = MESSAGES[name]
    answer = send(server, row, message())
    assert answer.status == 200
    assert (answer.is_mtom, answer.header("Action")) == (row.mtom, row.answer_action)
    assert answer.header("RelatesTo") == "urn:uuid:m"
    element = payload(answer)
    schemas[BY_TRANSACTION[row.name].file].assertValid(element)
    assert element.tag == row.answer.value
    (seen,) = {each.get("status") for each in element.iter(row.answer.value, "{*}RegistryResponse")} - {None}
    assert seen == status
    names = {etree.QName(each).localname for each in element.iter()}
    assert expected <= names
    assert ("RegistryError" in names) == ("RegistryError" in expected)


@pytest.mark.parametrize(
    ("parameters", "outcome"),
    [
        (xcpd.subject_id((xcpd.PESEL, PATIENT.partition("^")[0])), "OK"),
        (xcpd.subject_id((xcpd.PESEL, "0")), "NF"),
        (xcpd.gender("F"), "AE"),
    ],
)
def test_discovery_is_valid(
    server: ServerProcess, schemas: dict[str, etree.XMLSchema], parameters: str, outcome: str
) -> None:
    element = payload(send(server, ITI_55, simple(ITI_55, xcpd.query(parameters).encode())))
    schemas[BY_TRANSACTION[ITI_55.name].file].assertValid(element)
    code = element.find(".//{*}queryResponseCode")
    assert code is not None
    assert code.get("code") == outcome


def test_answer_holds_both_statuses(server: ServerProcess) -> None:
    """So that the objects of test_answer_is_valid are all that there can be."""
    objects = list(payload(send(server, ITI_18, get_all("LeafClass"))).iterfind("{*}RegistryObjectList/*"))
    assert {each.get("status") for each in objects} == {APPROVED, DEPRECATED}


@pytest.mark.parametrize(
    ("message", "code", "subcode"),
    [
        (envelope(action="urn:none"), "Sender", "ActionNotSupported"),
        (envelope(action=None), "Sender", "MessageAddressingHeaderRequired"),
        (envelope().replace(NS["s"].encode(), b"http://schemas.xmlsoap.org/soap/envelope/"),
         "VersionMismatch", None),
        (envelope(headers='<n:X xmlns:n="urn:n" s:mustUnderstand="1"/>'), "MustUnderstand", None),
        (b"<", "Sender", None),
    ],
)  # fmt: skip
def test_faults_are_faults_of_soap(
    server: ServerProcess, message: bytes, code: str, subcode: str | None
) -> None:
    answer = send(server, ITI_18, (SIMPLE, message))
    seen_code, seen_subcode, reason = answer.fault()
    assert seen_code == f"{{{NS['s']}}}{code}"
    assert seen_subcode == (f"{{{NS['a']}}}{subcode}" if subcode else None)
    assert reason
