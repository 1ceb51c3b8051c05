"""P1's address book and consent decisions, asked at the double."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree

from msim_xds.federation.answers import RemoteError, RemoteFault, RemoteUnavailable
from msim_xds.federation.p1.addresses import AddressBook, AddressUnknown
from msim_xds.federation.p1.decisions import Decision, Decisions
from msim_xds.federation.p1.providers import Providers, UnusableP1, read_providers
from msim_xds.federation.p1.tokens import Tokens
from msim_xds.p1_settings import P1Settings
from msim_xds.testing.p1 import Double
from msim_xds.testing.p1.server import REPOSITORY
from tests.test_federation.peer import WSA, serving
from tests.test_federation.test_p1.conftest import WANTED, Clock, section

PATIENT_CX = "58831404726^^^&2.16.840.1.113883.3.4424.1.1.616&ISO"


def test_an_address_is_looked_up_once_and_kept(
    double: Double, settings: P1Settings, providers: Providers
) -> None:
    book = AddressBook(settings)
    assert book.find(REPOSITORY, providers.general) == f"{double.url}/provider/repository"
    assert book.find(REPOSITORY, providers.general) == f"{double.url}/provider/repository"
    assert double.calls == [settings.szar_lookup]


def test_addresses_are_kept_for_the_time_that_is_set(double: Double, providers: Providers) -> None:
    settings = section(double, addresses_s=0)
    book = AddressBook(settings)
    book.find(REPOSITORY, providers.general)
    book.find(REPOSITORY, providers.general)
    assert double.calls == [settings.szar_lookup] * 2


def test_the_table_of_the_settings_goes_first(double: Double, providers: Providers) -> None:
    book = AddressBook(section(double, repositories={REPOSITORY: "https://r.example.pl/xds"}))
    assert book.find(REPOSITORY, providers.general) == "https://r.example.pl/xds"
    assert double.calls == []


def test_an_unknown_repository_is_p1s_fault(settings: P1Settings, providers: Providers) -> None:
    with pytest.raises(RemoteFault, match=r"unknown repository 1\.2\.3"):
        AddressBook(settings).find("1.2.3", providers.general)


def test_without_a_template_nothing_is_asked(double: Double, providers: Providers) -> None:
    bare = {"lookup_template": None, "addresses_template": None, "repository_template": None}
    book = AddressBook(section(double, **bare))
    with pytest.raises(AddressUnknown, match="look-ups are not set up") as refused:
        book.find(REPOSITORY, providers.general)
    assert not refused.value.sent
    with pytest.raises(UnusableP1, match=r"p1\.addresses_template: not set"):
        book.register("1.2.3", "http://x", providers.general)
    with pytest.raises(UnusableP1, match=r"p1\.repository_template: not set"):
        book.new_repository(providers.general)
    assert double.calls == []


def test_an_address_that_is_none_is_refused(double: Double, providers: Providers) -> None:
    double.addresses["1.2.9"] = "file:///etc/passwd"
    with pytest.raises(
        AddressUnknown, match=r"no usable address of repository 1\.2\.9: 'file:///etc/passwd'"
    ):
        AddressBook(section(double)).find("1.2.9", providers.general)


def test_a_repository_and_its_address_are_registered(
    double: Double, settings: P1Settings, providers: Providers
) -> None:
    book = AddressBook(settings)
    repository = book.new_repository(providers.general)
    said = book.register(repository, "http://127.0.0.1:9/xds?a=1&b=2", providers.general)
    assert said == "OK zarejestrowano"
    assert double.addresses[repository] == "http://127.0.0.1:9/xds?a=1&b=2"
    assert book.find(repository, providers.general) == "http://127.0.0.1:9/xds?a=1&b=2"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"lookup_answer": "//["}, "p1.lookup_answer"),
        ({"lookup_template": "nowhere.xml"}, r"p1.lookup_template: nowhere\.xml"),
    ],
)
def test_settings_that_cannot_be_used_are_told_at_the_start(
    double: Double, changes: dict[str, str], reason: str
) -> None:
    with pytest.raises(UnusableP1, match=reason):
        AddressBook(section(double, **changes))


def test_a_template_that_is_no_xml_is_told_at_the_start(double: Double, tmp_path: Path) -> None:
    (tmp_path / "t.xml").write_text("<a>")
    with pytest.raises(UnusableP1, match="not well-formed"):
        AddressBook(section(double, lookup_template=tmp_path / "t.xml"))


def test_a_registration_without_identifier_says_what_p1_says(double: Double, providers: Providers) -> None:
    settings = section(double, names={"szar.identifier": "innaNazwa"})
    with pytest.raises(RemoteUnavailable, match="gives no identifier: OK zarejestrowano"):
        AddressBook(settings).new_repository(providers.general)


@pytest.fixture
def assertion(settings: P1Settings, providers: Providers, clock: Clock) -> bytes:
    """One of P1's."""
    return Tokens(settings, clock).get(WANTED, providers.general)


