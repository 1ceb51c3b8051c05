"""What the contract tests send: messages of every kind, and what they are answered from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
    ITI_57,
    ITI_61,
    ITI_62,
    ITI_86,
    ITI_92,
    Transaction,
)
from tests.contract.conftest import HOME
from tests.support import metadata, updates
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
from tests.support.server import provide_message
from tests.test_registry.removing import remove_objects
from tests.test_repository.messages import retrieve, wanted
from tests.test_repository.removing import remove_documents
from tests.test_server.soap import SIMPLE, envelope, mtom

STATUS = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:"
PARTIAL = "urn:ihe:iti:2007:ResponseStatusType:PartialSuccess"
CONTENT, UNIQUE_ID, REPLACED = b"<a>\r\n</a>", metadata.new_oid(), metadata.new_uuid()
HERE, ELSEWHERE = wanted(REPOSITORY, UNIQUE_ID, "urn:oid:1.2.3"), wanted("1.2.3", "1.2.3.4")
UPDATED, REVISED, REVISED_ID = metadata.new_uuid(), metadata.new_uuid(), metadata.new_oid()
REMOVED, REMOVED_ID = [metadata.new_uuid() for _ in range(3)], metadata.new_oid()
UNKNOWN_CODE = {"classCode": ("no-such-code", "1.2.3", "Unheard of")}

Message = tuple[str, bytes]


def holdings() -> list[Message]:
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
    return [
        provide_message(first, {REPLACED: CONTENT}),
        provide_message(replacement, {"Document01": b"hello"}),
        provide_message(removable, {entry_uuid: b"hello"}),
        provide_message(changeable, {UPDATED: b"hello", REVISED: b"hello"}),
    ]


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
