"""One real server for each module of contract tests, on each kind of database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.server import ServerProcess


@pytest.fixture(scope="module")
def server(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """`msim-xds serve` on a free loopback port."""
    with ServerProcess(tmp_path_factory.mktemp("data"), module_database_url) as running:
        yield running
