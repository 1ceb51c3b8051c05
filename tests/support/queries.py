"""Stored queries from the consumer's side, written independently of the product."""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr

from tests.support.metadata import APPROVED, PATIENT, RIM

QUERY = "urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0"

#: Query ids as ITI TF-2 3.18.4.1.2.4 lists them.
IDS = {
    "FindDocuments": "14d4debf-8f97-4251-9a74-a90016b0af0d",
    "FindSubmissionSets": "f26abbcb-ac74-4422-8a30-edb644bbc1a9",
    "FindFolders": "958f3006-baad-4929-a4de-ff1114824431",
    "GetAll": "10b545ea-725c-446d-9b95-8aeb444eddf3",
    "GetDocuments": "5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4",
    "GetFolders": "5737b14c-8a1a-4539-b659-e03a34a5e1e4",
    "GetAssociations": "a7ae438b-4bc2-4642-93e9-be891f7bb155",
    "GetDocumentsAndAssociations": "bab9529a-4a10-40b3-a01f-f68a615d247a",
    "GetSubmissionSets": "51224314-5390-4169-9b91-b1980040715a",
    "GetSubmissionSetAndContents": "e8e3cb2c-e39c-46b9-99e4-c12f57260b83",
    "GetFolderAndContents": "b909a503-523d-4517-8acf-8e5834dfc4c7",
    "GetFoldersForDocument": "10cae35a-c7f9-4cf5-b61e-fc3278ffb578",
    "GetRelatedDocuments": "d90e5407-b356-4d91-a89f-873917b4b0e6",
    "FindDocumentsByReferenceId": "12941a89-e02e-4be5-967c-ce4bfc8fe492",
}
#: Of CP-ITI-1323.
PREVIEW_IDS = {"FindDocumentsExclude": "4308b1df-36de-4bef-8e2e-ba91f593c435"}
#: As ITI TF-2 3.51.4.1.2 lists them, and CP-ITI-793.
MULTIPLE_IDS = {
    "FindDocumentsForMultiplePatients": "3d1bdb10-39a2-11de-89c2-2f44d94eaa9f",
    "FindFoldersForMultiplePatients": "50d3f5ac-39a2-11de-a1ca-b366239e58df",
    "FindDocumentsByReferenceIdForMultiplePatients": "1191642d-86c4-42d8-b784-f95445f9f0d5",
}
ALL_IDS = IDS | PREVIEW_IDS | MULTIPLE_IDS


def many(*values: str) -> str:
    """A parenthesised list of quoted strings."""
    return "(" + ",".join(one(value) for value in values) + ")"


def one(value: str) -> str:
    """A quoted string."""
    return "'" + value.replace("'", "''") + "'"


def slot(name: str, *values: str) -> str:
    """One parameter; ``values`` are the texts of its rim:Values."""
    inner = "".join(f"<rim:Value>{escape(value)}</rim:Value>" for value in values)
    return f"<rim:Slot name={quoteattr(name)}><rim:ValueList>{inner}</rim:ValueList></rim:Slot>"


def request(
    query: str,
    parameters: Iterable[tuple[str, str]] = (),
    *,
    returns: str | None = "LeafClass",
    home: str = "",
) -> bytes:
    """query:AdhocQueryRequest; ``query`` is a name of ``ALL_IDS`` or an id, each parameter becomes a Slot."""
    query_id = f"urn:uuid:{ALL_IDS[query]}" if query in ALL_IDS else query
    option = (
        ""
        if returns is None
        else f'<query:ResponseOption returnComposedObjects="true" returnType="{returns}"/>'
    )
    at_home = f" home={quoteattr(home)}" if home else ""
    slots = "".join(slot(name, value) for name, value in parameters)
    return (
        f'<query:AdhocQueryRequest xmlns:query="{QUERY}" xmlns:rim="{RIM}">{option}'
        f"<rim:AdhocQuery id={quoteattr(query_id)}{at_home}>{slots}</rim:AdhocQuery></query:AdhocQueryRequest>"
    ).encode()


def find_documents(
    *more: tuple[str, str],
    patient: str = PATIENT,
    status: tuple[str, ...] = (APPROVED,),
    returns: str = "LeafClass",
) -> bytes:
    """FindDocuments for a patient."""
    base = (("$XDSDocumentEntryPatientId", one(patient)), ("$XDSDocumentEntryStatus", many(*status)))
    return request("FindDocuments", (*base, *more), returns=returns)
