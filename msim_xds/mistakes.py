"""What pydantic finds wrong, in words for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def told(error: ErrorDetails) -> str:
    """Its message; that of a validator as the validator gave it."""
    return error["msg"].removeprefix("Value error, ")
