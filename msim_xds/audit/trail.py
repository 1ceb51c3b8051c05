"""What the services hand their doings to: it makes the records, and sees that they are durable in time.

A change is recorded in the transaction that makes it. A read or a refusal is recorded in a transaction of its
own, shared by the requests that run at the same time, and is answered after that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from lxml import etree

from msim_xds.audit.backlog import Backlog
from msim_xds.audit.group import GroupCommit
from msim_xds.audit.holders import with_patients
from msim_xds.audit.message import AuditSource, Network, Participant, write
from msim_xds.audit.outbox import Entry, Outbox
from msim_xds.audit.records import Asked, Record, Scene, activity, records
from msim_xds.database.engine import Database
from msim_xds.findings import Finding
from msim_xds.ihe.audit import APPLICATION_START, APPLICATION_STOP, AUDIT_ROWS, AuditRow, Coded, Subject
from msim_xds.ihe.names import RIM, WSA_ANONYMOUS, ResponseStatus
from msim_xds.ihe.transactions import AnswerKind
from msim_xds.metadata import hl7v3
from msim_xds.wire.exchange import Caller, Concerns, Request

if TYPE_CHECKING:
    from lxml.etree import _Element

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


class Witness:
    """Sees one message through to its records; a ``wire.exchange.Recorder``."""

    def __init__(self, trail: Trail, row: AuditRow, scene: Callable[[], Scene], about: _HasConcerns) -> None:
        self._trail = trail
        self._row = row
        self._scene = scene
        self._about = about
        self._recorded = False

    def __call__(self, connection: Any, findings: Sequence[Finding] = (), /) -> None:  # noqa: ANN401
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
        return [_entry(each) for each in records(self._row, self._scene(), concerns, status, findings)]


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

    def witness(self, request: Request) -> Witness:
        """Of a SOAP request."""
        row = AUDIT_ROWS[request.transaction.name]
        return Witness(self, row, lambda: self._scene(row, request), request)

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
        server = Participant(
            user_id=receiver,
            is_requestor=False,
            alternative_user_id=str(self._place.pid),
            network=_network(urlsplit(self._place.url).hostname),
        )
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

    def _activity(self, kind: Coded) -> None:
        place = self._place
        application = Participant(
            user_id=place.source.id,
            is_requestor=False,
            alternative_user_id=str(place.pid),
            network=_network(urlsplit(place.url).hostname),
        )
        self.keep([_entry(activity(kind, self._clock(), place.source, application))])

    def _scene(self, row: AuditRow, request: Request) -> Scene:
        caller, addressing = request.caller, request.addressing
        reply_to = WSA_ANONYMOUS if addressing.reply_to is None else addressing.reply_to.address
        client = Participant(
            user_id=reply_to, is_requestor=caller is None, network=_network(request.remote_address)
        )
        server = Participant(
            user_id=self._place.url + request.transaction.endpoint,
            is_requestor=False,
            alternative_user_id=str(self._place.pid),
            network=_network(urlsplit(self._place.url).hostname),
        )
        return Scene(
            self._clock(),
            self._place.source,
            client,
            server,
            () if caller is None else (_person(caller),),
            () if caller is None else tuple(Coded(*each) for each in caller.purposes),
            _asked(request) if row.subject is Subject.QUERY else None,
        )


def _asked(request: Request) -> Asked:
    """The query as it came, also one that is refused."""
    if request.transaction.answer is AnswerKind.PATIENT_DISCOVERY:
        return _discovery(request.body)
    query = request.body.find(_ADHOC_QUERY)
    return Asked(
        "" if query is None else query.get("id", "").strip(),
        "" if query is None else query.get("home", "").strip(),
        etree.tostring(request.body, encoding="UTF-8", with_tail=False, xml_declaration=False),
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


def _person(caller: Caller) -> Participant:
    """The user of an assertion, in UserID and UserName alike (ITI TF-2 3.40.4.2)."""
    return Participant(
        user_id=caller.user,
        user_name=caller.user,
        is_requestor=True,
        roles=tuple(Coded(*each) for each in caller.roles),
    )


def _network(host: str | None) -> tuple[str, Network] | None:
    if not host:
        return None
    try:
        ip_address(host)
    except ValueError:
        return host, Network.NAME
    return host, Network.ADDRESS


def _entry(record: Record) -> Entry:
    message = record.message
    return Entry(
        message.time.isoformat(timespec="milliseconds"),
        message.types[0].code,
        int(message.outcome),
        record.patient,
        write(message),
    )
