"""One application for each module of hostile tests, on each kind of database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.target import Target, Watchdog


@pytest.fixture(scope="module")
def target(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The application in process; shared, so every test leaves it working."""
    watchdog = Watchdog()
    target = Target(tmp_path_factory.mktemp("data"), module_database_url, watchdog)
    yield target
    watchdog.stop()
    target.node.close()
