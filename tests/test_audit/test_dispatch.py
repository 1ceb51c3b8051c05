"""What a repository is told next, and by which process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from msim_xds.audit.dispatch import Dispatch, progress, unsealed
from msim_xds.audit.outbox import Entry, Outbox
from msim_xds.audit.sealer import seal_all
from msim_xds.database.engine import Database
from msim_xds.settings import DatabaseSettings

NOW = datetime(2026, 9, 14, 12, tzinfo=UTC)


def entry(number: int, size: int = 10) -> Entry:
    return Entry(f"2026-09-14T12:00:00.{number:03}+00:00", "ITI-18", 0, "", b"%d" % number + b" " * size)


@pytest.fixture
def database(outbox: Outbox) -> Database:
    """With the records 1 to 10, sealed, and one that is not."""
    outbox.write([entry(number) for number in range(1, 11)])
    seal_all(outbox)
    outbox.write([entry(11)])
    return outbox.database


@pytest.fixture
def other(database_url: str) -> Iterator[Database]:
    """Another process's."""
    database = Database(database_url, DatabaseSettings())
    yield database
    database.close()


def dispatch(database: Database, lease_s: float = 60) -> Dispatch:
    made = Dispatch(database, lease_s, lambda: NOW)
    made.prepare(["arr", "archive"])
    return made


def positions(dispatch: Dispatch, most: int = 500, name: str = "arr") -> list[int]:
    return [each.position for each in dispatch.next(name, most)]


def test_sealed_records_in_the_order_of_the_chain(database: Database) -> None:
    mine = dispatch(database)
    assert positions(mine) == list(range(1, 11))
    first = mine.next("arr", 1)[0]
    assert (first.recorded_at, first.message) == (entry(1).recorded_at, entry(1).message)
    mine.arrived("arr", 4)
    assert positions(mine, 3) == [5, 6, 7]
    mine.arrived("arr", 10)
    assert positions(mine) == []
    assert positions(mine, name="archive") == list(range(1, 11))  # each repository by itself


def test_what_has_arrived_is_never_taken_back(database: Database) -> None:
    mine = dispatch(database)
    positions(mine)
    mine.arrived("arr", 9)
    mine.arrived("arr", 3)
    assert positions(mine) == [10]
    dispatch(database)  # a start of the server
    assert positions(mine) == [10]


def test_one_process_at_a_time(database: Database, other: Database) -> None:
    mine, theirs = dispatch(database), dispatch(other)
    assert positions(mine) == list(range(1, 11))
    assert positions(theirs) == []
    assert positions(theirs, name="archive") == list(range(1, 11))
    mine.release()
    assert positions(theirs, 2) == [1, 2]
    mine.arrived("arr", 10)  # too late: another process has it now
    theirs.arrived("arr", 2)
    assert positions(theirs, 1) == [3]


def test_the_share_of_a_process_that_died_falls_to_another(database: Database, other: Database) -> None:
    mine, theirs = dispatch(database, lease_s=0.5), dispatch(other, lease_s=60)
    assert positions(mine) != []
    assert positions(theirs) == []
    deadline = time.monotonic() + 10
    while not positions(theirs):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert positions(mine) == []


def test_large_records_are_sent_by_themselves(outbox: Outbox) -> None:
    outbox.write([entry(number, size) for number, size in enumerate((10, 3 << 20, 3 << 20, 9 << 20, 10))])
    seal_all(outbox)
    mine = dispatch(outbox.database)
    batches = []
    while batch := positions(mine):
        batches.append(batch)
        mine.arrived("arr", batch[-1])
    assert batches == [[1, 2], [3], [4], [5]]


def test_progress(database: Database) -> None:
    assert progress(database, ["arr"])[0][1:] == (10, 0, None, None)
    mine = dispatch(database)
    positions(mine)
    mine.failed("arr", "ConnectionRefusedError")
    mine.failed("arr", "TimeoutError: timed out")
    found = progress(database, ["archive", "arr", "unheard of"])
    assert [(each.name, each.waiting) for each in found] == [("archive", 10), ("arr", 10), ("unheard of", 10)]
    assert (found[1].failures, found[1].problem) == (2, "TimeoutError: timed out")
    mine.arrived("arr", 7)
    assert progress(database, ["arr"])[0][1:] == (3, 0, None, "2026-09-14T12:00:00+00:00")
    assert (unsealed(database, 100), unsealed(database, 1)) == (1, 1)


def test_without_a_chain_nothing_waits(database_url: str) -> None:
    database = Database(database_url, DatabaseSettings())
    database.migrate()
    assert progress(database, ["arr"])[0].waiting == 0
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM audit_repository")).scalar_one() == 0
    database.close()
