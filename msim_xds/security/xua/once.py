"""Assertions that were taken and are not taken again: an empty file for each until it has expired.

Files, so that all processes with one data directory know, and a restart forgets nothing. Only what a trusted
issuer has signed comes here, so nobody else can fill the directory.
"""

from __future__ import annotations

import hashlib
import threading
from datetime import datetime
from pathlib import Path

from msim_xds.security.xua.claims import Claims

_SWEEP_S = 60


class Once:
    """The assertions used so far.

    Args:
        directory: where it is kept; made when it is first needed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._swept = 0.0

    def take(self, claims: Claims, until: datetime, now: datetime) -> bool:
        """Note an assertion as used; False when it was before.

        Args:
            claims: the assertion.
            until: until when it could be sent again.
            now: the moment.

        Raises:
            OSError: it cannot be kept.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        self._sweep(now.timestamp())
        name = hashlib.sha256(f"{claims.issuer}\n{claims.id}".encode()).hexdigest()
        try:
            (self._directory / f"{name}.{int(until.timestamp()) + 1}").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _sweep(self, now: float) -> None:
        """Drop what has expired, once a minute."""
        with self._lock:
            if now < self._swept + _SWEEP_S:
                return
            self._swept = now
        for path in self._directory.iterdir():
            if path.suffix[1:].isdecimal() and int(path.suffix[1:]) < now:
                path.unlink(missing_ok=True)
