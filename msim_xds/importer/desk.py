"""Where submissions of an import are prepared and registered, a batch at a time.

A batch is prepared without a transaction: documents staged, metadata judged and packed, and everything that
is acceptable so far made durable at once. Then it is registered in a few transactions, each with the progress
and the report of what it holds. So documents are durable before their rows, as with ITI-41, and a batch that
a crash interrupts is neither counted nor lost: it is done again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from msim_xds.audit.operators import Ledger
from msim_xds.database.engine import Database, savepoint
from msim_xds.findings import Finding, Refused, errors
from msim_xds.ihe.transactions import ITI_41
from msim_xds.importer.composing import Composed, Composer, Options
from msim_xds.importer.manifest import DocumentLine, Line, parse_line
from msim_xds.importer.plan import Kind, Task, open_source
from msim_xds.importer.progress import Journal, Progress
from msim_xds.importer.report import Outcome, Remark, Report
from msim_xds.metadata.ebrim import Reading, Stored
from msim_xds.metadata.signature_slots import SignatureResult
from msim_xds.registry import holdings, patients
from msim_xds.registry.batch import Batch, NotTogether
from msim_xds.registry.drafts import Draft
from msim_xds.registry.history import as_history
from msim_xds.registry.registration import Registration
from msim_xds.repository.blobs import BlobStore
from msim_xds.repository.index import DocumentIndex, StoredDocument
from msim_xds.repository.intake import mismatches
from msim_xds.repository.signed_submission import left_for_later
from msim_xds.repository.signing import Signing
from msim_xds.settings import Settings

#: Objects of one transaction; more would keep a server's writers waiting for too long.
_MOST_OBJECTS: Final = 2000
#: Objects of one batch that are held ready at once.
_MOST_PREPARED: Final = 20_000
_ATTEMPTS: Final = 6
_FIRST_PAUSE_S: Final = 0.2


class Overtaken(RuntimeError):
    """The import's progress is not where this one left it."""


@dataclass(slots=True)
class Prepared:
    """A task on its way.

    Attributes:
        task: which.
        composed: what it brings.
        is_history: it tells of the past.
        signatures: which of its documents wait for the validation of their signatures, by id of the entry.
        draft: what the registry is asked about; None for a task that is no submission, or empty.
        findings: why it is no submission.
    """

    task: Task
    composed: Composed = field(default_factory=Composed)
    is_history: bool = False
    signatures: Mapping[str, SignatureResult] = field(default_factory=dict)
    draft: Draft | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def is_acceptable(self) -> bool:
        """Whether nothing speaks against it that can be said without the registry."""
        return self.draft is not None and not errors(self.draft.findings)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to say of it, as of an empty line."""
        return self.draft is None and not self.findings

    @property
    def objects(self) -> int:
        """How many it will write."""
        return 1 if self.draft is None else len(self.draft.objects) + len(self.draft.associations)


@dataclass(frozen=True, slots=True)
class Services:
    """What of a server's parts an import works with, wired by ``app``.

    ``ledger`` is None where no audit records are kept.
    """

    settings: Settings
    database: Database
    store: BlobStore
    index: DocumentIndex
    registration: Registration
    signing: Signing
    clock: Callable[[], datetime]
    ledger: Ledger | None = None

    def close(self) -> None:
        """Give connections back."""
        self.database.close()


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be imported, and how; picklable, for worker processes.

    Attributes:
        source: folder, archive or manifest.
        report: file of the report.
        options: what holds for all of it.
    """

    source: Path
    report: Path
    options: Options = field(default_factory=Options)

    @property
    def key(self) -> str:
        """The import's name in the database."""
        return str(self.source.resolve())


