"""Requests with wsa:ReplyTo and wsa:FaultTo elsewhere: what is said at once, what is kept, what is sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from lxml import etree

from msim_xds.database.engine import Database
from msim_xds.database.queues import State
from msim_xds.delivery.addresses import ReplyHosts
from msim_xds.delivery.queue import Delivery, DeliveryQueue
from msim_xds.delivery_settings import DeliverySettings
from msim_xds.ihe.errors import ERRORS
from msim_xds.ihe.names import RS
from msim_xds.ihe.transactions import TRANSACTIONS, Endpoint, Transaction
from msim_xds.server.front import Front, WsgiApplication
from msim_xds.server.later import Later
from msim_xds.server.pipeline import Pipeline
from msim_xds.server.spyne_app import SoapEndpoint
from msim_xds.settings import DatabaseSettings, Settings
from msim_xds.wire.exchange import Answer, Handler, Request
from tests.support.paths import REGISTRY, REPOSITORY
from tests.test_delivery.conftest import clock
from tests.test_server.conftest import DOCUMENT, Server
from tests.test_server.soap import (
    NS,
    QUERY,
    QUERY_ACTION,
    RETRIEVE,
    RETRIEVE_ACTION,
    SIMPLE,
    SOAP,
    WSA,
    Response,
    envelope,
    mtom,
    post,
)

ANONYMOUS, NONE = f"{WSA}/anonymous", f"{WSA}/none"
HERE, THERE = "http://127.0.0.1:9/answers", "https://his.example.pl/faults"
REGISTER_ACTION = "urn:ihe:iti:2007:RegisterDocumentSet-b"
REGISTER = '<l:SubmitObjectsRequest xmlns:l="urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0"/>'


class Exchange:
    """The front over a queue that nobody empties."""

    def __init__(self, server: Server, database: Database, **delivery: Any) -> None:
        self.server = server
        self.queue = DeliveryQueue(database, DeliverySettings(**delivery), clock)
        self.handlers: dict[str, Handler] = server.handlers()
        self.inline = False

    def app(self) -> WsgiApplication:
        run = Pipeline(self.handlers, 100).run
        hosts = ReplyHosts(["127.0.0.1", "his.example.pl"])
        self.later = Later(run, self.queue, hosts, inline=self.inline)
        endpoints = {endpoint: SoapEndpoint(endpoint, run, self.later) for endpoint in Endpoint}
        return Front(Settings(), endpoints, self.server.stager, dict)

    def ask(self, headers: str = "", action: str = QUERY_ACTION, body: str = QUERY) -> Response:
        return post(self.app(), REGISTRY, envelope(body, action, headers))

    def only(self) -> Delivery:
        """The one row kept."""
        (row,) = self.queue.rows()
        return row

    def sent(self) -> Response:
        """What is sent of the one row kept."""
        claimed = self.queue.claim(())
        assert claimed is not None
        packaged = self.later.compose(claimed)
        body = b"".join(packaged.chunks)
        assert len(body) == packaged.length
        self.queue.postpone(claimed, 0, None)
        return Response(200, {"content-type": packaged.content_type}, body)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('later') / 'queue.db'}", DatabaseSettings())
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def exchange(server: Server, database: Database) -> Exchange:
    exchange = Exchange(server, database)
    exchange.queue.drop([row.id for row in exchange.queue.rows()])
    return exchange


def to(address: str, name: str = "ReplyTo", more: str = "") -> str:
    return f"<a:{name}><a:Address>{address}</a:Address>{more}</a:{name}>"


def accepted(answer: Response) -> None:
    """HTTP 202 without a body."""
    assert (answer.status, answer.body, answer.headers["content-length"]) == (202, b"", "0")
    assert "content-type" not in answer.headers


def payload(answer: Response) -> etree._Element:
    found = answer.xml().find("s:Body/*", NS)
    assert found is not None
    return found


# --- answers -------------------------------------------------------------------------------------


def test_query_waits_and_is_carried_out_when_it_is_sent(exchange: Exchange) -> None:
    accepted(exchange.ask(to(HERE)))
    assert exchange.server.requests == []
    row = exchange.only()
    assert (row.transaction, row.address, row.host, row.deferred) == ("ITI-18", HERE, "127.0.0.1", True)
    assert (row.relates_to, row.state, row.remote_address) == ("urn:uuid:m", State.WAITING, "192.0.2.7")
    answer = exchange.sent()
    assert not answer.is_mtom
    assert payload(answer).tag.endswith("AdhocQueryResponse")
    assert {name: answer.header(name) for name in ("To", "RelatesTo", "Action", "MessageID")} == {
        "To": HERE,
        "RelatesTo": "urn:uuid:m",
        "Action": "urn:ihe:iti:2007:RegistryStoredQueryResponse",
        "MessageID": row.message_id,
    }
    assert row.message_id.startswith("urn:uuid:")
    (request,) = exchange.server.requests
    assert (request.remote_address, request.transaction.name) == ("192.0.2.7", "ITI-18")
    assert exchange.sent().header("MessageID") == row.message_id  # in every attempt
    assert len(exchange.server.requests) == 2  # and fresh in every attempt


def test_retrieve_is_sent_as_mtom_with_its_documents(exchange: Exchange) -> None:
    accepted(post(exchange.app(), REPOSITORY, *mtom_of(envelope(RETRIEVE, RETRIEVE_ACTION, to(HERE)))))
    (_, root), (cid, content) = exchange.sent().parts()
    assert content == DOCUMENT
    assert (cid, b"cid:d1@x" in root) == ("<d1@x>", True)


def mtom_of(root: bytes) -> tuple[bytes, str]:
    content_type, body = mtom(root)
    return body, content_type


@pytest.mark.parametrize(
    ("came_as_mtom", "inline", "sent_as_mtom"),
    [(True, True, True), (True, False, True), (False, False, True), (False, True, False)],
)
def test_form_is_that_of_the_exchange_on_one_connection(
    exchange: Exchange, came_as_mtom: bool, inline: bool, sent_as_mtom: bool
) -> None:
    exchange.inline = inline
    root = envelope(RETRIEVE, RETRIEVE_ACTION, to(HERE))
    body, content_type = mtom_of(root) if came_as_mtom else (root, SIMPLE)
    accepted(post(exchange.app(), REPOSITORY, body, content_type))
    assert exchange.sent().is_mtom is sent_as_mtom


def test_submission_is_carried_out_at_once(exchange: Exchange) -> None:
    accepted(exchange.ask(to(HERE), REGISTER_ACTION, REGISTER))
    assert len(exchange.server.requests) == 1
    row = exchange.only()
    assert (row.transaction, row.deferred, row.state) == ("ITI-42", False, State.WAITING)
    answer = exchange.sent()
    assert len(exchange.server.requests) == 1
    assert payload(answer).get("status", "").endswith(":Success")
    assert (answer.header("To"), answer.header("RelatesTo")) == (HERE, "urn:uuid:m")
    assert answer.header("MessageID") == row.message_id


CHANGES = [row for row in TRANSACTIONS if not row.reads]


@pytest.mark.parametrize("row", CHANGES, ids=lambda row: row.name)
def test_crash_while_it_is_carried_out_is_told(
    exchange: Exchange, database: Database, row: Transaction
) -> None:
    """Before anything is carried out there is a row that says that the outcome is unknown."""

    class Killed(BaseException):
        pass

    kept: list[Delivery] = []

    def die(request: Request) -> Answer:
        kept.extend(exchange.queue.rows())
        raise Killed

    exchange = Exchange(exchange.server, database, lease_s=0.3)
    exchange.handlers[row.name] = die
    element = etree.QName(row.body)
    body = f'<x:{element.localname} xmlns:x="{element.namespace}"/>'
    with pytest.raises(Killed):
        post(exchange.app(), row.endpoint, envelope(body, row.action, to(HERE)))
    assert [each.state for each in kept] == [State.OPEN]
    row_id = exchange.only().message_id
    time.sleep(0.35)  # the lease of a process that is no more
    answer = exchange.sent()
    assert b"not known; send the same message again" in answer.root
    for error in payload(answer).iter(f"{{{RS}}}RegistryError"):
        code = error.get("errorCode", "")
        assert code.endswith("Busy")
        assert row.name in ERRORS[code].transactions
    assert payload(answer).tag == row.answer.value
    assert (answer.header("RelatesTo"), answer.header("To")) == ("urn:uuid:m", HERE)
    assert answer.header("MessageID") == row_id
    assert answer.is_mtom is row.mtom


@pytest.mark.parametrize("error", [TimeoutError(), OSError()])
def test_answer_that_cannot_be_kept(
    exchange: Exchange, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was carried out: what the sender gets is the unknown outcome, and the retry is harmless."""

    def fail(key: int, payload: bytes) -> bool:
        raise error

    monkeypatch.setattr(exchange.queue, "complete", fail)
    accepted(exchange.ask(to(HERE), REGISTER_ACTION, REGISTER))
    assert exchange.only().state is State.OPEN