@pytest.mark.parametrize("decision", Decision)
def test_decisions_come_as_they_are(
    double: Double, settings: P1Settings, providers: Providers, assertion: bytes, decision: Decision
) -> None:
    double.consents["1.2^3"] = decision
    assert Decisions(settings).ask(["1.2^3"], assertion, providers.general) is decision


def test_of_several_the_strictest_counts(
    double: Double, settings: P1Settings, providers: Providers, assertion: bytes
) -> None:
    double.consents = {"a": Decision.INDETERMINATE, "b": Decision.DENY}
    decisions = Decisions(settings)
    assert decisions.ask(["a", "b", "c"], assertion, providers.general) is Decision.DENY
    assert decisions.ask(["a", "c"], assertion, providers.general) is Decision.INDETERMINATE


def test_a_patient_who_refuses_refuses_all_documents(
    double: Double, settings: P1Settings, providers: Providers, assertion: bytes
) -> None:
    double.consents[PATIENT_CX] = Decision.DENY
    assert Decisions(settings).ask(["a"], assertion, providers.general) is Decision.DENY


def test_silence_is_no_decision(double: Double, assertion: bytes, clock: Clock) -> None:
    double.consents["a"] = None
    impatient = section(double, deadline_s=0.3)
    began = time.monotonic()
    with pytest.raises(RemoteUnavailable, match="does not answer in time"):
        Decisions(impatient).ask(["a"], assertion, read_providers(impatient, clock).general)
    assert time.monotonic() - began < 5


def test_an_answer_without_known_decision_is_no_decision(
    double: Double, settings: P1Settings, providers: Providers, assertion: bytes
) -> None:
    other = section(double, names={"soz.core": "urn:other"})
    with pytest.raises(RemoteUnavailable, match="no decision that is known: none"):
        Decisions(other).ask(["a"], assertion, providers.general)


def test_without_assertion_p1_refuses(settings: P1Settings, providers: Providers) -> None:
    with pytest.raises(RemoteFault, match=r"no assertion|unsupported"):
        Decisions(settings).ask(["a"], b"", providers.general)


@pytest.mark.parametrize("wanted", [None, True, False])
@pytest.mark.parametrize(("service", "preset"), [("token", True), ("szar", False), ("soz", False)])
def test_headers_of_ws_addressing_are_sent_where_they_are_wanted(
    double: Double, providers: Providers, clock: Clock, service: str, preset: bool, wanted: bool | None
) -> None:
    with serving() as peer:
        chosen = {} if wanted is None else {f"{service}_addressing": wanted}
        settings = section(double, base=peer.url.removesuffix("/xds/repository"), **chosen)
        asks: dict[str, Callable[[], object]] = {
            "token": lambda: Tokens(settings, clock).get(WANTED, providers.general),
            "szar": lambda: AddressBook(settings).find(REPOSITORY, providers.general),
            "soz": lambda: Decisions(settings).ask(["a"], b"", providers.general),
        }
        with pytest.raises(RemoteError):
            asks[service]()
    (received,) = peer.received
    has = etree.fromstring(received.body).find(f".//{{{WSA}}}Action") is not None
    assert has is (preset if wanted is None else wanted)


def test_addresses_may_be_asked_for_from_many_threads(settings: P1Settings, providers: Providers) -> None:
    book, found = AddressBook(settings), []
    threads = [
        threading.Thread(target=lambda: found.append(book.find(REPOSITORY, providers.general)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 8
