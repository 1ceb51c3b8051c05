"""A registry that answers every stored query, on a database of each kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.registry import Registry

pytest.register_assert_rewrite("tests.model.asking")  # its assertions tell what differs, as those of tests do


@pytest.fixture
def registry(database_url: str) -> Iterator[Registry]:
    with Registry(database_url, search={"preview": True}) as ready:
        yield ready