class Desk:
    """Prepares and registers batches of one import; not to be shared between threads.

    Raises:
        ValueError: ``registry.url`` names another registry, or the source cannot be used.
        OSError: the source cannot be read.
    """

    def __init__(self, services: Services, order: Order) -> None:
        if services.settings.registry.url:
            raise ValueError("registry.url is set: import where the registry is")
        self._services = services
        self._order = order
        self._tree = open_source(order.source)
        self._composer = Composer(self._tree, services.store, services.settings.limits, order.options)
        self._journal = Journal(order.key, services.clock)
        self._report = Report(order.report)

    def close(self) -> None:
        """Close the source; the services are their maker's."""
        self._tree.close()

    def prepare(self, tasks: Sequence[Task]) -> list[Prepared]:
        """Read, judge and stage; the documents of what is acceptable so far are durable when this returns.

        Returns:
            The first tasks: all of them, unless they have too many objects for the memory.

        Raises:
            OSError: the store cannot keep them; nothing is left staged.
        """
        prepared: list[Prepared] = []
        try:
            objects = 0
            for task in tasks:
                prepared.append(Prepared(task))
                self._prepare(prepared[-1])
                objects += prepared[-1].objects
                if objects > _MOST_PREPARED:
                    break
            kept = [part for each in prepared if each.is_acceptable for part in each.composed.parts.values()]
            if kept:
                self._services.store.commit(kept)
        finally:
            for each in prepared:
                for part in each.composed.staged:
                    self._services.store.discard(part)
        return prepared

    def register(self, prepared: Sequence[Prepared]) -> Progress:
        """Register what follows upon what the import has come to, in short transactions.

        Raises:
            Overtaken: something is missing in between.
            TimeoutError: the database stays busy; what is counted is done.
            OSError: the report or the database has no room.
        """
        progress: Progress | None = None
        for group in _groups(prepared):
            progress = self._patiently(group)
        if progress is None:
            raise ValueError("an empty batch")
        return progress

    def complete(self, tasks: Sequence[Task], prepared: Sequence[Prepared]) -> Progress:
        """Register a batch of which ``prepare`` has done the beginning, or all. Raises as both."""
        progress = self.register(prepared)
        done = len(prepared)
        while done < len(tasks):
            more = self.prepare(tasks[done:])
            progress = self.register(more)
            done += len(more)
        return progress

    # --- before the transaction ---------------------------------------------------------------------

    def _prepare(self, prepared: Prepared) -> None:
        try:
            line = self._line(prepared.task)
            if line is None:
                return
            prepared.is_history = line.is_history or self._order.options.history
            self._composer.compose(line, prepared.composed)
            if (reading := prepared.composed.reading) is not None:
                services, parts = self._services, prepared.composed.parts
                prepared.signatures = left_for_later(
                    services.signing, services.store, reading.submission, parts
                )
                prepared.draft = self._draft(prepared, reading)
        except Refused as refused:
            prepared.findings = refused.findings

    def _line(self, task: Task) -> Line | None:
        """The task as a manifest's line; None for an empty one."""
        if task.kind is Kind.LINE:
            return parse_line(task.text) if task.text.strip() else None
        if task.kind is Kind.METADATA:
            return Line(metadata=task.name)
        return Line(documents=(DocumentLine(path=task.name),))

    def _draft(self, prepared: Prepared, reading: Reading) -> Draft:
        """The draft of a submission. Raises Refused where documents and entries are no pairs."""
        parts = prepared.composed.parts
        if found := list(mismatches(reading.submission, parts)):
            raise Refused([*found, *reading.findings])
        own = self._services.settings.repository.unique_id
        stored = {name: Stored(part.sha1, part.size, own) for name, part in parts.items()}
        reading = replace(reading.with_stored(stored), signatures=prepared.signatures)
        draft = self._services.registration.draft(reading, ITI_41)
        return as_history(draft) if prepared.is_history else draft

    # --- in the transaction -------------------------------------------------------------------------

    def _patiently(self, group: Sequence[Prepared]) -> Progress:
        """Register a group; a busy database is asked again, since nothing of the group was kept."""
        for attempt in range(_ATTEMPTS - 1):
            try:
                return self._transaction(group)
            except TimeoutError:
                time.sleep(_FIRST_PAUSE_S * 2**attempt)
        return self._transaction(group)

    def _transaction(self, group: Sequence[Prepared]) -> Progress:
        with self._services.database.write() as connection:
            before = self._journal.lock(connection)
            if before is None or before.position < group[0].task.number:
                raise Overtaken(f"{self._order.key}: this import was begun anew or is at another place")
            # What another process of this import was still committing when it was ended is done.
            group = [each for each in group if each.task.number >= before.position]
            remarks = self._remarks(connection, group)
            counts = Counter(remark.outcome for remark in remarks)
            self._record(connection, group, remarks)
            worth_telling = (each for each in remarks if each.findings or each.notes)
            after = replace(
                before,
                report_octets=self._report.write(before.report_octets, worth_telling),
                position=before.position + len(group),
                imported=before.imported + counts[Outcome.IMPORTED],
                present=before.present + counts[Outcome.PRESENT],
                refused=before.refused + counts[Outcome.REFUSED],
            )
            self._journal.save(connection, after)
        return after

    def _record(self, connection: Connection, group: Sequence[Prepared], remarks: Sequence[Remark]) -> None:
        """Keep audit records; what was there already leaves none, since nothing is done."""
        ledger = self._services.ledger
        if ledger is not None:
            told = zip((each for each in group if not each.is_empty), remarks, strict=True)
            deeds = (remark.deed(each.composed.reading) for each, remark in told)
            ledger.add(connection, ITI_41.name, (deed for deed in deeds if deed is not None))

    def _remarks(self, connection: Connection, group: Sequence[Prepared]) -> list[Remark]:
        """Register each, and say what became of it; the empty ones are passed over."""
        try:
            with savepoint(connection, NotTogether):
                return self._together(connection, group)
        except NotTogether:
            return list(self._one_by_one(connection, group))

    def _together(self, connection: Connection, group: Sequence[Prepared]) -> list[Remark]:
        """The quick way. Raises NotTogether, after which nothing of it may be kept."""
        drafts = [each.draft for each in group if each.draft is not None]
        batch = Batch(connection, self._services.registration, drafts)
        remarks: list[Remark] = []
        documents: list[StoredDocument] = []
        for each in group:
            if (refused := _refused_before(each)) is not None:
                remarks.append(refused)
            elif each.draft is not None:
                if each.composed.wanted:
                    batch.write()
                try:
                    draft, notes = self._completed(connection, each)
                    is_new = batch.register(draft)
                except Refused as refusal:
                    remarks.append(Remark(each.task.name, Outcome.REFUSED, refusal.findings))
                    continue
                remarks.append(_accepted(each, draft, notes, is_new=is_new))
                documents += _documents(draft, each) if is_new else ()
        batch.write()
        if not self._services.index.add_together(connection, documents):
            raise NotTogether
        return remarks

    def _one_by_one(self, connection: Connection, group: Sequence[Prepared]) -> Iterator[Remark]:
        """The way on which each submission hears of what only the database knows, such as a race lost."""
        drafts = [each.draft for each in group if each.draft is not None]
        patients.lock_all(connection, {draft.patient for draft in drafts} - {""})
        for each in group:
            if (refused := _refused_before(each)) is not None:
                yield refused
            elif each.draft is not None:
                yield self._registered(connection, each)

    def _registered(self, connection: Connection, prepared: Prepared) -> Remark:
        try:
            draft, notes = self._completed(connection, prepared)
            with savepoint(connection, Refused):
                is_new = self._services.registration.register(connection, draft)
                if is_new:
                    self._services.index.add(connection, _documents(draft, prepared), registered=True)
        except Refused as refused:
            return Remark(prepared.task.name, Outcome.REFUSED, refused.findings)
        return _accepted(prepared, draft, notes, is_new=is_new)

    def _completed(self, connection: Connection, prepared: Prepared) -> tuple[Draft, list[str]]:
        """The draft with the relations that needed the registry. Raises Refused.

        One that is not acceptable stays as it is, to be refused: its documents were not kept.
        """
        if prepared.draft is None:
            raise RuntimeError("nothing is drafted")
        composed = prepared.composed
        if not composed.wanted or not prepared.is_acceptable:
            return prepared.draft, []
        unique_ids = {each.unique_id for each in composed.wanted}
        found = holdings.registered_as(connection, unique_ids)
        reading, notes = self._composer.with_relations(composed, found)
        return self._draft(prepared, reading), notes


