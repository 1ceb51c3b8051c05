"""The ways in which a partner's answer may lie in its connection, all of which mean the same."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from msim_xds.ihe.transactions import Endpoint
from tests.support.metadata import RIM
from tests.test_delivery import certificates
from tests.test_gateway.conftest import CommunityNode
from tests.test_gateway.misbehaving import CONTENT, REF, RELATED, THEIRS, UID, ask, delivered, found, send
from tests.test_gateway.test_responding import SUCCESS, errors, status
from tests.test_gateway.world import Faulty, gateway, partner_toml, whole_request
from tests.test_repository.messages import retrieve, wanted

Framing = Callable[[bytes, str], bytes]


def with_length(body: bytes, content_type: str) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
        % (
            content_type.encode(),
            len(body),
        )
        + body
    )


def until_the_end(body: bytes, content_type: str) -> bytes:
    return b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: %b\r\n\r\n" % content_type.encode() + body


def as_of_old(body: bytes, content_type: str) -> bytes:
    return b"HTTP/1.0 200 OK\r\nContent-Type: %b\r\n\r\n" % content_type.encode() + body


def in_chunks(body: bytes, content_type: str) -> bytes:
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % content_type.encode()
    )
    chunks = [body[start : start + 70_001] for start in range(0, len(body), 70_001)]
    framed = b"".join(b"%X;x=y\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head + framed + b"0\r\nX-Trailer: 1\r\n\r\n"


def after_a_hint(body: bytes, content_type: str) -> bytes:
    return b"HTTP/1.1 100 Continue\r\n\r\n" + with_length(body, content_type)


FRAMINGS = [with_length, until_the_end, as_of_old, in_chunks, after_a_hint]


def transport(folder: Path, secure: bool) -> tuple[str, ssl.SSLContext | None]:
    """What a partner's table says of TLS, and the partner's side of it."""
    if not secure:
        return "", None
    authority = certificates.authority(folder)
    return f'tls = {{ authorities = "{authority}" }}', certificates.server(
        certificates.certificate(folder, "partner", 1)
    )


def found_there(here: CommunityNode) -> list[str]:
    answer, _ = ask(here)
    assert (status(answer), errors(answer)) == (SUCCESS, [])
    return [each.get("id", "") for each in answer.xml().iter(f"{{{RIM}}}ObjectRef")]


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("framing", FRAMINGS)
def test_queries(tmp_path: Path, framing: Framing, secure: bool) -> None:
    tables, context = transport(tmp_path, secure)
    reference = REF.format(f' home="{THEIRS}"')
    with (
        Faulty(send(framing(found(reference), "application/soap+xml")), context) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url, tables=tables)) as here,
    ):
        assert [found_there(here) for _ in range(3)] == [["urn:uuid:1"]] * 3


@pytest.mark.parametrize("framing", FRAMINGS)
def test_documents(tmp_path: Path, framing: Framing) -> None:
    request = retrieve(wanted("1.9", UID, THEIRS))
    with (
        Faulty(send(framing(delivered(CONTENT), RELATED))) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url)) as here,
    ):
        for _ in range(2):
            answer = here.ask(Endpoint.INITIATING_GATEWAY, "RetrieveDocumentSet", request)
            assert status(answer) == SUCCESS
            assert answer.parts()[1][1] == CONTENT


@pytest.mark.parametrize("secure", [False, True])
def test_a_kept_connection_is_used_again(tmp_path: Path, secure: bool) -> None:
    def thrice(connection: socket.socket) -> None:
        answer = with_length(found(""), "application/soap+xml")
        for _ in range(2):
            connection.sendall(answer)
            whole_request(connection)
        connection.sendall(answer)

    tables, context = transport(tmp_path, secure)
    with (
        Faulty(thrice, context) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url, tables=tables)) as here,
    ):
        assert [found_there(here) for _ in range(3)] == [[], [], []]
        assert len(partner.seen) == 1  # of its connections


def test_octets_that_nobody_asked_for_end_a_connection(tmp_path: Path) -> None:
    surplus = with_length(found(""), "application/soap+xml") + b"HTTP/1.1 200 OK\r\n"
    with (
        Faulty(send(surplus)) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url)) as here,
    ):
        assert [found_there(here) for _ in range(2)] == [[], []]
        assert len(partner.seen) == 2
