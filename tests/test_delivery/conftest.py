"""A migrated queue on each kind of database, and rows for it."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from msim_xds.database.engine import Database
from msim_xds.delivery.queue import DeliveryQueue, NewDelivery
from msim_xds.delivery_settings import DeliverySettings
from msim_xds.settings import DatabaseSettings

ANSWER = NewDelivery(
    transaction="ITI-42",
    address="http://127.0.0.1:9/answers",
    host="127.0.0.1",
    message_id="urn:uuid:answer",
    relates_to="urn:uuid:request",
    action="urn:ihe:iti:2007:RegisterDocumentSet-bResponse",
    mtom=False,
    payload=b"<envelope/>",
)


def to(host: str, payload: bytes = ANSWER.payload) -> NewDelivery:
    """An answer to another host."""
    return replace(ANSWER, host=host, address=f"http://{host}/", payload=payload)


def clock() -> datetime:
    return datetime(2026, 9, 14, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def migrated(module_database_url: str) -> Iterator[Database]:
    database = Database(module_database_url, DatabaseSettings())
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def database(migrated: Database) -> Database:
    """With an empty queue."""
    DeliveryQueue(migrated, DeliverySettings(), clock).drop(
        [row.id for row in DeliveryQueue(migrated, DeliverySettings(), clock).rows()]
    )
    return migrated


@pytest.fixture
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged, threads included."""
    with structlog.testing.capture_logs() as entries:
        yield entries


@pytest.fixture
def queue(database: Database) -> DeliveryQueue:
    return DeliveryQueue(database, DeliverySettings(), clock)
