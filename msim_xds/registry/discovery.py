"""Finds patients for other communities, by their ids or by who they are (ITI TF-2 3.55.4.1.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from sqlalchemy import Connection

from msim_xds.database.engine import Database
from msim_xds.metadata.discovery import Sought
from msim_xds.metadata.identity import Demographics, Domain
from msim_xds.registry import patients
from msim_xds.registry.columns import fold
from msim_xds.settings import PatientSettings

MOST: Final = 10
"""Candidates that an answer may have; of more the sender should say more."""

_SAME_DAY: Final = 2000  # patients born on one day, in a region of some millions
_CERTAIN: Final = 100
_LIKELY: Final = 90


class Match(NamedTuple):
    """A patient of ours: the CX, what is known of the person, and how well that matches, 0 to 100."""

    cx: str
    demographics: Demographics
    degree: int


class PatientDirectory:
    """Looks patients up; safe to share between threads.

    Args:
        database: where the registry is.
        settings: the domain's authorities.
    """

    def __init__(self, database: Database, settings: PatientSettings) -> None:
        self._database = database
        self._domain = Domain(settings)

    def search(self, sought: Sought) -> list[Match]:
        """The patients who match, at most ``MOST`` + 1.

        An id of ours decides: it matches unless birth date or sex contradict. Without one it takes the same
        birth date, and a name that differs in nothing but case and diacritics.
        """
        with self._database.read() as connection:
            ids = self._domain.candidates(sought.identifiers)
            found = _by_id(connection, ids, sought) if ids else _by_person(connection, sought)
            return list(dict.fromkeys(found))[: MOST + 1]

    def person(self, cx: str) -> Demographics:
        """What is known of one of our patients."""
        with self._database.read() as connection:
            return patients.person(connection, cx)


def _by_id(connection: Connection, ids: tuple[str, ...], sought: Sought) -> Iterator[Match]:
    for cx in ids:
        key = patients.active_id(connection, cx)
        if key is None:
            continue
        active = patients.names(connection, [key])[key]
        known = patients.person(connection, active)
        if _agrees(sought.birth_date, known.birth_date) and _agrees(sought.sex, known.sex):
            yield Match(active, known, _CERTAIN)


def _by_person(connection: Connection, sought: Sought) -> Iterator[Match]:
    if sought.birth_date is None:
        return
    names = {(fold(name.family), fold(name.given)) for name in sought.names}
    for cx, known in patients.born(connection, sought.birth_date, _SAME_DAY):
        name = fold(known.family_name or ""), fold(known.given_name or "")
        if name in names and _agrees(sought.sex, known.sex):
            yield Match(cx, known, _LIKELY)


def _agrees(asked: str | None, known: str | None) -> bool:
    return asked is None or known is None or asked == known
