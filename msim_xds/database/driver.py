"""The driver's own rows, for statements whose cost counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import Connection

_EXECUTE: Final[Mapping[str, Callable[..., Any]]] = {
    "sqlite": lambda driver, statement, parameters: driver.execute(statement, parameters),
    "postgresql": lambda driver, statement, parameters: driver.execute(statement, parameters, binary=True),
}


def fetch(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Every row of a query, as the driver gives it.

    A third of the cost of ``exec_driver_sql``, which describes the columns of each result anew; and
    PostgreSQL sends octets as octets. Errors are those of every other statement (see ``Database``).

    Args:
        connection: of a ``Database``.
        statement: the driver's own SQL, ``:name`` on SQLite and ``%(name)s`` on PostgreSQL.
        parameters: by name.
    """
    driver = connection.connection.dbapi_connection
    try:
        rows: list[tuple[Any, ...]] = _EXECUTE[connection.dialect.name](
            driver, statement, parameters
        ).fetchall()
    except connection.dialect.loaded_dbapi.Error as error:
        # Not public, but the only way to have SQLAlchemy judge an error that it did not see happen: it
        # wraps the error, asks the listeners, and throws a lost connection away.
        connection._handle_dbapi_exception(error, statement, None, None, None)
    return rows
