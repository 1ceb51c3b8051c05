"""Languages in which a trail is told; apart, because the command line names them before it loads anything."""

from __future__ import annotations

from enum import StrEnum


class Language(StrEnum):
    """Languages of the report."""

    POLISH = "pl"
    ENGLISH = "en"
