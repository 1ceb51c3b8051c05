"""The keys that wrap documents' keys: a file with one key a line, the newest last.

    # made 2026-09-14
    1f0c9a52b7de4410 3vQJ…base64 of 32 octets…=

Keys are added and never replaced, so that what was encrypted with an older one stays readable until
``msim-xds keys rotate`` has encrypted it anew.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

_ID_OCTETS: Final = 8
KEY_OCTETS: Final = 32


@dataclass(frozen=True, slots=True)
class Key:
    """A key of AES-256 and its id, 16 hex digits, by which blobs name it."""

    id: str
    secret: bytes = field(repr=False)


class UnknownKey(Exception):
    """A blob names a key that the file does not have."""


class KeyRing:
    """The keys of a file; it is read again when a blob names a key that was not in it before."""

    def __init__(self, path: Path) -> None:
        """Read ``path``.

        Raises:
            OSError: it cannot be read.
            ValueError: a line is no key, or there is none; the message names file and line.
        """
        self._path = path
        self._keys = read_keys(path)

    @property
    def newest(self) -> Key:
        """The key for what is encrypted now."""
        return self._keys[-1]

    def key(self, key_id: str) -> Key:
        """A key by its id.

        Raises:
            UnknownKey: the file does not have it, now either.
            OSError, ValueError: the file cannot be read any more.
        """
        found = self._find(key_id)
        if found is None:
            self._keys = read_keys(self._path)
            found = self._find(key_id)
        if found is None:
            raise UnknownKey(f"{self._path} has no key {key_id}")
        return found

    def _find(self, key_id: str) -> Key | None:
        return next((key for key in self._keys if key.id == key_id), None)


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys in a file, oldest first. Raises as ``KeyRing``."""
    keys = [
        _key(line.split(), f"{path}, line {number}")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if line.strip() and not line.startswith("#")
    ]
    if not keys:
        raise ValueError(f"{path} has no key; `msim-xds keys new` makes one")
    if len({key.id for key in keys}) < len(keys):
        raise ValueError(f"{path} has two keys of one id")
    return tuple(keys)


def add_key(path: Path, moment: datetime) -> Key:
    """Append a new key to a file, which is made (mode 0600) when there is none; durable on return.

    Raises:
        OSError: the file cannot be written.
        ValueError: what it holds is wrong.
    """
    if path.exists():
        read_keys(path)
    key = Key(secrets.token_hex(_ID_OCTETS), secrets.token_bytes(KEY_OCTETS))
    line = f"# made {moment:%Y-%m-%d}\n{key.id} {base64.b64encode(key.secret).decode()}\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    return key


def _key(words: list[str], place: str) -> Key:
    try:
        key_id, text = words
        secret = base64.b64decode(text, validate=True)
        well_formed = len(bytes.fromhex(key_id)) == _ID_OCTETS and len(secret) == KEY_OCTETS
    except (ValueError, binascii.Error):
        well_formed = False
    if not well_formed:
        raise ValueError(
            f"{place} is no key; expected {2 * _ID_OCTETS} hex digits and {KEY_OCTETS} octets in base64"
        )
    return Key(key_id.lower(), secret)
