"""Assertions that come again: verified once, bounded, expired, or of one use."""

from __future__ import annotations

from typing import Any

import pytest

from msim_xds.security.xua.signature import Signed, written
from msim_xds.wire import safexml
from tests.support.authority import NOW
from tests.support.saml import AUDIENCE, MINUTE, ask, at, conditions, confirmation, restriction, sign, signed
from tests.test_security.test_xua.conftest import Door, MakeDoor


def test_recognised_assertion_still_expires(door: Door) -> None:
    octets = ask(sign())
    door.caller(octets)
    door.now = NOW + 10.9 * MINUTE
    door.caller(octets)
    door.now = NOW + 11 * MINUTE
    assert door.refusal(octets) == "MessageExpired"


def test_recognised_assertion_is_not_verified_again(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    octets = ask(sign())
    door.caller(octets)
    monkeypatch.setattr("msim_xds.security.xua.validator.Signed", None)
    assert door.caller(octets) is not None
    with pytest.raises(TypeError):
        door.knock(ask(signed(id="_a2")))


def test_only_what_is_written_alike_is_recognised(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    token = sign()
    door.caller(ask(token))
    otherwise = token.replace(' Version="2.0"', "  Version='2.0'")  # read alike
    in_scope = ask(token).replace(b"<w:Security ", b'<w:Security xmlns:other="urn:other" ', 1)
    assert otherwise != token
    verified = []

    def counted(assertion: Any) -> Signed:
        verified.append(assertion)
        return Signed(assertion)

    monkeypatch.setattr("msim_xds.security.xua.validator.Signed", counted)
    assert door.caller(ask(otherwise)) is not None
    assert not verified
    assert door.caller(in_scope) is not None
    assert len(verified) == 1


@pytest.mark.parametrize(("one", "other"), [
    ('<r xmlns:p="urn:a"><e t="p:v"/>x</r>', '<r xmlns:p="urn:b"><e t="p:v"/>x</r>'),
    ('<r xmlns="urn:a"><e/></r>', "<r><e/></r>"),
    ('<r><e t="a&#10;b"/></r>', '<r><e t="a b"/></r>'),
    ("<r><e>a&#13;</e></r>", "<r><e>a&#10;</e></r>"),
    ('<r><e a="1" b="2"/></r>', '<r><e b="2" a="1"/></r>'),
    ("<r><e>&lt;f/></e></r>", "<r><e><f/></e></r>"),
])  # fmt: skip
def test_what_an_assertion_is_recognised_by_tells_apart(one: str, other: str) -> None:
    assert written(safexml.parse(one.encode())[0]) != written(safexml.parse(other.encode())[0])


def test_what_stands_behind_an_assertion_is_not_part_of_it() -> None:
    assert written(safexml.parse(b"<r><e>1</e>tail</r>")[0]) == written(safexml.parse(b"<r><e>1</e></r>")[0])


def test_recognised_assertions_are_bounded(make_door: MakeDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    door = make_door(remembered=2)
    first, second, third = (ask(signed(id=f"_a{number}")) for number in range(3))
    for octets in (first, second, first, third):
        door.caller(octets)
    monkeypatch.setattr("msim_xds.security.xua.validator.Signed", None)
    assert door.caller(first) is not None
    assert door.caller(third) is not None
    with pytest.raises(TypeError):
        door.knock(second)


@pytest.mark.parametrize(("policy", "marked", "again"), [
    ("marked", True, False), ("marked", False, True), ("all", False, False), ("ignore", True, True),
])  # fmt: skip
def test_one_time_use(make_door: MakeDoor, policy: str, marked: bool, again: bool) -> None:
    door = make_door(one_time=policy)
    mark = "<s:OneTimeUse/>" if marked else ""
    octets = ask(signed(conditions=conditions(inner=restriction(AUDIENCE) + mark)))
    assert door.caller(octets) is not None
    for each in (door, make_door(one_time=policy)):  # another process
        if again:
            assert each.caller(octets) is not None
        else:
            assert each.refusal(octets) == "InvalidSecurityToken"


def test_record_of_one_time_use_is_swept(make_door: MakeDoor) -> None:
    door = make_door(one_time="all")
    door.caller(ask(sign()))
    kept = door.directory / "xua-used"
    (before,) = kept.iterdir()
    (kept / "README.txt").touch()
    door.now = NOW + 20 * MINUTE
    times = conditions(f'NotBefore="{at(20)}" NotOnOrAfter="{at(25)}"')
    door.caller(ask(signed(id="_a2", conditions=times, confirmations=confirmation(times=""))))
    after = set(kept.iterdir())
    assert len(after) == 2
    assert before not in after
