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
from tests.test_security.test_access.appc import AUTHOR, II, document, ii, match, policy, rule, target

PATIENT = "1^^^&1.2.3&ISO"
EVENT = "A00^^2.16.840.1.113883.6.3"
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


@pytest.fixture
def appc(data: Path) -> Path:
    """A document of patient 7: nothing of one hospital, and a policy of the domain."""
    one = target(match(AUTHOR, II, ii("1.2.616.1")))
    path = data / "consent.xml"
    reference = "<PolicySetIdReference>urn:oid:1.2.3.4.5</PolicySetIdReference>"
    path.write_bytes(document(policy(rule("Deny", one)), reference))
    return path


def test_import_of_a_document(run: Run, data: Path, appc: Path) -> None:
    config = data / "msim.toml"
    config.write_text(f'data = "{data}"\n[access.consent_policies]\n"urn:oid:1.2.3.4.5" = "opt-in"\n')
    command = ("consent", "import", appc, "--reason", "signed at the desk", "--config", config)
    unknown = run(*command)
    assert (unknown.exit_code, "does not know this patient" in unknown.stderr) == (1, True)
    assert run("patients", "add", "7^^^&1.2.3&ISO", "--data", data).exit_code == 0
    shown = run("consent", "import", appc, "--check", "--config", config)
    assert (shown.exit_code, "2 consents would be recorded" in shown.stderr) == (0, True)
    assert "institution 1.2.616.1" in shown.stdout
    assert listed(run, data) == []
    recorded = json.loads(run(*command, "--json").stdout)
    first, second = listed(run, data, "7^^^&1.2.3&ISO")
    assert recorded["recorded"] == [first["number"], second["number"]]
    assert [each["in_force"] for each in recorded["consents"]] == [False, False]
    assert (first["answer"], first["institution"]) == ("opt-out", "1.2.616.1")
    assert (second["answer"], second["institution"]) == ("opt-in", None)
    assert first["recorded"]["reason"] == "signed at the desk (APPC urn:uuid:1)"
    again = run(*command)
    assert (again.exit_code, "0 consents are recorded" in again.stderr) == (0, True)
    assert len(listed(run, data)) == 2


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (["--reason", "r"], "nothing was recorded: line 1: PolicySet/PolicySetIdReference refers to"),
        ([], "policies of this domain: none"),
    ],
)
def test_a_document_of_which_nothing_is_recorded(
    run: Run, data: Path, appc: Path, more: list[str], problem: str
) -> None:
    assert run("patients", "add", "7^^^&1.2.3&ISO", "--data", data).exit_code == 0
    result = run("consent", "import", appc, "--data", data, *more)
    assert (result.exit_code, problem in " ".join(result.stderr.split())) == (1, True)
    assert listed(run, data) == []


def test_a_document_needs_a_reason(run: Run, data: Path, appc: Path) -> None:
    appc.write_bytes(document(policy(rule("Deny"))))
    assert run("patients", "add", "7^^^&1.2.3&ISO", "--data", data).exit_code == 0
    result = run("consent", "import", appc, "--data", data)
    assert (result.exit_code, "--reason: must say something" in result.stderr) == (2, True)
    assert run("consent", "import", data / "absent.xml", "--data", data).exit_code == 2


def test_facility_types_and_events(run: Run, data: Path) -> None:
    facility = "4500^^2.16.840.1.113883.3.4424.11.2.4"
    options = ("--facility", facility, "--event", EVENT, "--reason", "r", "--data", data)
    result = run("consent", "set", PATIENT, "opt-out", *options)
    assert result.exit_code == 0, result.stderr
    (said,) = listed(run, data)
    assert (facility in said["facilities"], EVENT in said["events"], said["classes"]) == (True, True, None)
    assert f"event {EVENT}" in " ".join(run("consent", "list", "--data", data).stdout.split())
    wrong = run("consent", "set", PATIENT, "opt-out", "--facility", "x^^1", "--reason", "r", "--data", data)
    assert "--facility x^^1: is no healthcareFacilityTypeCode" in " ".join(wrong.stderr.split())


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
