"""P1 over TLS: it knows a provider by its certificate, and each request to it shows that one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from msim_xds.app import now
from msim_xds.federation.answers import RemoteUnavailable
from msim_xds.federation.p1.addresses import AddressBook
from msim_xds.federation.p1.decisions import Decision, Decisions
from msim_xds.federation.p1.providers import UnusableP1, read_providers
from msim_xds.federation.p1.tokens import Tokens
from msim_xds.p1_settings import P1Settings
from msim_xds.testing.p1 import Double, start
from msim_xds.testing.p1.keys import make, make_tls
from msim_xds.testing.p1.server import REPOSITORY, SOURCE
from tests.test_federation.test_p1.conftest import WANTED, section
from tests.test_federation.test_p1.world import World


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Double]:
    with start(tmp_path_factory.mktemp("p1"), tls=True) as running:
        yield running


def changed(double: Double, **facts: Any) -> P1Settings:
    """Settings whose provider has other facts."""
    providers = double.section()["providers"]
    assert isinstance(providers, dict)
    return section(double, providers={SOURCE: {**providers[SOURCE], **facts}})


def token(settings: P1Settings) -> bytes:
    provider = read_providers(settings, now).general
    return Tokens(settings, now).get(WANTED, provider)


def test_each_service_sees_the_providers_certificate(double: Double, tmp_path: Path, sqlite_url: str) -> None:
    settings = section(double)
    provider = read_providers(settings, now).general
    double.calls.clear()
    double.peers.clear()
    with World(double, tmp_path, sqlite_url) as world:
        world.register()
        assert world.publish() == []
        assert len(world.at_p1()) == 1
    assert AddressBook(settings).find(REPOSITORY, provider).startswith("https://127.0.0.1:")
    assert Decisions(settings).ask(["1.2.3"], token(settings), provider) is Decision.PERMIT
    assert set(double.calls) == {
        settings.token, settings.iti42, settings.iti18, settings.szar_lookup, settings.soz,
    }  # fmt: skip
    assert set(double.peers) == {SOURCE}


def stranger(folder: Path) -> dict[str, Any]:
    """The certificate of somebody whom no authority knows."""
    pair = make(folder, "stranger")
    return {"tls_certificate": pair.certificate, "tls_key": pair.key}


def of_another_authority(folder: Path) -> dict[str, Any]:
    pair = make_tls(folder, SOURCE).client
    return {"tls_certificate": pair.certificate, "tls_key": pair.key}


def nobody(_: Path) -> dict[str, Any]:
    return {"tls_certificate": None, "tls_key": None}


@pytest.mark.parametrize("facts", [stranger, of_another_authority, nobody])
def test_a_wrong_certificate_is_refused_and_said_so(double: Double, tmp_path: Path, facts: Any) -> None:
    settings = changed(double, **facts(tmp_path))
    double.calls.clear()
    for _ in range(20):
        with pytest.raises(RemoteUnavailable) as refused:
            token(settings)
        if "accept" in refused.value.reason:  # in TLS 1.3 the hang-up may overtake the alert
            break
    assert refused.value.url.startswith(double.url)
    assert "it does not accept our TLS certificate" in refused.value.reason
    assert double.calls == []


def test_a_platform_of_another_authority_is_not_spoken_to(double: Double, tmp_path: Path) -> None:
    other = make_tls(tmp_path, SOURCE).authority
    with pytest.raises(RemoteUnavailable, match="certificate verify failed"):
        token(section(double, ca_file=str(other)))


def test_the_key_of_another_certificate_is_an_error_at_the_start(double: Double, tmp_path: Path) -> None:
    pair = make(tmp_path, "stranger")
    with pytest.raises(UnusableP1, match=rf"p1\.providers\.{SOURCE}: .*stranger\.key"):
        read_providers(changed(double, tls_key=pair.key), now)


def test_authorities_that_cannot_be_read_are_an_error_at_the_start(double: Double, tmp_path: Path) -> None:
    with pytest.raises(UnusableP1, match=r"p1\.ca_file: .*none\.pem"):
        read_providers(section(double, ca_file=str(tmp_path / "none.pem")), now)
