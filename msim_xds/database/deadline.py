"""A time by which statements must be done, for searches that nothing else bounds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, text

#: Steps of SQLite's machine between two looks at the clock: about a millisecond.
_STEPS: Final = 50_000
_LIMIT: Final = text("SELECT set_config('statement_timeout', :limit, true)")


@contextmanager
def deadline(connection: Connection, seconds: float) -> Iterator[None]:
    """Let statements raise TimeoutError that still run after ``seconds``; on PostgreSQL, that take longer.

    Args:
        connection: of a ``Database.snapshot``; on PostgreSQL the limit holds until its end.
        seconds: how long.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_LIMIT, {"limit": f"{max(1, round(seconds * 1000))}ms"})
        yield
        return
    driver: Any = connection.connection.dbapi_connection
    end = time.monotonic() + seconds
    driver.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    try:
        yield
    finally:
        driver.set_progress_handler(None, 0)
