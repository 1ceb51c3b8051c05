"""msim-xds patients: list, add, import, merge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.metadata import OTHER_PATIENT, PATIENT
from tests.test_cli.conftest import Run

AUTHORITY = "2.16.840.1.113883.3.4424.1.1.616"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory."""
    directory = tmp_path / "var"
    directory.mkdir()
    return directory


def listed(run: Run, data: Path) -> dict[str, dict[str, Any]]:
    result = run("patients", "list", "--data", data, "--json")
    assert result.exit_code == 0, result.output
    return {each.pop("patient"): each for each in json.loads(result.stdout)}


def test_add_and_list(run: Run, data: Path) -> None:
    person = (
        "--family-name",
        "Żółcińska",
        "--given-name",
        "Łucja",
        "--birth-date",
        "1858-03-14",
        "--sex",
        "F",
    )
    result = run("patients", "add", PATIENT, *person, "--data", data)
    assert (result.exit_code, f"{PATIENT} is known" in result.stderr) == (0, True)
    assert listed(run, data)[PATIENT] | {"changed_at": ""} == {
        "state": "announced",
        "survivor": None,
        "family_name": "Żółcińska",
        "given_name": "Łucja",
        "birth_date": "18580314",
        "sex": "F",
        "changed_at": "",
    }
    table = run("patients", "list", "--data", data)
    assert PATIENT in table.stdout
    assert "Żółcińska" in table.stdout
    assert "1 patients" in table.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("123",), 2, "expected a CX"),
        ((PATIENT, "--birth-date", "14.03.1858"), 1, "is no date"),
        ((PATIENT, "--sex", "female"), 1, "is no sex"),
    ],
)
def test_add_refused(run: Run, data: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    result = run("patients", "add", *arguments, "--data", data)
    assert (result.exit_code, words in result.stderr) == (code, True), result.stderr
    assert listed(run, data) == {}


def test_policies_hold_for_operators_too(run: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSIM_PATIENTS__AUTHORITIES", f'["{AUTHORITY}"]')
    monkeypatch.setenv("MSIM_PATIENTS__PESEL", "warn")
    assert run("patients", "add", "1^^^&1.2.3&ISO", "--data", data).exit_code == 1
    result = run("patients", "add", f"58831404725^^^&{AUTHORITY}&ISO", "--data", data)
    assert (result.exit_code, "check digit" in result.stderr) == (0, True)


def test_merge(run: Run, data: Path) -> None:
    for cx in (PATIENT, OTHER_PATIENT):
        run("patients", "add", cx, "--data", data)
    asked = run("patients", "merge", PATIENT, OTHER_PATIENT, "--data", data)
    assert (asked.exit_code, "cannot be undone" in asked.stderr) == (1, True)
    assert listed(run, data)[OTHER_PATIENT]["state"] == "announced"
    result = run("patients", "merge", PATIENT, OTHER_PATIENT, "--yes", "--data", data)
    assert (result.exit_code, f"{OTHER_PATIENT} was merged into {PATIENT}" in result.stderr) == (0, True)
    merged = listed(run, data)[OTHER_PATIENT]
    assert (merged["state"], merged["survivor"]) == ("merged", PATIENT)
    assert f"merged into {PATIENT}" in run("patients", "list", "--data", data).stdout
    again = run("patients", "merge", PATIENT, OTHER_PATIENT, "--yes", "--data", data)
    assert (again.exit_code, "was merged into another patient's" in again.stderr) == (1, True)


class TestImport:
    def imported(self, run: Run, data: Path, text: str, *options: str, encoding: str = "utf-8") -> Any:
        file = data / "patients.csv"
        file.write_text(text, encoding=encoding)
        return run("patients", "import", file, "--data", data, *options)

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
    @pytest.mark.parametrize("separator", [",", ";"])
    def test_rows(self, run: Run, data: Path, separator: str, encoding: str) -> None:
        text = (
            "id,authority,family_name,given_name,birth_date,sex\n"
            "58831404726,,Żółcińska,Łucja,1858-03-14,F\n"
            '\n84910211372,1.2.3,"O""Hara",Ed,,\n'
            f"{PATIENT.replace('58831404726', '90863000244')},,,,,\n"
        ).replace(",", separator)
        result = self.imported(run, data, text, "--authority", AUTHORITY, encoding=encoding)
        assert (result.exit_code, result.stderr.strip()) == (0, "3 patients announced, 0 refused")
        patients = listed(run, data)
        assert set(patients) == {
            PATIENT,
            "84910211372^^^&1.2.3&ISO",
            PATIENT.replace("58831404726", "90863000244"),
        }
        assert patients["84910211372^^^&1.2.3&ISO"]["family_name"] == 'O"Hara'

    def test_a_refused_row_keeps_no_other_out(self, run: Run, data: Path) -> None:
        text = f"id,birth_date\n{PATIENT},18580314\n5,\n{OTHER_PATIENT},never\n1^^^&1.2&ISO,\n"
        result = self.imported(run, data, text)
        assert result.exit_code == 1
        assert [line.partition(":")[0] for line in result.stderr.splitlines()] == [
            "line 3",
            "line 4",
            "2 patients announced, 2 refused",
        ]
        answer = json.loads(self.imported(run, data, text, "--json").stdout)
        assert (answer["announced"], [each["line"] for each in answer["refused"]]) == (2, [3, 4])
        assert set(listed(run, data)) == {PATIENT, "1^^^&1.2&ISO"}

    @pytest.mark.parametrize(
        ("text", "encoding", "words"),
        [
            ("pesel,name\n1,2\n", "utf-8", "the columns are id, authority"),
            ("id,height\n1,2\n", "utf-8", "the columns are id, authority"),
            ("", "utf-8", "the columns are id, authority"),
            ("id,family_name\n1,Żółw\n", "cp1250", "no UTF-8"),
        ],
    )
    def test_no_such_file(self, run: Run, data: Path, text: str, encoding: str, words: str) -> None:
        result = self.imported(run, data, text, encoding=encoding)
        assert (result.exit_code, words in result.stderr) == (2, True), result.stderr


def test_no_such_directory(run: Run, tmp_path: Path) -> None:
    result = run("patients", "list", "--data", tmp_path / "none")
    assert (result.exit_code, "no such directory" in result.stderr) == (2, True)
    missing = run("patients", "import", tmp_path / "none.csv", "--data", tmp_path)
    assert (missing.exit_code, "none.csv" in missing.stderr) == (2, True)
