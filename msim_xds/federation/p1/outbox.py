"""What is to be published at P1: the table ``p1_outbox``, shared by every server process on the database.

Rows come in with the registration or update that they tell of, and go when P1 has them. A row is worked on
until ``due_at``, after which others take it over; each claim counts ``attempts`` up, and whoever finds
another count than its own changes nothing. All moments are the database's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)

from msim_xds.database.clock import Now
from msim_xds.database.engine import Database, allocate
from msim_xds.database.queue_schema import p1_entry, p1_outbox, p1_outbox_entry

_PART: Final = 500  # entries named in one statement


class State(IntEnum):
    """What is happening to a publication."""

    WAITING = 0
    SENDING = 1
    GIVEN_UP = 2
    """It stays, and holds up what follows for the same entries, until an operator retries or drops it."""

    @property
    def label(self) -> str:
        """The state in words."""
        return self.name.lower().replace("_", " ")


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
_SHOWN: Final = (
    *(_ROW[name] for name in ("id", "source_id", "transaction", "unique_id", "created_at", "state")),
    *(_ROW.attempts, _ROW.last_error, ((_ROW.due_at - Now()) / literal(1000.0)).label("due_in_s")),
)
_MINE: Final = p1_outbox_entry.alias("mine")
_EARLIER: Final = p1_outbox_entry.alias("earlier")
_BEHIND: Final = and_(_EARLIER.c.entry_uuid == _MINE.c.entry_uuid, _EARLIER.c.outbox_id < _MINE.c.outbox_id)
_FREE: Final = ~exists().where(_MINE.c.outbox_id == _ROW.id, _BEHIND)
_LIVE: Final = and_(_ROW.state < State.GIVEN_UP, _FREE)


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
        due = (
            select(_ROW.id)
            .where(_LIVE, _ROW.due_at <= Now())
            .order_by(_ROW.due_at, _ROW.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        taken = (
            update(p1_outbox)
            .where(_ROW.id == due.scalar_subquery())
            .values(state=State.SENDING, attempts=_ROW.attempts + 1, due_at=Now() + self._lease_ms)
            .returning(_ROW.payload, *_SHOWN)
        )
        with self._database.write() as connection:
            row = connection.execute(taken).one_or_none()
        return None if row is None else _publication(row)

    def delivered(self, claimed: Publication) -> None:
        """P1 has it."""
        with self._database.write() as connection:
            if connection.execute(delete(p1_outbox).where(_held(claimed))).rowcount:
                _forget(connection, [claimed.id])

    def postpone(self, claimed: Publication, pause_s: float, error: str) -> None:
        """P1 does not have it, or it is not known whether it has; it is due again after a pause."""
        due_at = Now() + round(pause_s * 1000)
        self._settle(claimed, state=State.WAITING, due_at=due_at, last_error=error)

    def give_up(self, claimed: Publication, error: str) -> None:
        """P1 does not take it, and it is not tried again."""
        self._settle(claimed, state=State.GIVEN_UP, due_at=Now(), last_error=error)

    def next_due_s(self) -> float | None:
        """Seconds until something is due that waits for nothing else; None when nothing waits."""
        query = select(func.min(_ROW.due_at) - Now()).where(_LIVE)
        with self._database.read() as connection:
            wait: int | None = connection.execute(query).scalar_one()
        return None if wait is None else wait / 1000

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
        revived = update(p1_outbox).where(_ROW.state == State.GIVEN_UP, _among(keys))
        fresh = revived.values(state=State.WAITING, attempts=0, due_at=Now())
        with self._database.write() as connection:
            return sorted(connection.execute(fresh.returning(_ROW.id)).scalars())

    def drop(self, keys: Collection[int] | None = None) -> list[int]:
        """Forget publications: those, or all that were given up; returns which.

        Entries that they would have brought to P1 are no more taken for being there, so that updates of them
        stay here.
        """
        which = _ROW.state == State.GIVEN_UP if keys is None else _ROW.id.in_(keys)
        with self._database.write() as connection:
            dropped = sorted(connection.execute(delete(p1_outbox).where(which).returning(_ROW.id)).scalars())
            if dropped:
                _forget(connection, dropped)
                connection.execute(delete(p1_entry).where(p1_entry.c.outbox_id.in_(dropped)))
        return dropped

    def _settle(self, claimed: Publication, **values: object) -> None:
        with self._database.write() as connection:
            connection.execute(update(p1_outbox).where(_held(claimed)).values(**values))


def _forget(connection: Connection, keys: Sequence[int]) -> None:
    connection.execute(delete(p1_outbox_entry).where(p1_outbox_entry.c.outbox_id.in_(keys)))


def _held(claimed: Publication) -> ColumnElement[bool]:
    """The row, unless it was claimed again since."""
    return and_(_ROW.id == claimed.id, _ROW.attempts == claimed.attempts, _ROW.state == State.SENDING)


def _among(keys: Collection[int] | None) -> ColumnElement[bool]:
    return _ROW.id.is_not(None) if keys is None else _ROW.id.in_(keys)


def _publication(row: Row[Any], waits_for: tuple[int, ...] = ()) -> Publication:
    values: dict[str, Any] = {**row._mapping, "state": State(row.state), "waits_for": waits_for}
    return Publication(**values)
