"""wsa:ReplyTo and wsa:FaultTo: which addresses are taken, what goes where, and what they carry."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.paths import REGISTRY
from tests.test_server.asking_later import (
    ANONYMOUS,
    HERE,
    NONE,
    REGISTER,
    REGISTER_ACTION,
    THERE,
    Exchange,
    accepted,
    to,
)
from tests.test_server.conftest import Server
from tests.test_server.soap import (
    NS,
    QUERY,
    QUERY_ACTION,
    SOAP,
    WSA,
    envelope,
    post,
)


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
