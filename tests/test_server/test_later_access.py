"""Answers sent to wsa:ReplyTo show what their sender may see, when they are sent: over real deliveries."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

from msim_xds.app import now
from msim_xds.database.queues import State
from msim_xds.delivery.addresses import ReplyHosts
from msim_xds.delivery.worker import DeliveryWorker
from msim_xds.ihe.transactions import Endpoint
from msim_xds.registry import consents, emergencies, patients
from msim_xds.registry.consents import Said
from msim_xds.security.access.document import Consent
from msim_xds.security.systems.door import Door
from msim_xds.security.systems.table import NO_LIMITS
from msim_xds.security.xua.setup import guards
from msim_xds.server.front import Front, WsgiApplication
from msim_xds.server.later import Later
from msim_xds.server.spyne_app import SoapEndpoint
from msim_xds.wire.exchange import Caller
from tests.conformance.node import Outcome
from tests.support import saml
from tests.support.paths import REGISTRY
from tests.support.paths import REPOSITORY as REPOSITORY_PATH
from tests.support.receiver import Receiver
from tests.support.tls import Site
from tests.test_server.asking_later import accepted, to
from tests.test_server.exchange_world import (
    BOOK_A,
    BOOK_B,
    NURSE_A,
    NURSE_B,
    Sent,
    World,
    emergency,
    fetch,
    get_all,
    institution,
    world,
)
from tests.test_server.soap import QUERY_ACTION, RETRIEVE_ACTION, envelope, post

HEADER: Final = "X-SSL-Client-Cert"
HOSPITALS: Final = {"a": BOOK_A, "b": BOOK_B}
REASON: Final = "urn:msim:access:reason"


def assertion(who: Caller) -> str:
    """The header with what a Security Token Service says of a user."""
    said = [
        saml.attribute(f"{saml.XSPA}organization-id", who.organization_id.replace("&", "&amp;")),
        *(saml.attribute(saml.ROLE, saml.coded("Role", code)) for code, *_ in who.roles),
        *(saml.attribute(saml.PURPOSE, saml.coded("PurposeOfUse", code)) for code, *_ in who.purposes),
    ]
    if who.reason:
        said.append(saml.attribute(REASON, who.reason))
    return saml.security(saml.current(attributes=saml.statement(*said)))


@dataclass
class Exchange:
    """A node behind its door, with systems of both hospitals, and where its answers are sent."""

    world: World
    front: WsgiApplication
    worker: DeliveryWorker
    receiver: Receiver
    certificates: Mapping[str, str]

    def send(self, action: str, payload: bytes, system: str, who: Caller | None) -> None:
        """A request whose answer is wanted elsewhere."""
        headers = to(self.receiver.url) + ("" if who is None else assertion(who))
        path = REGISTRY if action == QUERY_ACTION else REPOSITORY_PATH
        environ = {f"HTTP_{HEADER.upper().replace('-', '_')}": self.certificates[system]}
        accepted(post(self.front, path, envelope(payload.decode(), action, headers), environ=environ))

    def delivered(self) -> Outcome:
        """The answer that comes for the one request sent."""
        self.worker.start()
        (received,) = self.receiver.wait()
        self.worker.stop()
        return Outcome(received.message, received.message.xml())

    def query(self, patient: str, system: str, who: Caller | None) -> Outcome:
        self.send(QUERY_ACTION, get_all(patient), system, who)
        return self.delivered()

    def retrieve(self, *unique_ids: str, system: str, who: Caller | None) -> Outcome:
        self.send(RETRIEVE_ACTION, fetch(*unique_ids), system, who)
        return self.delivered()


@pytest.fixture(scope="module")
def opened(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(module_database_url, tmp_path_factory.mktemp("node")) as ready:
        yield ready


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("site"))
    for name in HOSPITALS:
        site.issue(name)
    return site


@pytest.fixture
def table(site: Site, tmp_path: Path) -> Path:
    path = tmp_path / "systems.toml"
    path.write_text("".join(row(site, name) for name in HOSPITALS))
    return path


def row(site: Site, name: str) -> str:
    return (
        f'[systems.{name}]\nkind = "hospital"\ninstitutions = ["{institution(HOSPITALS[name])}"]\n'
        f'certificates = [{{ sha256 = "{site.identities[name].fingerprint}" }}]\n'
    )


@pytest.fixture
def exchange(opened: World, site: Site, table: Path, tmp_path: Path) -> Iterator[Exchange]:
    (tmp_path / "sts.pem").write_bytes(saml.sts().pem)
    proof = {"issuers": {saml.ISSUER: [tmp_path / "sts.pem"]}, "audiences": [saml.AUDIENCE]}
    settings = opened.node.settings.model_validate(
        {
            **opened.node.settings.model_dump(),
            "xua": {**proof, "registry": "optional", "repository": "optional"},
            "server": {"uds": tmp_path / "http.sock"},
            "tls": {"client_certificate_header": HEADER},
            "delivery": {"reply_hosts": ["127.0.0.1"], "first_pause_s": 60},
        }
    )
    checks = guards(settings.xua, tmp_path, now)
    door = Door(table, NO_LIMITS, lambda: float(table.stat().st_mtime_ns))  # looks whenever it has changed
    hosts = ReplyHosts(settings.delivery.reply_hosts)
    run, queue = opened.pipeline.run, opened.node.deliveries
    queue.drop([each.id for each in queue.rows()])
    later = Later(run, queue, hosts, inline=False, guards=checks, door=door)
    endpoints = {each: SoapEndpoint(each, run, later, checks.get(each)) for each in Endpoint}
    front = Front(settings, endpoints, opened.node.store, dict, door)
    shown = {name: quote(site.identities[name].certificate_pem.decode()) for name in HOSPITALS}
    with Receiver() as receiver:
        worker = DeliveryWorker(queue, hosts, later.compose, settings.delivery)
        yield Exchange(opened, front, worker, receiver, shown)
        worker.stop()


@pytest.fixture
def sent(opened: World) -> Sent:
    return opened.fill(f"{uuid.uuid4().int}^^^&1.2.3&ISO")


def test_the_owner_is_sent_everything(exchange: Exchange, sent: Sent) -> None:
    assert exchange.world.hidden(sent) <= set(exchange.query(sent.patient, "b", NURSE_B).ids)


def test_a_query_shows_nothing_that_is_hidden(exchange: Exchange, sent: Sent) -> None:
    found = set(exchange.query(sent.patient, "a", NURSE_A).ids)
    assert sent.uuids["open"] in found
    assert found.isdisjoint(exchange.world.hidden(sent))


def test_a_document_that_is_hidden_is_not_sent(exchange: Exchange, sent: Sent) -> None:
    outcome = exchange.retrieve(sent.open, sent.restricted, system="a", who=NURSE_A)
    assert outcome.short == ("PartialSuccess", "XDSDocumentUniqueIdError")
    assert list(outcome.documents) == [sent.open]


def test_the_owner_is_sent_the_document(exchange: Exchange, sent: Sent) -> None:
    outcome = exchange.retrieve(sent.restricted, system="b", who=None)  # its system stands for it
    assert outcome.documents[sent.restricted][1] == b"hello"


@pytest.mark.parametrize("who", [NURSE_B, None], ids=["user of the other hospital", "nobody"])
def test_the_system_counts_when_the_answer_is_sent(
    exchange: Exchange, sent: Sent, who: Caller | None
) -> None:
    """A user of B through A's system owns nothing, as on one connection."""
    outcome = exchange.retrieve(sent.restricted, system="a", who=who)
    assert outcome.short == ("Failure", "XDSDocumentUniqueIdError")


