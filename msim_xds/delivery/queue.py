"""The queue of answers: the table ``delivery``, shared by every server process on the database.

It is a ``database.queues.Queue``. Who works on a row prolongs its time (``renew``); a process that dies
prolongs nothing, so that others find the row due. An open row is one whose request is being carried out: if
that process dies, what is kept says that the outcome is unknown.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

import structlog
from sqlalchemy import (
    Connection,
    Row,
    and_,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)
from structlog.typing import FilteringBoundLogger

from msim_xds.database.clock import Now
from msim_xds.database.engine import Database, allocate
from msim_xds.database.queue_schema import delivery
from msim_xds.database.queues import Queue, State
from msim_xds.delivery_settings import DeliverySettings

_log: FilteringBoundLogger = structlog.get_logger()

_ROOM: Final = 100  # given-up answers dropped at a time when there is no room for a new one


class QueueFull(Exception):
    """There is no room for another answer."""


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """An answer to be delivered.

    Attributes:
        transaction: name of the request's transaction, empty for a fault of a request that has none.
        address: where it goes, as the sender wrote it.
        host: the address's host, of which one answer at a time is sent.
        message_id: wsa:MessageID of the answer, the same in every attempt.
        relates_to: wsa:MessageID of the request.
        action: wsa:Action of the answer.
        mtom: whether it is sent as MTOM.
        payload: its envelope; for a deferred one the request's, which is carried out at each attempt.
        deferred: whether it is.
        remote_address: whence the request came.
        system: name of the registered system that sent it; empty where systems are not looked at.
    """

    transaction: str
    address: str
    host: str
    message_id: str
    relates_to: str
    action: str
    mtom: bool
    payload: bytes
    deferred: bool = False
    remote_address: str = ""
    system: str = ""


@dataclass(frozen=True, slots=True)
class Delivery(NewDelivery):
    """A row of the queue; ``attempts`` counts those begun."""

    id: int = 0
    created_at: str = ""
    state: State = State.WAITING
    attempts: int = 0
    due_in_s: float = 0.0
    last_error: str | None = None

    @property
    def is_live(self) -> bool:
        """Whether it will be tried again without anybody's doing."""
        return self.state is not State.GIVEN_UP


_ROW: Final = delivery.c
_QUEUE: Final = Queue(delivery)
_OTHERS: Final = (
    *(_ROW[field.name] for field in fields(NewDelivery) if field.name != "payload"),
    *(_ROW.id, _ROW.created_at, _ROW.state, _ROW.attempts, _ROW.last_error, _QUEUE.due_in_s),
)


