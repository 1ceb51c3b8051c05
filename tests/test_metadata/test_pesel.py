"""PESEL numbers: digits, check digit, date, and what else is known of the person."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msim_xds.metadata.pesel import pesel_fault


@pytest.mark.parametrize("pesel", ["58831404726", "84910211372", "90863000244", "58631404720", "22222222222"])
def test_sound(pesel: str) -> None:
    assert pesel_fault(pesel) is None


@pytest.mark.parametrize(
    ("pesel", "words"),
    [
        ("00000000000", "no date"),
        ("58831404725", "check digit"),
        ("5883140472", "eleven digits"),
        ("588314047260", "eleven digits"),
        ("5883140472x", "eleven digits"),
        ("٥٨٨٣١٤٠٤٧٢٦", "eleven digits"),
        ("58823000004", "no date"),
    ],
)
def test_unsound(pesel: str, words: str) -> None:
    assert words in (pesel_fault(pesel) or "")


@pytest.mark.parametrize(
    ("birth_date", "sex", "words"),
    [
        ("18580314", "F", None),
        ("1858", "U", None),
        ("18580314120000", None, None),
        ("18580315", None, "another date"),
        ("1958", None, "another date"),
        (None, "M", "another sex"),
    ],
)
def test_against_what_is_known(birth_date: str | None, sex: str | None, words: str | None) -> None:
    fault = pesel_fault("58831404726", birth_date, sex)
    assert fault is None if words is None else words in str(fault)


@given(st.dates(date(1800, 1, 1), date(2299, 12, 31)), st.integers(0, 9999))
def test_every_made_number_is_sound_and_no_neighbour_is(born: date, serial: int) -> None:
    century = {18: 80, 19: 0, 20: 20, 21: 40, 22: 60}[born.year // 100]
    body = f"{born.year % 100:02}{born.month + century:02}{born.day:02}{serial:04}"
    check = -sum(w * int(d) for w, d in zip((1, 3, 7, 9, 1, 3, 7, 9, 1, 3), body, strict=True)) % 10
    sex = "FM"[serial % 2]
    assert pesel_fault(f"{body}{check}", f"{born:%Y%m%d}", sex) is None
    assert pesel_fault(f"{body}{(check + 1) % 10}")
