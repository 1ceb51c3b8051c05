"""What passes between the SOAP layer and a transaction's handler."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from msim_xds.findings import Finding
from msim_xds.ihe.names import WSA_NONE, ResponseStatus
from msim_xds.ihe.transactions import Transaction
from msim_xds.wire.view import View
from msim_xds.wire.xmltext import escape

if TYPE_CHECKING:
    from lxml.etree import _Element


@dataclass(frozen=True, slots=True)
class StagedPart:
    """A document received but not yet kept: spooled, hashed and counted on the way in.

    ``sha1``, ``sha256`` and ``xxh3`` are lower-case hex of the octets, ``size`` their number, ``token``
    names the spool file to the store that staged it.
    """

    sha1: str
    sha256: str
    xxh3: str
    size: int
    token: str


class PartSink(Protocol):
    """Takes one document's octets while they arrive."""

    def write(self, data: bytes) -> None:
        """Take the next octets. Raises OSError when they cannot be kept."""

    def finish(self) -> StagedPart:
        """All octets are there."""

    def discard(self) -> None:
        """Forget everything; harmless after finish or a second time."""


class Stager(Protocol):
    """Opens a sink for each incoming document."""

    def stage(self) -> PartSink:
        """A new sink."""

    def discard(self, part: StagedPart) -> None:
        """Forget a staged part that was not committed; harmless when it was."""


@dataclass(frozen=True, slots=True)
class ReplyAddress:
    """An endpoint reference to which something is sent on a connection of its own, or nothing at all.

    ``parameters`` are its reference parameters as header blocks, ready to be sent along (WS-Addressing SOAP
    Binding, section 3.4).
    """

    address: str
    parameters: str = ""

    @property
    def is_none(self) -> bool:
        """Whether what would be sent there is to be thrown away (WS-Addressing Core, section 2.1)."""
        return self.address == WSA_NONE

    def headers(self) -> str:
        """wsa:To and what goes with it (WS-Addressing Core, section 3.4)."""
        return f"<wsa:To>{escape(self.address)}</wsa:To>{self.parameters}"


@dataclass(frozen=True, slots=True)
class Addressing:
    """WS-Addressing headers of a request (ITI TF-2 Appendix V.3); None where absent.

    ``reply_to`` and ``fault_to`` say where the answer and a fault go; None is the connection that brought the
    request. A FaultTo that is absent is ReplyTo (WS-Addressing Core, section 3.4).
    """

    action: str
    message_id: str | None = None
    to: str | None = None
    reply_to: ReplyAddress | None = None
    fault_to: ReplyAddress | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request, as far as it is proven (ITI TF-2 3.40).

    ``user`` is ``alias<name@issuer>`` (ITI TF-2 3.40.4.2), ``roles`` and ``purposes`` are (code, system,
    text), ``organization_id`` as ``metadata.institution`` spells it, ``reason`` that of an emergency.
    """

    user: str
    roles: tuple[tuple[str, str, str], ...] = ()
    purposes: tuple[tuple[str, str, str], ...] = ()
    organization: str = ""
    patient: str = ""
    organization_id: str = ""
    reason: str = ""


class SystemKind(StrEnum):
    """What a registered system is to the exchange."""

    HOSPITAL = "hospital"
    GATEWAY = "gateway"
    ADMINISTRATOR = "administrator"


@dataclass(frozen=True, slots=True)
class System:
    """A registered system, known by its TLS certificate (ITI TF-2 3.19), and what it may do.

    Attributes:
        name: its name in the table of systems, for audit, logs and policy.
        kind: what it is.
        transactions: names of the transactions that it may call, such as ``ITI-18``; None is any.
        repositories: repositoryUniqueIds that it may submit for; None is any.
        source_ids: SubmissionSet.sourceIds that it may submit as; None is any.
        institutions: ids of the author institutions that it may submit for, and whose documents are its own;
            None is any.
    """

    name: str
    kind: SystemKind
    transactions: frozenset[str] | None = None
    repositories: frozenset[str] | None = None
    source_ids: frozenset[str] | None = None
    institutions: frozenset[str] | None = None


class Named(NamedTuple):
    """A document by its uniqueId, or an object by its entryUUID; ``patient`` is its CX where it is known."""

    id: str
    patient: str = ""
    repository: str = ""
    home: str = ""


class Concerns(NamedTuple):
    """Whom and what a request is about, as its audit records name it (ITI TF-2 3.20).

    Attributes:
        patients: their CX.
        former: CX of patients that a merge ends.
        linked: of a link change, role and CX of each id (ITI TF-2 3.64).
        submission_set: SubmissionSet.uniqueId.
        done: what was delivered or removed.
        refused: what was not.
        home: homeCommunityId that the request names, where its records say it.
        message_id: of a feed's message.
    """

    patients: tuple[str, ...] = ()
    former: tuple[str, ...] = ()
    linked: tuple[tuple[str, str], ...] = ()
    submission_set: str = ""
    done: tuple[Named, ...] = ()
    refused: tuple[Named, ...] = ()
    home: str = ""
    message_id: str = ""


NOTHING_KNOWN: Final = Concerns()


class HandOver(NamedTuple):
    """A copy of a request's records for one party alone, in the form that it wants.

    Attributes:
        feed: whom it is for.
        source: its AuditSourceID.
        other: AlternativeUserID of the other side's participant; empty leaves what is there.
        human: UserID of the user; empty leaves what is there.
    """

    feed: str
    source: str
    other: str = ""
    human: str = ""


class Recorder(Protocol):
    """Keeps the audit records of one request."""

    def __call__(self, connection: Any, findings: Sequence[Finding] = (), /) -> None:  # noqa: ANN401  # any database's
        """Keep the records of its success in the write transaction ``connection``, of whatever database."""


class RequestRecorder(Recorder, Protocol):
    """That of a SOAP request: it also records what is asked of other servers for its sake."""

    def conclude(self, status: ResponseStatus, findings: Sequence[Finding]) -> None:
        """Keep the records of its outcome, unless that was done. Raises TimeoutError, OSError."""

    def onward(
        self, name: str, url: str, concerns: Concerns | None = None, body: _Element | None = None
    ) -> OnwardRecorder:
        """Of a request of transaction ``name`` that goes on to the server at ``url``.

        It is about the same unless ``concerns`` says otherwise, and asks the same unless ``body`` does not.
        """

    def hand_over(self, copy: HandOver) -> None:
        """Keep a copy for somebody else, too, whenever the outcome is recorded."""

    def emergency(self, reason: str) -> None:
        """Record that its user declares an emergency. Raises TimeoutError, OSError; no access then."""


class OnwardRecorder(Recorder, Protocol):
    """Keeps this server's own record of a request that it sends to another."""

    def conclude(self, status: ResponseStatus, findings: Sequence[Finding]) -> None:
        """Keep the records of its outcome, unless that was done. Raises TimeoutError, OSError."""

    def hand_over(self, copy: HandOver) -> None:
        """Keep a copy for somebody else, too, whenever the outcome is recorded."""


