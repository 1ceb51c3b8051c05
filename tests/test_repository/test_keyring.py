"""Files of keys: what they look like, what is wrong with them, and when they are read again."""

from __future__ import annotations

import base64
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from msim_xds.repository.keyring import KEY_OCTETS, KeyRing, UnknownKey, add_key, read_keys

MOMENT = datetime(2026, 9, 14, tzinfo=UTC)
SECRET = base64.b64encode(bytes(KEY_OCTETS)).decode()


def test_keys_are_appended_and_the_last_is_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    first, second = add_key(path, MOMENT), add_key(path, MOMENT)
    assert read_keys(path) == (first, second)
    assert KeyRing(path).newest == second
    assert KeyRing(path).key(first.id) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(first.secret) == KEY_OCTETS
    assert path.read_text().startswith("# made 2026-09-14\n")


def test_a_key_does_not_show_its_secret(tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys", MOMENT)
    assert repr(key.secret) not in repr(key)


def test_a_key_added_later_is_found(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    old = add_key(path, MOMENT)
    ring = KeyRing(path)
    new = add_key(path, MOMENT)
    assert ring.newest == old
    assert ring.key(new.id) == new
    assert ring.newest == new
    with pytest.raises(UnknownKey, match=r"keys has no key 0{16}"):
        ring.key("0" * 16)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no key; `msim-xds keys new` makes one"),
        ("# nothing\n\n", "has no key"),
        (f"# one\n0011223344556677 {SECRET} more\n", "line 2 is no key; expected 16 hex digits and 32"),
        (f"00112233445566 {SECRET}\n", "line 1 is no key"),
        (f"001122334455667g {SECRET}\n", "line 1 is no key"),
        ("0011223344556677 c2hvcnQ=\n", "line 1 is no key"),
        ("0011223344556677 ***\n", "line 1 is no key"),
        (f"0011223344556677 {SECRET}\n0011223344556677 {SECRET}\n", "has two keys of one id"),
    ],
)
def test_what_is_no_file_of_keys_is_said(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(ValueError, match=problem) as caught:
        KeyRing(path)
    assert str(path) in str(caught.value)
    assert SECRET not in str(caught.value)


def test_nothing_is_added_to_a_broken_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("no key\n")
    with pytest.raises(ValueError, match="line 1"):
        add_key(path, MOMENT)
    assert path.read_text() == "no key\n"
