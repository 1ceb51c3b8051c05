"""Remove Documents (ITI-86): the documents named go all together, or none does; metadata stay as they are.

The rows go first, in one transaction: from its end on the documents are not retrieved. Their octets follow,
each blob only when no row names it, while ``DocumentIndex.deletion`` holds off whoever could write one. What
a crash in between leaves is an orphan, which ``fsck --clean`` removes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.database.engine import Database
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import ResponseStatus
from msim_xds.ihe.transactions import ITI_86
from msim_xds.registry import disclosure, erasure
from msim_xds.registry.erasure import Note, Remover
from msim_xds.registry.retention import Period, Retention, last_day, must_be_kept
from msim_xds.repository import requests
from msim_xds.repository.blobs import BlobStore
from msim_xds.repository.index import DocumentIndex, StoredDocument
from msim_xds.repository.requests import Wanted
from msim_xds.settings import Settings
from msim_xds.wire.answers import registry_response
from msim_xds.wire.exchange import Answer, Concerns, Request
from msim_xds.wire.view import View

if TYPE_CHECKING:
    from lxml.etree import _Element

_log: FilteringBoundLogger = structlog.get_logger()

_SOURCE: Final = ITI_86.section
#: Blobs deleted while submissions wait; an object store needs a request for each.
_BATCH: Final = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What a removal would do.

    Attributes:
        documents: what would go.
        periods: by uniqueId, how long the documents are kept that have a period.
        findings: what speaks against it whoever asks.
        early: what speaks against it before its time.
    """

    documents: tuple[StoredDocument, ...]
    periods: Mapping[str, Period]
    findings: tuple[Finding, ...]
    early: tuple[Finding, ...]


class DocumentRemoval:
    """Removes documents from the repository; safe to share between threads."""

    def __init__(
        self,
        settings: Settings,
        store: BlobStore,
        index: DocumentIndex,
        database: Database,
        retention: Retention,
        clock: Callable[[], datetime],
    ) -> None:
        self._unique_id = settings.repository.unique_id
        self._limits = settings.limits
        self._entries_are_elsewhere = bool(settings.registry.url)
        self._store = store
        self._index = index
        self._database = database
        self._retention = retention
        self._clock = clock

    def remove_documents(self, request: Request) -> Answer:
        """ITI-86. Raises Refused, and then nothing is removed."""
        foreign = list(_foreign(request.body))
        if foreign:
            raise Refused(foreign)
        wanted = requests.read(request.body, self._limits, _SOURCE, too_many=ITI_86.invalid)
        named = requests.named(wanted)
        request.concerns = Concerns(refused=named)

        def record(connection: Any) -> None:  # noqa: ANN401  # SQL is the index's business
            request.concerns = Concerns(done=named)
            request.record(connection)

        remover = Remover(request.remote_address or "unknown")
        self.remove(wanted, remover, record=record, view=request.view, owned=request.owned)
        return Answer([registry_response(ResponseStatus.SUCCESS)])

    def wanted(self, unique_ids: Iterable[str]) -> list[Wanted]:
        """Documents of this repository as a request names them."""
        return [Wanted(None, self._unique_id, unique_id) for unique_id in unique_ids]

    def remove(
        self,
        wanted: Sequence[Wanted],
        remover: Remover,
        *,
        rehearse: bool = False,
        record: Callable[[Any], None] | None = None,
        view: View | None = None,
        owned: View | None = None,
    ) -> Plan:
        """Remove them all; returns what was done, or in a rehearsal what would be, for or against it.

        ``record`` is called in the transaction that removes them. Documents outside ``view`` are as if they
        were not there, those outside ``owned`` are refused; None is everything.

        Raises:
            Refused: with everything that speaks against it; not in a rehearsal.
            TimeoutError: too much else is going on.
        """
        here = {each.unique_id for each in wanted if each.repository_unique_id == self._unique_id}
        with self._index.deletion(self._database) as connection:
            documents = self._index.find(connection, here)
            if view is not None:
                shown = disclosure.shown_documents(connection, view, documents.keys())
                documents = {name: each for name, each in documents.items() if name in shown}
            periods = self._retention.of_documents(connection, documents.keys())
            if self._entries_are_elsewhere:
                years = self._index.years(connection, documents.keys() - periods.keys())
                periods |= self._retention.general_periods(years)
            plan = self._judged(wanted, documents, periods)
            if rehearse:
                return plan
            found = plan.findings if remover.reason else (*plan.findings, *plan.early)
            if owned is not None:
                own = disclosure.shown_documents(connection, owned, documents.keys())
                others = sorted(documents.keys() - own)
                found = (*found, *(disclosure.not_owned(ITI_86, f"document {name}", name) for name in others))
            if found:
                raise Refused(found)
            self._index.delete(connection, [document.unique_id for document in plan.documents])
            notes = (
                Note(None, None, document.unique_id, None, last_day(plan.periods.get(document.unique_id)))
                for document in plan.documents
            )
            erasure.note(connection, ITI_86, remover, self._clock(), notes)
            if record is not None:
                record(connection)
        self._discard(sorted({document.sha256 for document in plan.documents}))
        return plan

    def _judged(
        self,
        wanted: Sequence[Wanted],
        documents: Mapping[str, StoredDocument],
        periods: Mapping[str, Period],
    ) -> Plan:
        findings = (
            requests.not_here(each, self._unique_id, _SOURCE)
            for each in wanted
            if each.repository_unique_id != self._unique_id or each.unique_id not in documents
        )
        early = (
            must_be_kept("XDSRemoveDocumentsError", f"document {name}", periods[name], _SOURCE, context=name)
            for name in documents
            if not self._retention.is_over(periods.get(name))
        )
        return Plan(tuple(documents.values()), periods, tuple(findings), tuple(early))

    def _discard(self, sha256s: Sequence[str]) -> None:
        """Delete the blobs that no row names any more."""
        try:
            for start in range(0, len(sha256s), _BATCH):
                batch = sha256s[start : start + _BATCH]
                with self._index.deletion(self._database) as connection:
                    for sha256 in set(batch) - self._index.referred(connection, batch):
                        self._store.delete(sha256)
        except OSError as error:  # of the store, or TimeoutError of the database
            _log.error("blobs of removed documents are left; run fsck --clean", error=str(error))


def _foreign(body: _Element) -> Iterator[Finding]:
    """What must not stand in the request: it would be asked for more than is understood."""
    for child in body:
        if child.tag != requests.DOCUMENT_REQUEST:
            yield requests.malformed(
                "", "is no part of this request", str(child.tag), allowed="DocumentRequest", source=_SOURCE
            )
