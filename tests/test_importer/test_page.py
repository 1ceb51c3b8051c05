"""docs/import.md: its examples run as they stand."""

from __future__ import annotations

import json
import re
import shutil
from importlib.resources import as_file
from pathlib import Path

import pytest

from msim_xds.demo import documents
from tests.test_cli.conftest import Run, run
from tests.test_importer.archives import pair

__all__ = ["Run", "run"]

PAGE = (Path(__file__).parents[2] / "docs" / "import.md").read_text("utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder ``archive`` in the current directory with what the page's manifest names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MSIM_VALIDATION__PROFILE", "pl")
    folder = tmp_path / "archive"
    (folder / "old").mkdir(parents=True)
    for document in documents():
        with as_file(document) as path:
            shutil.copy(path, folder)
    (folder / "old" / "0001.xml").write_bytes(pair(b"%PDF-1.4")[0])
    (folder / "old" / "scan.pdf").write_bytes(b"%PDF-1.4")
    return folder


def test_the_manifest(archive: Path, run: Run) -> None:
    (archive / "manifest.jsonl").write_text(block("jsonl"))
    shutil.make_archive("archive", "zip", archive)
    results = []
    for line in block("sh").splitlines():
        program, *arguments = line.split()
        assert program == "msim-xds"
        result = run(*arguments, "--json")
        results.append((result.exit_code, json.loads(result.stdout)))
    lines = len(block("jsonl").splitlines())
    assert [code for code, _ in results] == [0, 0, 0]
    assert [(found["imported"], found["present"]) for _, found in results] == [
        (lines, 0),
        (0, lines),
        (0, lines),
    ]


def test_a_folder_and_its_report(archive: Path, run: Run) -> None:
    (archive / "old" / "scan.pdf").unlink()
    result = run("import", "archive", "--data", "var", "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["imported"], found["refused"]) == (1, len(documents()), 1)
    (remark,) = (json.loads(line) for line in Path(found["report"]).read_text().splitlines())
    assert remark == json.loads(block("json"))
