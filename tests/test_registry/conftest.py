"""One migrated database of each kind for a whole module, emptied before each test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import make_url

from msim_xds.database.engine import Database
from msim_xds.database.schema import fragment_dictionary, metadata
from msim_xds.settings import DatabaseSettings
from tests.test_registry.registering import Registering


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def migrated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database of each kind with its tables in place."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('registry') / 'registry.db'}"
    else:
        server = request.getfixturevalue("postgres_server")
        name = f"t{uuid.uuid4().hex}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        parts = make_url(server).set(drivername="postgresql+psycopg", database=name)
        url = parts.render_as_string(hide_password=False)
    database = Database(url, DatabaseSettings())
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def database(migrated: Database) -> Database:
    """A database with nothing registered in it."""
    with migrated.write() as connection:
        for table in reversed(metadata.sorted_tables):
            if table is not fragment_dictionary:  # kept for ever, also by the product
                connection.execute(table.delete())
    return migrated


@pytest.fixture
def registering(database: Database) -> Registering:
    """A registration with the settings as they are by default."""
    return Registering(database)
