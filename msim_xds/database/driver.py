"""The driver's own statements and rows, for paths whose cost counts.

A third of the cost of SQLAlchemy's ``execute``, which describes parameters and columns anew each time; and
PostgreSQL sends octets as octets. Errors are those of every other statement (see ``Database``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NoReturn, cast

from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

from msim_xds.database.among import given

Parameters = Mapping[str, Any]

_DIALECTS: Final = (SQLiteDialect_pysqlite(paramstyle="qmark"), PGDialect_psycopg())  # type: ignore[no-untyped-call]  # psycopg's
_EXECUTE: Final[Mapping[str, Callable[..., Any]]] = {
    "sqlite": lambda driver, statement, parameters: driver.execute(statement, parameters),
    "postgresql": lambda driver, statement, parameters: driver.execute(statement, parameters, binary=True),
}


class Prepared:
    """A statement compiled once; where it differs between the databases, give one for each by name.

    It may not have ``in_``, whose text depends on its values; ``among`` is for that.
    """

    __slots__ = ("_constants", "_orders", "_texts")

    def __init__(self, statement: ClauseElement | Mapping[str, ClauseElement]) -> None:
        self._texts: dict[str, str] = {}
        self._constants: dict[str, Any] = {}
        self._orders: dict[str, Sequence[str]] = {}
        for dialect in _DIALECTS:
            single = statement[dialect.name] if isinstance(statement, Mapping) else statement
            compiled = cast(SQLCompiler, single.compile(dialect=dialect))
            self._texts[dialect.name] = str(compiled)
            self._orders[dialect.name] = compiled.positiontup or ()
            self._constants |= {name: value for name, value in compiled.params.items() if value is not None}

    def rows(self, connection: Connection, parameters: Parameters) -> list[tuple[Any, ...]]:
        """Run it; every row that it yields, as the driver gives it."""
        database = connection.dialect.name
        return fetch(connection, self._texts[database], self._arranged(database, parameters))

    def among(
        self, connection: Connection, values: Collection[int] | Collection[str]
    ) -> list[tuple[Any, ...]]:
        """Run it for values of its parameter ``given``; where there are none it is not run."""
        return self.rows(connection, {"given": given(connection, values)}) if values else []

    def run(self, connection: Connection, rows: Sequence[Parameters]) -> int:
        """Run it for each of ``rows``, which yields none; returns how many rows it has written."""
        database = connection.dialect.name
        statement = self._texts[database]
        driver: Any = connection.connection.dbapi_connection
        try:
            cursor = driver.cursor()
            cursor.executemany(statement, [self._arranged(database, row) for row in rows])
        except connection.dialect.loaded_dbapi.Error as error:
            _raise(connection, error, statement)
        return int(cursor.rowcount)

    def _arranged(self, database: str, parameters: Parameters) -> Parameters | list[Any]:
        """All parameters: by name, or in order where the driver is quicker so."""
        every = {**self._constants, **parameters} if self._constants else parameters
        order = self._orders[database]
        return [every[name] for name in order] if order else every


def run(connection: Connection, statement: str) -> None:
    """Run a statement that has no parameters and yields no rows."""
    driver: Any = connection.connection.dbapi_connection
    try:
        driver.execute(statement)
    except connection.dialect.loaded_dbapi.Error as error:
        _raise(connection, error, statement)


def fetch(
    connection: Connection, statement: str, parameters: Parameters | Sequence[Any]
) -> list[tuple[Any, ...]]:
    """Every row of a query, as the driver gives it.

    Args:
        connection: of a ``Database``.
        statement: the driver's own SQL, ``:name`` or ``?`` on SQLite and ``%(name)s`` on PostgreSQL.
        parameters: by name, or in order.
    """
    driver = connection.connection.dbapi_connection
    try:
        rows: list[tuple[Any, ...]] = _EXECUTE[connection.dialect.name](
            driver, statement, parameters
        ).fetchall()
    except connection.dialect.loaded_dbapi.Error as error:
        _raise(connection, error, statement)
    return rows


def _raise(connection: Connection, error: BaseException, statement: str) -> NoReturn:
    """Raise what SQLAlchemy makes of an error that it did not see happen.

    Not public, but the only way to have it wrap the error, ask the listeners, throw a lost connection away.
    """
    connection._handle_dbapi_exception(error, statement, None, None, None)
