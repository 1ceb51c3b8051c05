"""Many values in one bind parameter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import bindparam, select

from msim_xds.database.among import among, given
from msim_xds.database.engine import Database
from msim_xds.database.schema import patient
from msim_xds.settings import DatabaseSettings

_BY_ID = select(patient.c.id).where(among(patient.c.id, bindparam("given"))).order_by(patient.c.id)
_BY_CX = select(patient.c.id).where(among(patient.c.cx, bindparam("given"))).order_by(patient.c.id)
_TEXTS = ["żółć", "'", '"', "a,b", "{}", "\\", "[1]", "%"]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, DatabaseSettings())
    database.migrate()
    rows = [{"id": 1 << 40 | number, "cx": text} for number, text in enumerate(_TEXTS)]
    with database.write() as connection:
        connection.execute(patient.insert(), rows)
    yield database
    database.close()


def test_numbers_and_texts_of_any_kind(database: Database) -> None:
    with database.read() as connection:
        for number, text in enumerate(_TEXTS):
            one = connection.execute(_BY_CX, {"given": given(connection, [text, "absent"])}).scalars().all()
            assert one == [1 << 40 | number]
        some = {"given": given(connection, {1, 1 << 40, 1 << 40 | 3})}
        assert connection.execute(_BY_ID, some).scalars().all() == [1 << 40, 1 << 40 | 3]


def test_more_values_than_a_statement_takes_parameters(database: Database) -> None:
    with database.read() as connection:
        many = [f"absent {number}" for number in range(100_000)]
        found = connection.execute(_BY_CX, {"given": given(connection, [*many, *_TEXTS])}).all()
    assert len(found) == len(_TEXTS)


def test_no_values(database: Database) -> None:
    with database.read() as connection:
        assert connection.execute(_BY_CX, {"given": given(connection, [])}).all() == []
        assert connection.execute(_BY_ID, {"given": given(connection, [])}).all() == []
