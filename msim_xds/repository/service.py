"""The Document Repository's two transactions: ITI-41 and ITI-43 (ITI TF-2 3.41, 3.43).

A submission's blobs are committed before it is registered, and it is registered before Success is said. When
the registry refuses it for what it holds already, the blobs stay behind as orphans for ``scrub``: to delete
them here would cost another submission of the same content, under way at the same time, its Success.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.database.engine import Database
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import ResponseStatus
from msim_xds.metadata import ebrim
from msim_xds.metadata.ebrim import Reading, Stored
from msim_xds.metadata.model import DocumentEntry
from msim_xds.repository import requests
from msim_xds.repository.blobs import CHUNK, BlobStore, CorruptDocument
from msim_xds.repository.index import DocumentIndex, StoredDocument
from msim_xds.repository.intake import Intake, mismatches, take_in
from msim_xds.repository.registrar import Registrar
from msim_xds.repository.requests import Wanted
from msim_xds.settings import Settings
from msim_xds.wire import answers
from msim_xds.wire.answers import DeliveredDocument
from msim_xds.wire.exchange import Answer, OutgoingDocument, Request, StagedPart

_log: FilteringBoundLogger = structlog.get_logger()

_REQUEST: Final = "ITI TF-2 3.43.4.1.2"
_RESPONSE: Final = "ITI TF-2 3.43.4.2.2"
#: Octets of small documents that one request may hold in memory; what exceeds it is verified as it streams.
_READ_AHEAD: Final = 8 << 20


@dataclass(slots=True)
class _Delivery:
    """What one retrieval has gathered so far; ``read_ahead`` octets may still be held in memory."""

    findings: list[Finding] = field(default_factory=list)
    documents: list[DeliveredDocument] = field(default_factory=list)
    outgoing: list[OutgoingDocument] = field(default_factory=list)
    key: str = field(default_factory=lambda: os.urandom(8).hex())
    read_ahead: int = _READ_AHEAD

    def status(self) -> ResponseStatus:
        """All, some or none delivered (ITI TF-3 4.2.4.2)."""
        if not self.findings:
            return ResponseStatus.SUCCESS
        return ResponseStatus.PARTIAL_SUCCESS if self.documents else ResponseStatus.FAILURE


class RepositoryService:
    """Takes documents in and gives them back."""

    def __init__(
        self,
        settings: Settings,
        store: BlobStore,
        index: DocumentIndex,
        database: Database,
        registrar: Registrar,
    ) -> None:
        self._unique_id = settings.repository.unique_id
        self._limits = settings.limits
        self._store = store
        self._index = index
        self._database = database
        self._registrar = registrar

    def provide_and_register(self, request: Request) -> Answer:
        """ITI-41: keep the documents, then register them (ITI TF-2 3.41.4.1.3).

        Raises:
            Refused: by this repository or by the registry; nothing was registered.
            OSError, TimeoutError: the store or the database cannot do it now; nothing was registered.
        """
        intake = Intake()
        try:
            take_in(request, intake, self._store, self._limits)
            reading, pairs = self._paired(intake)
            warnings = self._registrar.register(
                reading.with_stored({entry.entry_uuid: self._stored(part) for entry, part in pairs}),
                [_document(entry, part) for entry, part in pairs],
                keep=lambda: self._store.commit([part for _, part in pairs]),
            )
        finally:
            for part in intake.staged:
                self._store.discard(part)
        return Answer(
            [answers.registry_response(ResponseStatus.SUCCESS, warnings, self._limits.findings)],
            ResponseStatus.SUCCESS,
            warnings,
        )

    def retrieve(self, request: Request) -> Answer:
        """ITI-43: the documents asked for, in that order (ITI TF-2 3.43.4.1.3).

        Raises:
            Refused: the request is malformed or asks for too many documents.
        """
        wanted = requests.read(request.body, self._limits, _REQUEST, too_many="XDSTooManyResults")
        known = self._known(wanted)
        delivery = _Delivery()
        for each in wanted:
            stored = known.get(each.unique_id) if each.repository_unique_id == self._unique_id else None
            if stored is None:
                delivery.findings.append(requests.not_here(each, self._unique_id, _RESPONSE))
            else:
                self._deliver(delivery, each, stored)
        status = delivery.status()
        payload = answers.retrieve_response(status, delivery.findings, delivery.documents)
        return Answer([payload], status, delivery.findings, delivery.outgoing)

    def _paired(self, intake: Intake) -> tuple[Reading, list[tuple[DocumentEntry, StagedPart]]]:
        """The submission, and its stable entries with their documents.

        Raises:
            Refused: they are no pairs; what is wrong with the metadata alone is left to the registry.
        """
        if intake.submit_objects is None:
            raise Refused(intake.findings)
        reading = ebrim.read(intake.submit_objects, self._limits)
        findings = [*intake.findings, *mismatches(reading.submission, intake.documents)]
        if findings:
            raise Refused([*findings, *reading.findings])
        pairs = ((entry, intake.documents.get(entry.entry_uuid)) for entry in reading.submission.entries)
        return reading, [(entry, part) for entry, part in pairs if part is not None]

    def _stored(self, part: StagedPart) -> Stored:
        return Stored(part.sha1, part.size, self._unique_id)

    def _known(self, wanted: Sequence[Wanted]) -> Mapping[str, StoredDocument]:
        unique_ids = {each.unique_id for each in wanted if each.repository_unique_id == self._unique_id}
        if not unique_ids:
            return {}
        with self._database.read() as connection:
            return self._index.find(connection, unique_ids)

    def _deliver(self, delivery: _Delivery, wanted: Wanted, stored: StoredDocument) -> None:
        """Add one document, or the finding that it is damaged."""
        try:
            chunks = self._chunks(delivery, stored)
        except (CorruptDocument, OSError) as error:
            _log.error("document cannot be delivered", blob=stored.sha256, error=str(error))
            delivery.findings.append(_damaged(stored))
            return
        cid = f"document{len(delivery.documents) + 1}@{delivery.key}"
        delivery.outgoing.append(OutgoingDocument(cid, stored.mime_type, stored.size, chunks))
        delivery.documents.append(
            DeliveredDocument(wanted.home, self._unique_id, stored.unique_id, stored.mime_type, cid)
        )

    def _chunks(self, delivery: _Delivery, stored: StoredDocument) -> Iterable[bytes]:
        """The octets: read and verified now where they are few, else on their way. Raises CorruptDocument."""
        if stored.size <= min(CHUNK, delivery.read_ahead):
            delivery.read_ahead -= stored.size
            return (self._store.read(stored),)
        blob = self._store.stat(stored.sha256)
        if blob is None or blob.size != stored.size:
            raise CorruptDocument(f"blob {stored.sha256} is absent or has not {stored.size} octets")
        return self._store.open(stored)


def _document(entry: DocumentEntry, part: StagedPart) -> StoredDocument:
    """The row of a paired entry; ``intake.mismatches`` has made sure of uniqueId and mimeType."""
    return StoredDocument(
        entry.unique_id or "", part.sha256, part.sha1, part.xxh3, part.size, entry.mime_type or ""
    )


def _damaged(stored: StoredDocument) -> Finding:
    return Finding(
        "XDSRepositoryError",
        "the document is registered but cannot be read intact at the moment",
        attribute="DocumentUniqueId",
        seen=stored.unique_id,
        source=_RESPONSE,
        location=stored.unique_id,
    )
