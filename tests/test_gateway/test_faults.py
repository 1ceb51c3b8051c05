"""What a partner may do wrong, and that it costs its own part of the answer and no more than its deadline."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from msim_xds.federation.answers import RemoteUnavailable
from msim_xds.ihe.transactions import Endpoint
from tests.support import metadata, queries
from tests.support.metadata import RIM, XDS
from tests.test_delivery import certificates
from tests.test_gateway.conftest import HOME, CommunityNode
from tests.test_gateway.test_responding import FAILURE, PARTIAL, RS, SUCCESS, errors, status
from tests.test_gateway.world import Faulty, gateway, partner_toml, whole_request
from tests.test_repository.messages import retrieve, wanted
from tests.test_server.soap import SOAP, WSA, Response

THEIRS = "urn:oid:1.2.616.66"
DEADLINE_S = 1.0
LATE_S = DEADLINE_S + 0.4
SOAP_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml\r\n"
UID = "1.2.3"


def whole(body: bytes, content_type: str = "application/soap+xml", code: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {code}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def soap(payload: str, action: str = "urn:ihe:iti:2007:CrossGatewayQueryResponse") -> bytes:
    return (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:a="{WSA}"><s:Header><a:Action s:mustUnderstand="1">{action}'
        f"</a:Action></s:Header><s:Body>{payload}</s:Body></s:Envelope>"
    ).encode()


def found(objects: str, state: str = SUCCESS, problems: str = "") -> bytes:
    return soap(
        f'<q:AdhocQueryResponse xmlns:q="{queries.QUERY}" xmlns:rim="{RIM}" xmlns:rs="{RS}" status="{state}">'
        f"{problems}<rim:RegistryObjectList>{objects}</rim:RegistryObjectList></q:AdhocQueryResponse>"
    )


def send(*pieces: bytes) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)

    return behave


def hang(connection: socket.socket) -> None:
    connection.recv(1)


def endless(connection: socket.socket) -> None:
    connection.sendall(SOAP_HEAD + b"\r\n" + soap(""))
    while True:
        connection.sendall(b" " * 65536)


def drip(connection: socket.socket) -> None:
    for octet in SOAP_HEAD * 100:
        connection.sendall(bytes([octet]))
        time.sleep(0.05)


def drip_body(connection: socket.socket) -> None:
    connection.sendall(SOAP_HEAD + b"\r\n")
    for octet in found("") * 100:
        connection.sendall(bytes([octet]))
        time.sleep(0.05)


FAULT = soap(
    "<s:Fault><s:Code><s:Value>s:Receiver</s:Value></s:Code><s:Reason>"
    '<s:Text xml:lang="en">out of order</s:Text></s:Reason></s:Fault>'
)
REF = '<rim:ObjectRef id="urn:uuid:1"{}/>'
UNAVAILABLE = "XDSUnavailableCommunity"
TABLE = {
    "hangs": (hang, UNAVAILABLE, "does not answer in time"),
    "closes": (send(), UNAVAILABLE, "connection"),
    "garbage": (send(b"\x00\xff" * 2000), UNAVAILABLE, "does not keep to HTTP (BadStatusLine)"),
    "a page": (send(whole(b"<html/>", "text/html")), UNAVAILABLE, "not SOAP"),
    "no XML": (send(whole(b"<a")), UNAVAILABLE, "broken"),
    "another answer": (send(whole(soap("<x/>"))), UNAVAILABLE, "no answer of ITI-38"),
    "endless": (endless, UNAVAILABLE, "over 65536 bytes"),
    "slow head": (drip, UNAVAILABLE, "does not answer in time"),
    "slow body": (drip_body, UNAVAILABLE, "does not answer in time"),
    "half": (send(whole(found(""))[:-20]), UNAVAILABLE, "connection"),
    "fault": (send(whole(FAULT, code="500 Oops")), UNAVAILABLE, "SOAP fault Receiver: out of order"),
    "foreign home": (
        send(whole(found(REF.format(f' home="{HOME}"')))), "XDSUnknownCommunity", "have a foreign"
    ),
    "no home": (send(whole(found(REF.format("")))), "XDSMissingHomeCommunityId", "urn:uuid:1"),
    "wordless": (send(whole(found("", FAILURE))), "XDSRegistryError", "gave no reason"),
    "too many": (
        send(whole(found(REF.format(f' home="{THEIRS}"') * 11))), UNAVAILABLE, "over 10 objects"
    ),
}  # fmt: skip
LIMITS = "limits = { objects = 10, query_bytes = 65536 }"


def ask(here: CommunityNode) -> tuple[Response, float]:
    begun = time.monotonic()
    answer = here.ask(Endpoint.INITIATING_GATEWAY, "RegistryStoredQuery", queries.find_documents())
    return answer, time.monotonic() - begun


@pytest.mark.parametrize("name", TABLE)
def test_local_results_are_there_whatever_a_partner_does(tmp_path: Path, name: str) -> None:
    behaviour, code, words = TABLE[name]
    with (
        Faulty(behaviour) as partner,
        gateway(
            tmp_path, partner_toml("bad", THEIRS, partner.url, f"deadline_s = {DEADLINE_S}", LIMITS)
        ) as here,
    ):
        here.publish(b"<a/>")
        answer, took = ask(here)
        assert took < LATE_S
        assert status(answer) == PARTIAL
        assert [e.get("home") for e in answer.xml().iter(f"{{{RIM}}}ExtrinsicObject")] == [HOME]
        ((seen, context, _),) = errors(answer)
        assert seen == code
        assert "community bad" in context
        assert words in context


def after_one_answer(behaviour: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        connection.sendall(whole(found("")))
        whole_request(connection)
        behaviour(connection)

    return behave


@pytest.mark.parametrize("name", TABLE)
def test_the_same_on_a_connection_that_was_kept(tmp_path: Path, name: str) -> None:
    behaviour, code, words = TABLE[name]
    limits = partner_toml("bad", THEIRS, "{}", f"deadline_s = {DEADLINE_S}", LIMITS)
    with (
        Faulty(after_one_answer(behaviour)) as partner,
        gateway(tmp_path, limits.replace("{}", partner.url)) as here,
    ):
        assert errors(ask(here)[0]) == []
        answer, took = ask(here)
        assert took < LATE_S
        if name == "closes":  # a connection that was given up: another one does
            assert errors(answer) == []
            return
        ((seen, context, _),) = errors(answer)
        assert seen == code
        assert words in context
        assert "internal" not in context
        time.sleep(0.2)  # whoever would ask again after the deadline has done so
        assert len(partner.seen) == 1


def test_a_partner_that_refuses_connections(tmp_path: Path) -> None:
    with Faulty(hang) as gone:
        pass
    with gateway(tmp_path, partner_toml("gone", THEIRS, gone.url)) as here:
        here.publish(b"<a/>")
        ((code, context, _),) = errors(ask(here)[0])
        assert code == UNAVAILABLE
        assert THEIRS in context


def test_an_answer_may_take_longer_than_a_connection(tmp_path: Path) -> None:
    def think(connection: socket.socket) -> None:
        time.sleep(0.6)
        connection.sendall(whole(found("")))

    with (
        Faulty(think) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url, "connect_timeout_s = 0.3")) as here,
    ):
        assert status(ask(here)[0]) == SUCCESS


@pytest.mark.parametrize(("setting", "expected"), [("PartialSuccess", PARTIAL), ("Failure", FAILURE)])
def test_status_when_nothing_was_found_and_one_failed(tmp_path: Path, setting: str, expected: str) -> None:
    with (
        Faulty(TABLE["fault"][0]) as partner,
        gateway(tmp_path, partner_toml("bad", THEIRS, partner.url), nothing_found=setting) as here,
    ):
        assert status(ask(here)[0]) == expected


def test_errors_of_a_partner_are_passed_on_and_unknown_patients_dropped(tmp_path: Path) -> None:
    severity = "urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Error"
    problems = "".join(
        f'<rs:RegistryError errorCode="{code}" codeContext="c" severity="{severity}" location="{THEIRS}"/>'
        for code in ("XDSUnknownPatientId", "XDSRegistryBusy")
    )
    body = found("", FAILURE, f"<rs:RegistryErrorList>{problems}</rs:RegistryErrorList>")
    with (
        Faulty(send(whole(body))) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url)) as here,
    ):
        here.publish(b"<a/>")
        assert errors(ask(here)[0]) == [("XDSRegistryBusy", "c", THEIRS)]


def test_equal_objects_come_once(tmp_path: Path) -> None:
    with (
        Faulty(send(whole(found(REF.format(f' home="{THEIRS}"') * 2)))) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url)) as here,
    ):
        answer = here.ask(
            Endpoint.INITIATING_GATEWAY, "RegistryStoredQuery", queries.find_documents(returns="ObjectRef")
        )
        assert [e.get("home") for e in answer.xml().iter(f"{{{RIM}}}ObjectRef")] == [THEIRS]


def test_a_partner_that_fails_again_and_again_is_left_alone(tmp_path: Path) -> None:
    with (
        Faulty(send()) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url), breaker_failures=2) as here,
    ):
        contexts = [errors(ask(here)[0])[0][1] for _ in range(4)]
        assert len(partner.seen) == 2
        assert ["failed several times" in context for context in contexts] == [False, False, True, True]


def test_requests_at_a_time_are_bounded(tmp_path: Path) -> None:
    with (
        Faulty(hang) as partner,
        gateway(
            tmp_path, partner_toml("p", THEIRS, partner.url, f"deadline_s = {DEADLINE_S}\nconnections = 1")
        ) as here,
    ):
        answers: list[Response] = []
        threads = [threading.Thread(target=lambda: answers.append(ask(here)[0])) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted("under way already" in errors(answer)[0][1] for answer in answers) == [False, True]


@pytest.mark.parametrize(
    ("dates", "asked"),
    [("valid_until = 2020-01-01", 0), ("valid_from = 2999-01-01", 0), ("valid_from = 2020-01-01", 1)],
)
def test_a_partner_is_asked_while_it_is_valid(tmp_path: Path, dates: str, asked: int) -> None:
    with (
        Faulty(send(whole(found("")))) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url, dates)) as here,
    ):
        assert status(ask(here)[0]) == SUCCESS
        assert len(partner.seen) == asked


def test_an_assertion_that_a_partner_wants_and_nobody_brought(tmp_path: Path) -> None:
    with (
        Faulty(hang) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url, 'assertion = "require"')) as here,
    ):
        assert "caller's assertion" in errors(ask(here)[0])[0][1]
        assert partner.seen == []


def delivered(content: bytes, *, uid: str = UID, home: str = THEIRS) -> bytes:
    payload = (
        f'<x:RetrieveDocumentSetResponse xmlns:x="{XDS}"><rs:RegistryResponse xmlns:rs="{RS}" '
        f'status="{SUCCESS}"/>'
        "<x:DocumentResponse>"
        f"<x:HomeCommunityId>{home}</x:HomeCommunityId><x:RepositoryUniqueId>1.9"
        f"</x:RepositoryUniqueId><x:DocumentUniqueId>{uid}</x:DocumentUniqueId>"
        "<x:mimeType>text/xml</x:mimeType>"
        '<x:Document><i:Include xmlns:i="http://www.w3.org/2004/08/xop/include" href="cid:d1@x"/>'
        "</x:Document>"
        "</x:DocumentResponse></x:RetrieveDocumentSetResponse>"
    )
    root = soap(payload, "urn:ihe:iti:2007:CrossGatewayRetrieveResponse")
    part = b"--b\r\nContent-Type: application/xop+xml\r\nContent-ID: <root@x>\r\n\r\n"
    return part + root + b"\r\n--b\r\nContent-ID: <d1@x>\r\n\r\n" + content + b"\r\n--b--\r\n"


RELATED = 'multipart/related; type="application/xop+xml"; start="<root@x>"; boundary=b'
CONTENT = bytes(range(256)) * 16_000  # several of the pieces in which documents are passed on


MOST = len(CONTENT) + 65536


def fetch(here: CommunityNode, own: str) -> Response:
    requests = (wanted(metadata.REPOSITORY, own, HOME), wanted("1.9", UID, THEIRS))
    return here.ask(Endpoint.INITIATING_GATEWAY, "RetrieveDocumentSet", retrieve(*requests))


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (send(whole(delivered(CONTENT, uid="9.9"), RELATED)), "not asked for"),
        (send(whole(delivered(CONTENT, home="urn:oid:1.2.616.67"), RELATED)), "not asked for"),
        (
            send(whole(delivered(CONTENT)[:200], RELATED)),
            "breaks off|connection|terminat|incomplete|Unexpected",
        ),
        (send(whole(FAULT, code="500 Oops")), "out of order"),
        (hang, "does not answer in time"),
        (drip, "does not answer in time"),
        (drip_body, "does not answer in time"),
        (send(), "connection"),
        (send(b"\x00\xff" * 2000), "connection"),
        (send(whole(b"<html/>", "text/html")), "not SOAP"),
        (send(whole(b"<a")), "broken"),
        (send(whole(soap("<x/>"))), "no answer of ITI-39"),
        (endless, f"over {MOST} bytes"),
        (send(whole(delivered(CONTENT + bytes(65536)), RELATED)), f"over {MOST} bytes"),
    ],
)
def test_own_document_is_there_whatever_a_partner_says(
    tmp_path: Path, behaviour: Callable[[socket.socket], None], words: str
) -> None:
    with (
        Faulty(behaviour) as partner,
        gateway(
            tmp_path,
            partner_toml(
                "p", THEIRS, partner.url, f"deadline_s = {DEADLINE_S}", f"limits.retrieve_bytes = {MOST}"
            ),
        ) as here,
    ):
        answer = fetch(here, here.publish(b"<own/>"))
        assert status(answer) == PARTIAL
        assert answer.parts()[1][1] == b"<own/>"
        ((code, context, _),) = errors(answer)
        assert code == UNAVAILABLE
        assert re.search(words, context)


def test_a_document_passes_through(tmp_path: Path) -> None:
    with (
        Faulty(send(whole(delivered(CONTENT), RELATED))) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url)) as here,
    ):
        answer = fetch(here, here.publish(b"<own/>"))
        assert status(answer) == SUCCESS
        assert answer.parts()[2][1] == CONTENT


def cut(connection: socket.socket) -> None:
    """Half a document, with the length of a whole one announced."""
    connection.sendall(whole(delivered(CONTENT), RELATED)[:-500_000])


def cut_chunked(connection: socket.socket) -> None:
    body = delivered(CONTENT)[:-500_000]
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {RELATED}\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection.sendall(head.encode() + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")


def stall(connection: socket.socket) -> None:
    cut(connection)
    connection.recv(1)


def drip_document(connection: socket.socket) -> None:
    cut(connection)
    for _ in range(200):
        connection.sendall(b"x")
        time.sleep(0.05)


def too_large(connection: socket.socket) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {RELATED}\r\n\r\n"
    connection.sendall(head.encode() + delivered(CONTENT * 2))


BOUNDS = f"limits = {{ document_bytes = {len(CONTENT)} }}"


@pytest.mark.parametrize("behaviour", [cut, cut_chunked, stall, drip_document, too_large])
def test_a_document_that_breaks_off_never_looks_whole(
    tmp_path: Path, behaviour: Callable[[socket.socket], None]
) -> None:
    with (
        Faulty(behaviour) as partner,
        gateway(
            tmp_path, partner_toml("p", THEIRS, partner.url, "silence_s = 0.5\ntransfer_s = 1", BOUNDS)
        ) as here,
        pytest.raises(RemoteUnavailable),
    ):
        fetch(here, here.publish(b"<own/>"))


@pytest.mark.parametrize("expired", [True, False])
def test_certificates_of_partners_are_verified(tmp_path: Path, expired: bool) -> None:
    authority = certificates.authority(tmp_path)
    context = certificates.server(certificates.certificate(tmp_path, "partner", -1 if expired else 1))
    with (
        Faulty(send(whole(found(""))), context) as partner,
        gateway(
            tmp_path,
            partner_toml("p", THEIRS, partner.url, tables=f'tls = {{ authorities = "{authority}" }}'),
        ) as here,
    ):
        answer, _ = ask(here)
        if expired:
            assert "expired" in errors(answer)[0][1]
        else:
            assert errors(answer) == []
