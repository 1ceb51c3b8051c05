"""Assertions that must pass do so again, and fail with an octet changed; holders of keys must hold them."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest

from tests.support.saml import (
    DS,
    HOLDER,
    PASSWORD,
    Signing,
    ask,
    client,
    confirmation,
    second_sts,
    sign,
    signed,
    stranger,
)
from tests.test_security.test_xua.conftest import Door
from tests.test_security.test_xua.welcome import USER, WELCOME


@pytest.mark.parametrize("name", WELCOME)
def test_good_assertion_passes_twice(door: Door, name: str) -> None:
    octets = WELCOME[name]()
    found = door.caller(octets)
    assert found is not None
    assert found.user == USER
    if name != "OneTimeUse":
        assert door.caller(octets) == found


@pytest.mark.parametrize("name", WELCOME)
def test_good_assertion_with_any_octet_of_its_statements_changed_fails(door: Door, name: str) -> None:
    octets = WELCOME[name]()
    changed = octets.replace(b"example.pl/xua", b"example.pl/xub").replace(PASSWORD.encode(), b"urn:other")
    assert door.refusal(changed) in {"FailedCheck", "FailedAuthentication"}


@pytest.mark.parametrize("one", ["SignedInfo.signed_by", "Signed._second_opinion"])
def test_two_verifications_must_agree(door: Door, monkeypatch: pytest.MonkeyPatch, one: str) -> None:
    monkeypatch.setattr(f"msim_xds.security.xua.signature.{one}", lambda *_: True)
    assert door.refusal(ask(sign(how=Signing(by=stranger())))) == "FailedCheck"
    assert door.caller(ask(sign())) is not None


def key_info(inner: str) -> str:
    return f'<ds:KeyInfo xmlns:ds="{DS}">{inner}</ds:KeyInfo>'


def by_certificate() -> str:
    body = "".join(client().pem.decode().splitlines()[1:-1])
    return key_info(f"<ds:X509Data><ds:X509Certificate>{body}</ds:X509Certificate></ds:X509Data>")


def by_value() -> str:
    import base64

    numbers = client().key.public_key().public_numbers()
    modulus = base64.b64encode(numbers.n.to_bytes(256)).decode()  # type: ignore[union-attr]
    return key_info(
        f"<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>{modulus}</ds:Modulus>"
        "<ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>"
    )


@pytest.mark.parametrize("info", [by_certificate, by_value])
def test_holder_of_key(door: Door, info: Callable[[], str]) -> None:
    octets = ask(signed(confirmations=confirmation(HOLDER, inner=info())))
    held, other = (quote(each().pem.decode()) for each in (client, stranger))
    assert door.caller(octets, held) is not None
    assert door.refusal(octets, other) == "FailedAuthentication"
    assert door.refusal(octets, quote(second_sts().pem.decode())) == "FailedAuthentication"
    assert door.refusal(octets, "no certificate") == "FailedAuthentication"
    assert door.refusal(octets) == "FailedAuthentication"
    assert door.caller(octets, held) is not None
