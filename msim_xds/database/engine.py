"""The database: cheap connections, transactions that say plainly what they are, errors as Python's own.

Every connection is in autocommit mode. A read that needs no more costs no BEGIN and no ROLLBACK; ``snapshot``
and ``write`` begin their transactions by hand, in the words of the database.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, exc, inspect, make_url, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection

from msim_xds.database import schema
from msim_xds.database.driver import Prepared, run
from msim_xds.settings import DatabaseSettings

#: Key of the advisory lock under which one PostgreSQL session at a time changes schema or dictionaries.
_ADMINISTRATION: Final = 0x6D73696D

#: ``case_sensitive_like`` makes LIKE mean the same as on PostgreSQL; FULL survives a power cut. The file is
#: not mapped: SQLite takes a map down and up again in each read after a write, so for each recorded query.
_SQLITE_PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "case_sensitive_like=ON",
    "temp_store=MEMORY",
    "cache_size=-16384",
    "mmap_size=0",
)

#: Errors that mean 'try again later': SQLITE_BUSY, SQLITE_LOCKED, SQLITE_INTERRUPT; lock not available,
#: statement time-out, deadlock, serialization failure, too many connections.
_BUSY: Final = frozenset({5, 6, 9, "55P03", "57014", "40P01", "40001", "53300"})
#: Errors that mean 'no room': SQLITE_FULL; disk full, out of memory.
_FULL: Final = frozenset({13, "53100", "53200"})


class SchemaMismatch(RuntimeError):
    """The database's tables are not those of this version of the product."""


class Database:
    """A SQLite file or a PostgreSQL database.

    In place of the driver's own errors, every use may raise TimeoutError (a lock, a statement or a free
    connection took too long, or the server cannot be reached: try again later) and OSError with errno ENOSPC
    (no room left).

    Args:
        url: SQLAlchemy URL, ``sqlite:///path`` or ``postgresql+psycopg://…``.
        settings: pool size and time-outs.

    Raises:
        ValueError: another kind of database, or SQLite without a file.
    """

    def __init__(self, url: str, settings: DatabaseSettings) -> None:
        parsed = make_url(url)
        self.is_sqlite: Final = parsed.get_backend_name() == "sqlite"
        if not self.is_sqlite and parsed.drivername != "postgresql+psycopg":
            raise ValueError(f"{parsed.drivername}: the database is sqlite or postgresql+psycopg")
        if self.is_sqlite:
            if not parsed.database or parsed.database == ":memory:":
                raise ValueError("SQLite needs a file: sqlite:///path")
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        self._settings = settings
        self._engine = create_engine(
            parsed,
            isolation_level="AUTOCOMMIT",
            skip_autocommit_rollback=True,
            poolclass=NullPool,
            connect_args=_connect_args(settings, is_sqlite=self.is_sqlite),
        )
        event.listen(self._engine, "connect", self._set_up)
        event.listen(self._engine, "handle_error", _as_builtin)
        self._leases = _Leases(self._engine, settings.pool_size, settings.busy_timeout_s)
        # SQLite's own waiting polls with growing pauses; between threads a lock hands over at once.
        self._writer = threading.Lock() if self.is_sqlite else None

    def read(self) -> AbstractContextManager[Connection]:
        """A connection on which each statement stands alone."""
        return _Lease(self._leases)

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A connection whose statements all see the same state of the database."""
        begin = "BEGIN" if self.is_sqlite else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        with self.read() as connection, _transaction(connection, begin):
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction: committed at the normal end, rolled back on an exception."""
        begin = "BEGIN IMMEDIATE" if self.is_sqlite else "BEGIN"
        with self.write_once() as connection, _transaction(connection, begin):
            yield connection

    @contextmanager
    def write_once(self) -> Iterator[Connection]:
        """A connection for a single statement that writes, which is a transaction of its own."""
        if self._writer is None:
            with self.read() as connection:
                yield connection
            return
        if not self._writer.acquire(timeout=self._settings.busy_timeout_s):
            raise TimeoutError("another writer holds the database")
        try:
            with self.read() as connection:
                yield connection
        finally:
            self._writer.release()

    @contextmanager
    def administration(self) -> Iterator[Connection]:
        """A write transaction that no other process's administration overlaps."""
        with self.write() as connection:
            if not self.is_sqlite:  # SQLite has one writer anyway
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADMINISTRATION})
            yield connection

    def migrate(self) -> None:
        """Bring the tables to this version's schema; safe when several processes start at once."""
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.administration() as connection:
            found = _revision(connection)
            if found is not None and found > schema.VERSION:
                raise SchemaMismatch(_mismatch(found))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def check_schema(self) -> None:
        """Nothing, when the tables are this version's.

        Raises:
            SchemaMismatch: they are older, newer or absent; the message says what to do.
        """
        with self.read() as connection:
            found = _revision(connection)
        if found != schema.VERSION:
            raise SchemaMismatch(_mismatch(found))

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._leases.close()

    def _set_up(self, dbapi_connection: DBAPIConnection, _record: object) -> None:
        """Settings of a new driver connection."""
        cursor = dbapi_connection.cursor()
        if self.is_sqlite:
            for pragma in _SQLITE_PRAGMAS:
                cursor.execute(f"PRAGMA {pragma}")
        else:
            for name, seconds in (
                ("statement_timeout", self._settings.statement_timeout_s),
                ("lock_timeout", self._settings.busy_timeout_s),
            ):
                cursor.execute("SELECT set_config(%s, %s, false)", (name, f"{round(seconds * 1000)}ms"))
        cursor.close()


