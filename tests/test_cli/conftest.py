"""A real server, and the command as a person calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from msim_xds.cli.demonstration import free_port, running_server
from msim_xds.cli.main import app

Run = Callable[..., Result]


@contextmanager
def serving(data: Path, profile: str, further: Mapping[str, str] | None = None) -> Iterator[str]:
    """URL of a server with its store in ``data``; ``further`` are MSIM_ variables for it."""
    url = f"http://127.0.0.1:{free_port()}"
    with running_server(url, data, profile, further):
        yield url


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server by IHE's letter; shared, so use patients of your own."""
    with serving(tmp_path_factory.mktemp("server"), "ihe") as url:
        yield url


@pytest.fixture
def run() -> Run:
    """Calls the command with arguments; nothing is raised."""

    def call(*arguments: str | Path) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return call
