"""A region that takes nobody without an assertion: processes, HTTP, P1, answers that are sent elsewhere."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from msim_xds.gateway_settings import GatewaySettings
from msim_xds.ihe.transactions import Endpoint
from msim_xds.p1_settings import P1Settings
from msim_xds.testing.p1 import Double, start
from msim_xds.testing.p1.server import REPOSITORY as P1_REPOSITORY
from msim_xds.testing.p1.server import SOURCE
from tests.support import metadata, queries, saml
from tests.support.atna import Read, trail
from tests.support.metadata import XDS
from tests.support.paths import REPOSITORY
from tests.support.receiver import Receiver
from tests.support.server import ServerProcess, provide_message
from tests.test_federation.test_p1.world import put_at_provider
from tests.test_gateway.conftest import HOME, CommunityNode
from tests.test_gateway.misbehaving import CONTENT, RELATED, THEIRS, UID, cut, send, whole
from tests.test_gateway.misbehaving import delivered as answered
from tests.test_gateway.test_initiating import homes
from tests.test_gateway.test_responding import PARTIAL, SUCCESS, errors, status
from tests.test_gateway.world import Faulty, neighbour, partner_toml
from tests.test_repository.messages import retrieve, wanted
from tests.test_server.asking_later import accepted, to
from tests.test_server.soap import QUERY_ACTION, RETRIEVE_ACTION, Response, envelope

#: What their partner files say of the caller's assertion; all of them refuse requests without one.
DEMANDS = {"urn:oid:1.2.616.2": "pass", "urn:oid:1.2.616.3": "require", "urn:oid:1.2.616.4": "never"}
NORTH, SOUTH, WEST = DEMANDS
P1_HOME = "urn:oid:1.2.616.5"
USER = f"lz<lucja.zolcinska@{saml.ISSUER}>"
WORKER = saml.statement(
    saml.attribute("urn:oasis:names:tc:SAML:attribute:subject-id", "2.16.840.1.113883.3.4424.1.6.2#2999999"),
    saml.attribute(saml.PURPOSE, saml.coded("PurposeOfUse", "TREATMENT")),
)
UNAVAILABLE = "XDSUnavailableCommunity"
NO_TOKEN = "SOAP fault Sender/SecurityTokenUnavailable"


@dataclass
class Region:
    """This community as a process of its own, its neighbours, and where its answers can be sent."""

    here: ServerProcess
    neighbours: dict[str, CommunityNode]
    double: Double
    receiver: Receiver
    documents: dict[str, str]

    def query(self, *headers: str) -> Response:
        return self._ask("RegistryStoredQuery", queries.find_documents(), headers)

    def fetch(self, *headers: str) -> Response:
        return self._ask("RetrieveDocumentSet", retrieve(*map(self._wanted, self.documents)), headers)

    def sent(self, later: Response) -> Response:
        """The answer that comes to the receiver for a request that was answered so."""
        accepted(later)
        (received,) = self.receiver.wait()
        self.receiver.received.clear()
        return received.message

    def records(self, home: str, transaction: str) -> list[Read]:
        """What a neighbour has recorded of a transaction."""
        everything = trail(self.neighbours[home].node.database)
        return [each for each in everything if each.short[1] == transaction]

    def _wanted(self, home: str) -> str:
        repository = P1_REPOSITORY if home == P1_HOME else metadata.REPOSITORY
        return wanted(repository, self.documents[home], home)

    def _ask(self, action: str, payload: bytes, headers: Sequence[str]) -> Response:
        body = envelope(payload.decode(), f"urn:ihe:iti:2007:{action}", "".join(headers))
        return self.here.request("POST", str(Endpoint.INITIATING_GATEWAY), body)


def content(home: str) -> bytes:
    return f"<a>{home}</a>".encode() * 9


@contextmanager
def opened(folder: Path) -> Iterator[Region]:
    (folder / "sts.pem").write_bytes(saml.sts().pem)
    proof = {"issuers": {saml.ISSUER: [str(folder / "sts.pem")]}, "audiences": [saml.AUDIENCE]}
    nodes: dict[str, CommunityNode] = {}
    partners = ""
    with ExitStack() as stack:
        for home, demand in DEMANDS.items():
            sections = {"audit": {"enabled": True}, "xua": {**proof, "responding_gateway": "required"}}
            nodes[home], url = stack.enter_context(neighbour(folder / demand, home, **sections))
            partners += partner_toml(demand, home, url, f'assertion = "{demand}"')
        (folder / "partners.toml").write_text(partners)
        (folder / "p1").mkdir()
        double = stack.enter_context(start(folder / "p1"))
        receiver = stack.enter_context(Receiver())
        p1 = double.section(home_community_id=P1_HOME)
        p1["providers"] = {SOURCE: {**p1["providers"][SOURCE], "publish": False}}  # it stays ours alone
        here = stack.enter_context(
            process(
                folder,
                registry={"home_community_id": HOME},
                gateway={"partners": str(folder / "partners.toml")},
                xua={**proof, "initiating_gateway": "optional"},
                delivery={"reply_hosts": [receiver.host]},
                p1=p1,
            )
        )
        documents = {home: node.publish(content(home)) for home, node in nodes.items()}
        documents[P1_HOME] = put_at_provider(double, metadata.PATIENT, content(P1_HOME))
        documents[HOME] = publish(here, content(HOME))
        yield Region(here, nodes, double, receiver, documents)


def process(folder: Path, **sections: Any) -> ServerProcess:
    """This community, with these sections of its settings."""
    environment = {f"MSIM_{name.upper()}": json.dumps(section) for name, section in sections.items()}
    return ServerProcess(folder, f"sqlite:///{folder / 'here.db'}", environment=environment)


def publish(here: ServerProcess, octets: bytes) -> str:
    """A document in this community; returns its uniqueId."""
    unique_id = metadata.new_oid()
    submission = metadata.single_document(content=octets, unique_id=unique_id)
    content_type, body = provide_message(submission, {"Document01": octets})
    assert status(here.request("POST", REPOSITORY, body, content_type)) == SUCCESS
    return unique_id


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with opened(tmp_path_factory.mktemp("region")) as running:
        yield running


def proof() -> str:
    """A header with an assertion of a worker whom P1 knows, too."""
    return saml.security(saml.current(attributes=WORKER))


def told(answer: Response) -> dict[str, str]:
    """codeContext of each community that is unavailable, by its name."""
    found = [context for code, context, _ in errors(answer) if code == UNAVAILABLE]
    assert len(found) == len(errors(answer))
    return {context.partition("community ")[2].partition(" ")[0]: context for context in found}


def documents(answer: Response) -> dict[str, bytes]:
    """The documents by their home, in the order in which they are announced."""
    responses = answer.xml().iter(f"{{{XDS}}}DocumentResponse")
    order = [each.findtext(f"{{{XDS}}}HomeCommunityId") or "" for each in responses]
    return dict(zip(order, (octets for _, octets in answer.parts()[1:]), strict=True))


def test_a_query_goes_on_with_the_callers_assertion(region: Region) -> None:
    region.double.calls.clear()
    answer = region.query(proof())
    assert status(answer) == PARTIAL
    assert homes(answer) == sorted([HOME, NORTH, SOUTH, P1_HOME])
    (told_of,) = told(answer).items()
    assert told_of[0] == "never"
    assert NO_TOKEN in told_of[1]
    for home in (NORTH, SOUTH):
        record = region.records(home, "ITI-38")[-1]
        assert USER in {each.get("UserName") for each in record.participants}
    p1 = P1Settings()
    assert region.double.calls == [p1.token, p1.iti18]  # one of its own, issued for the caller's


def test_a_retrieval_goes_on_with_it(region: Region) -> None:
    answer = region.fetch(proof())
    assert status(answer) == PARTIAL
    assert documents(answer) == {home: content(home) for home in (HOME, NORTH, SOUTH, P1_HOME)}
    assert list(told(answer)) == ["never"]
    for home in (NORTH, SOUTH):
        record = region.records(home, "ITI-39")[-1]
        assert USER in {each.get("UserName") for each in record.participants}


@pytest.mark.parametrize("kind", ["query", "fetch"])
def test_without_one_each_says_so_and_hides_nothing(region: Region, kind: str) -> None:
    before = {home: len(region.records(home, "ITI-38") + region.records(home, "ITI-39")) for home in DEMANDS}
    answer = getattr(region, kind)()
    assert status(answer) == PARTIAL
    if kind == "query":
        assert homes(answer) == [HOME]
    else:
        assert documents(answer) == {HOME: content(HOME)}
    said = told(answer)
    assert said.keys() == {"pass", "require", "never", "P1"}
    assert "it wants the caller's assertion, and none came" in said["require"]
    assert "P1 is asked only for a worker whom an assertion names" in said["P1"]
    assert NO_TOKEN in said["pass"]
    assert NO_TOKEN in said["never"]
    after = {home: len(region.records(home, "ITI-38") + region.records(home, "ITI-39")) for home in DEMANDS}
    assert after == before  # nothing was carried out


def test_callers_without_one_keep_nobody_else_out(region: Region) -> None:
    for _ in range(GatewaySettings().breaker_failures):
        assert "require" in told(region.query())
    assert homes(region.query(proof())) == sorted([HOME, NORTH, SOUTH, P1_HOME])


def test_one_that_nobody_here_trusts_goes_nowhere(region: Region) -> None:
    forged = saml.sign(saml.draft(), saml.Signing(by=saml.stranger()))
    answer = region.query(saml.security(forged))
    assert answer.status == 400
    assert answer.fault()[0].endswith("}Sender")


def test_a_query_is_answered_elsewhere(region: Region) -> None:
    reply_to = to(
        region.receiver.url,
        more="<a:ReferenceParameters><x:k xmlns:x='urn:x'>7</x:k></a:ReferenceParameters>",
    )
    answer = region.sent(region.query(proof(), reply_to))
    assert status(answer) == PARTIAL
    assert homes(answer) == sorted([HOME, NORTH, SOUTH, P1_HOME])
    assert list(told(answer)) == ["never"]
    assert answer.header("RelatesTo") == "urn:uuid:m"
    assert answer.header("To") == region.receiver.url
    assert answer.header("Action") == "urn:ihe:iti:2007:RegistryStoredQueryResponse"
    assert answer.xml().findtext(".//{urn:x}k") == "7"


def test_documents_are_sent_elsewhere(region: Region) -> None:
    answer = region.sent(region.fetch(proof(), to(region.receiver.url)))
    assert status(answer) == PARTIAL
    assert documents(answer) == {home: content(home) for home in (HOME, NORTH, SOUTH, P1_HOME)}
    assert list(told(answer)) == ["never"]
    assert answer.header("RelatesTo") == "urn:uuid:m"
    assert answer.header("Action") == "urn:ihe:iti:2007:RetrieveDocumentSetResponse"
    assert answer.headers["content-length"] == str(len(answer.body))


def test_a_refused_caller_learns_it_at_once(region: Region) -> None:
    forged = saml.sign(saml.draft(), saml.Signing(by=saml.stranger()))
    answer = region.query(saml.security(forged), to(region.receiver.url))
    assert answer.status == 400
    assert region.receiver.received == []


def test_an_assertion_that_has_ended_when_the_answer_is_made_is_refused_there(tmp_path: Path) -> None:
    (tmp_path / "sts.pem").write_bytes(saml.sts().pem)
    trusted = {"issuers": {saml.ISSUER: [str(tmp_path / "sts.pem")]}, "audiences": [saml.AUDIENCE]}
    exact = {"xua": {**trusted, "responding_gateway": "required", "skew_s": 0}}
    with neighbour(tmp_path / "there", NORTH, **exact) as (there, url), Receiver([503, 202]) as receiver:
        there.publish(content(NORTH))
        (tmp_path / "partners.toml").write_text(partner_toml("there", NORTH, url))
        with process(
            tmp_path,
            registry={"home_community_id": HOME},
            gateway={"partners": str(tmp_path / "partners.toml")},
            xua={**trusted, "initiating_gateway": "required"},
            delivery={"reply_hosts": [receiver.host], "first_pause_s": 8.0},  # at least half of that
        ) as here:
            publish(here, content(HOME))
            short = saml.security(saml.current(timedelta(seconds=3)))
            asking = envelope(queries.find_documents().decode(), QUERY_ACTION, short + to(receiver.url))
            accepted(here.request("POST", str(Endpoint.INITIATING_GATEWAY), asking))
            first, second = (received.message for received in receiver.wait(2))
    assert (status(first), homes(first)) == (SUCCESS, sorted([HOME, NORTH]))
    assert (status(second), homes(second)) == (PARTIAL, [HOME])
    assert "SOAP fault Sender/MessageExpired" in told(second)["there"]


# --- a document that breaks off on its way elsewhere -------------------------------------------------


def test_a_document_that_breaks_off_is_fetched_again(tmp_path: Path) -> None:
    behaviours = [cut, send(whole(answered(CONTENT), RELATED))]

    def behave(connection: socket.socket) -> None:
        behaviours.pop(0)(connection)

    with Faulty(behave) as partner, Receiver() as receiver:
        (tmp_path / "partners.toml").write_text(partner_toml("p", THEIRS, partner.url))
        with process(
            tmp_path,
            registry={"home_community_id": HOME},
            gateway={"partners": str(tmp_path / "partners.toml")},
            delivery={"reply_hosts": [receiver.host], "first_pause_s": 0.1},
        ) as here:
            asking = retrieve(wanted("1.9", UID, THEIRS)).decode()
            message = envelope(asking, RETRIEVE_ACTION, to(receiver.url))
            accepted(here.request("POST", str(Endpoint.INITIATING_GATEWAY), message))
            broken, answer = (received.message for received in receiver.wait(2))
            log = here.log
    assert len(broken.body) < int(broken.headers["content-length"])
    assert status(answer) == SUCCESS
    assert documents(answer) == {THEIRS: CONTENT}
    assert len(answer.body) == int(answer.headers["content-length"])
    assert "not delivered" in log
    assert "Traceback" not in log  # it is the partner's failure, not ours
