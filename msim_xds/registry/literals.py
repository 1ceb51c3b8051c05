"""Our own numbers in the text of statements, so that the database can plan with them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, literal_column


def number(value: int) -> ColumnElement[int]:
    """The number itself."""
    return literal_column(str(int(value)))


def one_of(column: ColumnElement[Any], values: tuple[int, ...]) -> ColumnElement[bool]:
    """That the column has one of these numbers."""
    texts = list(map(number, values))
    return column == texts[0] if len(texts) == 1 else column.in_(texts)
