"""Spellings of institutions."""

from __future__ import annotations

import pytest

from msim_xds.metadata.institution import institution


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("urn:oid:1.2.3", "1.2.3"),
        ("URN:OID:1.2.3", "1.2.3"),
        (" 1.2.3 ", "1.2.3"),
        ("https://example.org/a", "https://example.org/a"),
        ("7^^^&1.2.3&ISO", "7^^^&1.2.3&ISO"),
        ("Szpital^^^^^&1.2.3&ISO^^^^7", "7^^^&1.2.3&ISO"),
        ("Szpital^^^^^^^^^1.2.3", "1.2.3"),
        ("Szpital^^^^^^^^^urn:oid:1.2.3", "1.2.3"),
        ("Szpital", "Szpital"),
        ("Szpital^^^^^&1.2.3&ISO", "Szpital"),
        ("Z\u0307elazny", "Żelazny"),
        ("", ""),
    ],
)
def test_institution(text: str, expected: str) -> None:
    assert institution(text) == expected
    assert institution(expected) == expected
