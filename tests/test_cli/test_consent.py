"""consent, and access emergencies: kept, listed, withdrawn, reviewed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from msim_xds.database.engine import Database
from msim_xds.registry import emergencies
from msim_xds.registry.emergencies import Emergency
from msim_xds.settings import Settings
from tests.test_cli.conftest import Run

PATIENT = "1^^^&1.2.3&ISO"
CLASS = "00.20^^2.16.840.1.113883.3.4424.11.1.32"


@pytest.fixture
def data(run: Run, tmp_path: Path) -> Path:
    """A data directory with a patient."""
    assert run("migrate", "--data", tmp_path).exit_code == 0
    assert run("patients", "add", PATIENT, "--data", tmp_path).exit_code == 0
    return tmp_path


def listed(run: Run, data: Path, *more: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("consent", "list", *more, "--data", data, "--json").stdout)
    return found


def test_set_list_withdraw(run: Run, data: Path) -> None:
    scope = ["--class", CLASS, "--institution", "Szpital^^^^^^^^^1.2.616.1", "--created-from", "2020"]
    told = ["--reason", "form of 3 May", "--by", "registrar", "--data", data]
    assert run("consent", "set", PATIENT, "opt-out", *scope, *told).exit_code == 0
    assert run("consent", "set", PATIENT, "opt-in", *told).exit_code == 0
    first, second = listed(run, data, PATIENT)
    assert first["answer"] == "opt-out"
    assert CLASS in first["classes"]
    assert len(first["classes"]) > 1
    assert first["institution"] == "1.2.616.1"
    assert first["created"] == [20200000000000, 99999999999999]
    assert first["recorded"]["by"] == "registrar"
    assert second["classes"] is None
    withdrawal = ("consent", "withdraw", str(first["number"]), "--reason", "in person", "--data", data)
    assert run(*withdrawal).exit_code == 0
    assert [each["withdrawn"] is None for each in listed(run, data)] == [False, True]
    assert run(*withdrawal).exit_code == 1
    table = run("consent", "list", "--data", data)
    assert table.exit_code == 0
    assert "2 consents" in table.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["2^^^&1.2.3&ISO", "opt-out", "--reason", "r"], "does not know this patient"),
        ([PATIENT, "opt-out", "--reason", " "], "must say something"),
        ([PATIENT, "opt-out", "--reason", "r", "--class", "00.2^^x"], "no classCode of the domain"),
        ([PATIENT, "opt-out", "--reason", "r", "--created-to", "x"], "--created-to x: expected"),
        (
            [PATIENT, "opt-out", "--reason", "r", "--created-to", "2019", "--created-from", "2020"],
            "is before --created-from 2020",
        ),
    ],
)
def test_what_cannot_be_recorded(run: Run, data: Path, arguments: list[str], problem: str) -> None:
    result = run("consent", "set", *arguments, "--data", data)
    assert result.exit_code != 0
    assert problem in " ".join(result.stderr.split())
    assert listed(run, data) == []


def test_no_such_directory(run: Run, tmp_path: Path) -> None:
    assert run("consent", "list", "--data", tmp_path / "none").exit_code == 2


def test_emergencies_are_reviewed_once(run: Run, data: Path) -> None:
    settings = Settings(data=data)
    database = Database(settings.database_url, settings.database)
    happened = Emergency("2026-09-14T12:00:00+00:00", "ITI-43", "", "u", "o", "s", "r", "BTG", "bleeding", 2)
    with database.write() as connection:
        emergencies.record(connection, happened, {PATIENT, "2^^^&1.2.3&ISO"})
    database.close()
    waiting = json.loads(run("access", "emergencies", "list", "--data", data, "--json").stdout)
    assert [each["emergency"]["patient"] for each in waiting] == [PATIENT, "2^^^&1.2.3&ISO"]
    review = ("access", "emergencies", "review", str(waiting[0]["id"]), "--data", data, "--verdict")
    assert run(*review, " ").exit_code == 2
    assert run(*review, "fine", "--by", "officer").exit_code == 0
    assert run(*review, "fine").exit_code == 1
    assert "1 emergencies" in run("access", "emergencies", "list", "--data", data).stderr
    both = json.loads(run("access", "emergencies", "list", "--all", "--data", data, "--json").stdout)
    assert [each["reviewer"] for each in both] == ["officer", None]
    assert "bleeding" in run("access", "emergencies", "list", "--all", "--data", data).stdout
