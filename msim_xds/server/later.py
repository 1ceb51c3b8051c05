"""Answers that go to wsa:ReplyTo on a connection of their own (ITI TF-2 Appendix V.3, asynchronous exchange).

A query or a retrieve waits in the queue as it came and is carried out when its answer is sent: no document is
copied, and the answer says what is true then. Everything else is carried out at once. Before that, an answer
is kept that says that the outcome is unknown; the true answer takes its place. Whenever the process dies, one
of the two is sent, or the sender has no HTTP 202 and knows that nothing is certain.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.delivery.addresses import ReplyHosts
from msim_xds.delivery.queue import Delivery, DeliveryQueue, NewDelivery, QueueFull
from msim_xds.findings import Finding
from msim_xds.ihe.names import WSA
from msim_xds.ihe.transactions import TRANSACTIONS, Endpoint, Transaction
from msim_xds.security.systems.door import Door
from msim_xds.security.xua.guard import Guard
from msim_xds.server.pipeline import BUSY, Run, failure_code
from msim_xds.wire import answers, envelope, mtom, safexml
from msim_xds.wire.exchange import Answer, ReplyAddress, Request
from msim_xds.wire.faults import FaultCode, SoapFault, fault_envelope
from msim_xds.wire.mtom import Message, Packaged

_log: FilteringBoundLogger = structlog.get_logger()

_ROWS: Final = {row.name: row for row in TRANSACTIONS}
_RETRY_MS: Final = 60_000
_NOTHING: Final = Answer([])
_UNKNOWN: Final = "whether this request was carried out is not known; send the same message again"


class Later:
    """Takes requests whose answers are sent later, and makes those answers.

    Args:
        run: carries out a request; never raises an Exception.
        queue: keeps what is to be sent.
        hosts: where it may be sent.
        inline: whether senders without MTOM are answered without it.
        guards: who has checked the senders of requests to which endpoint.
        door: who has let their systems in.
    """

    def __init__(
        self,
        run: Run,
        queue: DeliveryQueue,
        hosts: ReplyHosts,
        *,
        inline: bool,
        guards: Mapping[Endpoint, Guard] = MappingProxyType({}),
        door: Door | None = None,
    ) -> None:
        self._run = run
        self._queue = queue
        self._hosts = hosts
        self._inline = inline
        self._guards = guards
        self._door = door

    def check_address(self, address: str) -> str | None:
        """What is wrong with an address to which an answer is wanted; None when it is allowed."""
        return self._hosts.problem(address)

    def answer(self, request: Request, message: Message, to: ReplyAddress) -> None:
        """See to it that the answer is sent to ``to``, or that a request without one is carried out.

        Raises:
            SoapFault: the queue is full or out of reach; nothing was carried out.
        """
        if to.is_none:
            self._run(request)
            return
        message_id = _new_id()
        row = request.transaction
        new = NewDelivery(
            transaction=row.name,
            address=to.address,
            host=self._hosts.target(to.address).host,
            message_id=message_id,
            relates_to=request.addressing.message_id or "",
            action=row.answer_action,
            mtom=in_mtom(row, came_as_mtom=message.mtom, inline=self._inline),
            payload=message.root if row.reads else _unknown_outcome(request, message_id, to),
            deferred=row.reads,
            remote_address=request.remote_address,
            system=request.system.name if request.system is not None else "",
        )
        if row.reads:
            with _admission():
                self._queue.add(new)
        else:
            self._carry_out(request, new, to)

    def refuse(self, fault: SoapFault, to: ReplyAddress) -> bool:
        """See to it that a fault is sent to ``to``; False when that cannot be promised.

        Only faults of requests whose headers are in order have a destination; others are for the connection.
        """
        if to.is_none:
            return True
        message_id = _new_id()
        new = NewDelivery(
            transaction="",
            address=to.address,
            host=self._hosts.target(to.address).host,
            message_id=message_id,
            relates_to=fault.relates_to or "",
            action=fault.action,
            mtom=False,
            payload=fault_envelope(fault, message_id=message_id),
        )
        try:
            with _admission():
                self._queue.add(new)
        except SoapFault:
            return False
        return True

    def compose(self, due: Delivery) -> Packaged:
        """The message of a row of the queue.

        Raises:
            SoapFault, KeyError: it was taken in by another version and cannot be read any more, or who sent
                it is not trusted or registered any more.
        """
        if not due.deferred:
            return _packaged(due, [due.payload])
        received = envelope.read_again(safexml.parse(due.payload))
        addressing = received.addressing
        row = _ROWS[due.transaction]
        guard = self._guards.get(row.endpoint)
        caller = None if guard is None else guard.recall(received.header)
        system = None if self._door is None else self._door.recall(due.system)
        answer = self._run(
            Request(
                row,
                received.payload,
                addressing,
                remote_address=due.remote_address,
                caller=caller,
                system=system,
                header=received.header,
            )
        )
        head, tail = envelope.answer_envelope_parts(
            due.action, due.relates_to, due.message_id, addressing.reply_to, answer.header
        )
        packaged = _packaged(due, [head, *answer.payload, tail], answer)
        return packaged if answer.close is None else replace(packaged, close=answer.close)

    def _carry_out(self, request: Request, new: NewDelivery, to: ReplyAddress) -> None:
        with _admission():
            key = self._queue.open(new)
        try:
            answer = self._run(request)
            kept = self._queue.complete(key, _enveloped(request, new.message_id, to, answer.payload))
        except (TimeoutError, OSError):
            kept = False
        finally:
            self._queue.let_go(key)
        if not kept:
            _log.warning("answer not kept; the sender learns that the outcome is unknown", id=key)


def in_mtom(row: Transaction, *, came_as_mtom: bool, inline: bool) -> bool:
    """The form of an answer (ITI TF-2 Appendix V.3.6).

    A transaction of MTOM is answered in MTOM, unless the tolerance for senders without MTOM is on. The others
    are answered as they were asked.
    """
    return came_as_mtom or (row.mtom and not inline)


def _packaged(due: Delivery, root: Sequence[bytes], answer: Answer = _NOTHING) -> Packaged:
    if due.mtom:
        return mtom.package(root, answer.documents, due.action, answer.room)
    return mtom.plain(root, answer.documents, due.action)


def _unknown_outcome(request: Request, message_id: str, to: ReplyAddress) -> bytes:
    row = request.transaction
    finding = Finding(failure_code(row, BUSY), _UNKNOWN)
    return _enveloped(request, message_id, to, answers.failure(row, [finding], original=request.body))


def _enveloped(request: Request, message_id: str, to: ReplyAddress, payload: Sequence[bytes]) -> bytes:
    relates_to = request.addressing.message_id
    action = request.transaction.answer_action
    head, tail = envelope.answer_envelope_parts(action, relates_to, message_id, to)
    return b"".join([head, *payload, tail])


@contextmanager
def _admission() -> Iterator[None]:
    """What keeps a request out of the queue, as the fault of WS-Addressing SOAP Binding 6.4.4."""
    try:
        yield
    except QueueFull:
        reason = "too many answers wait for delivery"
    except (TimeoutError, OSError) as error:
        _log.warning("queue of answers out of reach", error=type(error).__name__)
        reason = "the queue of answers is out of reach"
    else:
        return
    raise SoapFault(
        FaultCode.RECEIVER,
        f"{reason}; nothing was carried out: send the same message again later",
        subcodes=[f"{{{WSA}}}EndpointUnavailable"],
        detail=f"<wsa:RetryAfter>{_RETRY_MS}</wsa:RetryAfter>",
    )


def _new_id() -> str:
    return f"urn:uuid:{uuid.uuid4()}"
