"""One real server for each module of contract tests, on each kind of database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.server import ServerProcess

HOME = "urn:oid:1.2.616.1"


@pytest.fixture(scope="module")
def server(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """`msim-xds serve` on a free loopback port, a community with its gateways."""
    environment = {"MSIM_REGISTRY__HOME_COMMUNITY_ID": HOME}
    data = tmp_path_factory.mktemp("data")
    with ServerProcess(data, module_database_url, environment=environment) as running:
        yield running
