"""Looks at the signatures of all kept documents anew: trust changes, the documents do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.database.engine import Database
from msim_xds.metadata.model import DocumentEntry
from msim_xds.metadata.signature_slots import SignatureResult
from msim_xds.registry import revalidations, signature_results
from msim_xds.registry.revalidations import Change, Origin, Run
from msim_xds.registry.signature_results import SignedEntry
from msim_xds.repository.blobs import BlobStore, CorruptDocument
from msim_xds.repository.index import DocumentIndex, StoredDocument
from msim_xds.repository.signed_submission import Kept
from msim_xds.repository.signing import Examined, Signing, Subject, stored_code
from msim_xds.signature_settings import SignaturePolicy

_log: FilteringBoundLogger = structlog.get_logger()

#: Entries between two moments at which a run could go on.
_PAGE: Final = 50


class _Seen(NamedTuple):
    """One entry, and what its document's signatures come to now; None for an unsigned document."""

    entry: SignedEntry
    result: SignatureResult | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Revalidation:
    """Runs over the entries of this repository in the registry of this process.

    Attributes:
        signing: looks at one document.
        store: keeps the octets.
        index: knows which.
        database: where index and registry are.
        repository: the repositoryUniqueId.
        clock: the time of day, UTC.
    """

    signing: Signing
    store: BlobStore
    index: DocumentIndex
    database: Database
    repository: str
    clock: Callable[[], datetime]

    def run(self, *, again: bool, watch: Callable[[Run, int], None]) -> Run:
        """Go through all entries; an interrupted run goes on where it was, unless ``again``.

        Args:
            again: begin anew.
            watch: told after each step how far it is, and how many entries there are.

        Raises:
            OSError, TimeoutError: store or database cannot do it now; what is counted is done.
            ValueError: what is to be trusted cannot be used.
        """
        self.signing.load()
        with self.database.write() as connection:
            run = revalidations.begin(connection, self.clock(), again=again)
        with self.database.read() as connection:
            total = run.entries + revalidations.count(connection, self.repository, run.position)
        while True:
            watch(run, total)
            with self.database.read() as connection:
                entries = revalidations.page(connection, self.repository, run.position, _PAGE)
                origins = revalidations.origins(connection, entries) if entries else {}
                kept = self.index.find(connection, {entry.unique_id for entry in entries}) if entries else {}
                shown = signature_results.find(
                    connection, {e.signature_id for e in entries if e.signature_id}
                )
            if not entries:
                return self._finished(run)
            seen = [
                self._seen(entry, origins.get(entry.id, Origin()), kept.get(entry.unique_id))
                for entry in entries
            ]
            differing = [
                each
                for each in seen
                if each.result is not None and each.result != shown.get(each.entry.signature_id or 0)
            ]
            run = self._written(run, seen, differing)

    def changes(self, run: Run) -> Iterator[Change]:
        """What a run has changed."""
        with self.database.read() as connection:
            yield from revalidations.changes(connection, run.id)

    def _written(self, run: Run, seen: Sequence[_Seen], differing: Sequence[_Seen]) -> Run:
        """The results that differ and how far the run is, in one transaction."""
        with self.database.write() as connection:
            changed = sum(
                signature_results.supersede(connection, self.clock(), each.entry, each.result, run.id)
                for each in differing
                if each.result is not None
            )
            run = run._replace(
                position=seen[-1].entry.id,
                entries=run.entries + len(seen),
                signed=run.signed + sum(each.result is not None or each.failed for each in seen),
                changed=run.changed + changed,
                failed=run.failed + sum(each.failed for each in seen),
            )
            revalidations.save(connection, run)
        return run

    def _finished(self, run: Run) -> Run:
        run = run._replace(finished_at=self.clock().isoformat(timespec="seconds"))
        with self.database.write() as connection:
            revalidations.save(connection, run)
        return run

    def _seen(self, entry: SignedEntry, origin: Origin, stored: StoredDocument | None) -> _Seen:
        """Validate one document; one that was removed counts as unsigned."""
        if stored is None:
            return _Seen(entry)
        named = DocumentEntry(
            entry_uuid=entry.entry_uuid,
            unique_id=entry.unique_id,
            mime_type=stored.mime_type,
            format_code=stored_code(entry.format_code),
            class_code=stored_code(entry.class_code),
        )
        if self.signing.policy(named, origin.source_id) is SignaturePolicy.IGNORE:
            return _Seen(entry)
        others = Kept(self.store, self.index, self.database).find
        octets = partial(self.store.open, stored)
        try:
            examined: Examined | None = self.signing.examine(Subject(named, *origin, octets, others))
        except CorruptDocument as error:
            _log.error("signature cannot be validated", blob=stored.sha256, error=str(error))
            return _Seen(entry, failed=True)
        if examined is None:
            return _Seen(entry)
        return _Seen(entry, failed=True) if examined.is_defect else _Seen(entry, examined.result)
