"""Connections and transactions: what is seen by whom, and which errors come out."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import IntegrityError

from msim_xds.database.engine import Database, allocate, savepoint
from msim_xds.database.schema import association, patient
from msim_xds.settings import DatabaseSettings

_COUNT = select(func.count()).select_from(patient)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, DatabaseSettings(busy_timeout_s=0.3, pool_size=3))
    database.migrate()
    yield database
    database.close()


def _add(database: Database, key: int) -> None:
    with database.write() as connection:
        connection.execute(patient.insert(), {"id": key, "cx": f"{key}^^^&1.2.3&ISO", "announced": False})


def _count(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(_COUNT).scalar_one())


def test_write_commits_at_the_end(database: Database) -> None:
    with database.write() as connection:
        connection.execute(patient.insert(), {"id": 1, "cx": "1^^^&1.2.3&ISO", "announced": False})
        assert _count(database) == 0
    assert _count(database) == 1


def test_write_rolls_back_on_any_exception(database: Database) -> None:
    def interrupted() -> None:
        with database.write() as connection:
            connection.execute(patient.insert(), {"id": 1, "cx": "1^^^&1.2.3&ISO", "announced": False})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    _add(database, 2)
    assert _count(database) == 1


def test_a_part_is_undone_alone(database: Database) -> None:
    def add(connection: Connection, number: int) -> None:
        row = {"id": number, "cx": f"{number}^^^&1.2.3&ISO", "announced": False}
        connection.execute(patient.insert(), row)

    def broken(connection: Connection) -> None:
        with savepoint(connection, IntegrityError):
            add(connection, 2)
            add(connection, 1)

    with database.write() as connection:
        with savepoint(connection, IntegrityError):
            add(connection, 1)
        with pytest.raises(IntegrityError):
            broken(connection)
        with savepoint(connection, IntegrityError):
            add(connection, 3)
    with database.read() as connection:
        assert connection.execute(select(patient.c.id).order_by(patient.c.id)).scalars().all() == [1, 3]


def test_a_broken_constraint_is_told_and_leaves_the_connection_usable(database: Database) -> None:
    _add(database, 1)
    for _ in range(5):  # more often than there are connections
        with pytest.raises(IntegrityError):
            _add(database, 1)
    _add(database, 2)
    assert _count(database) == 2


def test_a_snapshot_sees_one_state(database: Database) -> None:
    with database.snapshot() as connection:
        assert connection.execute(_COUNT).scalar_one() == 0
        _add(database, 1)
        assert connection.execute(_COUNT).scalar_one() == 0
    assert _count(database) == 1


def test_a_read_sees_every_commit(database: Database) -> None:
    with database.read() as connection:
        assert connection.execute(_COUNT).scalar_one() == 0
        _add(database, 1)
        assert connection.execute(_COUNT).scalar_one() == 1


def test_like_minds_case_on_both_databases(database: Database) -> None:
    with database.read() as connection:
        assert not connection.execute(text("SELECT 'Nowak' LIKE 'nowak%'")).scalar_one()
        assert connection.execute(text("SELECT 'Nowak' LIKE 'Now%'")).scalar_one()


def test_foreign_keys_are_enforced(database: Database) -> None:
    row = {"id": 5, "patient_id": 99, "entry_uuid": "u", "type": 1, "status": 1}
    row |= {"source_object": 1, "target_object": 2, "dictionary_id": 1, "fragment": b""}
    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(association.insert(), row)


def test_a_lock_held_too_long_is_a_timeout(database: Database, database_url: str) -> None:
    """As between two worker processes: another Database on the same store."""
    _add(database, 1)
    other = Database(database_url, DatabaseSettings(busy_timeout_s=0.3))
    lock = _LOCK.with_for_update()
    with database.write() as connection:
        connection.execute(lock)
        with pytest.raises(TimeoutError, match="busy"), other.write() as waiting:
            waiting.execute(lock)
    with other.write() as connection:
        assert connection.execute(lock).all() == [(1,)]
    other.close()


_LOCK = select(patient.c.id)


def test_writers_of_one_process_queue_on_sqlite(sqlite_url: str) -> None:
    database = Database(sqlite_url, DatabaseSettings(busy_timeout_s=0.2))
    database.migrate()
    errors: list[Exception] = []

    def wait() -> None:
        try:
            with database.write():
                pass
        except TimeoutError as error:
            errors.append(error)

    with database.write():
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
    assert [str(error) for error in errors] == ["another writer holds the database"]
    database.close()


def test_no_free_connection_is_a_timeout(database: Database) -> None:
    with database.read(), database.read(), database.read():
        begun = time.monotonic()
        with pytest.raises(TimeoutError, match="no database connection is free"), database.read():
            pass
        assert time.monotonic() - begun < 2
    assert _count(database) == 0


def test_a_slow_statement_is_a_timeout(postgres_url: str) -> None:
    database = Database(postgres_url, DatabaseSettings(statement_timeout_s=0.1))
    with pytest.raises(TimeoutError, match="57014"), database.read() as connection:
        connection.execute(text("SELECT pg_sleep(5)"))
    with database.read() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    database.close()


def test_a_full_disk_is_told_as_such(sqlite_url: str) -> None:
    database = Database(sqlite_url, DatabaseSettings(pool_size=1))
    database.migrate()
    with database.read() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        connection.execute(text(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(OSError, match="no room") as caught, database.write() as connection:
        connection.execute(text("CREATE TABLE large AS SELECT zeroblob(10000000) AS octets"))
    assert caught.value.errno == errno.ENOSPC
    assert _count(database) == 0
    database.close()


def test_allocated_ids_are_fresh_under_concurrency(database: Database) -> None:
    taken: list[int] = []

    def take(thread: int) -> None:
        for _ in range(10):
            with database.write() as connection:
                ids = allocate(connection, 3)
                rows = [{"id": key, "cx": f"{key}^^^&1.2.3&ISO", "announced": False} for key in ids]
                connection.execute(patient.insert(), rows)
            taken.extend(ids)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 90
    assert _count(database) == 90


def test_an_id_is_not_given_again_after_the_newest_object_is_gone(database: Database) -> None:
    with database.write() as connection:
        (first,) = allocate(connection, 1)
        connection.execute(patient.insert(), {"id": first, "cx": "1^^^&1.2.3&ISO", "announced": False})
    with database.write() as connection:
        connection.execute(patient.delete())
    with database.write() as connection:
        assert min(allocate(connection, 2)) > first


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "postgresql+psycopg2://h/d", "mysql://h/d"]
)
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"sqlite|SQLite"):
        Database(url, DatabaseSettings())


def test_a_server_that_does_not_answer_is_a_timeout(tmp_path: Path) -> None:
    database = Database(f"postgresql+psycopg://nobody@/none?host={tmp_path}", DatabaseSettings())
    with pytest.raises(TimeoutError, match="cannot be reached"), database.read():
        pass
    database.close()


def test_a_lost_server_connection_is_replaced(postgres_url: str) -> None:
    database = Database(postgres_url, DatabaseSettings(pool_size=2))
    with database.read() as victim, database.read() as connection:
        pid = victim.execute(text("SELECT pg_backend_pid()")).scalar_one()
        connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        with pytest.raises(TimeoutError, match="cannot be reached"):
            victim.execute(text("SELECT 1"))
    with database.write() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    database.close()


def test_after_a_lost_server_no_idle_connection_is_trusted(postgres_url: str) -> None:
    database = Database(postgres_url, DatabaseSettings(pool_size=3))
    with database.read() as one, database.read() as two, database.read() as third:
        for victim in (one, two):
            pid = victim.execute(text("SELECT pg_backend_pid()")).scalar_one()
            third.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    with database.read() as dead, pytest.raises(TimeoutError):
        dead.execute(text("SELECT 1"))
    with database.read() as fresh:
        assert fresh.execute(text("SELECT 1")).scalar_one() == 1
    database.close()
