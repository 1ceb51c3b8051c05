"""Searches that take too long are given up, and the connection goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from msim_xds.database.deadline import deadline
from msim_xds.database.driver import fetch
from msim_xds.database.engine import Database
from msim_xds.settings import DatabaseSettings

#: Takes minutes on both databases.
ENDLESS = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)
    SELECT count(*) FROM n"""


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, DatabaseSettings(pool_size=1))
    yield database
    database.close()


def test_what_takes_too_long_is_given_up(database: Database) -> None:
    started = time.monotonic()
    with (
        pytest.raises(TimeoutError),
        database.snapshot() as connection,
        deadline(connection, 0.2),
    ):
        fetch(connection, ENDLESS, {})
    assert 0.1 < time.monotonic() - started < 5


def test_what_is_done_in_time_is_not(database: Database) -> None:
    with database.snapshot() as connection, deadline(connection, 60):
        assert fetch(connection, "SELECT 1", {}) == [(1,)]


def test_the_connection_has_no_deadline_afterwards(database: Database) -> None:
    longer = ENDLESS.replace("1000000000", "1000000")
    for seconds in (0.0001, 0.2):
        with pytest.raises(TimeoutError), database.snapshot() as connection, deadline(connection, seconds):
            fetch(connection, ENDLESS, {})
        with database.snapshot() as connection:
            assert fetch(connection, longer, {}) == [(1000000,)]
