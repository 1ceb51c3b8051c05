"""The secret of the audit trail's marks and seals."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

SHORTEST: Final = 32
"""Octets of a secret, at least."""


def read_key(path: Path) -> bytes:
    """The secret in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too short.
    """
    key = path.read_bytes()
    if len(key) < SHORTEST:
        raise ValueError(
            f"{path}: the key of the audit trail has {len(key)} octets; allowed: {SHORTEST} or more"
        )
    return key


def make_key(path: Path) -> bytes:
    """The secret in a file, which is made when there is none; processes that start at once agree on one.

    Raises:
        OSError: it can be neither read nor made.
        ValueError: it is too short.
    """
    if not path.exists():
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(SHORTEST))
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):  # another process was quicker
                os.link(draft, path)
        finally:
            draft.unlink()
    return read_key(path)
