"""Assertions of P1: asked for with a signature, kept for their time, by the whole question."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from lxml import etree

from msim_xds.federation.answers import RemoteFault, RemoteUnavailable
from msim_xds.federation.p1.providers import Providers, UnusableP1, read_providers
from msim_xds.federation.p1.tokens import Tokens
from msim_xds.metadata.institution import institution
from msim_xds.p1_settings import NAMES, P1Settings
from msim_xds.security.xua.names import saml
from msim_xds.testing.p1 import Double
from msim_xds.testing.p1.keys import make
from msim_xds.wire.exchange import Caller
from tests.test_federation.peer import Peer, Reply
from tests.test_federation.test_p1.conftest import ORGANIZATION, PATIENT, WANTED, Clock, section

TRUST = NAMES["token.namespace"]


def test_the_assertion_says_what_was_asked_for(
    double: Double, settings: P1Settings, providers: Providers, clock: Clock
) -> None:
    assertion = etree.fromstring(Tokens(settings, clock).get(WANTED, providers.general))
    said = {
        each.get("Name"): each.findtext(saml("AttributeValue")) for each in assertion.iter(saml("Attribute"))
    }
    assert said == {
        NAMES["token.organization"]: WANTED.organization,
        NAMES["token.worker"]: WANTED.worker,
        NAMES["token.patient"]: PATIENT,
        NAMES["token.role"]: "medical doctor",
        NAMES["token.purpose"]: "TREAT",
    }


def test_an_assertion_is_kept_for_the_same_question_until_shortly_before_its_end(
    double: Double, settings: P1Settings, providers: Providers, clock: Clock
) -> None:
    double.lifetime = timedelta(minutes=10)
    tokens = Tokens(settings, clock)
    first = tokens.get(WANTED, providers.general)
    assert tokens.get(WANTED, providers.general) == first
    clock.ahead = timedelta(minutes=9, seconds=25)
    assert tokens.get(WANTED, providers.general) == first
    assert len(double.calls) == 1
    clock.ahead = timedelta(minutes=9, seconds=31)
    assert tokens.get(WANTED, Providers({}, read_providers(settings, Clock()).general).general) != first
    assert len(double.calls) == 2


@pytest.mark.parametrize(
    "name", ["provider", "organization", "place", "worker", "role", "patient", "purpose"]
)
def test_another_question_gets_another_assertion(
    double: Double, settings: P1Settings, providers: Providers, clock: Clock, name: str
) -> None:
    tokens = Tokens(settings, clock)
    first = tokens.get(WANTED, providers.general)
    assert tokens.get(WANTED._replace(**{name: "other"}), providers.general) != first
    assert len(double.calls) == 2


def test_no_more_are_kept_than_settings_allow(double: Double, providers: Providers, clock: Clock) -> None:
    tokens = Tokens(section(double, tokens=1), clock)
    for worker in ("a", "b", "a"):
        tokens.get(WANTED._replace(worker=worker), providers.general)
    assert len(double.calls) == 3


def test_a_refusal_is_a_fault_with_the_services_words(
    settings: P1Settings, providers: Providers, clock: Clock
) -> None:
    with pytest.raises(RemoteFault, match="action:purpose is missing"):
        Tokens(settings, clock).get(WANTED._replace(purpose=""), providers.general)


def test_a_message_signed_with_a_key_that_p1_does_not_know_is_refused(double: Double, clock: Clock) -> None:
    stranger = make(double.directory, "stranger")
    raw = double.section()["providers"]
    assert isinstance(raw, dict)
    changed = {
        key: {**each, "wss_certificate": stranger.certificate, "wss_key": stranger.key}
        for key, each in raw.items()
    }
    settings = section(double, providers=changed)
    with pytest.raises(RemoteFault, match="signed with a certificate that is not trusted"):
        Tokens(settings, clock).get(WANTED, read_providers(settings, clock).general)


def test_a_message_that_is_not_signed_is_refused(
    settings: P1Settings, providers: Providers, clock: Clock
) -> None:
    unsigned = replace(providers.general, options=replace(providers.general.options, sign=None))
    with pytest.raises(RemoteFault, match="0 Security where there must be one"):
        Tokens(settings, clock).get(WANTED, unsigned)


def _answer(inner: str) -> Reply:
    soap = "http://schemas.xmlsoap.org/soap/envelope/"
    body = f'<s:Envelope xmlns:s="{soap}"><s:Body>{inner}</s:Body></s:Envelope>'
    return Reply(body.encode(), content_type="text/xml")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (_answer(f'<t:RequestSecurityTokenResponse xmlns:t="{TRUST}"/>'), "holds 0 SAML 2.0 assertions"),
        (
            _answer('<s:Assertion xmlns:s="urn:oasis:names:tc:SAML:2.0:assertion"/>'),
            "does not say when it ends",
        ),
        (_answer(""), "is not a SOAP 1.1 or 1.2 message"),
        (Reply(b"<s:Envelope", content_type="text/xml"), "its answer is broken"),
        (Reply(b"busy", 503, "text/html"), "answers HTTP 503"),
    ],
)
def test_broken_answers_are_told_as_what_they_are(
    double: Double, providers: Providers, clock: Clock, peer: Peer, reply: Reply, reason: str
) -> None:
    peer.reply = reply
    base, _, path = peer.url.partition("/xds")
    with pytest.raises(RemoteUnavailable, match=reason):
        Tokens(section(double, base=base, token=f"/xds{path}"), clock).get(WANTED, providers.general)


def test_the_settings_keys_are_read_at_the_start(double: Double, clock: Clock) -> None:
    raw = double.section()["providers"]
    assert isinstance(raw, dict)
    key, facts = next(iter(raw.items()))
    with pytest.raises(UnusableP1, match=r"p1\.providers\..*none\.pem: No such file"):
        read_providers(section(double, providers={key: {**facts, "wss_key": "none.pem"}}), clock)
    tls = {"tls_certificate": "none.crt", "tls_key": "none.key"}
    with pytest.raises(UnusableP1, match=r"none\.crt, none\.key: No such file"):
        read_providers(section(double, providers={key: {**facts, **tls}}), clock)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("000000999901^^^&2.16.840.1.113883.3.4424.2.3.1&ISO", True),
        (ORGANIZATION, True),
        ("PL.2.3.1#000000999901", True),
        ("Szpital^^^^^&2.16.840.1.113883.3.4424.2.3.1&ISO^^^^000000999901", True),
        ("000000999902^^^&2.16.840.1.113883.3.4424.2.3.1&ISO", False),
        ("Szpital", False),
        ("", False),
    ],
)
def test_a_provider_is_found_by_its_organizations_id_in_any_form(
    providers: Providers, said: str, *, found: bool
) -> None:
    general = replace(providers.general, key="other")
    both = Providers(providers.by_source, general)
    expected = providers.general if found else general
    assert both.of_organization(Caller("<a@b>", organization=said)) is expected
    assert (
        both.of_organization(Caller("<a@b>", organization="Szpital", organization_id=institution(said)))
        is expected
    )
    assert both.of_organization(None) is general
