"""The migrations give the tables that the code works with, on both databases, also when started together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import select, text

import msim_xds.database.migrations as migrations
from msim_xds.database import schema
from msim_xds.database.engine import Database, SchemaMismatch
from msim_xds.settings import DatabaseSettings
from tests.support.databases import fresh_postgres


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Of an empty database."""
    return f"sqlite:///{tmp_path / 'registry.db'}"


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """Of an empty database."""
    return fresh_postgres(postgres_server)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, DatabaseSettings())
    yield database
    database.close()


def test_migrations_give_exactly_the_schema(database: Database) -> None:
    database.migrate()
    with database.read() as connection:
        options = {"compare_type": True, "include_name": lambda name, *_: name != schema.object_counter.name}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.metadata) == []
        if database.is_sqlite:
            assert connection.execute(schema.object_counter.select()).all() == [(0,)]
        else:
            sequences = connection.execute(text("SELECT sequencename FROM pg_sequences")).scalars().all()
            assert sequences == [schema.object_id.name]


def test_schema_version_is_the_head_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations.__path__[0]))
    assert ScriptDirectory.from_config(config).get_heads() == [schema.VERSION]


def test_fragments_are_not_compressed_again_by_postgresql(postgres_url: str) -> None:
    database = Database(postgres_url, DatabaseSettings())
    database.migrate()
    query = text(
        "SELECT DISTINCT attstorage::text FROM pg_attribute WHERE attname = 'fragment' AND attrelid IN"
        " ('registry_object'::regclass, 'association'::regclass)"
    )
    with database.read() as connection:
        assert connection.execute(query).scalars().all() == ["e"]
    database.close()


def test_migrating_twice_changes_nothing(database: Database) -> None:
    database.migrate()
    with database.write() as connection:
        connection.execute(schema.patient.insert(), {"id": 1, "cx": "1^^^&1.2&ISO", "announced": False})
    database.migrate()
    with database.read() as connection:
        assert connection.execute(select(schema.patient.c.cx)).scalars().all() == ["1^^^&1.2&ISO"]
    database.check_schema()


def test_processes_that_migrate_at_once_do_it_once(database_url: str) -> None:
    databases = [Database(database_url, DatabaseSettings()) for _ in range(4)]
    failures: list[BaseException] = []

    def migrate(database: Database) -> None:
        try:
            database.migrate()
            database.check_schema()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=migrate, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in databases:
        database.close()
    assert failures == []


def test_an_empty_database_says_to_migrate(database: Database) -> None:
    with pytest.raises(SchemaMismatch, match="empty: run `msim-xds migrate`"):
        database.check_schema()


@pytest.mark.parametrize(
    ("version", "advice"), [("0000", "run `msim-xds migrate`"), ("9999", "newer product")]
)
def test_another_version_says_what_to_do(database: Database, version: str, advice: str) -> None:
    database.migrate()
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
    with pytest.raises(SchemaMismatch, match=advice):
        database.check_schema()


def test_an_older_product_does_not_touch_a_newer_database(database: Database) -> None:
    database.migrate()
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaMismatch, match="newer"):
        database.migrate()