def _groups(prepared: Sequence[Prepared]) -> Iterator[list[Prepared]]:
    """Pieces of a batch that a transaction takes at once."""
    group: list[Prepared] = []
    objects = 0
    for each in prepared:
        if group and objects + each.objects > _MOST_OBJECTS:
            yield group
            group, objects = [], 0
        group.append(each)
        objects += each.objects
    if group:
        yield group


def _refused_before(prepared: Prepared) -> Remark | None:
    """What became of one that is no submission, if it is none."""
    return Remark(prepared.task.name, Outcome.REFUSED, prepared.findings) if prepared.findings else None


def _accepted(prepared: Prepared, draft: Draft, notes: Sequence[str], *, is_new: bool) -> Remark:
    if not is_new:
        return Remark(prepared.task.name, Outcome.PRESENT)
    notes = [*prepared.composed.notes, *notes]
    return Remark(prepared.task.name, Outcome.IMPORTED, draft.findings, notes)


def _documents(draft: Draft, prepared: Prepared) -> list[StoredDocument]:
    """Index rows of the submission's documents; ``mismatches`` has made sure of uniqueId and mimeType."""
    sent = prepared.composed.reading
    entries = () if sent is None else sent.submission.entries
    return [
        StoredDocument(
            entry.unique_id or "", part.sha256, part.sha1, part.xxh3, part.size, entry.mime_type or ""
        )
        for entry in entries
        if (part := prepared.composed.parts.get(entry.entry_uuid)) is not None
    ]