def test_a_refusal_in_between_counts(exchange: Exchange, sent: Sent) -> None:
    exchange.send(QUERY_ACTION, get_all(sent.patient), "a", NURSE_A)
    with exchange.world.node.database.write() as connection:
        found = patients.find(connection, sent.patient)
        assert found is not None
        consents.record(connection, found.id, Consent(False), Said("a test", "2026-09-14", "asked for"))
    assert exchange.delivered().ids == []


def test_who_is_registered_no_longer_is_sent_nothing(
    exchange: Exchange, sent: Sent, site: Site, table: Path
) -> None:
    exchange.send(RETRIEVE_ACTION, fetch(sent.open), "a", NURSE_A)
    table.write_text(row(site, "b"))
    queue = exchange.world.node.deliveries
    exchange.worker.start()
    deadline = time.monotonic() + 30
    while queue.rows()[0].last_error is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    exchange.worker.stop()
    (waiting,) = queue.rows()
    assert (waiting.state, exchange.receiver.received) == (State.WAITING, [])


def test_an_emergency_is_recorded_before_its_answer_is_sent(exchange: Exchange, sent: Sent) -> None:
    outcome = exchange.retrieve(sent.restricted, system="a", who=emergency("bleeding"))
    assert outcome.documents[sent.restricted][1] == b"hello"
    with exchange.world.node.database.read() as connection:
        recorded = emergencies.listed(connection, all_of_them=False)
    (found,) = [each.emergency for each in recorded if each.emergency.patient == sent.patient]
    assert (found.reason, found.system, found.documents) == ("bleeding", "a", 1)
