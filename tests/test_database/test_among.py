from __future__ import annotations

import pytest
from sqlalchemy import bindparam, or_, select
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from msim_xds.database.among import among, given
from msim_xds.database.engine import Database
from msim_xds.database.schema import association, unique_identity
from msim_xds.settings import DatabaseSettings


@pytest.fixture
def database(database_url: str) -> Database:
    database = Database(database_url, DatabaseSettings())
    database.migrate()
    return database


def test_values_are_found(database: Database) -> None:
    statement = select(unique_identity.c.unique_id).where(
        among(unique_identity.c.unique_id, bindparam("given")), unique_identity.c.kind == 1
    )
    with database.write() as connection:
        rows = [{"unique_id": name, "kind": 1} for name in ("a", "b'", "ż")]
        connection.execute(unique_identity.insert(), rows)
        for values in ([], ["a"], ["a", "b'", "ż", "c"]):
            found = connection.execute(statement, {"given": given(connection, values)}).scalars()
            assert sorted(found) == [value for value in values if value != "c"]
    database.close()


def test_indexes_are_used_on_sqlite(sqlite_url: str) -> None:
    database = Database(sqlite_url, DatabaseSettings())
    database.migrate()
    for condition in (
        among(unique_identity.c.unique_id, bindparam("given")),
        or_(
            among(association.c.source_object, bindparam("given")),
            among(association.c.target_object, bindparam("given")),
        ),
    ):
        statement = select(condition.clauses.clauses[0] if isinstance(condition, among) else association.c.id)
        text = str(statement.where(condition).compile(dialect=SQLiteDialect_pysqlite(paramstyle="named")))
        with database.read() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", {"given": "[]"}).all()
        details = [row[-1] for row in plan]
        assert any(detail.startswith("SEARCH") for detail in details), details
        assert not any(detail.startswith(("SCAN unique_identity", "SCAN association")) for detail in details)
    database.close()
