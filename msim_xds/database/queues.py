"""What queues that several processes work off have in common: tables with ``id``, ``state``, ``attempts``,
``due_at`` and ``last_error``.

Who works on a row holds it until ``due_at``; after that others take it over. Each claim counts ``attempts``,
and whoever finds another count than its own changes nothing. All moments are the database's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import IntEnum
from typing import Any, Final, Protocol

from sqlalchemy import (
    ColumnElement,
    Connection,
    Label,
    Row,
    Table,
    and_,
    delete,
    func,
    literal,
    select,
    true,
    update,
)

from msim_xds.database.clock import Now


class State(IntEnum):
    """What is happening to a row."""

    OPEN = 0
    """What it tells of is under way."""
    WAITING = 1
    SENDING = 2
    GIVEN_UP = 3
    """It stays until an operator has it tried again or dropped."""

    @property
    def label(self) -> str:
        """The state in words."""
        return self.name.lower().replace("_", " ")


class Claimed(Protocol):
    """A row that was claimed."""

    @property
    def id(self) -> int:
        """Its key."""

    @property
    def attempts(self) -> int:
        """Those begun, this one included."""


class Queue:
    """The statements over one such table; each method belongs to the caller's transaction.

    Args:
        table: the queue.
        free: what must hold of a row besides, for it to be taken.
    """

    def __init__(self, table: Table, free: ColumnElement[bool] | None = None) -> None:
        self._table = table
        self._row = row = table.c
        self._live = and_(row.state < State.GIVEN_UP, true() if free is None else free)
        self.due_in_s: Final[Label[Any]] = ((row.due_at - Now()) / literal(1000.0)).label("due_in_s")

    def claim(
        self,
        connection: Connection,
        lease_ms: int,
        shown: Sequence[ColumnElement[Any]],
        among: ColumnElement[bool] | None = None,
    ) -> Row[Any] | None:
        """Take what has been due longest, or longest ``among`` these; returns the columns ``shown``."""
        row = self._row
        due = (
            select(row.id)
            .where(self._live, row.due_at <= Now(), true() if among is None else among)
            .order_by(row.due_at, row.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        taken = (
            update(self._table)
            .where(row.id == due.scalar_subquery())
            .values(state=State.SENDING, attempts=row.attempts + 1, due_at=Now() + lease_ms)
            .returning(*shown)
        )
        return connection.execute(taken).one_or_none()

    def done(self, connection: Connection, claimed: Claimed) -> bool:
        """Delete a row; False where it was claimed again since."""
        return bool(connection.execute(delete(self._table).where(self._held(claimed))).rowcount)

    def postpone(self, connection: Connection, claimed: Claimed, pause_s: float, error: str | None) -> None:
        """It is due again after a pause; nothing happens where it was claimed again since."""
        self._settle(connection, claimed, State.WAITING, round(pause_s * 1000), error)

    def give_up(self, connection: Connection, claimed: Claimed, error: str) -> None:
        """It is not tried again; nothing happens where it was claimed again since."""
        self._settle(connection, claimed, State.GIVEN_UP, 0, error)

    def next_due_s(self, connection: Connection, among: ColumnElement[bool] | None = None) -> float | None:
        """Seconds until something is due, or something ``among`` these; None when nothing waits."""
        query = select(func.min(self._row.due_at) - Now())
        wait: int | None = connection.execute(
            query.where(self._live, true() if among is None else among)
        ).scalar_one()
        return None if wait is None else wait / 1000

    def retry(self, connection: Connection, keys: Collection[int] | None) -> list[int]:
        """Have given-up rows tried again with all their attempts, all of them or those; returns which."""
        row = self._row
        revived = update(self._table).where(row.state == State.GIVEN_UP, self._among(keys))
        fresh = revived.values(state=State.WAITING, attempts=0, due_at=Now()).returning(row.id)
        return sorted(connection.execute(fresh).scalars())

    def drop(self, connection: Connection, keys: Collection[int] | None) -> list[int]:
        """Delete those rows, or all that were given up; returns which."""
        which = self._row.state == State.GIVEN_UP if keys is None else self._among(keys)
        gone = delete(self._table).where(which).returning(self._row.id)
        return sorted(connection.execute(gone).scalars())

    def _settle(
        self, connection: Connection, claimed: Claimed, state: State, due_in_ms: int, error: str | None
    ) -> None:
        changed = update(self._table).where(self._held(claimed))
        connection.execute(changed.values(state=state, due_at=Now() + due_in_ms, last_error=error))

    def _held(self, claimed: Claimed) -> ColumnElement[bool]:
        """The row, unless it was claimed again since."""
        row = self._row
        return and_(row.id == claimed.id, row.attempts == claimed.attempts, row.state == State.SENDING)

    def _among(self, keys: Collection[int] | None) -> ColumnElement[bool]:
        return true() if keys is None else self._row.id.in_(keys)
