"""Databases of the tests: empty ones, and copies of one that has its tables, which come sooner."""

from __future__ import annotations

import uuid

import psycopg

from msim_xds.database.engine import Database
from msim_xds.settings import DatabaseSettings


def fresh_postgres(server: str, template: str = "template1") -> str:
    """SQLAlchemy URL of a new database on the tests' PostgreSQL.

    Args:
        server: its URL, as psycopg takes it (postgresql://…).
        template: name of the database that it is a copy of; nobody may be connected to that one.
    """
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
    base, _, query = server.partition("?")
    head = base.rsplit("/", 1)[0].replace("postgresql://", "postgresql+psycopg://")
    return f"{head}/{name}" + (f"?{query}" if query else "")


def with_tables(url: str) -> str:
    """The same URL, when its database has the tables of this version."""
    database = Database(url, DatabaseSettings())
    database.migrate()
    database.close()
    return url
