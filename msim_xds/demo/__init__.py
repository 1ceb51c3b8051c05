"""Fictional Polish patients and documents (PIK HL7 CDA) for the demonstration.

Nobody lives or lived: every PESEL is of the 1800s, every licence, provider and number is invented.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable


def documents() -> list[Traversable]:
    """The shipped documents, a new version after the one that it replaces."""
    found = (entry for entry in files(__name__).iterdir() if entry.name.endswith(".xml"))
    return sorted(found, key=lambda entry: entry.name)
