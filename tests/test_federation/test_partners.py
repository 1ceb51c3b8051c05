"""Partner files: what they may say, and that each mistake is named by file, table and key."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from msim_xds.federation.partners import UnusablePartner, load_partners
from tests.test_delivery import certificates

GOOD = """
[[community]]
name = "north"
homes = ["urn:oid:1.2.616.2", "urn:oid:1.2.616.22"]
query_url = "https://north.example.pl/xca"
patients.shared = ["1.2.3"]
"""


def written(tmp_path: Path, text: str, name: str = "partners.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_no_file_is_no_partner() -> None:
    assert load_partners(None) == ()


def test_a_partner_with_its_defaults(tmp_path: Path) -> None:
    (partner,) = load_partners(written(tmp_path, GOOD))
    assert partner.table.homes == ("urn:oid:1.2.616.2", "urn:oid:1.2.616.22")
    assert partner.table.assertion == "pass"
    assert partner.tls is not None
    assert partner.mapping == {}


def test_files_of_a_directory_in_order(tmp_path: Path) -> None:
    written(tmp_path, GOOD.replace("north", "b").replace("616", "617"), "b.toml")
    written(tmp_path, GOOD.replace("north", "a"), "a.toml")
    written(tmp_path, "nonsense", "notes.txt")
    assert [partner.table.name for partner in load_partners(tmp_path)] == ["a", "b"]


def test_tables_and_certificates_lie_beside_the_file(tmp_path: Path) -> None:
    certificates.authority(tmp_path)
    certificates.certificate(tmp_path, "me")
    written(tmp_path, '"1^^^&1.2&ISO" = "7^^^&1.9&ISO"', "patients.toml")
    tls = 'tls = { authorities = "ca.pem", certificate = "own.pem", key = "own.key" }'
    (partner,) = load_partners(written(tmp_path, f'{GOOD}patients.table = "patients.toml"\n{tls}'))
    assert partner.mapping == {"1^^^&1.2&ISO": "7^^^&1.9&ISO"}


@pytest.mark.parametrize(
    ("since", "until", "day", "expected"),
    [
        ("", "", date(2026, 1, 1), True),
        ("valid_from = 2026-01-01", "", date(2026, 1, 1), True),
        ("valid_from = 2026-01-01", "", date(2025, 12, 31), False),
        ("", "valid_until = 2026-01-01", date(2026, 1, 1), True),
        ("", "valid_until = 2026-01-01", date(2026, 1, 2), False),
    ],
)
def test_days_of_validity(tmp_path: Path, since: str, until: str, day: date, expected: bool) -> None:
    (partner,) = load_partners(written(tmp_path, f"{GOOD}{since}\n{until}\n"))
    assert partner.table.is_valid(day) is expected


MISTAKES = {
    "syntax": ("[[community", "partners.toml"),
    "unknown table": ("[other]\n", "partners.toml, other: unknown"),
    "no list": ('community = "x"', "partners.toml, community: must be tables"),
    "unknown key": (GOOD + "colour = 1", "[[community]] 1, colour"),
    "missing key": (GOOD.replace('name = "north"', ""), "[[community]] 1, name"),
    "bad home": (GOOD.replace("urn:oid:1.2.616.22", "1.2.616.22"), "[[community]] 1, homes.1"),
    "plain http": (GOOD.replace("https:", "http:"), "query_url: is http://"),
    "no url": (GOOD.replace("https:", "ftp:"), "[[community]] 1, query_url"),
    "days": (GOOD + "valid_from = 2026-01-02\nvalid_until = 2026-01-01", "valid_until: is before"),
    "half a pair": (GOOD + 'tls.certificate = "a.pem"', "tls: certificate and key go together"),
    "no patients": (GOOD.replace('patients.shared = ["1.2.3"]', ""), "patients: shared, table or discovery_"),
    "twice": (GOOD * 2, "[[community]] 2 (north), name: 'north' is there twice"),
    "home twice": (
        GOOD + GOOD.replace("north", "south"),
        "[[community]] 2 (south), homes: urn:oid:1.2.616.2 belongs to north",
    ),
    "no authorities": (GOOD + 'tls.authorities = "none.pem"', "(north), tls.authorities: none.pem"),
    "no key": (
        GOOD + 'tls = { certificate = "none.pem", key = "none.key" }', "(north), tls.certificate: none.pem"
    ),
    "no table": (GOOD + 'patients.table = "none.toml"', "(north), patients.table"),
    "bad table": (GOOD + 'patients.table = "bad.toml"', "bad.toml, x: expected a CX"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(tmp_path: Path, mistake: str) -> None:
    text, words = MISTAKES[mistake]
    written(tmp_path, 'x = "y"', "bad.toml")
    path = written(tmp_path, text)
    with pytest.raises(UnusablePartner) as caught:
        load_partners(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_no_partner_has_our_home(tmp_path: Path) -> None:
    with pytest.raises(UnusablePartner, match="belongs to this community already"):
        load_partners(written(tmp_path, GOOD), ["urn:oid:1.2.616.22"])


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnusablePartner, match=r"none\.toml: No such file"):
        load_partners(tmp_path / "none.toml")
