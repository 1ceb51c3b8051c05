"""The same for retrievals: what a partner may do wrong with documents, and that no broken one looks whole."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from msim_xds.federation.answers import RemoteUnavailable
from msim_xds.ihe.transactions import Endpoint
from tests.support import metadata
from tests.test_delivery import certificates
from tests.test_gateway.conftest import HOME, CommunityNode
from tests.test_gateway.misbehaving import (
    CONTENT,
    DEADLINE_S,
    FAULT,
    RELATED,
    THEIRS,
    UID,
    UNAVAILABLE,
    cut,
    cut_chunked,
    delivered,
    drip,
    drip_body,
    endless,
    hang,
    send,
    soap,
    whole,
)
from tests.test_gateway.test_responding import PARTIAL, SUCCESS, errors, status
from tests.test_gateway.world import Faulty, gateway, partner_toml
from tests.test_repository.messages import retrieve, wanted
from tests.test_server.soap import Response

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


@pytest.mark.parametrize(("refuses", "words"), [(True, "Connection refused"), (False, "expired")])
def test_own_document_is_there_when_a_partner_is_not_reached(
    tmp_path: Path, refuses: bool, words: str
) -> None:
    authority = certificates.authority(tmp_path)
    context = certificates.server(certificates.certificate(tmp_path, "partner", -1))
    tables = f'tls = {{ authorities = "{authority}" }}'
    with ExitStack() as running:
        partner = Faulty(hang, context)
        running.enter_context(partner)
        if refuses:
            running.close()
        here = running.enter_context(gateway(tmp_path, partner_toml("p", THEIRS, partner.url, tables=tables)))
        answer = fetch(here, here.publish(b"<own/>"))
    assert status(answer) == PARTIAL
    assert answer.parts()[1][1] == b"<own/>"
    ((code, context_, _),) = errors(answer)
    assert (code, words in context_) == (UNAVAILABLE, True)
