"""The command itself: help, version, start-up cost, and what happens to failures nobody expected."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from msim_xds import __version__
from msim_xds.cli import local
from msim_xds.cli.main import app
from tests.test_cli.conftest import Run

COMMANDS = ("demo", "serve", "submit", "query", "retrieve", "check", "fsck", "migrate", "settings")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
    assert command in run("--help").stdout


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"msim-xds {__version__}\n"


def test_no_command_is_help(run: Run) -> None:
    assert "Commands:" in run().output


def test_help_loads_no_heavy_library() -> None:
    heavy = ("alembic", "granian", "lxml", "pydantic", "requests", "spyne", "sqlalchemy", "zeep")
    code = (
        "import sys\nfrom msim_xds.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"sys.stderr.write(','.join(name for name in {heavy!r} if name in sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage" in result.stdout
    assert result.stderr == ""


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "msim_xds", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("msim-xds ")


def test_an_unexpected_failure_stays_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(local, "load_settings", broken)
    result = CliRunner().invoke(app, ["settings"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_a_reader_that_has_seen_enough_gets_no_complaint() -> None:
    command = [sys.executable, "-u", "-m", "msim_xds", "settings", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
