"""How long an entry must be kept: to the end of the year that it names itself, else by a general period.

Medical records in Poland are kept for 20 years from the end of the calendar year of the last entry, some of
them for 30, 22, 10, 5 or 2; the sender knows which and says so in the slot StorageCategory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import BindParameter, Connection, bindparam, or_, select

from msim_xds.database.among import among, given
from msim_xds.database.driver import Prepared
from msim_xds.database.schema import registry_object
from msim_xds.findings import Finding
from msim_xds.ihe.names import RIM
from msim_xds.ihe.queries import ENTRIES
from msim_xds.registry.fragment_codec import FragmentCodec
from msim_xds.settings import UpdateSettings
from msim_xds.wire import safexml

STORAGE_CATEGORY: Final = "urn:extpl:SlotName:StorageCategory"

_SLOT: Final = f"{{{RIM}}}Slot"
_VALUE: Final = f"{{{RIM}}}Value"
_YEAR: Final = re.compile("[1-9][0-9]{3}", re.ASCII)
_NO_END: Final = date.max
_YEARS: Final = 10**10  # of a time YYYYMMDDhhmmss


class Period(NamedTuple):
    """How long something is kept: its last day, and the rule that says so."""

    until: date
    rule: str

    def text(self) -> str:
        """The last day for people and for the record; the longest period has none."""
        return "without end" if self.until == _NO_END else self.until.isoformat()


def last_day(period: Period | None) -> str | None:
    """Its last day for the record, if there is a period."""
    return None if period is None else period.text()


class KeptEntry(NamedTuple):
    """A DocumentEntry as retention sees it: whose document, when it was made, and the stored object."""

    entry_uuid: str
    unique_id: str
    time_high: int | None
    dictionary_id: int
    fragment: bytes


class Retention:
    """Judges removals by the time; safe to share between threads.

    Args:
        codec: unpacks the entries.
        settings: ``retention_years`` is the general period.
        clock: the time of day, UTC.
    """

    def __init__(self, codec: FragmentCodec, settings: UpdateSettings, clock: Callable[[], datetime]) -> None:
        self._codec = codec
        self._years = settings.retention_years
        self._clock = clock

    def period(self, entry: KeptEntry) -> Period | None:
        """How long this entry is kept; None when nothing says so."""
        values = storage_category(self._codec.unpack(entry.dictionary_id, entry.fragment))
        if not values:
            return None if entry.time_high is None else self.general(entry.time_high // _YEARS)
        if not all(map(_YEAR.fullmatch, values)):
            # Archives also know categories without a year, among them 'for ever'.
            return Period(_NO_END, f"{STORAGE_CATEGORY} is {' '.join(values)}, which is no year")
        return Period(_end_of(int(max(values))), f"{STORAGE_CATEGORY} is {max(values)}")

    def general(self, year: int) -> Period | None:
        """How long something made in ``year`` is kept that says nothing itself."""
        if self._years == 0:
            return None
        return Period(_end_of(year + self._years), f"{year} and update.retention_years = {self._years}")

    def general_periods(self, years: Mapping[str, int]) -> dict[str, Period]:
        """``general`` for several things, by name, where there is such a period."""
        periods = ((name, self.general(year)) for name, year in years.items())
        return {name: period for name, period in periods if period is not None}

    def of_documents(self, connection: Connection, unique_ids: Collection[str]) -> dict[str, Period]:
        """The longest period of the entries of each document, by uniqueId, where there is one."""
        periods: dict[str, Period] = {}
        if not unique_ids:
            return periods
        for row in _BY_UNIQUE_ID.rows(connection, {"given": given(connection, unique_ids)}):
            entry = KeptEntry(*row)
            period = self.period(entry)
            if period is not None:
                periods[entry.unique_id] = max(period, periods.get(entry.unique_id, period))
        return periods

    def is_over(self, period: Period | None) -> bool:
        """Whether the last day has passed, by UTC: no day too early anywhere east of Greenwich."""
        return period is None or self._clock().date() > period.until


def must_be_kept(code: str, place: str, period: Period, source: str, context: str = "") -> Finding:
    """The finding that refuses a removal before its time."""
    return Finding(
        code,
        f"must be kept {_until(period)}, since {period.rule}",
        place,
        allowed="removal after that, or by an operator with a reason (msim-xds remove --reason)",
        source=source,
        context=context,
    )


def storage_category(fragment: bytes) -> list[str]:
    """Values of the slot StorageCategory of a stored DocumentEntry."""
    root = safexml.parse(b'<rim:ExtrinsicObject xmlns:rim="' + RIM.encode() + b'"' + fragment)
    values = (
        (value.text or "").strip()
        for slot in root.iterfind(_SLOT)
        if slot.get("name") == STORAGE_CATEGORY
        for value in slot.iter(_VALUE)
    )
    return [value for value in values if value]


def _until(period: Period) -> str:
    return period.text() if period.until == _NO_END else f"until {period.text()}"


def _end_of(year: int) -> date:
    return date(min(year, _NO_END.year), 12, 31)


_object: Final = registry_object.c
_GIVEN: Final[BindParameter[Any]] = bindparam("given")
_BY_UNIQUE_ID: Final = Prepared(
    select(
        _object.entry_uuid, _object.unique_id, _object.time_high, _object.dictionary_id, _object.fragment
    ).where(
        among(_object.unique_id, _GIVEN),
        or_(*(_object.kind == int(kind) for kind in ENTRIES)),
    )
)
