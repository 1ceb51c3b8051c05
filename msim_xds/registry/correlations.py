"""Remembers which ids our patients have in other communities (ITI TF-2 3.55.4.2.3), as long as it may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, or_, select

from msim_xds.database.engine import Database
from msim_xds.database.schema import correlation


class Known(NamedTuple):
    """A patient's id in a community: homeCommunityId and CX."""

    home: str
    external: str


_NOBODY: Final = Known("", "")
_FIND: Final = select(correlation.c.home, correlation.c.external).where(
    correlation.c.patient == bindparam("of"),
    correlation.c.partner == bindparam("at"),
    correlation.c.expires_at > bindparam("now"),
)
#: With each new row goes what has run out, of whomever, so that the table does not grow for ever.
_REPLACE: Final = delete(correlation).where(
    or_(
        correlation.c.expires_at <= bindparam("now"),
        (correlation.c.patient == bindparam("of")) & (correlation.c.partner == bindparam("at")),
    )
)
_FORGET: Final = delete(correlation).where(correlation.c.patient == bindparam("of"))


class Correlations:
    """The table ``correlation``; safe to share between threads. Moments are seconds since 1970."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, patient: str, partner: str, now: int) -> Sequence[Known] | None:
        """What is remembered; empty where the partner does not know the patient, None where nothing is."""
        with self._database.read() as connection:
            rows = connection.execute(_FIND, {"of": patient, "at": partner, "now": now})
            found = [Known(*row) for row in rows]
        return [each for each in found if each != _NOBODY] if found else None

    def keep(self, patient: str, partner: str, known: Sequence[Known], now: int, expires_at: int) -> None:
        """Remember what was discovered, also that nobody matches; it takes the place of what was there."""
        rows = [
            {"patient": patient, "partner": partner, "expires_at": expires_at, **each._asdict()}
            for each in (dict.fromkeys(known) or [_NOBODY])
        ]
        with self._database.write() as connection:
            connection.execute(_REPLACE, {"of": patient, "at": partner, "now": now})
            connection.execute(insert(correlation), rows)


def forget(connection: Connection, patient: str) -> None:
    """A patient who is merged into another has no ids elsewhere any more."""
    connection.execute(_FORGET, {"of": patient})
