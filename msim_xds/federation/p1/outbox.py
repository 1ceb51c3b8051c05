"""What is to be published at P1: the table ``p1_outbox``, shared by every server process on the database.

It is a ``database.queues.Queue``: rows come in with the registration or update that they tell of, and go when
P1 has them. One that is given up holds up what follows for the same entries.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Row,
    and_,
    delete,
    exists,
    insert,
    literal,
    select,
)

from msim_xds.database.clock import Now
from msim_xds.database.engine import Database, allocate
from msim_xds.database.queue_schema import p1_entry, p1_outbox, p1_outbox_entry
from msim_xds.database.queues import Queue, State

_PART: Final = 500  # entries named in one statement


@dataclass(frozen=True, slots=True)
class Publication:
    """A row.

    Attributes:
        source_id: the provider's sourceId.
        transaction: ITI-42 or ITI-57.
        unique_id: of the SubmissionSet.
        payload: lcm:SubmitObjectsRequest as it was registered here.
        attempts: those begun.
        waits_for: ids of earlier ones for the same entries.
    """

    source_id: str
    transaction: str
    unique_id: str
    payload: bytes
    id: int = 0
    created_at: str = ""
    state: State = State.WAITING
    attempts: int = 0
    due_in_s: float = 0.0
    last_error: str | None = None
    waits_for: tuple[int, ...] = ()

    @property
    def is_live(self) -> bool:
        """Whether it will be tried without anybody's doing."""
        return self.state is not State.GIVEN_UP


_ROW: Final = p1_outbox.c
_MINE: Final = p1_outbox_entry.alias("mine")
_EARLIER: Final = p1_outbox_entry.alias("earlier")
_BEHIND: Final = and_(_EARLIER.c.entry_uuid == _MINE.c.entry_uuid, _EARLIER.c.outbox_id < _MINE.c.outbox_id)
_QUEUE: Final = Queue(p1_outbox, ~exists().where(_MINE.c.outbox_id == _ROW.id, _BEHIND))
_SHOWN: Final = (
    *(_ROW[name] for name in ("id", "source_id", "transaction", "unique_id", "created_at", "state")),
    *(_ROW.attempts, _ROW.last_error, _QUEUE.due_in_s),
)


class Outbox:
    """Publications that wait; safe to share between threads.

    Args:
        database: where they are kept.
        lease_s: time for which one that is worked on is left alone.
        clock: the time of day, UTC.

    Attributes:
        news: set when this process has put something in; its transaction may still be under way.
    """

    def __init__(self, database: Database, lease_s: float, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._lease_ms = round(lease_s * 1000)
        self._clock = clock
        self.news = threading.Event()

    def add(
        self, connection: Connection, new: Publication, concerned: Collection[str], added: Collection[str]
    ) -> None:
        """Keep a publication in a write transaction of the registry's.

        Args:
            connection: of the transaction.
            new: it.
            concerned: entryUUIDs of entries, behind whose earlier publications it waits.
            added: those of them that it brings to P1.
        """
        key = allocate(connection, 1)[0]
        connection.execute(
            insert(p1_outbox).values(
                id=key,
                created_at=self._clock().isoformat(timespec="seconds"),
                source_id=new.source_id,
                transaction=new.transaction,
                unique_id=new.unique_id,
                payload=new.payload,
                state=State.WAITING,
                attempts=0,
                due_at=Now(),
            )
        )
        rows = [{"entry_uuid": each, "outbox_id": key} for each in sorted(concerned)]
        connection.execute(insert(p1_outbox_entry), rows)
        if added:
            known = [{**row, "source_id": new.source_id} for row in rows if row["entry_uuid"] in added]
            connection.execute(insert(p1_entry), known)
        self.news.set()

    def known(self, connection: Connection, entries: Collection[str]) -> Mapping[str, str]:
        """Of these entryUUIDs those that are, or are on their way to be, at P1, with their sourceId."""
        found: dict[str, str] = {}
        names = sorted(entries)
        for start in range(0, len(names), _PART):
            part = p1_entry.c.entry_uuid.in_(names[start : start + _PART])
            query = select(p1_entry.c.entry_uuid, p1_entry.c.source_id).where(part)
            found |= {row.entry_uuid: row.source_id for row in connection.execute(query)}
        return found

    def claim(self) -> Publication | None:
        """Take what has been due longest and waits for nothing; None when there is nothing.

        It is held until ``delivered``, ``postpone`` or ``give_up``.
        """
        with self._database.write() as connection:
            row = _QUEUE.claim(connection, self._lease_ms, (_ROW.payload, *_SHOWN))
        return None if row is None else _publication(row)

    def delivered(self, claimed: Publication) -> None:
        """P1 has it."""
        with self._database.write() as connection:
            if _QUEUE.done(connection, claimed):
                _forget(connection, [claimed.id])

    def postpone(self, claimed: Publication, pause_s: float, error: str) -> None:
        """P1 does not have it, or it is not known whether it has; it is due again after a pause."""
        with self._database.write() as connection:
            _QUEUE.postpone(connection, claimed, pause_s, error)

    def give_up(self, claimed: Publication, error: str) -> None:
        """P1 does not take it, and it is not tried again."""
        with self._database.write() as connection:
            _QUEUE.give_up(connection, claimed, error)

    def next_due_s(self) -> float | None:
        """Seconds until something is due that waits for nothing else; None when nothing waits."""
        with self._database.read() as connection:
            return _QUEUE.next_due_s(connection)

    def rows(self) -> Sequence[Publication]:
        """All of them, the oldest first, without what they say."""
        query = select(literal(b"").label("payload"), *_SHOWN).order_by(_ROW.id)
        behind = select(_MINE.c.outbox_id, _EARLIER.c.outbox_id).join_from(_MINE, _EARLIER, _BEHIND)
        with self._database.snapshot() as connection:
            found = connection.execute(query).all()
            waits: dict[int, set[int]] = {}
            for key, earlier in connection.execute(behind):
                waits.setdefault(key, set()).add(earlier)
        return [_publication(row, tuple(sorted(waits.get(row.id, ())))) for row in found]

    def retry(self, keys: Collection[int] | None = None) -> list[int]:
        """Have given-up publications tried again, all of them or those; returns which."""
        with self._database.write() as connection:
            return _QUEUE.retry(connection, keys)

    def drop(self, keys: Collection[int] | None = None) -> list[int]:
        """Forget publications: those, or all that were given up; returns which.

        Entries that they would have brought to P1 are no more taken for being there, so that updates of them
        stay here.
        """
        with self._database.write() as connection:
            dropped = _QUEUE.drop(connection, keys)
            if dropped:
                _forget(connection, dropped)
                connection.execute(delete(p1_entry).where(p1_entry.c.outbox_id.in_(dropped)))
        return dropped


def _forget(connection: Connection, keys: Sequence[int]) -> None:
    connection.execute(delete(p1_outbox_entry).where(p1_outbox_entry.c.outbox_id.in_(keys)))


def _publication(row: Row[Any], waits_for: tuple[int, ...] = ()) -> Publication:
    values: dict[str, Any] = {**row._mapping, "state": State(row.state), "waits_for": waits_for}
    return Publication(**values)
