"""How a repository tells its registry: in one transaction, or by ITI-42 (``federation.registrar``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from msim_xds.database.engine import Database
from msim_xds.findings import Finding, errors
from msim_xds.ihe.transactions import ITI_41
from msim_xds.metadata.ebrim import Reading
from msim_xds.registry.reach import Reach
from msim_xds.registry.registration import Registration
from msim_xds.repository.index import DocumentIndex, StoredDocument
from msim_xds.wire.exchange import Recorder, RequestRecorder


class Registrar(Protocol):
    """Registers a submission together with its documents."""

    def register(
        self,
        reading: Reading,
        documents: Sequence[StoredDocument],
        keep: Callable[[], None],
        record: RequestRecorder | None = None,
        reach: Reach | None = None,
    ) -> tuple[Finding, ...]:
        """Index ``documents`` and register ``reading``, both or neither; returns the registry's warnings.

        Args:
            reading: the submission, with hash, size and repositoryUniqueId of its documents.
            documents: what answers for its uniqueIds.
            keep: makes the octets durable. Called before anything is written, and not at all for a submission
                that is refused whatever the registry holds, so that such a one leaves nothing behind.
            record: keeps audit records in the transaction that indexes the documents for good, those of an
                ITI-42 included.
            reach: what the submission may refer to and replace; None is everything.

        Raises:
            Refused: by the registry, passed on unchanged (ITI TF-2 3.41.4.1.3), or because it does not answer
                (XDSRegistryNotAvailable).
            OSError: from ``keep``.
        """


class LocalRegistrar:
    """The registry in this process: its objects and the index rows are one database transaction."""

    def __init__(self, database: Database, registration: Registration, index: DocumentIndex) -> None:
        self._database = database
        self._registration = registration
        self._index = index

    def register(
        self,
        reading: Reading,
        documents: Sequence[StoredDocument],
        keep: Callable[[], None],
        record: Recorder | None = None,
        reach: Reach | None = None,
    ) -> tuple[Finding, ...]:
        """Keep, register and index. Raises Refused or OSError; no row is written then."""
        draft = self._registration.draft(reading, ITI_41)
        if not errors(draft.findings):
            keep()
        with self._database.write() as connection:
            self._registration.register(connection, draft, reach)  # refuses a draft with errors
            self._index.add(connection, documents, registered=True)
            if record is not None:
                record(connection, draft.findings)
        return draft.findings

    def knows(self, reading: Reading) -> bool:
        """Whether this very submission is registered already, so that it is a retry."""
        with self._database.read() as connection:
            return self._registration.knows(connection, reading)
