"""SOAP 1.2 by Spyne: dispatch by wsa:Action, contexts, events. The only module that knows Spyne.

An endpoint is a Spyne server of its own transport, so the HTTP body, its MTOM packaging and the HTTP answer
never pass through Spyne; its WSDL, models and fault writer are not used either. Payloads stay lxml elements
on their way in and ready octets on their way out.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from msim_xds.server import spyne_compat  # noqa: F401  # before anything of Spyne

# isort: split
from spyne import AnyXml, Application, Fault, MethodContext, ServiceBase, rpc
from spyne.protocol.soap import Soap12
from spyne.server import ServerBase

from msim_xds.audit.trail import Trail
from msim_xds.findings import shorten
from msim_xds.ihe.names import XDS
from msim_xds.ihe.transactions import TRANSACTIONS, Endpoint, Transaction
from msim_xds.security.xua.guard import Guard
from msim_xds.security.xua.names import SECURITY
from msim_xds.security.xua.refusal import SecurityFault
from msim_xds.server.later import Later
from msim_xds.server.pipeline import Run
from msim_xds.wire import envelope, safexml
from msim_xds.wire.exchange import Answer, Caller, OutgoingDocument, Request, System
from msim_xds.wire.faults import SoapFault, fault_envelope, sender_fault
from msim_xds.wire.mtom import Message

_Ctx: TypeAlias = Any  # Spyne has no types: its contexts,
_Untyped: TypeAlias = Any  # and what its decorator and metaclass make


@dataclass(frozen=True, slots=True)
class Reply:
    """What an endpoint says: an envelope in pieces, and the documents that it refers to.

    ``transaction`` is None for a fault; ``close`` and ``room`` are the answer's.
    """

    envelope: Sequence[bytes]
    action: str
    http_status: int = 200
    transaction: Transaction | None = None
    documents: Sequence[OutgoingDocument] = ()
    close: Callable[[], None] | None = None
    room: int | None = None


ACCEPTED: Final = Reply((), "", 202)
"""What is said of a request whose answer is sent later: an HTTP status and nothing else."""

_SENT_LATER: Final = Answer([])


@dataclass(frozen=True, slots=True)
class _Incoming:
    message: Message
    remote_address: str
    certificate: str
    system: System | None


class _Context(MethodContext):  # type: ignore[misc]  # Spyne has no types
    TransportContext = None
    __setattr__ = object.__setattr__  # without Spyne's guard against new attributes, asked 50 times a request

    def fire_event(self, event: str, *args: object, **kwargs: object) -> None:
        """Nobody listens: whatever happens around a request, the pipeline does."""


class _Soap(Soap12):  # type: ignore[misc]  # Spyne has no types
    """Dispatch and faults. Answers never pass through it: they are octets already."""

    def get_context(self, parent: object, transport: object) -> None:
        """No protocol context: nobody here needs one, and it is a reference cycle."""


class _In(_Soap):
    """Reads requests."""

    def __init__(
        self,
        rows: Mapping[str, Transaction],
        check_address: envelope.AddressCheck | None,
        guard: Guard | None,
    ) -> None:
        super().__init__()
        self._rows = rows
        self._check_address = check_address
        self._guard = guard
        self._understood = frozenset([SECURITY]) if guard is not None else frozenset()

    def create_in_document(self, ctx: _Ctx, in_string_charset: str | None = None) -> None:
        try:
            ctx.in_document = safexml.parse(ctx.in_string.message.root)
        except safexml.MalformedXml as error:
            raise _carry(sender_fault(str(error))) from None

    def decompose_incoming_envelope(self, ctx: _Ctx, message: object = Soap12.REQUEST) -> None:
        incoming: _Incoming = ctx.in_string
        try:
            received = envelope.read(ctx.in_document, self._understood, self._check_address)
            caller = self._caller(received, incoming.certificate)
            row = self._row(received)
        except SoapFault as fault:
            raise _carry(fault) from None
        ctx.udc = Request(
            row,
            received.payload,
            received.addressing,
            incoming.message.parts,
            incoming.remote_address,
            caller=caller,
            system=incoming.system,
            header=received.header,
        )
        ctx.in_header_doc, ctx.in_body_doc = received.header, received.payload
        ctx.method_request_string = _method(row)

    def generate_method_contexts(self, ctx: _Ctx) -> list[_Ctx]:
        """The context itself. Spyne copies it for each method of that name, of which there is one."""
        ctx.descriptor = self.get_call_handles(ctx)[0]
        return [ctx]

    def deserialize(self, ctx: _Ctx, message: object) -> None:
        ctx.in_object = ctx.in_body_doc

    def _caller(self, received: envelope.Envelope, certificate: str) -> Caller | None:
        """Who sends it, proven; its fault goes back at once, to nobody's address (ITI TF-2 3.40)."""
        if self._guard is None:
            return None
        try:
            return self._guard.check(received.header, certificate)
        except SoapFault as fault:
            fault.relates_to = received.addressing.message_id
            raise

    def _row(self, received: envelope.Envelope) -> Transaction:
        """The transaction that the action names, if the body is its payload."""
        action = received.addressing.action
        row = self._rows.get(action)
        if row is None:
            fault = envelope.action_not_supported(action, self._rows)
        elif received.payload.tag != row.body:
            seen = shorten(str(received.payload.tag))
            fault = sender_fault(f"soap:Body holds {seen}; allowed with wsa:Action {action}: {row.body}")
        else:
            return row
        fault.relates_to = received.addressing.message_id
        fault.destination = received.addressing.fault_to
        raise fault


