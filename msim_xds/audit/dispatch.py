"""How far each repository has been told: the trail itself is the queue, a position all its state.

A repository is told by one process at a time, in the order of the chain. A batch is sent first, and only when
it has arrived its end is written down; so no record is passed over, and the last batch of a process that dies
may be sent a second time.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, Select, func, insert, or_, select, update

from msim_xds.audit.syslog import Sealed
from msim_xds.database.clock import Now
from msim_xds.database.engine import Database
from msim_xds.database.schema import audit_head, audit_record, audit_repository

_BATCH_BYTES: Final = 4 << 20
_r: Final = audit_record.c
_d: Final = audit_repository.c
_NOBODY: Final = ""


class Progress(NamedTuple):
    """How a repository stands.

    Attributes:
        name: its name in the settings.
        waiting: sealed records that have not arrived there.
        failures: attempts that have failed since something last arrived.
        problem: why the last one failed; None when it did not.
        sent_at: when something last arrived; None for never.
    """

    name: str
    waiting: int
    failures: int
    problem: str | None
    sent_at: str | None


class Dispatch:
    """What one process tells the repositories; safe to share between threads.

    Args:
        database: where the trail is.
        lease_s: time after which what a process that has died was telling falls to another.
        clock: the time of day, UTC.
    """

    def __init__(self, database: Database, lease_s: float, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._lease_ms = round(lease_s * 1000)
        self._clock = clock
        self._me = uuid.uuid4().hex

    def prepare(self, names: Collection[str]) -> None:
        """Have a row for each; a repository that is new here is told everything from the beginning."""
        with self._database.administration() as connection:
            known = set(connection.execute(select(_d.name)).scalars())
            for name in names:
                if name not in known:
                    row = {"name": name, "position": 0, "holder": _NOBODY, "held_until": 0, "failures": 0}
                    connection.execute(insert(audit_repository).values(row))

    def next(self, name: str, most: int, feed: str | None = None) -> Sequence[Sealed]:
        """The records that a repository is to be told next; none where another process is telling it.

        ``most`` of them, fewer where they are large. They are this process's to send until the lease ends.
        Those of its ``feed``, that is; None is what everybody is told.
        """
        with self._database.read() as connection:
            at = select(_d.position).where(_d.name == name).scalar_subquery()
            if connection.execute(select(_r.position).where(_r.position > at).limit(1)).first() is None:
                return ()
        position = self._claim(name)
        if position is None:
            return ()
        with self._database.snapshot() as connection:
            sizes = connection.execute(_sizes(position, most, feed)).all()
            if sizes:
                rows = connection.execute(_records(_fitting(sizes), feed))
                return [Sealed(*row) for row in rows]
            end: int = connection.execute(select(func.max(_r.position))).scalar_one()
        self._passed(name, end)
        return ()

    def arrived(self, name: str, position: int) -> None:
        """Everything up to ``position`` has arrived. Nothing, when another process has taken over since."""
        done = {
            "position": position,
            "held_until": Now() + self._lease_ms,
            "sent_at": self._clock().isoformat(timespec="seconds"),
            "failures": 0,
            "problem": None,
        }
        mine = (_d.name == name, _d.holder == self._me, _d.position < position)
        with self._database.write() as connection:
            connection.execute(update(audit_repository).where(*mine).values(done))

    def _passed(self, name: str, position: int) -> None:
        """Nothing up to ``position`` is for this repository."""
        mine = (_d.name == name, _d.holder == self._me, _d.position < position)
        with self._database.write() as connection:
            connection.execute(update(audit_repository).where(*mine).values(position=position))

    def failed(self, name: str, problem: str) -> None:
        """It is not known to have arrived."""
        values = {"failures": _d.failures + 1, "problem": problem}
        with self._database.write() as connection:
            connection.execute(update(audit_repository).where(_d.name == name).values(values))

    def release(self) -> None:
        """Leave everything to others."""
        mine = _d.holder == self._me
        with self._database.write() as connection:
            connection.execute(update(audit_repository).where(mine).values(holder=_NOBODY, held_until=0))

    def _claim(self, name: str) -> int | None:
        """The position from which this process sends now; None where another does."""
        free = or_(_d.holder == self._me, _d.held_until < Now())
        taken = (
            update(audit_repository)
            .where(_d.name == name, free)
            .values(holder=self._me, held_until=Now() + self._lease_ms)
            .returning(_d.position)
        )
        with self._database.write() as connection:
            position: int | None = connection.execute(taken).scalar_one_or_none()
        return position


def progress(database: Database, names: Collection[str]) -> Sequence[Progress]:
    """How each repository of the settings stands, in their order."""
    end = select(audit_head.c.position).scalar_subquery()
    columns = (_d.name, func.coalesce(end, 0) - _d.position, _d.failures, _d.problem, _d.sent_at)
    with database.read() as connection:
        found = {row[0]: Progress(*row) for row in connection.execute(select(*columns))}
        if any(name not in found for name in names):
            waiting: int = connection.execute(select(func.coalesce(end, 0))).scalar_one()
    return [found.get(name) or Progress(name, waiting, 0, None, None) for name in names]


def unsealed(database: Database, most: int) -> int:
    """How many records wait for their place in the chain; ``most`` for that many or more."""
    waiting = select(_r.id).where(_r.position.is_(None)).limit(most).subquery()
    with database.read() as connection:
        count: int = connection.execute(select(func.count()).select_from(waiting)).scalar_one()
    return count


def _sizes(position: int, most: int, feed: str | None) -> Select[Any]:
    after = select(_r.position, func.length(_r.message).label("size"))
    after = after.where(_r.position > position, _r.feed.is_not_distinct_from(feed))
    return after.order_by(_r.position).limit(most)


def _fitting(sizes: Sequence[Row[Any]]) -> tuple[int, int]:
    """First and last position of what is small enough to be sent together, at least one."""
    totals = accumulate(row.size for row in sizes)
    count = sum(total <= _BATCH_BYTES for total in totals)
    return sizes[0].position, sizes[max(count, 1) - 1].position


def _records(span: tuple[int, int], feed: str | None) -> Select[Any]:
    return (
        select(_r.position, _r.recorded_at, _r.message)
        .where(_r.position.between(*span), _r.feed.is_not_distinct_from(feed))
        .order_by(_r.position)
    )
