"""Fills the product's tables with many entries, past its validation but by its own columns, writer and codec."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

import psycopg
from sqlalchemy import Table, make_url

from bench.messages import document_entry, patient_id, patient_of, patients
from msim_xds.database import schema
from msim_xds.database.engine import Database
from msim_xds.metadata.fragments import write
from msim_xds.registry.columns import columns_of, fold
from msim_xds.registry.fragment_codec import FragmentCodec
from msim_xds.settings import DatabaseSettings

_BATCH: Final = 10_000
_FIRST_OBJECT: Final = 10_000_000  # above every patient's number, since both draw on one sequence
_ENTRY_COLUMNS: Final = tuple(column.name for column in schema.registry_object.columns)

Rows = Mapping[Table, list[tuple[Any, ...]]]


class Loader(Protocol):
    """A database's own fast way in."""

    def insert(self, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
        """Add rows; columns in the table's order."""

    def finish(self, last_id: int) -> None:
        """Commit, and let the planner look at the tables."""


def load(url: str, entries: int) -> None:
    """Make the schema in an empty database and put so many entries into it."""
    database = Database(url, DatabaseSettings())
    database.migrate()
    codec = FragmentCodec(database)
    database.close()
    loader: Loader = _Sqlite(url) if database.is_sqlite else _Postgres(url)
    people = patients(entries)
    loader.insert(schema.patient, [(n, patient_id(n), False, *[None] * 6) for n, _ in people])
    for first in range(1, entries + 1, _BATCH):
        for table, rows in _rows(range(first, min(first + _BATCH, entries + 1)), entries, codec).items():
            loader.insert(table, rows)
    loader.finish(_FIRST_OBJECT + entries)


def _rows(numbers: Iterable[int], entries: int, codec: FragmentCodec) -> Rows:
    rows: dict[Table, list[tuple[Any, ...]]] = {
        schema.registry_object: [],
        schema.object_code: [],
        schema.object_author: [],
        schema.object_reference: [],
        schema.unique_identity: [],
    }
    for i in numbers:
        for table, row in _entry_rows(i, patient_of(i, entries), codec):
            rows[table].append(row)
    return rows


def _entry_rows(i: int, patient: int, codec: FragmentCodec) -> Iterator[tuple[Table, tuple[Any, ...]]]:
    entry, number = document_entry(i, patient), _FIRST_OBJECT + i
    columns = columns_of(entry, None)
    dictionary, fragment = codec.pack(write(entry))
    row = columns.row
    row.update(
        id=number,
        patient_id=patient,
        logical_id=entry.entry_uuid,
        dictionary_id=dictionary,
        fragment=fragment,
    )
    yield schema.registry_object, tuple(row[name] for name in _ENTRY_COLUMNS)
    for attribute, code in columns.codes:
        yield schema.object_code, (number, attribute, code)
    for position, person in enumerate(columns.persons):
        yield schema.object_author, (number, position, person, fold(person))
    for value in columns.references:
        yield schema.object_reference, (number, value)
    yield schema.unique_identity, (row["unique_id"], row["kind"], row["hash"], row["size"], None)


def _names(table: Table) -> str:
    return ", ".join(column.name for column in table.columns)


class _Sqlite:
    def __init__(self, url: str) -> None:
        self._connection = sqlite3.connect(make_url(url).database or "", isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-400000"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute("BEGIN")

    def insert(self, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
        places = ",".join("?" * len(table.columns))
        self._connection.executemany(f"INSERT INTO {table.name} ({_names(table)}) VALUES ({places})", rows)

    def finish(self, last_id: int) -> None:
        self._connection.execute("UPDATE object_counter SET last = ?", (last_id,))
        for statement in ("COMMIT", "ANALYZE", "PRAGMA journal_mode=WAL"):
            self._connection.execute(statement)
        self._connection.close()


class _Postgres:
    def __init__(self, url: str) -> None:
        plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection = psycopg.connect(plain, autocommit=True)

    def insert(self, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
        with self._connection.cursor().copy(
            f"COPY {table.name} ({_names(table)}) FROM STDIN".encode()
        ) as copy:
            for row in rows:
                copy.write_row(row)

    def finish(self, last_id: int) -> None:
        self._connection.execute("SELECT setval('object_id', %s)", (last_id,))
        self._connection.execute("VACUUM ANALYZE")
        self._connection.close()
