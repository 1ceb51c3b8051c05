"""Which settings have changed between two starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from msim_xds.audit.changes import changed
from msim_xds.settings import Settings

KEY = b"k" * 32


def start(folder: Path, **settings: Any) -> list[str]:
    return list(changed(Settings(data=folder, **settings), KEY, folder / "audit.settings"))


def test_names_of_what_has_changed_and_nothing_of_what_they_say(tmp_path: Path) -> None:
    assert start(tmp_path) == []
    assert start(tmp_path) == []
    changed = start(
        tmp_path, patients={"policy": "known"}, database={"url": "postgresql+psycopg://u:geheim42@h/d"}
    )
    assert changed == ["database.url", "patients.policy"]
    assert "geheim42" not in (tmp_path / "audit.settings").read_text()
    assert start(tmp_path) == ["database.url", "patients.policy"]


@pytest.mark.parametrize("place", ["codes", "xua", "audit"])
def test_a_file_that_a_setting_names_counts_with_what_it_holds(tmp_path: Path, place: str) -> None:
    file = tmp_path / "file.pem"
    file.write_text("one")
    arr = {"name": "arr", "url": "tls://arr", "ca_file": str(file)}
    settings: dict[str, Any] = {
        "codes": {"table": file},
        "xua": {"issuers": {"https://sts": [file]}},
        "audit": {"repositories": [arr]},
    }
    names = {"codes": "codes.table", "xua": "xua.issuers", "audit": "audit.repositories"}
    only = {place: settings[place]}
    start(tmp_path, **only)
    assert start(tmp_path, **only) == []
    file.write_text("two")
    assert start(tmp_path, **only) == [names[place]]


def test_sets_have_no_order(tmp_path: Path) -> None:
    for sources in (["1.2", "1.3", "1.4"], ["1.4", "1.3", "1.2"]):
        assert start(tmp_path, validation={"local_time_sources": sources}) in ([],)


def test_what_was_is_unknown_where_it_cannot_be_read(tmp_path: Path) -> None:
    start(tmp_path)
    (tmp_path / "audit.settings").write_text("{")
    assert "xua.registry" in start(tmp_path)
    assert start(tmp_path) == []
