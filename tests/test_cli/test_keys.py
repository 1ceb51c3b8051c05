"""keys new, keys rotate: a store that becomes encrypted, under one key and then another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.test_cli.conftest import Run, serving
from tests.test_cli.documents import cda, patient

VARIABLE = "MSIM_REPOSITORY__ENCRYPTION_KEYS"


def _blobs(data: Path) -> list[bytes]:
    return [path.read_bytes() for path in (data / "documents").rglob("*") if len(path.name) == 64]


def test_from_plain_to_a_second_key(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    letter = cda(tmp_path, patient())
    data = tmp_path / "var"
    with serving(tmp_path, "ihe") as url:
        submitted = json.loads(run("submit", "--url", url, letter, "--json").stdout)["documents"][0]
    assert _blobs(data) == [letter.read_bytes()]

    keys = tmp_path / "keys"
    made = run("keys", "new", keys)
    assert made.exit_code == 0
    assert f"repository.encryption_keys = '{keys}'" in made.stderr
    monkeypatch.setenv(VARIABLE, str(keys))
    rotated = run("keys", "rotate", "--data", data)
    assert rotated.exit_code == 0, rotated.output
    assert "(not encrypted)" in rotated.stdout
    assert "1 blobs" in rotated.stderr
    assert letter.read_bytes() not in _blobs(data)

    assert run("keys", "new", "--data", data).exit_code == 0
    answer = json.loads(run("keys", "rotate", "--data", data, "--json").stdout)
    newest = keys.read_text().split()[-2]
    assert (answer["key"], answer["changed"], answer["bytes"]) == (newest, 1, letter.stat().st_size)
    keys.write_text("\n".join(keys.read_text().splitlines()[-2:]))

    assert run("fsck", "--data", data).exit_code == 0
    with serving(tmp_path, "ihe", {VARIABLE: str(keys)}) as url:
        another = cda(tmp_path, patient())
        assert run("submit", "--url", url, another).exit_code == 0
        output = tmp_path / "out.xml"
        result = run("retrieve", "--url", url, submitted["unique_id"], "--output", output)
        assert result.exit_code == 0, result.output
    assert output.read_bytes() == letter.read_bytes()
    assert another.read_bytes() not in _blobs(data)


def test_damage_is_an_exit_code(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "var"
    with serving(tmp_path, "ihe") as url:
        assert run("submit", "--url", url, cda(tmp_path, patient())).exit_code == 0
    blob = next(path for path in (data / "documents").rglob("*") if len(path.name) == 64)
    blob.write_bytes(b"damaged")
    run("keys", "new", tmp_path / "keys")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "keys"))
    result = run("keys", "rotate", "--data", data)
    assert result.exit_code == 1
    assert blob.name in result.stderr
    assert "may be taken out" not in result.stderr


@pytest.mark.parametrize("command", ["new", "rotate"])
def test_without_a_file_of_keys(run: Run, tmp_path: Path, command: str) -> None:
    result = run("keys", command, "--data", tmp_path)
    assert result.exit_code == 2
    assert "repository.encryption_keys names no file" in result.stderr


def test_a_file_that_is_none(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys").write_text("secret\n")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "keys"))
    result = run("keys", "rotate", "--data", tmp_path)
    assert result.exit_code == 2
    assert "keys, line 1 is no key" in result.stderr
