"""The Document Repository's two transactions: ITI-41 and ITI-43 (ITI TF-2 3.41, 3.43).

A submission's blobs are committed before it is registered, and it is registered before Success is said. When
the registry refuses it for what it holds already, the blobs stay behind as orphans for ``scrub``: to delete
them here would cost another submission of the same content, under way at the same time, its Success.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.database.engine import Database
from msim_xds.findings import Finding, Refused, errors
from msim_xds.ihe.names import ResponseStatus
from msim_xds.metadata import ebrim
from msim_xds.metadata.ebrim import Reading, Stored
from msim_xds.metadata.model import DocumentEntry
from msim_xds.registry.concerned import submitted
from msim_xds.registry.reach import reach_of
from msim_xds.repository import requests
from msim_xds.repository.assembly import Assembled, Assembly
from msim_xds.repository.blobs import CHUNK, BlobStore, CorruptDocument
from msim_xds.repository.decisions import DecisionService
from msim_xds.repository.index import DocumentIndex, StoredDocument
from msim_xds.repository.intake import Intake, mismatches, take_in
from msim_xds.repository.registrar import Registrar
from msim_xds.repository.release import hidden
from msim_xds.repository.requests import Wanted
from msim_xds.repository.sealing import sealed_size
from msim_xds.repository.signed_submission import SubmittedSignatures
from msim_xds.repository.snapshots import Snapshots
from msim_xds.security.systems.rights import check_submission
from msim_xds.settings import Settings
from msim_xds.wire import answers
from msim_xds.wire.answers import DeliveredDocument
from msim_xds.wire.exchange import Answer, Concerns, OutgoingDocument, Request, StagedPart
from msim_xds.wire.view import View

_log: FilteringBoundLogger = structlog.get_logger()

_REQUEST: Final = "ITI TF-2 3.43.4.1.2"
_RESPONSE: Final = "ITI TF-2 3.43.4.2.2"
#: Octets of small documents that one request may hold in memory; what exceeds it is verified as it streams.
_READ_AHEAD: Final = 8 << 20


class NewIds(NamedTuple):
    """Where a document that was made on demand is kept, and its own uniqueId (ITI TF-2 3.43.4.2.2)."""

    repository_unique_id: str | None = None
    document_unique_id: str | None = None


_NOT_NEW: Final = NewIds()


@dataclass(slots=True)
class Delivery:
    """What one retrieval has gathered so far: documents, and what is wrong with the others.

    ``read_ahead`` octets may still be held in memory; ``given_up`` are on-demand sources that took too long.
    """

    findings: list[Finding] = field(default_factory=list)
    delivered: list[Wanted] = field(default_factory=list)
    documents: list[DeliveredDocument] = field(default_factory=list)
    outgoing: list[OutgoingDocument] = field(default_factory=list)
    key: str = field(default_factory=lambda: os.urandom(8).hex())
    read_ahead: int = _READ_AHEAD
    given_up: set[str] = field(default_factory=set)

    def add(
        self,
        wanted: Wanted,
        mime_type: str,
        size: int | None,
        chunks: Iterable[bytes],
        new: NewIds = _NOT_NEW,
    ) -> None:
        """One document more."""
        cid = f"document{len(self.documents) + 1}@{self.key}"
        self.delivered.append(wanted)
        self.outgoing.append(OutgoingDocument(cid, mime_type, size, chunks))
        self.documents.append(
            DeliveredDocument(
                wanted.home, wanted.repository_unique_id, wanted.unique_id, mime_type, cid, *new
            )
        )

    def concerns(self, wanted: Sequence[Wanted]) -> Concerns:
        """What of ``wanted`` is delivered, and what is not."""
        delivered = set(self.delivered)
        return Concerns(
            done=requests.named(self.delivered),
            refused=requests.named(each for each in wanted if each not in delivered),
        )

    def may_hold(self, size: int) -> bool:
        """Whether that many octets are few enough to be read at once; they count as held then."""
        few = size <= min(CHUNK, self.read_ahead)
        if few:
            self.read_ahead -= size
        return few

    def status(self) -> ResponseStatus:
        """All, some or none delivered (ITI TF-3 4.2.4.2)."""
        if not errors(self.findings):
            return ResponseStatus.SUCCESS
        return ResponseStatus.PARTIAL_SUCCESS if self.documents else ResponseStatus.FAILURE

    def answer(self) -> Answer:
        """All of it as the answer of a retrieval."""
        status = self.status()
        payload = answers.retrieve_response(status, self.findings, self.documents)
        return Answer([payload], status, self.findings, self.outgoing)


class RepositoryService:
    """Takes documents in and gives them back.

    Args:
        settings: limits and the repositoryUniqueId.
        store: keeps octets.
        index: knows which octets answer for a uniqueId.
        database: where the index is.
        registrar: tells the registry.
        assembly: makes on-demand documents; None for a repository that has none.
        snapshots: keeps what was made on demand; None leaves it at the answer.
        signatures: looks at those of submitted documents; None looks at none.
        decisions: asked before documents are handed out; None asks nobody.
    """

    def __init__(
        self,
        settings: Settings,
        store: BlobStore,
        index: DocumentIndex,
        database: Database,
        registrar: Registrar,
        assembly: Assembly | None = None,
        snapshots: Snapshots | None = None,
        signatures: SubmittedSignatures | None = None,
        decisions: DecisionService | None = None,
    ) -> None:
        self._unique_id = settings.repository.unique_id
        self._limits = settings.limits
        self._store = store
        self._index = index
        self._database = database
        self._registrar = registrar
        self._assembly = assembly
        self._snapshots = snapshots
        self._signatures = signatures
        self._decisions = decisions

    def provide_and_register(self, request: Request) -> Answer:
        """ITI-41: keep the documents, then register them (ITI TF-2 3.41.4.1.3).

        Raises:
            Refused: by this repository or by the registry; nothing was registered.
            OSError, TimeoutError: the store or the database cannot do it now; nothing was registered.
        """
        intake = Intake()
        try:
            take_in(request, intake, self._store, self._limits)
            reading, pairs = self._paired(request, intake)
            reading = reading.with_stored({entry.entry_uuid: self._stored(part) for entry, part in pairs})
            told: tuple[Finding, ...] = ()
            if self._signatures is not None:
                results, told = self._signatures.examine(reading, pairs)
                if results:
                    reading = replace(reading, signatures=results)
            warnings = self._registrar.register(
                reading,
                [_document(entry, part) for entry, part in pairs],
                keep=lambda: self._store.commit([part for _, part in pairs]),
                record=request.recorder,
                reach=reach_of(request),
            )
        finally:
            for part in intake.staged:
                self._store.discard(part)
        warnings = (*warnings, *told) if told else warnings
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
        return self.deliver(request, wanted).answer()

    def deliver(self, request: Request, wanted: Sequence[Wanted]) -> Delivery:
        """The documents of a retrieval that was read already, whatever transaction brought it."""
        audited = request.recorder is not None or request.emergency
        if audited:
            request.concerns = Concerns(refused=requests.named(wanted))
        delivery = Delivery()
        refused = self._refused(request, wanted)
        known = self._known(wanted)
        for each in wanted:
            if each in refused:
                delivery.findings.append(refused[each])
                continue
            stored = known.get(each.unique_id) if each.repository_unique_id == self._unique_id else None
            if stored is not None:
                self._deliver(delivery, each, stored)
            elif not self._deliver_on_demand(delivery, each, request.view):
                delivery.findings.append(requests.not_here(each, self._unique_id, _RESPONSE))
        if audited:
            request.concerns = delivery.concerns(wanted)
        return delivery

    def _refused(self, request: Request, wanted: Sequence[Wanted]) -> Mapping[Wanted, Finding]:
        """What may not leave: by the policy, and of the rest by those who decide besides it."""
        if request.view is None:
            return {} if self._decisions is None else self._decisions.refused(request, wanted)
        refused = {
            each: requests.not_here(each, self._unique_id, _RESPONSE)
            for each in hidden(self._database, request.view, wanted, self._unique_id)
        }
        left = [each for each in wanted if each not in refused]
        if self._decisions is not None and left:
            refused |= self._decisions.refused(request, left)
        return refused

    def _paired(
        self, request: Request, intake: Intake
    ) -> tuple[Reading, list[tuple[DocumentEntry, StagedPart]]]:
        """The submission, and its stable entries with their documents.

        Raises:
            Refused: they are no pairs; what is wrong with the metadata alone is left to the registry.
        """
        if intake.submit_objects is None:
            raise Refused(intake.findings)
        reading = ebrim.read(intake.submit_objects, self._limits)
        request.concerns = submitted(reading.submission)
        check_submission(request, reading, self._unique_id)
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

    def _deliver(
        self, delivery: Delivery, wanted: Wanted, stored: StoredDocument, new: NewIds = _NOT_NEW
    ) -> None:
        """Add one document, or the finding that it is damaged."""
        try:
            chunks = self._chunks(delivery, stored)
        except (CorruptDocument, OSError) as error:
            _log.error("document cannot be delivered", blob=stored.sha256, error=str(error))
            delivery.findings.append(_damaged(wanted))
            return
        delivery.add(wanted, stored.mime_type, stored.size, chunks, new)

    def _deliver_on_demand(self, delivery: Delivery, wanted: Wanted, view: View | None) -> bool:
        """Add a document that is made now, or the finding why it is not; False where none can be made."""
        if self._assembly is None or wanted.repository_unique_id != self._unique_id:
            return False
        try:
            made = self._assembly.make(wanted.unique_id, delivery.given_up, view)
        except Refused as refused:
            delivery.findings += refused.findings
            return True
        if made is None:
            return False
        try:
            self._deliver_made(delivery, wanted, made)
        except Refused as refused:
            delivery.findings.append(_not_registered(wanted, refused))
        except OSError as error:  # or a TimeoutError; the other documents are delivered all the same
            _log.error("snapshot cannot be kept", blob=made.part.sha256, error=str(error))
            delivery.findings.append(_not_kept(wanted))
        finally:
            self._store.discard(made.part)
        return True

    def _deliver_made(self, delivery: Delivery, wanted: Wanted, made: Assembled) -> None:
        """Add a document that was made, from the store where it is kept there. Raises Refused, OSError."""
        kept = None if self._snapshots is None else self._snapshots.keep(made)
        if kept is not None:
            self._deliver(delivery, wanted, kept, NewIds(self._unique_id, made.unique_id))
            return
        octets, size = self._store.take(made.part), made.part.size
        chunks = (b"".join(octets),) if delivery.may_hold(size) else octets
        delivery.add(wanted, made.mime_type, size, chunks, NewIds(None, made.unique_id))

    def _chunks(self, delivery: Delivery, stored: StoredDocument) -> Iterable[bytes]:
        """The octets: read and verified now where they are few, else on their way. Raises CorruptDocument."""
        if delivery.may_hold(stored.size):
            return (self._store.read(stored),)
        blob = self._store.stat(stored.sha256)
        if blob is None or blob.size not in (stored.size, sealed_size(stored.size)):
            raise CorruptDocument(f"blob {stored.sha256} is absent or has not {stored.size} octets")
        return self._store.open(stored)


def _document(entry: DocumentEntry, part: StagedPart) -> StoredDocument:
    """The row of a paired entry; ``intake.mismatches`` has made sure of uniqueId and mimeType."""
    return StoredDocument(
        entry.unique_id or "", part.sha256, part.sha1, part.xxh3, part.size, entry.mime_type or ""
    )


def _damaged(wanted: Wanted) -> Finding:
    return _undelivered(wanted, "the document is registered but cannot be read intact at the moment")


def _not_kept(wanted: Wanted) -> Finding:
    return _undelivered(wanted, "the document made for it cannot be stored at the moment; ask again later")


def _not_registered(wanted: Wanted, refused: Refused) -> Finding:
    """That the registry does not take a snapshot, with the first of its reasons."""
    reason = errors(refused.findings)[0]
    return _undelivered(wanted, f"its snapshot was not registered: {reason.code}: {reason.text()}")


def _undelivered(wanted: Wanted, problem: str) -> Finding:
    return Finding(
        "XDSRepositoryError",
        problem,
        attribute="DocumentUniqueId",
        seen=wanted.unique_id,
        source=_RESPONSE,
        location=wanted.unique_id,
    )