class _Leases:
    """Open connections, the last one used first.

    They stay checked out of SQLAlchemy's pool: to take one from there costs more than most statements.
    """

    def __init__(self, engine: Engine, most: int, timeout_s: float) -> None:
        self._engine = engine
        self._timeout_s = timeout_s
        self._idle: list[Connection] = []
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(most):
            self._free.put(None)

    def take(self) -> Connection:
        """Raises TimeoutError when none comes free in time."""
        try:
            self._free.get(timeout=self._timeout_s)
        except Empty:
            raise TimeoutError("no database connection is free") from None
        with suppress(IndexError):  # none is idle
            return self._idle.pop()
        try:
            return self._engine.connect()
        except BaseException:
            self._free.put(None)
            raise

    def give_back(self, connection: Connection) -> None:
        if connection.invalidated:
            connection.close()
            self.close()  # the server was lost, and with it every other connection
        else:
            if connection.in_transaction():  # SQLAlchemy's idea of one; the driver is in autocommit mode
                connection.rollback()
            self._idle.append(connection)
        self._free.put(None)

    def close(self) -> None:
        with suppress(IndexError):  # until none is left
            while True:
                self._idle.pop().close()


class _Lease:
    """A connection for the length of a with block."""

    __slots__ = ("_connection", "_leases")

    def __init__(self, leases: _Leases) -> None:
        self._leases = leases

    def __enter__(self) -> Connection:
        self._connection = self._leases.take()
        return self._connection

    def __exit__(self, *exception: object) -> None:
        self._leases.give_back(self._connection)


def allocate(connection: Connection, count: int) -> Sequence[int]:
    """``count`` fresh ids for patients, objects and associations, ascending; none is ever given twice.

    The caller's write transaction must use them, or give them up by rolling back.
    """
    rows = _ALLOCATE.rows(connection, {"count": count})
    if connection.dialect.name == "sqlite":
        last: int = rows[0][0]
        return range(last + 1 - count, last + 1)
    return [key for (key,) in rows]


_ALLOCATE: Final = Prepared(
    {
        "sqlite": text("UPDATE object_counter SET last = last + :count RETURNING last"),
        "postgresql": text("SELECT nextval('object_id') FROM generate_series(1, :count)"),
    }
)


@contextmanager
def savepoint(connection: Connection, undone_by: type[Exception]) -> Iterator[None]:
    """A part of a write transaction: an exception of this kind undoes the part, any other is the whole's."""
    run(connection, "SAVEPOINT part")
    try:
        yield
    except undone_by:
        run(connection, "ROLLBACK TO SAVEPOINT part")
        run(connection, "RELEASE SAVEPOINT part")
        raise
    run(connection, "RELEASE SAVEPOINT part")


@contextmanager
def _transaction(connection: Connection, begin: str) -> Iterator[None]:
    run(connection, begin)
    try:
        yield
        run(connection, "COMMIT")
    except BaseException:
        _roll_back(connection)
        raise


def _roll_back(connection: Connection) -> None:
    """End the transaction whatever its state; a connection that cannot even do that is thrown away."""
    if connection.invalidated:
        return
    try:
        run(connection, "ROLLBACK")
    except (exc.SQLAlchemyError, TimeoutError, OSError):
        # SQLite has rolled back by itself after some errors, and a lost connection has nothing to roll back.
        connection.invalidate()


def _connect_args(settings: DatabaseSettings, *, is_sqlite: bool) -> dict[str, Any]:
    if is_sqlite:
        return {"timeout": settings.busy_timeout_s, "cached_statements": 256}
    return {"prepare_threshold": 2, "connect_timeout": max(2, round(settings.busy_timeout_s))}


def _as_builtin(context: ExceptionContext) -> None:
    """Raise Python's own exception for the errors that callers answer in a way of their own."""
    original = context.original_exception
    code = getattr(original, "sqlstate", None) or getattr(original, "sqlite_errorcode", 0) & 0xFF
    if code in _BUSY:
        raise TimeoutError(f"the database is busy ({code})") from original
    if code in _FULL:
        raise OSError(errno.ENOSPC, f"the database has no room left ({code})") from original
    if context.is_disconnect or (context.connection is None and context.dialect.name != "sqlite"):
        raise TimeoutError(f"the database cannot be reached: {original}") from original


def _revision(connection: Connection) -> str | None:
    """Revision of the last migration applied; None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _mismatch(found: str | None) -> str:
    if found is None:
        return "the database is empty: run `msim-xds migrate`"
    if found < schema.VERSION:
        return f"the database has schema {found}, this version needs {schema.VERSION}: run `msim-xds migrate`"
    return (
        f"the database has schema {found}, which is newer than {schema.VERSION} of this version of the"
        " product: install the newer product"
    )
