"""The repository's registry is another server: it is told by ITI-42 (ITI TF-2 3.41.4.1.3, 3.42)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.database.engine import Database
from msim_xds.federation.answers import RegistryAnswer, RemoteError, RemoteUnavailable
from msim_xds.federation.client import DocumentSource
from msim_xds.federation.transport import Options
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import ResponseStatus
from msim_xds.ihe.transactions import ITI_42
from msim_xds.metadata.ebrim import Reading
from msim_xds.metadata.signature_slots import not_kept
from msim_xds.registry.reach import Reach
from msim_xds.repository.index import DocumentIndex, StoredDocument
from msim_xds.settings import Settings
from msim_xds.wire.exchange import OnwardRecorder, RequestRecorder

_log: FilteringBoundLogger = structlog.get_logger()


class RemoteRegistrar:
    """Registers at ``registry.url``; a ``repository.registrar.Registrar``.

    Documents are indexed, and so can be retrieved, before the registry is told. They leave the index again
    when it refuses them. When it is not known whether it took them they stay: it may have, and a source that
    sends them again finds them.
    """

    def __init__(self, settings: Settings, database: Database, index: DocumentIndex) -> None:
        timeout = settings.registry.timeout_s
        self._url = settings.registry.url
        self._options = Options(
            connect_timeout_s=min(timeout, 10.0), read_timeout_s=timeout, deadline_s=timeout
        )
        self._database = database
        self._index = index
        self._sources = threading.local()  # a source is for one thread at a time

    def register(
        self,
        reading: Reading,
        documents: Sequence[StoredDocument],
        keep: Callable[[], None],
        record: RequestRecorder | None = None,
        reach: Reach | None = None,
    ) -> tuple[Finding, ...]:
        """Keep, index and register; returns the registry's warnings. ``reach`` is for the registry to judge.

        Raises:
            Refused: by the registry, unchanged, or because it does not answer (XDSRegistryNotAvailable).
            OSError: from ``keep``.
        """
        keep()
        with self._database.write() as connection:
            known = self._index.find(connection, {document.unique_id for document in documents})
            self._index.add(connection, documents, registered=False)
        fresh = [document for document in documents if document.unique_id not in known]
        sent = None if record is None else record.onward(ITI_42.name, self._url)
        try:
            answer = self._source().register(reading.outgoing())
        except RemoteError as error:
            if not (isinstance(error, RemoteUnavailable) and error.sent):
                self._forget(fresh)
            _log.error("registry does not answer", reason=str(error))
            raise _refused(sent, [_not_available(error)]) from None
        if not answer.succeeded:
            self._forget(fresh)
            raise _refused(sent, _refusal(answer))
        with self._database.write() as connection:
            self._index.add(connection, documents, registered=True)
            if record is not None and sent is not None:
                sent(connection, answer.findings)
                record(connection, answer.findings)
        return (*answer.findings, *not_kept(reading.submission))

    def _source(self) -> DocumentSource:
        source: DocumentSource | None = getattr(self._sources, "source", None)
        if source is None:
            source = self._sources.source = DocumentSource(self._url, self._options)
        return source

    def _forget(self, documents: Sequence[StoredDocument]) -> None:
        with self._database.write() as connection:
            self._index.remove(connection, documents)


def _refused(sent: OnwardRecorder | None, findings: Sequence[Finding]) -> Refused:
    """The refusal, which is in the audit trail by now. Raises TimeoutError, OSError where it cannot be."""
    if sent is not None:
        sent.conclude(ResponseStatus.FAILURE, findings)
    return Refused(findings)


def _not_available(error: RemoteError) -> Finding:
    return Finding(
        "XDSRegistryNotAvailable",
        f"the registry did not take the metadata: {error}",
        allowed="the same submission again later",
        source="ITI TF-2 3.41.4.1.3",
    )


def _refusal(answer: RegistryAnswer) -> Sequence[Finding]:
    if answer.findings:
        return answer.findings
    return [Finding("XDSRegistryError", "the registry refused the metadata and gave no reason")]