class DeliveryQueue:
    """Answers that wait for delivery; safe to share between threads.

    Args:
        database: where they are kept.
        settings: bounds, and how long a row may be held without a sign of life.
        clock: the time of day, UTC.

    Attributes:
        news: set when this process has put in something that is due.
    """

    def __init__(self, database: Database, settings: DeliverySettings, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._lease_ms = round(settings.lease_s * 1000)
        self.news = threading.Event()
        self._held: set[int] = set()
        self._lock = threading.Lock()

    def add(self, new: NewDelivery) -> int:
        """Keep an answer, or a deferred request, that is due at once; returns its id.

        Raises:
            QueueFull: nothing was kept.
        """
        key = self._insert(new, State.WAITING, 0)
        self.news.set()
        return key

    def open(self, new: NewDelivery) -> int:
        """Keep what is answered if this process dies before ``complete``; returns its id.

        Raises:
            QueueFull: nothing was kept.
        """
        key = self._insert(new, State.OPEN, self._lease_ms)
        with self._lock:
            self._held.add(key)
        return key

    def complete(self, key: int, payload: bytes) -> bool:
        """The answer of an ``open`` row is known and due; False when the row was taken over meanwhile."""
        self.let_go(key)
        done = update(delivery).where(_ROW.id == key, _ROW.state == State.OPEN)
        changed = self._change(done.values(state=State.WAITING, payload=payload, due_at=Now()))
        self.news.set()
        return changed

    def claim(self, busy: Collection[str]) -> Delivery | None:
        """Take the answer that has been due longest, of hosts that are not ``busy``; None when there is none.

        It is held until ``delivered``, ``postpone`` or ``give_up``.
        """
        with self._database.write() as connection:
            shown = (_ROW.payload, *_OTHERS)
            row = _QUEUE.claim(connection, self._lease_ms, shown, _ROW.host.not_in(busy))
        if row is None:
            return None
        claimed = _delivery(row)
        with self._lock:
            self._held.add(claimed.id)
        return claimed

    def delivered(self, claimed: Delivery) -> None:
        """It has arrived, and is forgotten."""
        self.let_go(claimed.id)
        with self._database.write() as connection:
            _QUEUE.done(connection, claimed)

    def postpone(self, claimed: Delivery, pause_s: float, error: str | None) -> None:
        """It has not arrived, and is due again after a pause."""
        self.let_go(claimed.id)
        with self._database.write() as connection:
            _QUEUE.postpone(connection, claimed, pause_s, error)

    def give_up(self, claimed: Delivery, error: str) -> None:
        """It has not arrived, and is not tried again."""
        self.let_go(claimed.id)
        with self._database.write() as connection:
            _QUEUE.give_up(connection, claimed, error)

    def let_go(self, key: int) -> None:
        """Hold a row no longer, so that it falls to others when its time has passed."""
        with self._lock:
            self._held.discard(key)

    def renew(self) -> None:
        """Prolong the time of every row held by this process."""
        with self._lock:
            held = list(self._held)
        if held:
            rows = and_(_ROW.id.in_(held), _ROW.state.in_((State.OPEN, State.SENDING)))
            self._change(update(delivery).where(rows).values(due_at=Now() + self._lease_ms))

    def next_due_s(self, busy: Collection[str]) -> float | None:
        """Seconds until something is due of hosts that are not ``busy``; None when nothing waits."""
        with self._database.read() as connection:
            return _QUEUE.next_due_s(connection, _ROW.host.not_in(busy))

    def rows(self) -> Sequence[Delivery]:
        """All answers kept, the oldest first, without what they say."""
        query = select(literal(b"").label("payload"), *_OTHERS).order_by(_ROW.id)
        with self._database.read() as connection:
            found = connection.execute(query).all()
        return [_delivery(row) for row in found]

    def retry(self, keys: Collection[int] | None = None) -> list[int]:
        """Have given-up answers sent again, all of them or those; returns which."""
        with self._database.write() as connection:
            return _QUEUE.retry(connection, keys)

    def drop(self, keys: Collection[int] | None = None) -> list[int]:
        """Forget answers: those, or all that were given up; returns which. One under way may still arrive."""
        with self._database.write() as connection:
            return _QUEUE.drop(connection, keys)

    def _insert(self, new: NewDelivery, state: State, due_in_ms: int) -> int:
        with self._database.write() as connection:
            self._make_room(connection, len(new.payload))
            key = allocate(connection, 1)[0]
            values: dict[str, Any] = {field.name: getattr(new, field.name) for field in fields(NewDelivery)}
            values |= {
                "id": key,
                "created_at": self._clock().isoformat(timespec="seconds"),
                "state": state,
                "attempts": 0,
                "due_at": Now() + due_in_ms,
            }
            connection.execute(insert(delivery).values(values))
        return key

    def _make_room(self, connection: Connection, octets: int) -> None:
        """Several processes at once may each put in one row more than the bound, and no more than that."""
        if self._has_room(connection, octets):
            return
        oldest = select(_ROW.id).where(_ROW.state == State.GIVEN_UP).order_by(_ROW.id).limit(_ROOM)
        dropped = connection.execute(delete(delivery).where(_ROW.id.in_(oldest))).rowcount
        if not self._has_room(connection, octets):
            raise QueueFull
        _log.warning("given-up answers dropped for lack of room", count=dropped)

    def _has_room(self, connection: Connection, octets: int) -> bool:
        measured = select(func.count(), func.coalesce(func.sum(func.length(_ROW.payload)), 0))
        count, size = connection.execute(measured.select_from(delivery)).one()
        return bool(count < self._settings.queue and size + octets <= self._settings.queue_bytes)

    def _change(self, statement: Any) -> bool:  # noqa: ANN401  # an Update of any shape
        with self._database.write() as connection:
            return bool(connection.execute(statement).rowcount)


def _delivery(row: Row[Any]) -> Delivery:
    values: dict[str, Any] = {**row._mapping, "state": State(row.state)}
    return Delivery(**values)
