"""What an operator removes: metadata of the registry and documents of the repository in one go."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from msim_xds.audit.operators import Ledger
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import ResponseStatus
from msim_xds.ihe.queries import ENTRIES
from msim_xds.ihe.transactions import ITI_62, ITI_86, Transaction
from msim_xds.metadata.values import is_uuid
from msim_xds.registry.erasure import Remover
from msim_xds.registry.removal import MetadataRemoval, everything
from msim_xds.registry.removal import Plan as MetadataPlan
from msim_xds.repository import requests
from msim_xds.repository.removal import DocumentRemoval
from msim_xds.repository.removal import Plan as DocumentPlan
from msim_xds.wire.exchange import Concerns, Named


class What(StrEnum):
    """What is removed of that which is named."""

    BOTH = "both"
    METADATA = "metadata"
    DOCUMENTS = "documents"


@dataclass(frozen=True, slots=True)
class Whole:
    """What would go, or has gone.

    Attributes:
        metadata: of the registry.
        documents: of the repository; its ``findings`` only say which documents are not here.
        unknown: names of nothing.
    """

    metadata: MetadataPlan
    documents: DocumentPlan
    unknown: tuple[str, ...]

    @property
    def early(self) -> tuple[Finding, ...]:
        """What must still be kept."""
        return (*self.metadata.early, *self.documents.early)


_NO_METADATA: Final = MetadataPlan((), {}, (), ())
_NO_DOCUMENTS: Final = DocumentPlan((), {}, (), ())


class Withdrawal:
    """Both removals, with everything that must go along."""

    def __init__(self, metadata: MetadataRemoval, documents: DocumentRemoval) -> None:
        self._metadata = metadata
        self._documents = documents

    def rehearse(self, names: Collection[str], what: What, remover: Remover) -> Whole:
        """What the removal of these would do.

        Args:
            names: entryUUIDs or uniqueIds. A document stays while entries that stay have its uniqueId, unless
                documents alone are removed.
            what: of registry and repository, or of one of them.
            remover: who asks.
        """
        names = list(map(_spelt, names))
        metadata = self._metadata.remove(everything(names), remover, rehearse=True)
        documents = _NO_DOCUMENTS
        if what is not What.METADATA:
            entries = {thing.unique_id for thing in metadata.things if thing.kind in ENTRIES}
            wanted = {unique_id for unique_id in entries if unique_id is not None}.union(names)
            if what is What.BOTH:
                wanted -= self._metadata.shared(metadata)
            documents = self._documents.remove(self._documents.wanted(sorted(wanted)), remover, rehearse=True)
        known = {document.unique_id for document in documents.documents}
        known.update(thing.entry_uuid for thing in metadata.things)
        known.update(thing.unique_id for thing in metadata.things if thing.unique_id is not None)
        unknown = tuple(name for name in names if name not in known)
        return Whole(_NO_METADATA if what is What.DOCUMENTS else metadata, documents, unknown)

    def carry_out(
        self, names: Collection[str], rehearsed: Whole, remover: Remover, ledger: Ledger | None = None
    ) -> Whole:
        """Remove what a rehearsal has shown, metadata first: what a failure leaves can be named again.

        ``ledger`` records each of the two removals in the transaction that does it, or why it was refused.

        Raises:
            Refused: with everything that speaks against it.
            TimeoutError: too much else is going on.
        """
        metadata, documents = rehearsed.metadata, rehearsed.documents
        if metadata.things:

            def record(connection: Any, plan: MetadataPlan) -> None:  # noqa: ANN401 - SQL is not our business
                if ledger is not None:
                    ledger.witness(ITI_62.name, Concerns(done=plan.named))(connection)

            with _refusal_recorded(ledger, ITI_62, metadata.named):
                metadata = self._metadata.remove(everything(list(map(_spelt, names))), remover, record=record)
        if documents.documents:
            named = self._named(rehearsed)
            witness = None if ledger is None else ledger.witness(ITI_86.name, Concerns(done=named))
            with _refusal_recorded(ledger, ITI_86, named):
                wanted = self._documents.wanted(each.id for each in named)
                documents = self._documents.remove(wanted, remover, record=witness)
        return Whole(metadata, documents, rehearsed.unknown)

    def record_refusal(self, rehearsed: Whole, findings: Sequence[Finding], ledger: Ledger) -> None:
        """Record that what a rehearsal has shown was refused before anything was tried."""
        for row, named in ((ITI_62, rehearsed.metadata.named), (ITI_86, self._named(rehearsed))):
            if named:
                _record_refusal(ledger, row, named, findings)

    def _named(self, rehearsed: Whole) -> tuple[Named, ...]:
        """Its documents as audit records name them; their entries may be gone when that is written."""
        patients = {thing.unique_id: thing.patient for thing in rehearsed.metadata.things}
        wanted = self._documents.wanted(document.unique_id for document in rehearsed.documents.documents)
        return tuple(each._replace(patient=patients.get(each.id, "")) for each in requests.named(wanted))


@contextmanager
def _refusal_recorded(ledger: Ledger | None, row: Transaction, named: Sequence[Named]) -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        if ledger is not None:
            _record_refusal(ledger, row, named, refused.findings)
        raise


def _record_refusal(
    ledger: Ledger, row: Transaction, named: Sequence[Named], findings: Sequence[Finding]
) -> None:
    witness = ledger.witness(row.name, Concerns(refused=tuple(named)))
    witness.conclude(ResponseStatus.FAILURE, findings)


def _spelt(name: str) -> str:
    return name.lower() if is_uuid(name) else name
