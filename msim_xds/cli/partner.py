"""One server as the commands see it: where its endpoints are, and its answers or the reasons against them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeVar
from urllib.parse import urlsplit

from msim_xds.cli.console import finding_rows
from msim_xds.cli.failures import REFUSED, Failure
from msim_xds.cli.publication import Publication
from msim_xds.federation.answers import QueryAnswer, RegistryAnswer, RetrievedDocument
from msim_xds.federation.client import (
    DocumentConsumer,
    DocumentRequest,
    DocumentSource,
    QueryValue,
    ReturnType,
)
from msim_xds.ihe.names import Status
from msim_xds.ihe.queries import QUERIES
from msim_xds.ihe.transactions import Endpoint
from msim_xds.metadata.model import DocumentEntry

_BATCH: Final = 200  # entries in one GetDocuments
_USED_ID: Final = frozenset({"XDSNonIdenticalHash", "XDSNonIdenticalSize"})
_GET_DOCUMENTS: Final = next(row.id for row in QUERIES.values() if row.name == "GetDocuments")
_ENTRY_UUID: Final = "$XDSDocumentEntryEntryUUID"
_UNIQUE_ID: Final = "$XDSDocumentEntryUniqueId"
_Answer = TypeVar("_Answer", bound=RegistryAnswer)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a publication: as it was sent in the end, the answer, and the entry that it replaced."""

    publication: Publication
    answer: RegistryAnswer
    replaced: str | None


class Partner:
    """The server at ``url``, which may be its base or one of its two endpoints.

    Every method raises ``RemoteError`` where the server gives no answer, and ``Failure`` where it refuses.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise Failure(f"--url {url}: expected the server's address, such as http://127.0.0.1:8080")
        base = url.rstrip("/")
        for endpoint in Endpoint:
            base = base.removesuffix(endpoint)
        self._source = DocumentSource(base + Endpoint.REPOSITORY)
        self._consumer = DocumentConsumer(base + Endpoint.REGISTRY, base + Endpoint.REPOSITORY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()
        self._consumer.close()

    def publish(self, publication: Publication, *, replace: bool, keep_id: bool) -> Outcome:
        """Submit one document; where its uniqueId belongs to other content it gets a fresh one."""
        replaced = self._replaced(publication) if replace and publication.replaces else None
        answer = self._provide(publication, replaced)
        if not answer.succeeded and not keep_id and _USED_ID & {each.code for each in answer.findings}:
            publication = publication.with_fresh_id()
            answer = self._provide(publication, replaced)
        return Outcome(publication, answer, replaced)

    def _provide(self, publication: Publication, replaced: str | None) -> RegistryAnswer:
        documents = {publication.entry.entry_uuid: publication.path}
        return self._source.provide_and_register(publication.submission(replaced), documents)

    def _replaced(self, publication: Publication) -> str | None:
        """The Approved entry of the same patient that the document says it replaces."""
        for entry in self.by_unique_id(publication.replaces):
            if entry.status == Status.APPROVED and entry.patient_id == publication.entry.patient_id:
                return entry.entry_uuid
        return None

    def find(
        self, patient_id: str, parameters: Mapping[str, QueryValue], statuses: Sequence[Status]
    ) -> Sequence[str]:
        """References to a patient's documents, their entryUUIDs."""
        answer = self._consumer.find_documents(
            patient_id, parameters, statuses=statuses, return_type=ReturnType.OBJECT_REF
        )
        return accepted(answer, "FindDocuments").references

    def entries(self, entry_uuids: Sequence[str]) -> Iterator[DocumentEntry]:
        """DocumentEntries of one patient, batch by batch: there may be more than one answer can hold."""
        for start in range(0, len(entry_uuids), _BATCH):
            answer = self._get_documents(_ENTRY_UUID, entry_uuids[start : start + _BATCH])
            yield from (entry for entry in answer.objects if isinstance(entry, DocumentEntry))

    def by_unique_id(self, unique_ids: Sequence[str]) -> Iterator[DocumentEntry]:
        """DocumentEntries by uniqueId: several, and of several patients, where one was registered again."""
        for reference in self._get_documents(_UNIQUE_ID, unique_ids, ReturnType.OBJECT_REF).references:
            yield from self.entries([reference])

    def _get_documents(
        self, parameter: str, values: Sequence[str], return_type: ReturnType = ReturnType.LEAF_CLASS
    ) -> QueryAnswer:
        return accepted(
            self._consumer.query(_GET_DOCUMENTS, {parameter: values}, return_type), "GetDocuments"
        )

    def retrieve(self, repository: str, unique_id: str, directory: Path) -> RetrievedDocument:
        """One document, as a file in ``directory``."""
        answer = self._consumer.retrieve([DocumentRequest(repository, unique_id)], directory)
        for document in accepted(answer, "RetrieveDocumentSet").documents:
            return document
        raise Failure(f"the repository answers without document {unique_id}", REFUSED)


def accepted(answer: _Answer, what: str) -> _Answer:
    """``answer``, when it is Success. Raises Failure with its findings."""
    if answer.succeeded:
        return answer
    reasons = [f"{code}: {text}" for _, code, text in finding_rows(answer.findings)]
    raise Failure("\n".join([f"{what} was refused", *reasons]), REFUSED)
