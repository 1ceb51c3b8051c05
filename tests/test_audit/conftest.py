"""A whole server that records, and its trail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from msim_xds.audit.outbox import Outbox
from msim_xds.database.engine import Database
from msim_xds.settings import DatabaseSettings
from tests.conformance.node import Node
from tests.support.atna import Read, trail

AUDIT = {"enabled": True, "source_id": "rejestr", "site": "1.2.3"}


class Audited(Node):
    """A server in process that records; ``new`` is what it has recorded since it was last asked."""

    def __init__(self, data: Path, url: str, **settings: object) -> None:
        super().__init__(data, url, **{"audit": AUDIT, **settings})
        self.database = Database(url, DatabaseSettings())
        self._seen = 0

    def new(self) -> list[Read]:
        records = trail(self.database)
        fresh, self._seen = records[self._seen :], len(records)
        return fresh

    def close(self) -> None:
        self.database.close()


@pytest.fixture
def audited(tmp_path: Path, database_url: str) -> Iterator[Audited]:
    """On a database of each kind."""
    node = Audited(tmp_path / "data", database_url)
    yield node
    node.close()


@pytest.fixture
def outbox(database_url: str) -> Iterator[Outbox]:
    """An empty trail on a database of each kind."""
    database = Database(database_url, DatabaseSettings())
    database.migrate()
    outbox = Outbox(database, b"k" * 32)
    outbox.prepare()
    yield outbox
    database.close()
