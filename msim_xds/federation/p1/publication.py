"""What of a registration or an update is told to P1, and in what form.

A row of the outbox holds what was registered here; P1's form is given to it when it is sent, so that a
changed setting holds for what waits, and submissionTime is that of the attempt (P1 allows 15 minutes).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from msim_xds.federation.p1.outbox import Outbox, Publication
from msim_xds.ihe.names import AssociationType, Status
from msim_xds.ihe.transactions import ITI_42, ITI_57, Transaction
from msim_xds.metadata import ebrim, fragments
from msim_xds.metadata.model import Association, Code, DocumentEntry, LocalizedString, Submission
from msim_xds.metadata.period import in_zone
from msim_xds.metadata.structure import RELATIONSHIPS
from msim_xds.registry.drafts import Draft
from msim_xds.settings import LimitSettings, Settings
from msim_xds.wire import safexml

if TYPE_CHECKING:
    from lxml.etree import _Element

_ONLINE: Final = "urn:ihe:iti:2010:DocumentAvailability:Online"
_TIMES: Final = ("creation_time", "service_start_time", "service_stop_time")
_FIRST_VERSION: Final = "1"


class Publisher:
    """Puts into the outbox what P1 is to be told; its ``announce`` is a ``registry.announcement.Announce``.

    Published are stable entries, their SubmissionSet, and relationships between them and others that are at
    P1. Folders are not: P1's index is of documents.

    Args:
        outbox: takes it.
        sources: sourceIds whose documents are published.
    """

    def __init__(self, outbox: Outbox, sources: Collection[str]) -> None:
        self._outbox = outbox
        self._sources = frozenset(sources)

    def announce(self, connection: Connection, draft: Draft, transaction: Transaction) -> None:
        """Keep a publication where the documents are a provider's that publishes.

        Whose an update is, is decided by its documents and not by who sends it.
        """
        if transaction is ITI_42:
            self._registered(connection, draft)
        else:
            self._updated(connection, draft)

    def _registered(self, connection: Connection, draft: Draft) -> None:
        submission = draft.submission
        source = submission.submission_sets[0].source_id or ""
        entries = tuple(entry for entry in submission.entries if entry.is_stable)
        if draft.is_history or source not in self._sources or not entries:
            return
        fresh = {entry.entry_uuid for entry in entries}
        related = [link for link in submission.associations if link.type in RELATIONSHIPS]
        there = self._outbox.known(connection, {link.target for link in related} - fresh)
        links = tuple(
            link
            for link in submission.associations
            if _is_membership(link, submission, fresh)
            or (link in related and link.source in fresh and link.target in {*fresh, *there})
        )
        concerned = fresh.union(link.target for link in links if link.type in RELATIONSHIPS)
        told = Submission(submission.submission_sets, entries, (), links)
        self._outbox.add(connection, _publication(source, ITI_42, told), concerned, fresh)

    def _updated(self, connection: Connection, draft: Draft) -> None:
        operations = draft.operations
        ends = {end for new in operations.associations for end in (new.link.source, new.link.target)}
        changed = {each.target for each in operations.statuses}
        lids = {each.thing.logical_id for each in operations.versions if each.thing.logical_id}
        there = self._outbox.known(connection, ends | changed | lids)
        if not there:
            return
        versions = [each for each in operations.versions if each.thing.logical_id in there]
        entries = tuple(each.thing for each in versions if isinstance(each.thing, DocumentEntry))
        links: list[Association] = [each.membership for each in versions]
        links += [each.trigger for each in operations.statuses if each.target in there]
        for new in operations.associations:
            if {new.link.source, new.link.target} <= there.keys():
                links += [new.trigger, new.link]
        if not links:
            return
        source = min(there.values())
        told = Submission(draft.submission.submission_sets, entries, (), tuple(links))
        added = {entry.entry_uuid for entry in entries}
        self._outbox.add(connection, _publication(source, ITI_57, told), added | there.keys(), added)


def _is_membership(link: Association, submission: Submission, entries: Collection[str]) -> bool:
    sets = {each.entry_uuid for each in submission.submission_sets}
    return link.type == AssociationType.HAS_MEMBER and link.source in sets and link.target in entries


def _publication(source: str, transaction: Transaction, submission: Submission) -> Publication:
    unique_id = submission.submission_sets[0].unique_id or ""
    return Publication(source, transaction.name, unique_id, fragments.submit_objects(submission))


class Form:
    """P1's form of submissions, as data.

    Args:
        settings: the whole configuration: section ``p1``, and how times of sources are read.
    """

    def __init__(self, settings: Settings) -> None:
        validation = settings.validation
        tolerant = validation.tolerances().local_time
        self._zone = ZoneInfo(validation.time_zone)
        self._to_local = settings.p1.local_time
        self._local_sources = validation.local_time_sources if tolerant else frozenset()
        code, scheme, text = settings.p1.content_type
        self._content_type = Code(code, scheme, (LocalizedString(text, "pl-PL", "UTF-8"),))

    def read(self, payload: bytes, limits: LimitSettings) -> Submission:
        """The submission of a row."""
        return ebrim.read(safexml.parse(payload), limits).submission

    def outgoing(self, submission: Submission, source: str, at: datetime) -> _Element:
        """What is sent: a lcm:SubmitObjectsRequest.

        Args:
            submission: as it was registered here.
            source: the provider's sourceId.
            at: the moment of the attempt.
        """
        sent = at.strftime("%Y%m%d%H%M%S")
        sets = tuple(
            replace(
                each,
                source_id=source,
                content_type_code=self._content_type,
                submission_time=in_zone(sent, self._zone) if self._to_local else sent,
                status=Status.APPROVED,
            )
            for each in submission.submission_sets
        )
        local = not self._to_local or source in self._local_sources
        entries = tuple(self._entry(entry, local=local) for entry in submission.entries)
        whole = Submission(sets, entries, (), submission.associations)
        return safexml.parse(fragments.submit_objects(whole))

    def _entry(self, entry: DocumentEntry, *, local: bool) -> DocumentEntry:
        times: dict[str, Any] = {}
        if not local:
            given = {name: getattr(entry, name) for name in _TIMES}
            times = {name: in_zone(dtm, self._zone) for name, dtm in given.items() if dtm}
        return replace(
            entry,
            status=Status.APPROVED,
            version=entry.version or (None if entry.logical_id else _FIRST_VERSION),
            document_availability=entry.document_availability or _ONLINE,
            **times,
        )
