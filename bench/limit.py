"""The thinnest honest server, kept outside this project: its folder is given by ``--limit``.

Expected in the folder: ``seed.py TARGET N``, ``make_requests.py OUT TARGET N`` and ``app_raw.py`` with a WSGI
callable ``app`` for /iti18, /iti41 and /iti43, configured by LIMIT_DB and LIMIT_STORE.
"""

from __future__ import annotations

import importlib
import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

#: uniqueId of the stored document of 50 kB that make_requests.py adds.
DOCUMENT = "1.50k"


@dataclass(frozen=True, slots=True)
class Limit:
    """That server with a store of its own below ``work``."""

    folder: Path
    work: Path
    entries: int

    def prepare(self) -> None:
        """Fill its store, once."""
        if self.work.exists():
            return
        self.work.mkdir(parents=True)
        for command in (["seed.py"], ["make_requests.py", str(self.work / "requests")]):
            subprocess.run(
                [sys.executable, *command, self._target, str(self.entries)],
                cwd=self.folder,
                env=self.environment(),
                check=True,
                stdout=subprocess.DEVNULL,
            )

    def application(self) -> WSGIApplication:
        """Its WSGI callable, in this process."""
        os.environ.update(self.environment())
        sys.path.insert(0, str(self.folder))
        application: WSGIApplication = importlib.import_module("app_raw").app
        return application

    def command(self, port: int) -> list[str]:
        """Starts it behind the product's own HTTP server, one worker; run it in ``folder``."""
        options = f"--interface wsgi --port {port} --workers 1 --blocking-threads 4 --no-ws --log-level error"
        return [sys.executable, "-m", "granian", *options.split(), "app_raw:app"]

    def environment(self) -> dict[str, str]:
        """What it reads."""
        return {
            **os.environ,
            "LIMIT_DB": self._target,
            "LIMIT_STORE": str(self.work / "documents"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def largest_document(self) -> str:
        """uniqueId of the largest document in its store; it gives every submission an id of its own."""
        with sqlite3.connect(self.work / "limit.db") as connection:
            row = connection.execute("SELECT unique_id FROM stored_document ORDER BY size DESC").fetchone()
        return str(row[0])

    @property
    def _target(self) -> str:
        return f"sqlite:{self.work / 'limit.db'}"