@dataclass(slots=True)
class Request:
    """One decoded request: its row, its payload element, and its documents by Content-ID.

    ``concerns`` is what the handler has learnt so far, for the audit records of success and refusal alike.
    ``recorder`` is None where nothing is recorded. ``system`` is the registered system whose certificate the
    connection shows; None where systems are not looked at. ``header`` is the soap:Header in the tree of the
    message, for who passes its assertion on. ``view`` is what of the documents it may be shown, ``owned``
    what it may change; None is everything. ``emergency``: it has passed as emergency access.
    """

    transaction: Transaction
    body: _Element
    addressing: Addressing
    parts: Mapping[str, StagedPart] = field(default_factory=dict)
    remote_address: str = ""
    concerns: Concerns = NOTHING_KNOWN
    recorder: RequestRecorder | None = None
    caller: Caller | None = None
    system: System | None = None
    header: _Element | None = None
    view: View | None = None
    owned: View | None = None
    emergency: bool = False

    def record(self, connection: Any, findings: Sequence[Finding] = ()) -> None:  # noqa: ANN401  # any database's
        """Have the audit records of success committed together with what the request changes."""
        if self.recorder is not None:
            self.recorder(connection, findings)


@dataclass(frozen=True, slots=True)
class OutgoingDocument:
    """A document on its way out; ``chunks`` yields exactly ``size`` octets.

    ``cid`` is the Content-ID that the payload's xop:Include names. ``size`` is None where nobody knows it
    before the last octet: another community's document that is only passed through.
    """

    cid: str
    mime_type: str
    size: int | None
    chunks: Iterable[bytes]


@dataclass(slots=True)
class Answer:
    """What a handler answers: ready XML for soap:Body in pieces, and the documents it refers to.

    ``status`` and ``findings`` repeat what the payload says, for logs and audit. ``header`` is header blocks
    besides those of WS-Addressing. ``close`` lets go of what the documents come from, sent or not; None where
    that is nothing. ``room`` is what documents of unknown size have at most, all together; None where nobody
    knows that either.
    """

    payload: list[bytes]
    status: ResponseStatus = ResponseStatus.SUCCESS
    findings: Sequence[Finding] = ()
    documents: Sequence[OutgoingDocument] = ()
    header: str = ""
    close: Callable[[], None] | None = None
    room: int | None = None


class Handler(Protocol):
    """Carries out one transaction. Raises findings.Refused for a bad request."""

    def __call__(self, request: Request, /) -> Answer:
        """Carry out the request."""