def test_refused_submission_is_answered_later_too(exchange: Exchange) -> None:
    def busy(request: Request) -> Answer:
        raise TimeoutError

    exchange.handlers["ITI-42"] = busy
    accepted(exchange.ask(to(HERE), REGISTER_ACTION, REGISTER))
    assert b"XDSRegistryBusy" in exchange.sent().body


# --- what keeps a request out --------------------------------------------------------------------


@pytest.mark.parametrize(("action", "body"), [(QUERY_ACTION, QUERY), (REGISTER_ACTION, REGISTER)])
def test_full_queue(server: Server, exchange: Exchange, database: Database, action: str, body: str) -> None:
    small = Exchange(server, database, queue=1)
    accepted(small.ask(to(HERE)))
    answer = small.ask(to(HERE), action, body)
    assert answer.status == 500
    code, subcode, reason = answer.fault()
    assert (code, subcode) == (f"{{{SOAP}}}Receiver", f"{{{WSA}}}EndpointUnavailable")
    assert reason.startswith("too many answers wait for delivery; nothing was carried out")
    assert answer.header("RelatesTo") == "urn:uuid:m"
    assert answer.xml().findtext(".//a:RetryAfter", namespaces=NS) == "60000"
    assert server.requests == []
    assert small.ask().status == 200  # on its own connection everything goes on
    assert small.ask(to(HERE), "urn:unknown").fault()[1] == f"{{{WSA}}}ActionNotSupported"


