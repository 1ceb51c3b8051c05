"""Entries whose documents may be signed and wait for their validation: the table ``pending_signature``.

A row is written with its entry, in one transaction, and deleted in that which shows the result. Whoever works
on rows holds them until ``due_at``; a process that dies prolongs nothing, so that others find them due. Each
claim counts ``attempts`` up, and whoever has lost a row that way changes nothing by it. Rows that nobody has
tried yet are claimed many at a time; one that was tried before is claimed alone, so that a document which
kills its process takes no other with it twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, select, update

from msim_xds.database.among import among, given
from msim_xds.database.clock import Now
from msim_xds.database.driver import Prepared
from msim_xds.database.schema import pending_signature, registry_object
from msim_xds.metadata.signature_slots import SignatureResult
from msim_xds.registry import patients, signature_results


class Waiting(NamedTuple):
    """A document that waits.

    Attributes:
        id: key of the row, and of the entry with which it came.
        unique_id: of the document.
        format_code: of its entry, as ``code^^scheme``.
        set_unique_id: of the SubmissionSet with which it came.
        attempts: how often it was claimed.
    """

    id: int
    unique_id: str
    format_code: str | None
    set_unique_id: str
    attempts: int = 0


class Backlog(NamedTuple):
    """What waits.

    Attributes:
        documents: how many, counted no further than was asked for.
        oldest: when the first of them came.
    """

    documents: int
    oldest: str | None


_ROW: Final = pending_signature.c
_object: Final = registry_object.c
_COLUMNS: Final = tuple(_ROW[name] for name in Waiting._fields)
_IS_DUE: Final = select(_ROW.id).where(_ROW.due_at <= Now()).limit(1)
_DUE: Final = (
    select(*_COLUMNS)
    .where(_ROW.due_at <= Now())
    .order_by(_ROW.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_CLAIM: Final = (
    update(pending_signature)
    .where(among(_ROW.id, bindparam("given")))
    .values(attempts=_ROW.attempts + 1, due_at=Now() + bindparam("hold_ms"))
)
_MINE: Final = (_ROW.id == bindparam("key"), _ROW.attempts == bindparam("claimed"))
_POSTPONE: Final = update(pending_signature).where(*_MINE).values(due_at=Now() + bindparam("pause_ms"))
_GIVE_BACK: Final = update(pending_signature).where(*_MINE).values(attempts=_ROW.attempts - 1, due_at=0)
_TAKE_OUT: Final = delete(pending_signature).where(*_MINE)
_SHOWING: Final = Prepared(
    select(_object.signature_id, _object.id, _object.patient_id).where(
        among(_object.unique_id, bindparam("unique_ids")), among(_object.signature_id, bindparam("given"))
    )
)
_SHOW: Final = (
    update(registry_object)
    .where(among(_object.id, bindparam("given")))
    .values(signature_id=bindparam("result"))
)
_COUNT: Final = select(func.count()).select_from(select(_ROW.id).limit(bindparam("most")).subquery())
_OLDEST: Final = select(_ROW.queued_at).order_by(_ROW.id).limit(1)


def row(moment: datetime, waiting: Waiting) -> dict[str, Any]:
    """A document as it is queued, in the table's columns; due at once."""
    return {**waiting._asdict(), "queued_at": moment.isoformat(timespec="seconds"), "due_at": 0}


def is_due(connection: Connection) -> bool:
    """Whether ``claim`` would find something."""
    return connection.execute(_IS_DUE).one_or_none() is not None


def claim(connection: Connection, most: int, hold_ms: int) -> list[Waiting]:
    """Take due documents, the oldest first, and hold them so long: new ones, or one that was tried before."""
    rows = [Waiting(*row) for row in connection.execute(_DUE, {"most": most})]
    taken = list(takewhile(lambda each: each.attempts == 0, rows)) or rows[:1]
    if taken:
        keys = given(connection, [each.id for each in taken])
        connection.execute(_CLAIM, {"given": keys, "hold_ms": hold_ms})
    return [each._replace(attempts=each.attempts + 1) for each in taken]


def shown(connection: Connection, claimed: Sequence[Waiting]) -> set[int]:
    """Those, by key, that an entry still waits for: it may be gone, or have its result from elsewhere."""
    return {key for key, _, _ in _showing(connection, claimed)} if claimed else set()


def settle(
    connection: Connection, moment: datetime, results: Sequence[tuple[Waiting, SignatureResult | None]]
) -> None:
    """Take claimed documents out of the queue and show what they came to with every entry that waits for it.

    These are the entry with which it came and what updates and link changes have made of it. Their patients
    are locked first, since whoever makes another one copies what is shown. None is shown for an unsigned one.
    """
    if not results:
        return
    entries = _locked(connection, [each for each, _ in results])
    mine = [
        (each, result)
        for each, result in results
        if connection.execute(_TAKE_OUT, {"key": each.id, "claimed": each.attempts}).rowcount
    ]
    worth = [(each, result) for each, result in mine if result is not None and each.id in entries]
    found = [(each.unique_id, result) for each, result in worth]
    keys = signature_results.add(connection, moment, found) if found else []
    by_claim = {each.id: key for (each, _), key in zip(worth, keys, strict=True)}
    for each, _ in mine:
        if each.id in entries:
            showing = given(connection, entries[each.id])
            connection.execute(_SHOW, {"given": showing, "result": by_claim.get(each.id)})


def postpone(connection: Connection, claimed: Waiting, pause_ms: int) -> None:
    """It could not be done, and is due again after a pause."""
    connection.execute(_POSTPONE, {"key": claimed.id, "claimed": claimed.attempts, "pause_ms": pause_ms})


def give_back(connection: Connection, claimed: Waiting) -> None:
    """It was not tried after all."""
    connection.execute(_GIVE_BACK, {"key": claimed.id, "claimed": claimed.attempts})


def backlog(connection: Connection, most: int) -> Backlog:
    """What waits, counted up to ``most``."""
    documents = connection.execute(_COUNT, {"most": most}).scalar_one()
    return Backlog(documents, connection.execute(_OLDEST).scalar_one_or_none())


def _locked(connection: Connection, claimed: Sequence[Waiting]) -> Mapping[int, list[int]]:
    """Keys of the entries that wait, by what they wait for; their patients are locked.

    Whose they are may change while this waits, as when two patients are being merged.
    """
    locked: set[str] = set()
    while True:
        rows = _showing(connection, claimed)
        concerned = {*patients.names(connection, {patient for _, _, patient in rows}).values()}
        if concerned <= locked:
            break
        patients.lock_all(connection, concerned)
        locked |= concerned
    entries: dict[int, list[int]] = {}
    for signature, entry, _ in rows:
        entries.setdefault(signature, []).append(entry)
    return entries


def _showing(connection: Connection, claimed: Sequence[Waiting]) -> list[tuple[Any, ...]]:
    parameters = {
        "unique_ids": given(connection, [each.unique_id for each in claimed]),
        "given": given(connection, [each.id for each in claimed]),
    }
    return _SHOWING.rows(connection, parameters)
