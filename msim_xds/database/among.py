"""``column IN (many values)`` with all values in one bind parameter, so that the SQL stays the same."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import Boolean, Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class among(FunctionElement[bool]):  # in lower case, as it reads in statements
    """Whether the first argument is one of the values in the second, a bind parameter fed by ``given``."""

    type = Boolean()
    name = "among"
    inherit_cache = True

    def self_group(self, against: object = None) -> among:
        """Itself: SQLite must not see ``… = 1`` behind it, which would keep it from using an index."""
        return self


def given(connection: Connection, values: Collection[str] | Collection[int]) -> str | list[Any]:
    """``values`` as the parameter of ``among``."""
    return as_parameter(values, is_sqlite=connection.dialect.name == "sqlite")


def as_parameter(values: Collection[str] | Collection[int], *, is_sqlite: bool) -> str | list[Any]:
    """The same for one of the two databases."""
    return json.dumps(list(values)) if is_sqlite else list(values)


@compiles(among, "sqlite")
def _on_sqlite(element: among, compiler: SQLCompiler, **options: object) -> str:
    column, values = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - compiled SQL, no value in it


@compiles(among, "postgresql")
def _on_postgresql(element: among, compiler: SQLCompiler, **options: object) -> str:
    column, values = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY({values})"
