"""DTM as a period: every time of the metadata is as long as its precision (ITI TF-3 4.2.3.1.7)."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

_DIGITS: Final = 14  # YYYYMMDDhhmmss
_HOUR: Final = 10  # YYYYMMDDhh
_LENGTHS: Final = frozenset({4, 6, 8, 10, 12, 14})
_FIRST: Final = "00000101000000"


class Period(NamedTuple):
    """Two integers YYYYMMDDhhmmss between which the moment lies, padded with 0 and 9.

    The bounds need not be calendar times; compared as integers they order as the times do.
    """

    low: int
    high: int


def period(dtm: str, zone: ZoneInfo | None = None) -> Period:
    """The period that ``dtm`` names.

    Args:
        dtm: a valid DTM.
        zone: where ``dtm`` is local time; it becomes UTC when it names at least the hour.

    Raises:
        ValueError: ``dtm`` has other characters than digits, or with a zone is no calendar time.
    """
    if zone is not None and len(dtm) >= _HOUR:
        dtm = _moved(dtm, zone, UTC)
    return Period(int(dtm.ljust(_DIGITS, "0")), int(dtm.ljust(_DIGITS, "9")))


def is_dtm(text: str) -> bool:
    """Whether ``text`` is YYYY[MM[DD[hh[mm[ss]]]]] and exists in the calendar."""
    if len(text) not in _LENGTHS or not (text.isascii() and text.isdigit()):
        return False
    try:
        _moment(text)
    except ValueError:
        return False
    return True


def _moment(dtm: str) -> datetime:
    """The first second of ``dtm``, without a zone."""
    full = dtm + _FIRST[len(dtm) :]
    return datetime.fromisoformat(f"{full[:8]}T{full[8:]}")


def in_zone(dtm: str, zone: ZoneInfo) -> str:
    """A time in UTC as local time of ``zone``, at its own precision; as it is below that of an hour."""
    return _moved(dtm, UTC, zone) if len(dtm) >= _HOUR else dtm


def _moved(dtm: str, given: tzinfo, wanted: tzinfo) -> str:
    """``dtm`` in another zone, at its own precision."""
    try:
        moment = _moment(dtm).replace(tzinfo=given).astimezone(wanted)
    except OverflowError:  # the first or last hours that the calendar has
        return dtm
    digits = f"{moment.year:04}{moment.month:02}{moment.day:02}"
    return f"{digits}{moment.hour:02}{moment.minute:02}{moment.second:02}"[: len(dtm)]
