"""serve, migrate, fsck and settings."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from pathlib import Path

import pytest

from msim_xds.settings import Settings
from tests.test_cli.conftest import Run, serving
from tests.test_cli.documents import cda, patient


@pytest.fixture
def data(run: Run, tmp_path: Path) -> Path:
    """The data directory of a server that has taken two documents and ended."""
    with serving(tmp_path, "ihe") as url:
        result = run("submit", "--url", url, cda(tmp_path, patient()), cda(tmp_path, patient()))
        assert result.exit_code == 0, result.output
    return tmp_path / "var"


def blobs(data: Path) -> list[Path]:
    """Files of the document store that are documents."""
    return [path for path in (data / "documents").rglob("*") if path.is_file() and len(path.name) == 64]


def test_a_sound_repository(run: Run, data: Path) -> None:
    result = run("fsck", "--data", data)
    assert result.exit_code == 0
    assert "2 documents" in result.stderr
    assert "the repository is sound" in result.stderr
    answer = json.loads(run("fsck", "--data", data, "--json").stdout)
    assert (answer["sound"], answer["documents"], answer["problems"]) == (True, 2, [])


def test_damage_is_found(run: Run, data: Path) -> None:
    victim = blobs(data)[0]
    victim.chmod(0o600)
    victim.write_bytes(b"x" * victim.stat().st_size)
    result = run("fsck", "--data", data)
    assert result.exit_code == 1
    assert "damaged" in result.stdout
    assert "the repository is DAMAGED" in result.stderr
    answer = run("fsck", "--data", data, "--json")
    assert answer.exit_code == 1
    assert json.loads(answer.stdout)["counts"] == {"blob absent or damaged": 1}


def test_orphans_are_removed_on_request(run: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orphan = blobs(data)[0].with_name(blobs(data)[0].name[:2] + "0" * 62)
    orphan.write_bytes(b"nobody's")
    old = time.time() - 10
    os.utime(orphan, (old, old))
    monkeypatch.setenv("MSIM_REPOSITORY__ORPHAN_AGE_S", "5")
    result = run("fsck", "--data", data)
    assert result.exit_code == 0
    assert "orphan" in result.stdout
    assert orphan.exists()
    result = run("fsck", "--data", data, "--clean")
    assert "removed 1 blobs (8 bytes)" in result.stderr
    assert not orphan.exists()
    assert len(blobs(data)) == 2


def test_fsck_of_nothing(run: Run, tmp_path: Path) -> None:
    result = run("fsck", "--data", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "no such directory" in result.stderr
    (tmp_path / "empty").mkdir()
    result = run("fsck", "--data", tmp_path / "empty")
    assert result.exit_code == 2
    assert "migrate" in result.stderr


def test_migrate(run: Run, tmp_path: Path) -> None:
    for _ in range(2):
        result = run("migrate", "--data", tmp_path)
        assert result.exit_code == 0
        assert "this version's schema" in result.stderr
    tables = sqlite3.connect(tmp_path / "msim.db").execute("SELECT name FROM sqlite_master").fetchall()
    assert ("stored_document",) in tables


def test_settings_shows_all_of_them(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "msim.toml"
    config.write_text('[server]\nport = 9000\nhost = "::1"\n')
    monkeypatch.setenv("MSIM_SERVER__PORT", "9001")
    rows = json.loads(run("settings", "--config", config, "--data", "elsewhere", "--json").stdout)
    values = {row["setting"]: row["value"] for row in rows}
    assert values["server.host"] == "::1"
    assert values["server.port"] == 9001
    assert values["data"] == "elsewhere"
    sections = [name for name, field in Settings.model_fields.items() if name != "data"]
    assert {name.partition(".")[0] for name in values} == {"data", *sections}
    assert all(row["description"] for row in rows)
    shown = run("settings", "--config", config).stdout
    assert "server.port" in shown
    assert "TCP port to listen on." in shown


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["settings", "--config", "/nowhere.toml"], {}, "--config /nowhere.toml: no such file"),
        (["settings"], {"MSIM_SERVER__PORT": "x"}, "server.port: "),
        (["settings"], {"MSIM_SERVER__PROT": "1"}, "server.prot: "),
        (["serve", "--port", "70000"], {}, "server.port: "),
        (["serve", "--mllp-port", "70000"], {}, "mllp.port: "),
        (["migrate"], {"MSIM_DATABASE__URL": "mysql://x/y"}, "sqlite or postgresql"),
    ],
)
def test_wrong_settings(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    environment: dict[str, str],
    words: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = run(*arguments, "--data", tmp_path / "unused")
    assert words in result.stderr
    assert result.exit_code == 2
    assert not (tmp_path / "unused").exists()


def test_a_broken_configuration_file(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "msim.toml"
    config.write_text("[server\n")
    result = run("settings", "--config", config)
    assert result.exit_code == 2
    assert "line 1" in result.stderr
