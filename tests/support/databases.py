"""Databases on the tests' own PostgreSQL."""

from __future__ import annotations

import uuid

import psycopg


def fresh_postgres(server: str) -> str:
    """SQLAlchemy URL of a new, empty database; ``server`` is the URL that psycopg takes (postgresql://…)."""
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    base, _, query = server.partition("?")
    head = base.rsplit("/", 1)[0].replace("postgresql://", "postgresql+psycopg://")
    return f"{head}/{name}" + (f"?{query}" if query else "")
