"""Requests whose answers go elsewhere: what is kept, what is sent, and what keeps a request out."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from lxml import etree

from msim_xds.database.engine import Database
from msim_xds.database.queues import State
from msim_xds.delivery.queue import Delivery
from msim_xds.ihe.errors import ERRORS
from msim_xds.ihe.names import RS
from msim_xds.ihe.transactions import TRANSACTIONS, Transaction
from msim_xds.wire.exchange import Answer, Request
from tests.support.paths import REPOSITORY
from tests.test_server.asking_later import (
    HERE,
    REGISTER,
    REGISTER_ACTION,
    Exchange,
    accepted,
    payload,
    to,
)
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
    envelope,
    mtom,
    post,
)

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
    exchange: Exchange, queue_database: Database, row: Transaction
) -> None:
    """Before anything is carried out there is a row that says that the outcome is unknown."""

    class Killed(BaseException):
        pass

    kept: list[Delivery] = []

    def die(request: Request) -> Answer:
        kept.extend(exchange.queue.rows())
        raise Killed

    exchange = Exchange(exchange.server, queue_database, lease_s=0.3)
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


def test_transaction_of_another_version_has_no_answer(exchange: Exchange) -> None:
    accepted(exchange.ask(to(HERE)))
    claimed = exchange.queue.claim(())
    assert claimed is not None
    with pytest.raises(KeyError):
        exchange.later.compose(replace(claimed, transaction="ITI-0"))


# --- what keeps a request out --------------------------------------------------------------------


@pytest.mark.parametrize(("action", "body"), [(QUERY_ACTION, QUERY), (REGISTER_ACTION, REGISTER)])
def test_full_queue(
    server: Server, exchange: Exchange, queue_database: Database, action: str, body: str
) -> None:
    small = Exchange(server, queue_database, queue=1)
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
