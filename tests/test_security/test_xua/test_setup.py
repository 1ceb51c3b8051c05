"""What keeps a server with wrong settings from starting, and what it says then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa
from typer.testing import CliRunner

from msim_xds.cli.main import app
from msim_xds.ihe.transactions import Endpoint
from msim_xds.security.xua.setup import UnusableXua, check, guards
from msim_xds.xua_settings import Demand, XuaSettings
from tests.support.authority import DAY, NOW, issue
from tests.support.saml import AUDIENCE, ISSUER, ask, fixed, sign, sts
from tests.test_security.test_xua.conftest import MakeDoor


def made(tmp_path: Path, **changes: Any) -> XuaSettings:
    (tmp_path / "sts.pem").write_bytes(sts().pem)
    usual = {
        "registry": "required",
        "issuers": {ISSUER: [tmp_path / "sts.pem"]},
        "audiences": [AUDIENCE],
    }
    return XuaSettings(**{**usual, **changes})


def test_each_endpoint_has_a_setting() -> None:
    assert {XuaSettings().demand(endpoint.name.lower()) for endpoint in Endpoint} == {Demand.OFF}


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"registry": "required"}, Demand.REQUIRED),
        ({"repository": "optional"}, Demand.OPTIONAL),
        ({"registry": "optional", "repository": "required"}, Demand.REQUIRED),
        ({"registry": "required", "responding_gateway": "off"}, Demand.OFF),
        ({"patients": "required"}, Demand.OFF),
    ],
)
def test_a_gateway_is_no_easier_way_in_unless_it_is_said(chosen: dict[str, Any], expected: Demand) -> None:
    assert XuaSettings(**chosen).demand(Endpoint.RESPONDING_GATEWAY.name.lower()) is expected


def test_off_needs_and_reads_nothing(tmp_path: Path) -> None:
    assert guards(XuaSettings(issuers={ISSUER: (tmp_path / "none.pem",)}), tmp_path, fixed()) == {}
    check(XuaSettings())


def test_guards_only_where_they_are_wanted(tmp_path: Path) -> None:
    wanted = made(tmp_path, patients="optional", responding_gateway="off", initiating_gateway="off")
    assert set(guards(wanted, tmp_path, fixed())) == {Endpoint.REGISTRY, Endpoint.PATIENTS}


@pytest.mark.parametrize(("changes", "message"), [
    ({"issuers": {}}, "xua.issuers: must not be empty"),
    ({"audiences": []}, "xua.audiences: must not be empty"),
    ({"issuers": {ISSUER: []}}, f"xua.issuers: {ISSUER} has no file"),
    ({"issuers": {ISSUER: ["/nowhere/sts.pem"]}}, "/nowhere/sts.pem: No such file or directory"),
])  # fmt: skip
def test_what_is_missing_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UnusableXua, match=message):
        check(made(tmp_path, **changes))
    with pytest.raises(UnusableXua, match=message):
        guards(made(tmp_path, **changes), tmp_path, fixed())


def refused_file(tmp_path: Path, octets: bytes) -> str:
    path = tmp_path / "bad.pem"
    path.write_bytes(octets)
    with pytest.raises(UnusableXua) as caught:
        guards(made(tmp_path, issuers={ISSUER: [path]}), tmp_path, fixed())
    assert str(path) in str(caught.value)
    assert ISSUER in str(caught.value)
    return str(caught.value)


def test_file_without_certificate(tmp_path: Path) -> None:
    assert "not a certificate" in refused_file(tmp_path, b"hello")


def test_short_key(tmp_path: Path) -> None:
    identity = issue("Short", None, key_name="rsa-1024 short")
    assert "1024 bits; least: 2048" in refused_file(tmp_path, identity.pem)


def test_key_of_another_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.authority.key", lambda name: dsa.generate_private_key(2048))
    assert "neither RSA nor EC" in refused_file(tmp_path, issue("DSA", None).pem)


@pytest.mark.parametrize(("start", "end"), [(NOW + DAY, NOW + 9 * DAY), (NOW - 9 * DAY, NOW - DAY)])
def test_certificate_out_of_its_time_signs_nothing(make_door: MakeDoor, start: Any, end: Any) -> None:
    door = make_door(issue("STS", None, start=start, end=end))
    assert door.refusal(ask(sign())) == "FailedAuthentication"


def test_recognised_assertion_ends_with_its_certificate(make_door: MakeDoor) -> None:
    door = make_door(issue("STS", None, end=NOW + DAY), lifetime_s=999999)
    door.caller(ask(sign()))
    door.now = NOW + 2 * DAY
    assert door.refusal(ask(sign())) == "FailedAuthentication"


def test_serve_says_what_is_wrong_before_it_starts(tmp_path: Path) -> None:
    config = tmp_path / "msim.toml"
    missing = tmp_path / "sts.pem"
    config.write_text(
        f'[xua]\nregistry = "required"\naudiences = ["urn:a"]\n[xua.issuers]\n"{ISSUER}" = ["{missing}"]\n'
    )
    result = CliRunner().invoke(app, ["serve", "--config", str(config), "--data", str(tmp_path / "data")])
    assert result.exit_code == 2
    assert f"xua.issuers: {ISSUER}: {missing}: No such file or directory" in result.output.replace("\n", "")
