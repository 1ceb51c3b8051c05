"""A stranger's client: zeep, which is given nothing but the address of a WSDL."""

from __future__ import annotations

from typing import Any

import pytest
import zeep

from tests.support import metadata, queries
from tests.support.paths import REGISTRY, REPOSITORY
from tests.support.server import ServerProcess, provide_message

#: zeep cuts CR and LF off both ends of binary parts, whoever serves them; so this document has none there.
CONTENT = "<ClinicalDocument>zażółć\r\ngęślą</ClinicalDocument>".encode()
UNIQUE_ID = metadata.new_oid()


@pytest.fixture(scope="module", autouse=True)
def _published(server: ServerProcess) -> None:
    request = metadata.single_document(content=CONTENT, unique_id=UNIQUE_ID)
    content_type, body = provide_message(request, {"Document01": CONTENT})
    answer = server.request("POST", REPOSITORY, body, content_type)
    assert b"ResponseStatusType:Success" in answer.root


def client(server: ServerProcess, path: str, query: str = "?wsdl") -> zeep.Client:
    return zeep.Client(f"{server.url}{path}{query}")  # type: ignore[no-untyped-call]


def operations(client: zeep.Client) -> set[str]:
    ports = [port for service in client.wsdl.services.values() for port in service.ports.values()]
    return {operation.name for port in ports for operation in port.binding.all().values()}


def find_documents(registry: zeep.Client, return_type: str) -> Any:
    parameters = {
        "$XDSDocumentEntryPatientId": queries.one(metadata.PATIENT),
        "$XDSDocumentEntryStatus": queries.many(metadata.APPROVED),
    }
    return registry.service.DocumentRegistry_RegistryStoredQuery(
        ResponseOption={"returnType": return_type, "returnComposedObjects": True},
        AdhocQuery={
            "id": f"urn:uuid:{queries.IDS['FindDocuments']}",
            "Slot": [{"name": name, "ValueList": {"Value": [value]}} for name, value in parameters.items()],
        },
    )


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        (
            REGISTRY,
            "?wsdl",
            {
                "DocumentRegistry_RegisterDocumentSet-b",
                "DocumentRegistry_RegistryStoredQuery",
                "DocumentRegistry_MultiPatientStoredQuery",
                "DocumentRegistry_RegisterOnDemandDocumentEntry",
            },
        ),
        (
            REGISTRY,
            "?wsdl=2010",
            {"DocumentRegistry_UpdateDocumentSet", "DocumentRegistry_DeleteDocumentSet"},
        ),
        (REGISTRY, "?wsdl=rmu", {"UpdateResponder_RestrictedUpdateDocumentSet"}),
        (
            REPOSITORY,
            "?wsdl",
            {
                "DocumentRepository_ProvideAndRegisterDocumentSet-b",
                "DocumentRepository_RetrieveDocumentSet",
            },
        ),
        (REPOSITORY, "?wsdl=rmd", {"DocumentRepository_RemoveDocuments"}),
    ],
)
def test_operations_have_their_names(
    server: ServerProcess, path: str, query: str, expected: set[str]
) -> None:
    assert operations(client(server, path, query)) == expected


def test_find_documents(server: ServerProcess) -> None:
    registry = client(server, REGISTRY)
    references = find_documents(registry, "ObjectRef")
    assert references.status.endswith(":Success")
    (reference,) = references.RegistryObjectList._value_1
    (member,) = find_documents(registry, "LeafClass").RegistryObjectList._value_1
    entry = member["ExtrinsicObject"]
    assert entry.id == reference["ObjectRef"].id
    assert {each.value for each in entry.ExternalIdentifier} == {metadata.PATIENT, UNIQUE_ID}
    assert entry.Classification[-1].Slot[0].name == "codingScheme"


def test_retrieve_document_set(server: ServerProcess) -> None:
    """A simple SOAP request; the answer is MTOM all the same, which zeep reads."""
    request = {"RepositoryUniqueId": metadata.REPOSITORY, "DocumentUniqueId": UNIQUE_ID}
    answer = client(server, REPOSITORY).service.DocumentRepository_RetrieveDocumentSet([request])
    assert answer.RegistryResponse.status.endswith(":Success")
    (document,) = answer.DocumentResponse
    assert (document.DocumentUniqueId, document.mimeType) == (UNIQUE_ID, "text/xml")
    assert document.Document == CONTENT


def test_remove_what_is_not_there(server: ServerProcess) -> None:
    """The messages of both removals are understood, and their answers too."""
    registry, repository = (
        client(server, path, query) for path, query in ((REGISTRY, "?wsdl=2010"), (REPOSITORY, "?wsdl=rmd"))
    )
    answers = [
        registry.service.DocumentRegistry_DeleteDocumentSet(
            ObjectRefList={"ObjectRef": [{"id": metadata.new_uuid()}]}
        ),
        repository.service.DocumentRepository_RemoveDocuments(
            [{"RepositoryUniqueId": metadata.REPOSITORY, "DocumentUniqueId": metadata.new_oid()}]
        ),
    ]
    assert [answer.status.endswith(":Failure") for answer in answers] == [True, True]
    codes = [[error.errorCode for error in answer.RegistryErrorList.RegistryError] for answer in answers]
    assert codes == [["UnresolvedReferenceException"], ["XDSDocumentUniqueIdError"]]


def test_remove_document_and_metadata(server: ServerProcess) -> None:
    entry, submission, member = (metadata.new_uuid() for _ in range(3))
    unique_id = metadata.new_oid()
    request = metadata.submit_objects(
        metadata.submission_set(submission),
        metadata.document_entry(entry, unique_id=unique_id),
        metadata.association(submission, entry, id=member, status="Original"),
    )
    content_type, body = provide_message(request, {entry: b"hello"})
    assert b"ResponseStatusType:Success" in server.request("POST", REPOSITORY, body, content_type).root
    answer = client(server, REPOSITORY, "?wsdl=rmd").service.DocumentRepository_RemoveDocuments(
        [{"RepositoryUniqueId": metadata.REPOSITORY, "DocumentUniqueId": unique_id}]
    )
    assert answer.status.endswith(":Success")
    removal = client(server, REGISTRY, "?wsdl=2010").service.DocumentRegistry_DeleteDocumentSet
    assert removal(ObjectRefList={"ObjectRef": [{"id": entry}]}).status.endswith(":Failure")
    every = [{"id": each} for each in (entry, submission, member)]
    assert removal(ObjectRefList={"ObjectRef": every}).status.endswith(":Success")
