"""The audit trail in the database: written with what it records, then sealed into a chain.

A record is added in the transaction of what it records, with a mark: an HMAC over all that is kept of it.
Writers never wait for one another. A sealer then gives records their positions and seals, each seal an HMAC
over the one before, the position and the mark; the end of the chain is kept apart, marked as well. Who has no
key can neither change, add, remove nor move a sealed record without ``verify`` naming its position.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, func, insert, literal_column, or_, select, update

from msim_xds.database.driver import Prepared
from msim_xds.database.engine import Database
from msim_xds.database.schema import audit_head, audit_record, patient

_BATCH: Final = 500
_AT_ONCE: Final = 32  # records that one statement adds at most
_START: Final = b"msim_xds audit trail"
_HEAD: Final = 1


class Entry(NamedTuple):
    """One record to keep: its message, and by what people look for it.

    ``patient`` is the CX of whom it is about, empty where there is none. ``feed`` is the one party for which
    it is, a copy of what is said to everybody in that party's own form; None for everybody.
    """

    recorded_at: str
    transaction: str
    outcome: int
    patient: str
    message: bytes
    feed: str | None = None


class Kept(NamedTuple):
    """A record as it is kept; ``position`` is None until it is sealed."""

    position: int | None
    entry: Entry


@dataclass(frozen=True, slots=True)
class Damage:
    """A place where the chain is broken: position of the record, and what is wrong there."""

    position: int
    problem: str


_r: Final = audit_record.c
_h: Final = audit_head.c
_FACTS: Final = (_r.recorded_at, _r.transaction, _r.outcome, _r.patient, _r.message, _r.feed)
_WRITTEN: Final = tuple(column.name for column in (*_FACTS, _r.mark))


#: How new rows get their numbers. SQLite numbers them itself; one writer at a time makes that their order.
_NUMBERS: Final = {"sqlite": "NULL", "postgresql": "nextval('object_id')"}


@cache
def _adding(rows: int) -> Prepared:
    """The statement that adds so many records."""

    def row(number: int, key: str) -> dict[str, Any]:
        return {"id": literal_column(key), **{name: bindparam(f"{name}{number}") for name in _WRITTEN}}

    return Prepared(
        {
            database: insert(audit_record).values([row(number, key) for number in range(rows)]).inline()
            for database, key in _NUMBERS.items()
        }
    )


_FIRST_HEAD: Final = select(_h.position, _h.seal).where(_h.id == _HEAD)
#: Locked; on PostgreSQL nothing while another sealer has it, on SQLite the transaction itself is the lock.
_TAKE_HEAD: Final = _FIRST_HEAD.with_for_update(skip_locked=True)
_MOVE_HEAD: Final = (
    update(audit_head)
    .where(_h.id == _HEAD)
    .values(position=bindparam("at"), seal=bindparam("by"), mark=bindparam("proof"))
)
_UNSEALED: Final = select(_r.id, _r.mark).where(_r.position.is_(None)).order_by(_r.id).limit(_BATCH)
_SEAL: Final = (
    update(audit_record)
    .where(_r.id == bindparam("of"))
    .values(position=bindparam("at"), seal=bindparam("by"))
)
_SEALED: Final = (
    select(_r.position, _r.seal, _r.mark, *_FACTS)
    .where(_r.position > bindparam("after"))
    .order_by(_r.position)
    .limit(_BATCH)
)
_LAST_SEALED: Final = select(func.max(_r.position))
_COUNTS: Final = select(func.count(_r.position), func.count())
_NOW: Final = patient.alias()
#: Of a patient: under its CX, and under those that merges have ended for its sake.
_OF_PATIENT: Final = (
    select(_r.id, _r.position, *_FACTS)
    .where(
        or_(
            _r.patient == bindparam("cx"),
            _r.patient.in_(
                select(patient.c.cx)
                .join(_NOW, patient.c.survivor_id == _NOW.c.id)
                .where(_NOW.c.cx == bindparam("cx"))
            ),
        ),
        _r.id > bindparam("after"),
        _r.feed.is_(None),
    )
    .order_by(_r.id)
    .limit(_BATCH)
)


class Outbox:
    """The trail's records. Every method may be called by several threads, processes and machines.

    Args:
        database: where the trail is, which is where the things are that it records.
        key: secret of marks and seals.
    """

    def __init__(self, database: Database, key: bytes) -> None:
        self.database: Final = database
        self._key = key

    def prepare(self) -> None:
        """Begin the chain, where it has not begun."""
        with self.database.administration() as connection:
            begun = connection.execute(_FIRST_HEAD).one_or_none() is not None
            if not begun and connection.execute(_LAST_SEALED).scalar_one() is None:
                head = {"id": _HEAD, "position": 0, "seal": _START, "mark": self._head_mark(0, _START)}
                connection.execute(insert(audit_head), head)

    def add(self, connection: Connection, entries: Sequence[Entry]) -> None:
        """Add records to a write transaction; they are there when what it does is there, or not at all."""
        for first in range(0, len(entries), _AT_ONCE):
            self._add(connection, entries[first : first + _AT_ONCE])

    def write(self, entries: Sequence[Entry]) -> None:
        """Add records in a transaction of their own."""
        write = self.database.write_once if len(entries) <= _AT_ONCE else self.database.write
        with write() as connection:
            self.add(connection, entries)

    def _add(self, connection: Connection, entries: Sequence[Entry]) -> None:
        values = {
            f"{name}{number}": value
            for number, entry in enumerate(entries)
            for name, value in zip(_WRITTEN, (*entry, self._mark(entry)), strict=True)
        }
        _adding(len(entries)).run(connection, [values])

    def seal(self) -> int:
        """Give the next records their places in the chain; returns how many.

        One sealer works at a time; the others have nothing to do meanwhile.

        Raises:
            RuntimeError: somebody has removed the end of the chain.
        """
        with self.database.read() as connection:
            if connection.execute(_UNSEALED.limit(1)).first() is None:
                return 0
        with self.database.write() as connection:
            head = connection.execute(_TAKE_HEAD).one_or_none()
            if head is None:
                if connection.execute(_FIRST_HEAD).one_or_none() is None:
                    raise RuntimeError("audit_head is empty: the end of the audit trail's chain was removed")
                return 0
            return self._go_on(connection, *head)

    def verify(self) -> Iterator[Damage]:
        """Walk along the whole chain; every place where it does not hold."""
        position, seal = 0, _START
        follows = True
        with self.database.snapshot() as connection:
            while rows := connection.execute(_SEALED, {"after": position}).all():
                for at, found, mark, *facts in rows:
                    if at != position + 1:
                        yield Damage(position + 1, _missing(position + 1, at - 1))
                        follows = False
                    if not hmac.compare_digest(self._mark(facts), mark):
                        yield Damage(at, "the record is not what the server wrote: changed, or added")
                    elif follows and not hmac.compare_digest(self._seal(seal, at, mark), found):
                        yield Damage(at, "the record does not belong here: moved, or its seal was changed")
                    position, seal, follows = at, found, True
            yield from self._judged_end(connection, position, seal)

    def counts(self) -> tuple[int, int]:
        """How many records are sealed, and how many wait for it."""
        with self.database.read() as connection:
            sealed, every = connection.execute(_COUNTS).one()
        return sealed, every - sealed

    def of_patient(self, cx: str) -> Iterator[Kept]:
        """The records of a patient in the order of their writing, also those under ids merged into it."""
        after = 0
        while True:
            with self.database.read() as connection:
                rows = connection.execute(_OF_PATIENT, {"cx": cx, "after": after}).all()
            for key, position, *facts in rows:
                after = key
                yield Kept(position, Entry(*facts))
            if len(rows) < _BATCH:
                return

    def _go_on(self, connection: Connection, position: int, seal: bytes) -> int:
        """Continue the chain behind ``position``, whose seal is given."""
        sealed = []
        for key, mark in connection.execute(_UNSEALED):
            position += 1
            seal = self._seal(seal, position, mark)
            sealed.append({"of": key, "at": position, "by": seal})
        if sealed:
            connection.execute(_SEAL, sealed)
            proof = self._head_mark(position, seal)
            connection.execute(_MOVE_HEAD, {"at": position, "by": seal, "proof": proof})
        return len(sealed)

    def _judged_end(self, connection: Connection, position: int, seal: bytes) -> Iterator[Damage]:
        head = connection.execute(select(_h.position, _h.seal, _h.mark).where(_h.id == _HEAD)).one_or_none()
        if head is None:
            if position:
                yield Damage(position, "where the chain ends was removed")
        elif not hmac.compare_digest(self._head_mark(head.position, head.seal), head.mark):
            yield Damage(head.position, "where the chain ends was changed")
        elif head.position > position:
            yield Damage(position + 1, _missing(position + 1, head.position))
        elif head.position < position:
            yield Damage(head.position + 1, "records stand behind the end of the chain")
        elif head.seal != seal:
            yield Damage(position, "the last seal was changed")

    def _mark(self, facts: Sequence[Any]) -> bytes:
        return self._hmac(b"record", *facts)

    def _seal(self, before: bytes, position: int, mark: bytes) -> bytes:
        return self._hmac(b"seal", before, position, mark)

    def _head_mark(self, position: int, seal: bytes) -> bytes:
        return self._hmac(b"head", position, seal)

    def _hmac(self, *parts: object) -> bytes:
        """Each part that is there with its length before it: no two lists read alike but for absent ends."""
        whole: list[bytes] = []
        for part in parts:
            if part is None:
                continue
            octets = part if isinstance(part, bytes) else str(part).encode()
            whole += (len(octets).to_bytes(8, "big"), octets)
        return hmac.digest(self._key, b"".join(whole), "sha256")


def _missing(first: int, last: int) -> str:
    return "the record is missing" if first == last else f"records {first} to {last} are missing"
