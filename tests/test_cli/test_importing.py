"""cli.importing: what the operator sees."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.test_cli.conftest import Run
from tests.test_cli.documents import cda, patient
from tests.test_importer.archives import pair


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    cda(path, patient(), "GOOD")
    (path / "bad").mkdir()
    (path / "bad" / "metadata.xml").write_bytes(pair(b"one thing")[0])
    (path / "bad" / "Document01").write_bytes(b"another thing")
    (path / "notes.txt").write_text("hello")
    return path


def test_what_is_refused_is_said_and_why(run: Run, source: Path, tmp_path: Path) -> None:
    result = run("import", source, "--data", tmp_path / "data")
    assert result.exit_code == 1, result.output
    assert "1 submissions imported, 0 were there already, 1 refused, 1 files skipped" in result.stderr
    assert "XDSRepositoryMetadataError" in result.stdout
    assert "bad/metadata.xml" in result.stdout
    (report,) = (tmp_path / "data" / "imports").iterdir()
    assert str(report) in result.stderr.replace("\n", "")
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    outcomes = [json.loads(line)["outcome"] for line in report.read_text().splitlines()]
    assert outcomes == ["skipped", "refused"]


def test_json(run: Run, source: Path, tmp_path: Path) -> None:
    report = tmp_path / "deep" / "report.jsonl"
    arguments = ["import", source, "--data", tmp_path / "data", "--report", report, "--json", "--jobs", "1"]
    result = run(*arguments)
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    (reason,) = found.pop("reasons")
    assert (reason["code"], reason["submissions"]) == ("XDSRepositoryMetadataError", 1)
    assert reason["example"].startswith("bad/metadata.xml: DocumentEntry Document01 hash differs")
    assert found == {
        "total": 2,
        "imported": 1,
        "present": 0,
        "refused": 1,
        "skipped": 1,
        "resumed_at": 0,
        "report": str(report),
    }
    (source / "bad" / "Document01").write_bytes(b"one thing")
    again = run(*arguments)
    assert (again.exit_code, json.loads(again.stdout)["resumed_at"]) == (0, 0)  # its size has changed


def test_a_second_time_nothing_is_done(run: Run, source: Path, tmp_path: Path) -> None:
    run("import", source, "--data", tmp_path / "data")
    second = run("import", source, "--data", tmp_path / "data")
    assert second.exit_code == 1
    assert "2 of 2 were dealt with before" in second.stderr
    third = run("import", source, "--data", tmp_path / "data", "--again")
    assert "0 submissions imported, 1 were there already, 1 refused" in third.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "nowhere: no such file or directory"),
        ((".", "--patient", "7"), "expected a CX"),
        ((".", "--jobs", "0"), "Invalid value"),
    ],
)
def test_what_cannot_be_tried(run: Run, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    result = run("import", *arguments, "--data", tmp_path / "data")
    assert (result.exit_code, said in result.output) == (2, True), result.output


def test_an_archive_that_is_none(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    path.write_bytes(b"PK\x03\x04 and so on")
    result = run("import", path, "--data", tmp_path / "data")
    assert (result.exit_code, "no ZIP archive" in result.output) == (2, True)
