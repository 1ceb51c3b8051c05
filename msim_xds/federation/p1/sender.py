"""Publishes what is due at P1: one thread of each server process, one publication at a time.

An attempt whose outcome nobody knows may have succeeded. So whatever was tried before is looked for at P1
first, by entryUUID and uniqueId: what is there counts as delivered and is not sent again. The same holds
where P1 says that it has such an id already.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.federation.answers import RegistryAnswer, RemoteError, RemoteUnavailable
from msim_xds.federation.client import DocumentConsumer, DocumentSource, QueryValue
from msim_xds.federation.p1.identifiers import as_written
from msim_xds.federation.p1.outbox import Outbox, Publication
from msim_xds.federation.p1.providers import Provider, Providers
from msim_xds.federation.p1.publication import Form
from msim_xds.federation.p1.tokens import Tokens, own_token
from msim_xds.findings import Finding, errors
from msim_xds.ihe.names import AssociationType
from msim_xds.ihe.queries import QUERIES
from msim_xds.ihe.transactions import ITI_42, ITI_57
from msim_xds.ihe.updates import NEW_STATUS
from msim_xds.metadata.model import Association, DocumentEntry, RegistryObject, Submission
from msim_xds.pauses import Pauses
from msim_xds.settings import Settings

_log: FilteringBoundLogger = structlog.get_logger()

_LOOK_S: Final = 2.0  # as often the outbox is looked at for what other processes have put in
_ERROR_CHARS: Final = 2000  # kept of what P1 says
_BY_NAME: Final = {row.name: row.id for row in QUERIES.values()}
#: Codes that say 'later' (ITI TF-3 Table 4.2.4.1-2).
_LATER: Final = frozenset(
    {"XDSRegistryBusy", "XDSRegistryOutOfResources", "XDSRegistryNotAvailable", "XDSRegistryError"}
)


class _NotPublished(Exception):
    """P1 does not have it; ``final`` says that another attempt would come to the same."""

    def __init__(self, reason: str, *, final: bool) -> None:
        super().__init__(reason[:_ERROR_CHARS])
        self.final = final


@dataclass(frozen=True, slots=True)
class _Expected:
    """What P1 shows of an entry once it has a publication: its uniqueId or its status, where it is known."""

    unique_id: str | None = None
    status: str | None = None

    def is_met_by(self, entry: DocumentEntry) -> bool:
        return self.unique_id in (None, entry.unique_id) and self.status in (None, entry.status)


class Sender:
    """The publications of one server process.

    Args:
        outbox: what is to be published.
        settings: the whole configuration.
        providers: in whose name.
        tokens: assertions for it.
        clock: the time of day, UTC.
    """

    def __init__(
        self,
        outbox: Outbox,
        settings: Settings,
        providers: Providers,
        tokens: Tokens,
        clock: Callable[[], datetime],
    ) -> None:
        self._outbox = outbox
        self._settings = settings.p1
        self._pauses = Pauses(settings.p1.first_pause_s, settings.p1.longest_pause_s)
        self._limits = settings.limits
        self._providers = providers
        self._tokens = tokens
        self._clock = clock
        self._form = Form(settings)
        self._stopping = threading.Event()
        # A daemon: P1 may be slow, and what is broken off is found out by the next attempt.
        self._thread = threading.Thread(target=self._run, name="p1", daemon=True)

    def start(self) -> None:
        """Publish until ``stop``, or until the program ends."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing new and wait for what is under way."""
        self._stopping.set()
        self._outbox.news.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                pause_s = self.publish_due()
            except Exception as error:  # the database is out of reach; the thread must outlive that
                _log.warning("publication waits for the database", error=type(error).__name__)
                pause_s = _LOOK_S
            self._outbox.news.wait(pause_s)
            self._outbox.news.clear()

    def publish_due(self) -> float:
        """Publish all that is due now; returns seconds until it is worth looking again."""
        while not self._stopping.is_set():
            due_s = self._outbox.next_due_s()
            if due_s is None or due_s > 0:
                return _LOOK_S if due_s is None else min(_LOOK_S, due_s)
            claimed = self._outbox.claim()
            if claimed is not None:
                self._carry_out(claimed)
        return 0.0

    def _carry_out(self, claimed: Publication) -> None:
        facts = {"id": claimed.id, "transaction": claimed.transaction, "attempt": claimed.attempts}
        try:
            self._publish(claimed)
        except _NotPublished as problem:
            self._not_published(claimed, problem, facts)
        except Exception as error:  # ours: tried again like any other, and the log has the traceback
            _log.error("failed", publication=claimed.id, exc_info=error)
            self._not_published(claimed, _NotPublished("internal error; see the log", final=False), facts)
        else:
            self._outbox.delivered(claimed)
            _log.info("published", **facts)

    def _not_published(self, claimed: Publication, problem: _NotPublished, facts: dict[str, object]) -> None:
        if problem.final or claimed.attempts >= self._settings.attempts:
            self._outbox.give_up(claimed, str(problem))
            _log.error("publication given up", **facts, reason=str(problem))
            return
        pause_s = self._pauses.after(claimed.attempts)
        self._outbox.postpone(claimed, pause_s, str(problem))
        _log.warning("not published", **facts, reason=str(problem), next_s=round(pause_s, 1))

    def _publish(self, claimed: Publication) -> None:
        """One attempt. Raises _NotPublished."""
        provider = self._providers.by_source.get(claimed.source_id)
        if provider is None:
            raise _NotPublished(f"p1.providers: no provider {claimed.source_id}", final=True)
        submission = self._form.read(claimed.payload, self._limits)
        try:
            patient = as_written(submission.submission_sets[0].patient_id or "")
            wanted = own_token(provider, self._settings.purpose, patient)
            assertion = self._tokens.get(wanted, provider)
            if claimed.attempts > 1 and self._is_there(submission, provider, assertion):
                return
            answer = self._send(claimed, submission, provider, assertion)
            refused = errors(answer.findings)
            if answer.succeeded:
                return
            if _says_known(refused) and self._is_there(submission, provider, assertion):
                return
        except RemoteError as error:
            raise _NotPublished(str(error), final=False) from None
        later = bool(refused) and all(each.code in _LATER for each in refused)
        raise _NotPublished(_told(refused), final=not later)

    def _send(
        self, claimed: Publication, submission: Submission, provider: Provider, assertion: bytes
    ) -> RegistryAnswer:
        row, path = (
            (ITI_57, self._settings.iti57)
            if claimed.transaction == ITI_57.name
            else (ITI_42, self._settings.iti42)
        )
        element = self._form.outgoing(submission, provider.key, self._clock())
        url = self._settings.base + path
        with DocumentSource(url, provider.with_assertion(assertion)) as source:
            return source.register(element, row)

    def _is_there(self, submission: Submission, provider: Provider, assertion: bytes) -> bool:
        """Whether P1 shows all entries and new associations as the publication leaves them.

        Raises:
            RemoteError: P1 does not say.
        """
        expected, links = _expected(submission), _submitted(submission)
        if not expected and not links:
            return False
        url = self._settings.base + self._settings.iti18
        with DocumentConsumer(url, options=provider.with_assertion(assertion)) as consumer:
            return _shows_entries(consumer, url, expected) and all(
                _shows_link(consumer, url, link) for link in links
            )