def test_database_out_of_reach(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(new: object) -> int:
        raise TimeoutError

    monkeypatch.setattr(exchange.queue, "open", fail)
    answer = exchange.ask(to(HERE), REGISTER_ACTION, REGISTER)
    assert answer.fault()[2].startswith("the queue of answers is out of reach; nothing was carried out")
    assert exchange.server.requests == []


@pytest.mark.parametrize("name", ["ReplyTo", "FaultTo"])
@pytest.mark.parametrize(
    "address", ["http://127.0.0.2/", "http://user@127.0.0.1/", "ftp://127.0.0.1/", "", "urn:x"]
)
def test_address_that_is_not_allowed(exchange: Exchange, name: str, address: str) -> None:
    answer = exchange.ask(to(address, name), REGISTER_ACTION, REGISTER)
    code, subcode, reason = answer.fault()
    assert (answer.status, code, subcode) == (400, f"{{{SOAP}}}Sender", f"{{{WSA}}}InvalidAddressingHeader")
    assert reason.startswith(f"wsa:{name} is {address!r}: ")
    assert exchange.server.requests == []
    assert exchange.queue.rows() == []


def test_message_id_is_needed(exchange: Exchange) -> None:
    request = envelope(REGISTER, REGISTER_ACTION, to(HERE)).replace(b"MessageID", b"Other")
    _, subcode, reason = post(exchange.app(), REGISTRY, request).fault()
    assert subcode == f"{{{WSA}}}MessageAddressingHeaderRequired"
    assert "wsa:MessageID is missing" in reason
    assert exchange.server.requests == []


def test_without_hosts_only_anonymous_is_supported(server: Server) -> None:
    for address in (HERE, NONE):
        answer = post(server.build(), REGISTRY, envelope(headers=to(address)))
        subcodes = answer.xml().findall(".//s:Subcode/s:Value", NS)
        assert [(value.text or "").partition(":")[2] for value in subcodes] == [
            "InvalidAddressingHeader",
            "OnlyAnonymousAddressSupported",
        ]
    assert server.requests == []


# --- anonymous, none, faults ---------------------------------------------------------------------


@pytest.mark.parametrize("headers", ["", to(ANONYMOUS), to(ANONYMOUS) + to(ANONYMOUS, "FaultTo")])
def test_anonymous_is_answered_on_its_connection(exchange: Exchange, headers: str) -> None:
    answer = exchange.ask(headers)
    assert (answer.status, answer.header("To")) == (200, ANONYMOUS)
    assert exchange.queue.rows() == []


@pytest.mark.parametrize("action", [QUERY_ACTION, REGISTER_ACTION])
def test_none_is_carried_out_and_not_answered(exchange: Exchange, action: str) -> None:
    request = envelope(QUERY if action == QUERY_ACTION else REGISTER, action, to(NONE))
    accepted(post(exchange.app(), REGISTRY, request.replace(b"MessageID", b"Other")))
    assert len(exchange.server.requests) == 1
    assert exchange.queue.rows() == []


def test_fault_is_sent_to_reply_to(exchange: Exchange) -> None:
    accepted(exchange.ask(to(HERE), "urn:unknown"))
    row = exchange.only()
    assert (row.transaction, row.address, row.action) == ("", HERE, f"{WSA}/fault")
    answer = exchange.sent()
    assert answer.fault()[1] == f"{{{WSA}}}ActionNotSupported"
    assert (answer.header("To"), answer.header("RelatesTo")) == (HERE, "urn:uuid:m")
    assert answer.header("MessageID") == row.message_id


@pytest.mark.parametrize("reply_to", [ANONYMOUS, HERE, NONE])
def test_fault_to_goes_first(exchange: Exchange, reply_to: str) -> None:
    accepted(exchange.ask(to(reply_to) + to(THERE, "FaultTo"), body=REGISTER))  # not what the action says
    row = exchange.only()
    assert (row.address, row.host) == (THERE, "his.example.pl")
    assert exchange.sent().fault()[2].startswith("soap:Body holds")


@pytest.mark.parametrize("reply_to", [ANONYMOUS, HERE])
def test_fault_to_is_not_for_answers(exchange: Exchange, reply_to: str) -> None:
    answer = exchange.ask(to(reply_to) + to(THERE, "FaultTo"))
    assert answer.status == (200 if reply_to == ANONYMOUS else 202)
    assert [row.address for row in exchange.queue.rows()] == ([] if reply_to == ANONYMOUS else [HERE])


def test_anonymous_fault_to_means_the_connection(exchange: Exchange) -> None:
    answer = exchange.ask(to(HERE) + to(ANONYMOUS, "FaultTo"), "urn:unknown")
    assert answer.fault()[1] == f"{{{WSA}}}ActionNotSupported"
    assert exchange.queue.rows() == []


@pytest.mark.parametrize("headers", [to(NONE), to(HERE) + to(NONE, "FaultTo")])
def test_faults_for_none_are_thrown_away(exchange: Exchange, headers: str) -> None:
    accepted(exchange.ask(headers, "urn:unknown"))
    assert exchange.queue.rows() == []


@pytest.mark.parametrize(
    "damage", [lambda text: text.replace(b"</a:Action>", b""), lambda text: text.replace(b"s:Body", b"s:Bod")]
)
def test_message_that_cannot_be_read_is_refused_on_its_connection(
    exchange: Exchange, damage: Callable[[bytes], bytes]
) -> None:
    answer = post(exchange.app(), REGISTRY, damage(envelope(headers=to(HERE))))
    assert answer.fault()[0] == f"{{{SOAP}}}Sender"
    assert exchange.queue.rows() == []


def test_reference_parameters_come_back_as_headers(exchange: Exchange) -> None:
    parameters = (
        '<a:ReferenceParameters><n:Case xmlns:n="urn:n" a="&lt;">7 &amp; ą</n:Case><!-- c --><Plain/>'
        "</a:ReferenceParameters>"
    )
    for action, body in ((QUERY_ACTION, QUERY), (REGISTER_ACTION, REGISTER), ("urn:unknown", QUERY)):
        accepted(exchange.ask(to(HERE, more=parameters), action, body))
        header = exchange.sent().xml().find("s:Header", NS)
        assert header is not None
        case = header.find("{urn:n}Case")
        assert case is not None
        assert (case.text, case.get("a")) == ("7 & ą", "<")
        flags = [block.get(f"{{{WSA}}}IsReferenceParameter") for block in header]
        assert flags.count("true") == 2
        exchange.queue.drop([exchange.only().id])


@pytest.mark.parametrize(
    ("inner", "problem"),
    [
        ("<a:Action>urn:forged</a:Action>", "among its wsa:ReferenceParameters"),
        ("<s:Header/>", "among its wsa:ReferenceParameters"),
        (f"<n>{'x' * 8192}</n>", "over 8192 characters"),
    ],
)
def test_reference_parameters_have_bounds(exchange: Exchange, inner: str, problem: str) -> None:
    headers = to(HERE, more=f"<a:ReferenceParameters>{inner}</a:ReferenceParameters>")
    assert problem in exchange.ask(headers).fault()[2]
    assert exchange.queue.rows() == []


def test_transaction_of_another_version_has_no_answer(exchange: Exchange) -> None:
    accepted(exchange.ask(to(HERE)))
    claimed = exchange.queue.claim(())
    assert claimed is not None
    with pytest.raises(KeyError):
        exchange.later.compose(replace(claimed, transaction="ITI-0"))
