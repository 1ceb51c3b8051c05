from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from msim_xds.audit.key import make_key, read_key


def test_it_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "audit.key"
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(make_key(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 8
    assert len(found[0]) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert read_key(path) == found[0]


def test_a_short_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"x" * 31)
    with pytest.raises(ValueError, match="31 octets"):
        make_key(tmp_path / "short")


def test_where_none_can_be_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        make_key(tmp_path / "no" / "audit.key")
    with pytest.raises(FileNotFoundError):
        read_key(tmp_path / "audit.key")
