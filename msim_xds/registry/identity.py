"""Patient identity: what feeds and operators announce, merge and link, each in one transaction.

Source: ITI TF-2 3.8 (Patient Identity Feed), 3.44 (the same in HL7 v3), 3.64 (XAD-PID Link Change).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection

from msim_xds.database.engine import Database
from msim_xds.findings import Finding, Refused, errors
from msim_xds.metadata.identity import Announcement, Domain, Given, LinkChange, Merge
from msim_xds.registry import correlations, merging, patients
from msim_xds.registry.patients import Listed
from msim_xds.registry.relinking import Relinker
from msim_xds.settings import PatientPolicy, PatientSettings
from msim_xds.wire.exchange import Concerns, Recorder

Change = Announcement | Merge | LinkChange
_PAGE = 1000


class PatientIdentity:
    """Changes and lists the patients of the registry; safe to share between threads.

    Every change is committed when its method returns, and not made at all when it raises.

    Args:
        database: where the registry is.
        settings: the domain's authorities and policies.
        relinker: moves entries by their sourcePatientId.
        clock: the time of day, UTC.
    """

    def __init__(
        self,
        database: Database,
        settings: PatientSettings,
        relinker: Relinker,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._domain = Domain(settings)
        self._relinker = relinker
        self._clock = clock
        self._any_patient = settings.policy is PatientPolicy.OPEN

    def concerns(self, change: Change, message_id: str) -> Concerns:
        """Whom a feed's message is about, as far as its ids are those of the domain."""
        if isinstance(change, Announcement):
            return Concerns(self._cx(change.patient), message_id=message_id)
        if isinstance(change, Merge):
            surviving, subsumed = self._cx(change.surviving), self._cx(change.subsumed)
            return Concerns(surviving, subsumed, message_id=message_id)
        linked = tuple(
            (role, cx)
            for role, given in (
                ("localPatientId", change.local),
                ("subsumedPatientId", change.previous_local),
                ("newPatientId", change.patient),
                ("previousPatientId", change.previous),
            )
            for cx in self._cx(given, local=role in ("localPatientId", "subsumedPatientId"))
        )
        return Concerns(self._cx(change.patient), linked=linked, message_id=message_id)

    def _cx(self, given: Given, *, local: bool = False) -> tuple[str, ...]:
        """The ids of a field; none where they are refused."""
        try:
            if local:
                return tuple(filter(None, [self._domain.local(given)]))
            return self._domain.ids(given)
        except Refused:
            return ()

    def announce(self, announcement: Announcement, record: Recorder | None = None) -> list[Finding]:
        """Make a patient's ids known; again is harmless, and an update of an unknown patient adds it.

        ``record`` keeps audit records in the same transaction, here and below.

        Returns:
            Warnings.

        Raises:
            Refused: no id of the domain, a PESEL that ``patients.pesel`` rejects, or an id that was merged.
        """
        ids = self._domain.ids(announcement.patient)
        doubts = self._domain.doubts(announcement)
        if errors(doubts):
            raise Refused(doubts)
        now = self._now()
        with self._database.write() as connection:
            for cx in sorted(ids):
                patient = patients.lock(connection, cx) or patients.add(connection, cx)
                if patient.survivor_id is not None:
                    raise Refused([merging.already_merged(cx, announcement.patient.place)])
                patients.announce(connection, patient.id, announcement.demographics, now)
            _record(record, connection, doubts)
        return doubts

    def merge(self, merge: Merge, message_id: str | None = None, record: Recorder | None = None) -> None:
        """Merge two patients for good.

        Raises:
            Refused: the ids are not two active ids of the domain (ITI TF-2 3.8.4.2.3).
        """
        surviving, subsumed = self._domain.pair(merge)
        places = merge.surviving.place, merge.subsumed.place
        if surviving == subsumed:
            raise Refused([merging.same_id(subsumed, merge.subsumed.place)])
        now = self._now()
        with self._database.write() as connection:
            pair = merging.lock_both(
                connection, surviving, subsumed, any_patient=self._any_patient, places=places
            )
            merging.merge(connection, *pair, now)
            correlations.forget(connection, subsumed)
            merging.record(connection, surviving, subsumed, message_id, now)
            _record(record, connection)

    def relink(
        self, change: LinkChange, message_id: str | None = None, record: Recorder | None = None
    ) -> int:
        """Give the entries of a local id to another patient, or to another local id of the same patient.

        Returns:
            How many entries there are new versions of.

        Raises:
            Refused: the ids are not active ids of the domain, or the message names no local id.
        """
        patient, previous = self._domain.single(change.patient), self._domain.single(change.previous)
        link = self._relinker.link(self._domain, change, changes_patient=patient != previous)
        now = self._now()
        with self._database.write() as connection:
            to, from_ = merging.lock_both(
                connection,
                patient,
                previous,
                any_patient=self._any_patient,
                places=(change.patient.place, change.previous.place),
            )
            moved = self._relinker.relink(connection, link, patient, to.id, from_.id)
            merging.record(connection, patient, previous, message_id, now, link.local)
            _record(record, connection)
        return moved

    def listed(self) -> Iterator[Listed]:
        """Every patient, in order of their CX, read page by page."""
        after = ""
        while True:
            with self._database.read() as connection:
                page = patients.listed(connection, after, _PAGE)
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].cx

    def _now(self) -> str:
        return self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _record(record: Recorder | None, connection: Connection, findings: Sequence[Finding] = ()) -> None:
    if record is not None:
        record(connection, findings)
