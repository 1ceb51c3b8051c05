"""Assertions under settings other than the usual: what is refused then, and what is let in."""

from __future__ import annotations

from typing import Final

import pytest

from tests.support.saml import (
    ATTRIBUTES,
    PASSWORD,
    PATIENT,
    PURPOSE,
    ROLE,
    ask,
    at,
    attribute,
    authentication,
    coded,
    confirmation,
    draft,
    sign,
    signed,
    statement,
    timestamp,
)
from tests.test_security.test_xua.conftest import MakeDoor
from tests.test_security.test_xua.hostile import BINARY
from tests.test_security.test_xua.welcome import framed
from tests.test_server.soap import QUERY, QUERY_ACTION, envelope

SECOND: Final = {
    "role": lambda: signed(attributes=statement(attribute(ROLE, coded("Role", "1"), coded("Role", "2")))),
    "purpose": lambda: signed(attributes=statement(attribute(PURPOSE, "A"), attribute(PURPOSE, "B"))),
    "AuthnStatement": lambda: signed(authentications=2 * authentication()),
}


@pytest.mark.parametrize("name", SECOND)
def test_second_value_is_refused_where_that_is_wanted(make_door: MakeDoor, name: str) -> None:
    octets = ask(SECOND[name]())
    assert make_door().caller(octets) is not None
    strict = make_door(second_values="refuse")
    assert strict.refusal(octets) == "InvalidSecurityToken"
    assert strict.caller(ask(sign())) is not None


def test_authentication_contexts(make_door: MakeDoor) -> None:
    assert make_door(authn_contexts=["urn:x", PASSWORD]).caller(ask(sign())) is not None
    assert make_door(authn_contexts=["urn:x"]).refusal(ask(sign())) == "FailedAuthentication"


def test_required_attributes(make_door: MakeDoor) -> None:
    door = make_door(required_attributes=[PATIENT, "urn:x"])
    assert door.refusal(ask(sign())) == "InvalidSecurityToken"
    empty = statement(attribute("urn:x", " "))
    assert door.refusal(ask(signed(attributes=ATTRIBUTES + empty))) == "InvalidSecurityToken"
    there = statement(attribute("urn:x", "y"))
    assert door.caller(ask(signed(attributes=ATTRIBUTES + there))) is not None


def test_recipients(make_door: MakeDoor) -> None:
    octets = ask(signed(confirmations=confirmation(data='Recipient="https://xds.example.pl/"')))
    assert make_door().refusal(octets) == "FailedAuthentication"
    assert make_door(recipients=["https://xds.example.pl/"]).caller(octets) is not None


def test_optional_takes_requests_without_assertion_and_no_bad_one(make_door: MakeDoor) -> None:
    door = make_door(registry="optional")
    assert door.caller(envelope(QUERY, QUERY_ACTION)) is None
    assert door.caller(ask(timestamp())) is None
    assert door.caller(ask()) is None
    assert door.caller(ask(sign())) is not None
    assert door.refusal(ask(BINARY)) == "UnsupportedSecurityToken"
    assert door.refusal(ask(draft().xml())) == "FailedAuthentication"
    assert door.refusal(ask(timestamp(at(-9), at(-5)))) == "MessageExpired"


def test_off_does_not_understand_the_header(make_door: MakeDoor) -> None:
    door = make_door(registry="off", repository="required")
    reply = door.knock(ask(sign()))
    assert reply.http_status == 500
    assert b"soap:MustUnderstand" in b"".join(reply.envelope)
    assert door.caller(framed()) is None
    assert door.caller(envelope(QUERY, QUERY_ACTION)) is None
