"""What the services hand their doings to: it makes the records, and sees that they are durable in time.

A change is recorded in the transaction that makes it. A read or a refusal is recorded in a transaction of its
own, shared by the requests that run at the same time, and is answered after that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

import structlog
from lxml import etree
from structlog.typing import FilteringBoundLogger

from msim_xds.audit import alerts
from msim_xds.audit.backlog import Backlog
from msim_xds.audit.group import GroupCommit
from msim_xds.audit.holders import with_patients
from msim_xds.audit.message import AuditSource, Network, Participant, write
from msim_xds.audit.outbox import Entry, Outbox
from msim_xds.audit.records import Asked, Record, Scene, activity, handed_over, records
from msim_xds.database.engine import Database
from msim_xds.findings import Finding
from msim_xds.ihe.audit import APPLICATION_START, APPLICATION_STOP, AUDIT_ROWS, AuditRow, Coded, Subject
from msim_xds.ihe.names import RIM, WSA_ANONYMOUS, ResponseStatus
from msim_xds.ihe.transactions import ITI_55
from msim_xds.metadata import hl7v3
from msim_xds.wire.exchange import Caller, Concerns, HandOver, Request

if TYPE_CHECKING:
    from lxml.etree import _Element

_log: FilteringBoundLogger = structlog.get_logger()

_KEPT: Final = 1024  # users, addresses and names of this server whose form in a record is remembered
_ADHOC_QUERY: Final = f"{{{RIM}}}AdhocQuery"


@dataclass(frozen=True, slots=True)
class Place:
    """This server as its records name it. ``url`` is the base of its endpoints, ``pid`` the process."""

    source: AuditSource
    url: str
    pid: int


class _HasConcerns(Protocol):
    @property
    def concerns(self) -> Concerns:
        """As they are known by now."""


class _About(NamedTuple):
    """A request that goes on to another server."""

    concerns: Concerns


class Witness:
    """Sees one message through to its records; a ``wire.exchange.Recorder``."""

    _by_client: ClassVar = False

    def __init__(self, trail: Trail, row: AuditRow, scene: Callable[[], Scene], about: _HasConcerns) -> None:
        self._trail = trail
        self._row = row
        self._scene = scene
        self._about = about
        self._recorded = False
        self._copies: tuple[HandOver, ...] = ()

    def hand_over(self, copy: HandOver) -> None:
        """Keep a copy for somebody else, too, whenever the outcome is recorded."""
        self._copies += (copy,)

    def __call__(self, connection: Any, findings: Sequence[Finding] = (), /) -> None:  # noqa: ANN401  # any database's
        """Record success in the write transaction of what it changed."""
        concerns = self._about.concerns
        if self._names_documents:
            concerns = with_patients(connection, concerns)
        self._trail.outbox.add(connection, self._entries(concerns, ResponseStatus.SUCCESS, findings))
        self._recorded = True

    def conclude(self, status: ResponseStatus, findings: Sequence[Finding]) -> None:
        """Record the outcome, unless it was recorded with the change itself; durable on return.

        Raises:
            TimeoutError, OSError: the database cannot do it now; the outcome must not be told.
        """
        if self._recorded and status is ResponseStatus.SUCCESS:
            return
        concerns = self._about.concerns
        if self._names_documents:
            concerns = self._trail.with_patients(concerns)
        self._trail.keep(self._entries(concerns, status, findings))

    @property
    def _names_documents(self) -> bool:
        return self._row.subject is Subject.DOCUMENTS

    def _entries(
        self, concerns: Concerns, status: ResponseStatus, findings: Sequence[Finding]
    ) -> list[Entry]:
        scene = self._scene()
        entries = [entry_of(each) for each in records(self._row, scene, concerns, status, findings)]
        for copy in self._copies:
            told = handed_over(scene, copy, by_client=self._by_client)
            copied = records(self._row, told, concerns, status, findings)
            entries += [entry_of(each)._replace(feed=copy.feed) for each in copied]
        return entries


class OnwardWitness(Witness):
    """Sees a request through that this server sends."""

    _by_client: ClassVar = True


class RequestWitness(Witness):
    """Sees a SOAP request through, and what this server asks of others for its sake."""

    def __init__(self, trail: Trail, request: Request) -> None:
        row = AUDIT_ROWS[request.transaction.name]
        super().__init__(trail, row, lambda: trail.scene(row, request), request)
        self._request = request

    def onward(
        self, name: str, url: str, concerns: Concerns | None = None, body: _Element | None = None
    ) -> OnwardWitness:
        """Of a request that goes on to another server, as a client records it (ITI TF-2 3.38.4.1.4, 3.39.6).

        Args:
            name: its transaction, such as ``ITI-38``.
            url: of the other server's endpoint.
            concerns: whom and what it is about; None is what the request at hand is about.
            body: the query that is sent; None is the one at hand.
        """
        row = AUDIT_ROWS[name].of_client()
        about = self._request if concerns is None else _About(concerns)
        sent = self._request.body if body is None else body
        return OnwardWitness(
            self._trail, row, lambda: self._trail.scene_of_client(row, self._request, url, sent), about
        )

    def emergency(self, reason: str) -> None:
        """Record that its user declares an emergency, for each patient known by now; durable on return.

        Where none is known yet it is for each patient of the documents that the request names.

        Raises:
            TimeoutError, OSError: the database cannot do it now; no access must be given.
        """
        concerns = self._request.concerns
        patients = concerns.patients
        if self._names_documents and not patients:
            known = self._trail.with_patients(concerns)
            holders = {each.patient for each in (*known.done, *known.refused)}
            patients = tuple(sorted(holders - {""}))
        scene = self._trail.scene(self._row, self._request)
        self._trail.keep([entry_of(each) for each in alerts.emergency(scene, patients, reason)])


class Trail:
    """Makes and keeps records; safe to share between threads.

    Args:
        database: where the registry is.
        outbox: the trail in it.
        place: this server.
        clock: the time of day, UTC.
        backlog: what waits to be sent on.
    """

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        place: Place,
        clock: Callable[[], datetime],
        backlog: Backlog,
    ) -> None:
        self.database: Final = database
        self.outbox: Final = outbox
        self.backlog: Final = backlog
        self._place = place
        self._clock = clock
        self._group = GroupCommit(outbox.write)
        self._here = lru_cache(_KEPT)(self._named)

    def witness(self, request: Request) -> RequestWitness:
        """Of a SOAP request."""
        return RequestWitness(self, request)

    def witness_of_feed(
        self, name: str, sender: str, receiver: str, address: str, about: _HasConcerns
    ) -> Witness:
        """Of an HL7 v2 message.

        Args:
            name: transaction and trigger event, such as ``ITI-8 A01``.
            sender: its facility and application joined by ``|`` (ITI TF-2 3.8.5.1).
            receiver: likewise.
            address: of the sender's machine.
            about: whom it is about.
        """
        row = AUDIT_ROWS[name]
        client = Participant(user_id=sender, is_requestor=True, network=_network(address))
        server = self._named(receiver)
        return Witness(self, row, lambda: Scene(self._clock(), self._place.source, client, server), about)

    def started(self) -> None:
        """Record that the application has started."""
        self._activity(APPLICATION_START)

    def stopped(self) -> None:
        """Record that the application has stopped."""
        self._activity(APPLICATION_STOP)

    def keep(self, entries: Sequence[Entry]) -> None:
        """Return when the records are durable. Raises TimeoutError, OSError."""
        self._group.put(entries)

    def with_patients(self, concerns: Concerns) -> Concerns:
        """The same, with the patients of the documents as far as the registry knows them."""
        with self.database.read() as connection:
            return with_patients(connection, concerns)

    def user_refused(self, path: str, address: str, reason: str) -> None:
        """Record that a request's assertion was missing or refused (ITI TF-2 3.40).

        Args:
            path: of the endpoint.
            address: of the sender's machine.
            reason: for those who read the trail.
        """
        client = Participant(user_id=WSA_ANONYMOUS, is_requestor=True, network=_network(address))
        server = self._here(self._place.url + path)
        self._tell(alerts.user_refused(self._clock(), self._place.source, client, server, reason))

    def node_refused(self, address: str, reason: str, subject: str = "") -> None:
        """Record that another system was refused for its TLS certificate (ITI TF-2 3.19).

        Args:
            address: of the other machine.
            reason: for those who read the trail.
            subject: of its certificate, where one came.
        """
        peer = Participant(user_id=subject or address, is_requestor=True, network=_network(address))
        here = self._here(self._place.source.id)
        self._tell(alerts.node_refused(self._clock(), self._place.source, here, peer, reason))

    def settings_changed(self, names: Sequence[str]) -> None:
        """Record that settings are not what they were at the last start. Raises TimeoutError, OSError."""
        place = self._place
        here = self._here(place.url)
        self.keep([entry_of(alerts.settings_changed(self._clock(), place.source, here, names))])

    def _activity(self, kind: Coded) -> None:
        place = self._place
        self.keep([entry_of(activity(kind, self._clock(), place.source, self._here(place.source.id)))])

    def _tell(self, record: Record) -> None:
        """Keep a record of a refusal, which is told whether it is recorded or not: it discloses nothing."""
        try:
            self.keep([entry_of(record)])
        except (TimeoutError, OSError) as error:
            _log.error("refusal not recorded", kind=record.message.types[0].text, reason=str(error))

    def _named(self, user_id: str) -> Participant:
        """This server, by a name for the occasion."""
        return Participant(
            user_id=user_id,
            is_requestor=False,
            alternative_user_id=str(self._place.pid),
            network=_network(urlsplit(self._place.url).hostname),
        )

    def scene(self, row: AuditRow, request: Request) -> Scene:
        """Who takes part in a request to this server.

        The sender is named by its ReplyTo where answers go elsewhere, else as the registered system that its
        certificate proves (ITI TF-2 3.20.7); with an assertion, its organization stands beside that.
        """
        caller, reply_to = request.caller, request.addressing.reply_to
        system = "" if request.system is None else request.system.name
        organization = "" if caller is None else caller.organization_id or caller.organization
        client = Participant(
            user_id=(system or WSA_ANONYMOUS) if reply_to is None else reply_to.address,
            is_requestor=caller is None,
            alternative_user_id=organization or None,
            network=_network(request.remote_address),
        )
        server = self._here(self._place.url + request.transaction.endpoint)
        return self._staged(row, request, client, server, request.body)

    def scene_here(self, process: Participant, person: Participant) -> Scene:
        """Who takes part in what a command does on this machine, past the endpoints."""
        return Scene(self._clock(), self._place.source, process, self._here(self._place.url), (person,))

    def scene_of_client(self, row: AuditRow, request: Request, url: str, body: _Element) -> Scene:
        """Who takes part in a request that this server sends, for the sake of the one at hand."""
        client = self._here(self._place.url)._replace(is_requestor=request.caller is None)
        server = Participant(user_id=url, is_requestor=False, network=_network(urlsplit(url).hostname))
        return self._staged(row, request, client, server, body)

    def _staged(
        self, row: AuditRow, request: Request, client: Participant, server: Participant, body: _Element
    ) -> Scene:
        caller = request.caller
        return Scene(
            self._clock(),
            self._place.source,
            client,
            server,
            () if caller is None else (_person(caller),),
            () if caller is None else tuple(Coded(*each) for each in caller.purposes),
            _asked(row, body) if row.subject is Subject.QUERY else None,
        )


def _asked(row: AuditRow, body: _Element) -> Asked:
    """The query as it is, also one that is refused."""
    if row.type.code == ITI_55.name:
        return _discovery(body)
    query = body.find(_ADHOC_QUERY)
    return Asked(
        "" if query is None else query.get("id", "").strip(),
        "" if query is None else query.get("home", "").strip(),
        etree.tostring(body, encoding="UTF-8", with_tail=False, xml_declaration=False),
    )


def _discovery(message: _Element) -> Asked:
    """Of ITI-55 the message's id, and its queryByParameter (ITI TF-2 3.55.5.1)."""
    parameters = message.find(hl7v3.path("controlActProcess/queryByParameter"))
    root, extension = (hl7v3.attribute(message, f"id/@{name}") for name in ("root", "extension"))
    return Asked(
        "^".join(filter(None, (root, extension))),
        "",
        b"" if parameters is None else etree.tostring(parameters, encoding="UTF-8", with_tail=False),
    )


@lru_cache(_KEPT)
def _person(caller: Caller) -> Participant:
    """The user of an assertion, in UserID and UserName alike (ITI TF-2 3.40.4.2)."""
    return Participant(
        user_id=caller.user,
        user_name=caller.user,
        is_requestor=True,
        roles=tuple(Coded(*each) for each in caller.roles),
    )


@lru_cache(_KEPT)
def _network(host: str | None) -> tuple[str, Network] | None:
    if not host:
        return None
    try:
        ip_address(host)
    except ValueError:
        return host, Network.NAME
    return host, Network.ADDRESS


def entry_of(record: Record) -> Entry:
    """What is kept of a record."""
    message = record.message
    return Entry(
        message.time.isoformat(timespec="milliseconds"),
        message.types[0].code,
        int(message.outcome),
        record.patient,
        write(message),
    )
