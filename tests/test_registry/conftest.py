"""One migrated database of each kind for a whole module, emptied before each test, and what works on it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import make_url

from msim_xds.database.engine import Database
from msim_xds.database.schema import fragment_dictionary, metadata
from msim_xds.settings import DatabaseSettings
from tests.support.metadata import OTHER_PATIENT
from tests.support.registry import Registry
from tests.test_registry.registering import Registering
from tests.test_registry.searching import World
from tests.test_registry.updating import Updating


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


@pytest.fixture
def updating(database: Database) -> Updating:
    """Updates with the settings as they are by default."""
    return Updating(database)


@pytest.fixture
def registry(database_url: str) -> Iterator[Registry]:
    """Registration and stored queries with default settings, on a database of their own."""
    with Registry(database_url) as ready:
        yield ready


@pytest.fixture
def world(registry: Registry) -> World:
    """What is asked about; a second world of another patient stands beside it."""
    World(OTHER_PATIENT).submit(registry)
    world = World()
    world.submit(registry)
    return world
