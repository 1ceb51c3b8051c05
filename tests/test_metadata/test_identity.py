"""Which ids are the domain's, and how they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msim_xds.findings import Refused
from msim_xds.metadata.hl7v2 import is_cx
from msim_xds.metadata.identity import (
    Announcement,
    Demographics,
    Domain,
    Given,
    Identifier,
    Merge,
    identifier,
)
from msim_xds.settings import PatientSettings

PESEL = "2.16.840.1.113883.3.4424.1.1.616"
OTHER = "2.16.840.1.113883.3.4424.1.1.616.9"
LOCAL = "2.16.840.1.113883.3.4424.2.7.99999.17.1"


def field(*identifiers: Identifier, place: str = "PID-3") -> Given:
    return Given(place, identifiers)


def own(value: str, authority: str = PESEL) -> Identifier:
    return Identifier(value, "", authority, "ISO")


def domain(**settings: object) -> Domain:
    return Domain(PatientSettings(**{"authorities": (PESEL, OTHER), **settings}))


def refusal(call: object) -> list[tuple[str, str]]:
    assert callable(call)
    with pytest.raises(Refused) as caught:
        call()
    return [(finding.code, finding.attribute) for finding in caught.value.findings]


def test_ids_of_the_domain_are_kept_in_order_without_doubles() -> None:
    given_ = field(own("1", LOCAL), own("2", OTHER), own(" 3 "), own("3"), Identifier("4"))
    assert domain().ids(given_) == (f"2^^^&{OTHER}&ISO", f"3^^^&{PESEL}&ISO")


def test_without_authorities_any_is_taken() -> None:
    assert domain(authorities=()).ids(field(own("1", "1.2.3"))) == ("1^^^&1.2.3&ISO",)


@pytest.mark.parametrize(
    ("identifier_", "taken"),
    [
        (Identifier("1"), True),
        (Identifier("1", "KRK"), True),
        (Identifier("1", "ELSEWHERE"), False),
        (Identifier("1", "KRK", PESEL), True),
        (Identifier("1", "ELSEWHERE", PESEL, "iso"), True),
        (Identifier("1", "KRK", PESEL, "GUID"), False),
        (Identifier("1", "KRK", LOCAL, "ISO"), False),
        (Identifier("1", "", "not-an-oid", "ISO"), False),
        (Identifier("", "KRK"), False),
        (Identifier("a\tb", "KRK"), False),
        (Identifier("9" * 250, "KRK"), False),
    ],
)
def test_absent_authority_is_the_configured_one(identifier_: Identifier, taken: bool) -> None:
    filling = domain(default_authority=PESEL, default_namespace="KRK")
    if taken:
        assert filling.ids(field(identifier_)) == (f"1^^^&{PESEL}&ISO",)
    else:
        assert refusal(lambda: filling.ids(field(identifier_)))


@pytest.mark.parametrize(
    ("given_", "code"),
    [
        (field(), "101"),
        (field(Identifier("")), "101"),
        (field(own("1", LOCAL)), "204"),
        (field(Identifier("1")), "204"),
    ],
)
def test_no_id_of_the_domain(given_: Given, code: str) -> None:
    assert refusal(lambda: domain().ids(given_)) == [(code, "PID-3")]


def test_one_id_is_one() -> None:
    assert domain().single(field(own("1"), own("x", LOCAL))) == f"1^^^&{PESEL}&ISO"
    assert refusal(lambda: domain().single(field(own("1"), own("2")))) == [("102", "PID-3")]


class TestPair:
    def pair(self, surviving: Given, *subsumed: Identifier) -> tuple[str, str]:
        return domain().pair(Merge(surviving, field(*subsumed, place="MRG-1")))

    def test_of_any_authorities_of_the_domain(self) -> None:
        assert self.pair(field(own("1")), own("2", OTHER)) == (f"1^^^&{PESEL}&ISO", f"2^^^&{OTHER}&ISO")

    def test_of_several_surviving_the_one_of_the_same_authority(self) -> None:
        surviving = field(own("7", OTHER), own("1"))
        assert self.pair(surviving, own("2"))[0] == f"1^^^&{PESEL}&ISO"
        assert self.pair(surviving, own("2", OTHER))[0] == f"7^^^&{OTHER}&ISO"

    def test_condition_1_subsumed_of_another_domain(self) -> None:
        assert refusal(lambda: self.pair(field(own("1")), own("2", LOCAL))) == [("204", "MRG-1")]

    def test_condition_2_surviving_of_another_domain(self) -> None:
        assert refusal(lambda: self.pair(field(own("1", LOCAL)), own("2"))) == [("204", "PID-3")]

    def test_no_single_pair(self) -> None:
        assert refusal(lambda: self.pair(field(own("1")), own("2"), own("3"))) == [("102", "MRG-1")]
        assert refusal(lambda: self.pair(field(own("1"), own("9")), own("2"))) == [("102", "PID-3")]


def test_local_ids_of_any_authority() -> None:
    assert domain().local(field(own("L1", LOCAL))) == f"L1^^^&{LOCAL}&ISO"
    assert domain().local(field()) is None
    assert refusal(lambda: domain().local(field(Identifier("L1", "HIS")))) == [("204", "PID-3")]


@pytest.mark.parametrize(("level", "severity"), [("off", None), ("warn", False), ("reject", True)])
def test_pesel_is_judged_as_the_settings_say(level: str, severity: bool | None) -> None:
    judge = domain(pesel=level)
    announcement = Announcement(field(own("58831404725"), own("x", OTHER)))
    assert [doubt.is_error for doubt in judge.doubts(announcement)] == (
        [] if severity is None else [severity]
    )
    sound = Announcement(field(own("58831404726")), Demographics("Ż", "Ł", "18580314", "F"))
    assert judge.doubts(sound) == []


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=30))
def test_written_ids_read_back(value: str) -> None:
    (cx,) = domain().ids(field(own(value)))
    assert is_cx(cx)
    assert identifier(cx) == own(value)
