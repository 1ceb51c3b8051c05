"""The product as the benchmarks run it: in process, logging what a program that mounts it gets, warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msim_xds.app import create_app
from msim_xds.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def open_app(settings: Settings) -> WSGIApplication:
    """The WSGI callable."""
    return create_app(settings)
