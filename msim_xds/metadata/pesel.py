"""PESEL, the Polish personal number: eleven digits that hold a date of birth, a sex and a check digit."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

_PESEL: Final = re.compile("[0-9]{11}")
_WEIGHTS: Final = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)
_CENTURIES: Final = {80: 1800, 0: 1900, 20: 2000, 40: 2100, 60: 2200}


def pesel_fault(pesel: str, birth_date: str | None = None, sex: str | None = None) -> str | None:
    """What is wrong with a PESEL; None when nothing is.

    The check digit alone is weak (eleven noughts pass), so the date is looked at as well.

    Args:
        pesel: the number.
        birth_date: known date of birth, a DTM; days are compared only when it has them.
        sex: known sex, F or M of HL7 table 0001; other values are not compared.
    """
    if not _PESEL.fullmatch(pesel):
        return "a PESEL has eleven digits"
    if sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, pesel, strict=True)) % 10:
        return "the check digit of this PESEL is wrong"
    born = _birth_date(pesel)
    if born is None:
        return "this PESEL holds no date of birth"
    if birth_date and not f"{born:%Y%m%d}".startswith(birth_date[:8]):
        return "this PESEL holds another date of birth than the message"
    if sex in ("F", "M") and sex != "FM"[int(pesel[9]) % 2]:
        return "this PESEL holds another sex than the message"
    return None


def _birth_date(pesel: str) -> date | None:
    century, month = divmod(int(pesel[2:4]), 20)
    try:
        return date(_CENTURIES[century * 20] + int(pesel[:2]), month, int(pesel[4:6]))
    except ValueError:
        return None