class SoapEndpoint(ServerBase):  # type: ignore[misc]  # Spyne has no types
    """One endpoint: a Spyne application with a method for each row of the transaction table.

    Args:
        endpoint: whose rows.
        run: carries out a request.
        later: takes requests whose answers go elsewhere; without it they are refused.
        guard: checks who sends a request; without it wsse:Security is not understood.
        trail: records those whom the guard refuses; None where nothing is recorded.
    """

    transport: Final = "http://schemas.xmlsoap.org/soap/http"

    def __init__(
        self,
        endpoint: Endpoint,
        run: Run,
        later: Later | None = None,
        guard: Guard | None = None,
        trail: Trail | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._later = later
        self._trail = trail
        rows = {row.action: row for row in TRANSACTIONS if row.endpoint is endpoint}
        super().__init__(
            Application(
                [_service(rows.values(), run, later)],
                tns=XDS,
                name=endpoint.name.title(),
                in_protocol=_In(rows, None if later is None else later.check_address, guard),
                out_protocol=_Soap(),
            )
        )

    def call(
        self,
        message: Message,
        remote_address: str = "",
        certificate: str = "",
        system: System | None = None,
    ) -> Reply:
        """Carry out one message; what is wrong with its envelope becomes a fault.

        Args:
            message: what came.
            remote_address: from where.
            certificate: the sender's TLS certificate as URL-encoded PEM, where it is known.
            system: the registered system whose certificate it is, where that is looked at.

        Raises:
            RuntimeError: Spyne itself, or ``run``, failed.
        """
        context = _Context(self, MethodContext.SERVER)
        context.in_string = _Incoming(message, remote_address, certificate, system)
        try:
            self.generate_contexts(context)
            if context.in_error is None:
                self.get_in_object(context)
                self.get_out_object(context)
            if context.out_error is not None:
                return self._refusal(context.out_error, remote_address)
            return _reply(context.udc, context.out_object[0])
        finally:
            # A context is a reference cycle; emptied, it lets go of the message and the answer at once.
            context.__dict__.clear()

    def _refusal(self, error: Fault, remote_address: str) -> Reply:
        """A fault goes where the request's headers say, or back at once; a refused user is recorded."""
        fault = error.detail
        if not isinstance(fault, SoapFault):
            raise RuntimeError(f"Spyne failed: {error.faultcode}")
        if isinstance(fault, SecurityFault) and self._trail is not None:
            reason = f"{fault.check.fault}: {fault.detail}"
            self._trail.user_refused(self._endpoint, remote_address, reason)
        to = fault.destination
        if to is not None and self._later is not None and self._later.refuse(fault, to):
            return ACCEPTED
        return Reply([fault_envelope(fault)], fault.action, fault.http_status)


def _service(rows: Iterable[Transaction], run: Run, later: Later | None) -> _Untyped:
    return type("Service", (ServiceBase,), {row.name: _operation(row, run, later) for row in rows})


def _operation(row: Transaction, run: Run, later: Later | None) -> _Untyped:
    def operation(ctx: _Ctx, body: object) -> Answer:
        request: Request = ctx.udc
        to = request.addressing.reply_to
        if to is None or later is None:
            return run(request)
        try:
            later.answer(request, ctx.in_string.message, to)
        except SoapFault as fault:
            fault.relates_to = request.addressing.message_id
            raise _carry(fault) from None
        return _SENT_LATER

    operation.__name__ = row.name
    return rpc(AnyXml, _returns=AnyXml, _body_style="bare")(operation)


def _method(row: Transaction) -> str:
    return f"{{{XDS}}}{row.name}"


def _reply(request: Request, answer: Answer) -> Reply:
    if answer is _SENT_LATER:
        return ACCEPTED
    row = request.transaction
    head, tail = envelope.answer_envelope_parts(
        row.answer_action,
        request.addressing.message_id,
        f"urn:uuid:{uuid.uuid4()}",
        further=answer.header,
    )
    envelope_ = [head, *answer.payload, tail]
    return Reply(envelope_, row.answer_action, 200, row, answer.documents, answer.close, answer.room)


def _carry(fault: SoapFault) -> Fault:
    """Our fault as an exception that Spyne takes for its own; without frames, which hold the message."""
    return Fault(detail=fault.with_traceback(None))