def _shows_entries(consumer: DocumentConsumer, url: str, expected: Mapping[str, _Expected]) -> bool:
    if not expected:
        return True
    asked: dict[str, QueryValue] = {"$XDSDocumentEntryEntryUUID": tuple(expected)}
    objects = _shown(consumer, url, "GetDocuments", asked)
    shown = {each.entry_uuid: each for each in objects if isinstance(each, DocumentEntry)}
    return all(uuid in shown and wanted.is_met_by(shown[uuid]) for uuid, wanted in expected.items())


def _shows_link(consumer: DocumentConsumer, url: str, link: Association) -> bool:
    """By GetRelatedDocuments: P1 is not said to answer GetAssociations."""
    asked: dict[str, QueryValue] = {
        "$XDSDocumentEntryEntryUUID": link.source,
        "$AssociationTypes": (link.type,),
    }
    objects = _shown(consumer, url, "GetRelatedDocuments", asked)
    shown = {(each.source, each.target, each.type) for each in objects if isinstance(each, Association)}
    return (link.source, link.target, link.type) in shown


def _shown(
    consumer: DocumentConsumer, url: str, query: str, parameters: Mapping[str, QueryValue]
) -> Sequence[RegistryObject]:
    answer = consumer.query(_BY_NAME[query], parameters)
    if errors(answer.findings):
        raise RemoteUnavailable(url, f"it does not say what it has: {_told(answer.findings)}")
    return answer.objects


def _submitted(submission: Submission) -> list[Association]:
    """The associations that the publication adds by itself (ITI TF-2 3.57.4.1.3.3.3)."""
    new = {each.target for each in submission.associations if each.type == AssociationType.SUBMIT_ASSOCIATION}
    return [each for each in submission.associations if each.entry_uuid in new]


def _expected(submission: Submission) -> dict[str, _Expected]:
    expected = {entry.entry_uuid: _Expected(unique_id=entry.unique_id) for entry in submission.entries}
    for link in submission.associations:
        if link.type == AssociationType.UPDATE_AVAILABILITY_STATUS:
            new = next((slot.values[0] for slot in link.slots if slot.name == NEW_STATUS), None)
            expected[link.target] = _Expected(status=new)
    return expected


def _says_known(refused: Sequence[Finding]) -> bool:
    """Whether a refusal may mean that P1 has this already: it names an id, a status or a version."""
    return any("Duplicate" in each.code or each.code.startswith("XDSMetadata") for each in refused)


def _told(findings: Sequence[Finding]) -> str:
    """P1's errors with their codeContext, untouched: the rule's number stands there."""
    return "; ".join(f"{each.code}: {each.code_context}" for each in findings) or "refused without a reason"
