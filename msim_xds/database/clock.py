"""The database's own clock, by which queues that several processes share measure time."""

from __future__ import annotations

from sqlalchemy import BigInteger
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class Now(FunctionElement[int]):
    """Milliseconds since 1970."""

    type = BigInteger()
    inherit_cache = True


@compiles(Now, "sqlite")
def _of_sqlite(_element: Now, _compiler: object, **_: object) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


@compiles(Now, "postgresql")
def _of_postgresql(_element: Now, _compiler: object, **_: object) -> str:
    return "CAST(extract(epoch FROM statement_timestamp()) * 1000 AS BIGINT)"
