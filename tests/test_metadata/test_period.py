"""Times as periods of two integers."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings

from msim_xds.metadata.period import Period, in_zone, is_dtm, period
from tests.support.strategies import dtms

WARSAW = ZoneInfo("Europe/Warsaw")


@pytest.mark.parametrize(
    ("dtm", "low", "high"),
    [
        ("2026", 20260000000000, 20269999999999),
        ("202609", 20260900000000, 20260999999999),
        ("2026091411", 20260914110000, 20260914119999),
        ("20260914113512", 20260914113512, 20260914113512),
    ],
)
def test_a_period_is_as_long_as_its_precision(dtm: str, low: int, high: int) -> None:
    assert period(dtm) == Period(low, high)


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("20260914133512", "20260914113512"),  # summer
        ("20260114133512", "20260114123512"),  # winter
        ("202601010030", "202512312330"),  # another year
        ("2026091413", "2026091411"),
        ("20260914", "20260914"),  # a day is no moment
        ("2026", "2026"),
        ("20261025023000", "20261025003000"),  # twice that night: the first
        ("20260329023000", "20260329013000"),  # never that night
        ("00010101003000", "00010101003000"),  # before the calendar begins
    ],
)
def test_local_times_become_utc(local: str, utc: str) -> None:
    assert period(local, WARSAW) == period(utc)


@given(dtms)
@settings(max_examples=100, deadline=None)
def test_periods_are_ordered_and_keep_their_precision(dtm: str) -> None:
    plain, shifted = period(dtm), period(dtm, WARSAW)
    assert is_dtm(dtm)
    for low, high in (plain, shifted):
        assert low <= high
    assert str(shifted.high - shifted.low) == str(plain.high - plain.low)


@given(dtms, dtms)
@settings(max_examples=100, deadline=None)
def test_periods_order_as_the_times_do(one: str, other: str) -> None:
    shared = min(len(one), len(other))
    apart = one[:shared] < other[:shared]
    assert (period(one).high < period(other).low) == apart


@pytest.mark.parametrize(
    "text",
    [
        "",
        "202",
        "20261",
        "202613",
        "20260230",
        "2026091424",
        "20260914113560",
        "2026-09-14",
        "20260914113512+0200",
        "20260914113512.5",
        "0000",
        "٢٠٢٦",
        "2026 ",
        "202609141135123",
    ],
)
def test_what_is_no_dtm(text: str) -> None:
    assert not is_dtm(text)


def test_no_digits_are_no_period() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        period("now")


@pytest.mark.parametrize(
    ("utc", "local"),
    [
        ("20260914113000", "20260914133000"),
        ("20260114113000", "20260114123000"),
        ("202609142330", "202609150130"),
        ("2026123123", "2027010100"),
        ("20260914", "20260914"),
        ("2026", "2026"),
        ("99991231235959", "99991231235959"),
    ],
)
def test_utc_becomes_local_time_at_its_own_precision(utc: str, local: str) -> None:
    assert in_zone(utc, WARSAW) == local
