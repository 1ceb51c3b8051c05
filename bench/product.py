"""The product as the benchmarks run it: in process, with its own logging at its own defaults."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from msim_xds.app import create_app
from msim_xds.server import log
from msim_xds.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def open_app(settings: Settings) -> WSGIApplication:
    """The WSGI callable; log lines are made as in service, and go nowhere."""
    sink = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  open as long as the log
    with contextlib.redirect_stderr(sink):
        log.configure(settings.log)
    return create_app(settings)
