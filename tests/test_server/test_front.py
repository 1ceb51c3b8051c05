"""The front in process: forms of messages, and hostile input."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from lxml import etree

from msim_xds.ihe.names import QUERY as QUERY_NS
from msim_xds.ihe.names import RS, SOAP, SOAP11, WSA
from msim_xds.ihe.transactions import ITI_18, ITI_41, ITI_43
from msim_xds.server.front import WsgiApplication
from msim_xds.wire.exchange import Answer, OutgoingDocument, Request
from tests.support.paths import REGISTRY, REPOSITORY
from tests.test_server.conftest import DOCUMENT, Server, found_document
from tests.test_server.soap import (
    PROVIDE,
    PROVIDE_ACTION,
    QUERY,
    QUERY_ACTION,
    RETRIEVE,
    RETRIEVE_ACTION,
    SIMPLE,
    envelope,
    mtom,
    post,
)

SENDER, RECEIVER, VERSION = f"{{{SOAP}}}Sender", f"{{{SOAP}}}Receiver", f"{{{SOAP}}}VersionMismatch"


class Dripping(io.RawIOBase):
    """A client that never ends."""

    def read(self, size: int = -1, /) -> bytes:
        return b"<"


class Raising:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def read(self, size: int) -> bytes:
        raise self._error


# --- messages ------------------------------------------------------------------------------------


def test_query(app: WsgiApplication, server: Server) -> None:
    answer = post(app, REGISTRY, envelope())
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/soap+xml")
    assert answer.header("Action") == ITI_18.answer_action
    assert answer.header("RelatesTo") == "urn:uuid:m"
    assert answer.xml().find(f".//{{{QUERY_NS}}}AdhocQueryResponse") is not None
    request = server.requests[0]
    assert (request.transaction, request.body.tag, request.remote_address) == (
        ITI_18,
        ITI_18.body,
        "192.0.2.7",
    )
    assert request.addressing.action == QUERY_ACTION


def test_each_answer_has_its_own_message_id(app: WsgiApplication) -> None:
    assert post(app, REGISTRY, envelope()).header("MessageID") != post(app, REGISTRY, envelope()).header(
        "MessageID"
    )


def test_answer_without_message_id_of_the_request(app: WsgiApplication) -> None:
    message = envelope().replace(b"<a:MessageID>urn:uuid:m</a:MessageID>", b"")
    assert post(app, REGISTRY, message).header("RelatesTo") is None


def test_provide_in_mtom(app: WsgiApplication, server: Server) -> None:
    content_type, body = mtom(envelope(PROVIDE, PROVIDE_ACTION), ("d@x", b"\r\nocts\r\n"))
    answer = post(app, REPOSITORY, body, content_type)
    assert answer.status == 200
    assert answer.is_mtom
    assert answer.xml().find(f".//{{{RS}}}RegistryResponse") is not None
    request = server.requests[0]
    assert request.transaction is ITI_41
    assert server.stager.seen == [b"\r\nocts\r\n"]
    assert request.parts["d@x"].size == 8
    assert not server.stager.waiting


def test_retrieve_in_mtom(app: WsgiApplication) -> None:
    content_type, body = mtom(envelope(RETRIEVE, RETRIEVE_ACTION))
    answer = post(app, REPOSITORY, body, content_type)
    assert answer.header("Action") == ITI_43.answer_action
    (_, root), (cid, document) = answer.parts()
    assert cid == "<d1@x>"
    assert document == DOCUMENT
    assert b'href="cid:d1@x"' in root


@pytest.mark.parametrize("inline", [False, True])
def test_simple_request_of_an_mtom_transaction(server: Server, inline: bool) -> None:
    app = server.build(validation={"tolerate": {"inline_documents": inline}})
    answer = post(app, REPOSITORY, envelope(RETRIEVE, RETRIEVE_ACTION))
    assert answer.is_mtom is not inline
    if inline:
        assert base64.b64decode(found_document(answer.xml()).text) == DOCUMENT


def test_mtom_request_keeps_its_form_with_the_tolerance_on(server: Server) -> None:
    app = server.build(validation={"profile": "pl"})
    content_type, body = mtom(envelope(RETRIEVE, RETRIEVE_ACTION))
    assert post(app, REPOSITORY, body, content_type).is_mtom


def test_registry_answers_mtom_in_mtom(app: WsgiApplication) -> None:
    content_type, body = mtom(envelope())
    answer = post(app, REGISTRY, body, content_type)
    assert answer.status == 200
    assert answer.is_mtom


def test_registry_takes_no_documents(app: WsgiApplication, server: Server) -> None:
    content_type, body = mtom(envelope(), ("d@x", b"octets"))
    answer = post(app, REGISTRY, body, content_type)
    assert answer.status == 400
    assert "takes no documents" in answer.fault()[2]
    assert not server.requests


def test_chunked_request(app: WsgiApplication, server: Server) -> None:
    chunked = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    assert post(app, REGISTRY, envelope(), SIMPLE, chunked).status == 200
    assert post(app, REGISTRY, envelope(), SIMPLE).status == 200
    in_chunks, whole = (etree.tostring(each.body) for each in server.requests)
    assert in_chunks == whole


def test_inline_document_is_left_in_the_payload(app: WsgiApplication, server: Server) -> None:
    body = PROVIDE[: PROVIDE.index("<i:")] + "aGVsbG8=" + PROVIDE[PROVIDE.index("</x:Document>") :]
    assert post(app, REPOSITORY, envelope(body, PROVIDE_ACTION)).status == 200
    assert found_document(server.requests[0].body).text == "aGVsbG8="


# --- faults --------------------------------------------------------------------------------------

DTD = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
DEEP = b"<a>" * 5000 + b"</a>" * 5000
SOAP11_MESSAGE = envelope().replace(SOAP.encode(), SOAP11.encode())
MTOM_TYPE, MTOM_BODY = mtom(envelope(PROVIDE, PROVIDE_ACTION), ("d@x", b"octets"))
BROKEN = {
    "no action": (REGISTRY, envelope(action=None), SIMPLE, 400, SENDER, "MessageAddressingHeaderRequired"),
    "empty action": (REGISTRY, envelope(action=""), SIMPLE, 400, SENDER, "InvalidAddressingHeader"),
    "unknown action": (REGISTRY, envelope(action="urn:x"), SIMPLE, 400, SENDER, "ActionNotSupported"),
    "action of another endpoint": (REPOSITORY, envelope(), SIMPLE, 400, SENDER, "ActionNotSupported"),
    "two actions": (REGISTRY, envelope(headers=f"<a:Action>{QUERY_ACTION}</a:Action>"), SIMPLE, 400, SENDER,
                    "InvalidAddressingHeader"),
    "asynchronous": (REGISTRY, envelope(headers="<a:ReplyTo><a:Address>http://x/</a:Address></a:ReplyTo>"),
                     SIMPLE, 400, SENDER, "InvalidAddressingHeader"),
    "action and body differ": (REGISTRY, envelope(RETRIEVE), SIMPLE, 400, SENDER, None),
    "two payloads": (REGISTRY, envelope(QUERY + QUERY), SIMPLE, 400, SENDER, None),
    "empty soap body": (REGISTRY, envelope(""), SIMPLE, 400, SENDER, None),
    "text in soap body": (REGISTRY, envelope("hello"), SIMPLE, 400, SENDER, None),
    "not an envelope": (REGISTRY, b"<x/>", SIMPLE, 500, VERSION, None),
    "soap 1.1": (REGISTRY, SOAP11_MESSAGE, "text/xml; charset=utf-8", 500, VERSION, None),
    "soap 1.1 as 1.2": (REGISTRY, SOAP11_MESSAGE, SIMPLE, 500, VERSION, None),
    "not understood": (REGISTRY, envelope(headers='<n:X xmlns:n="urn:n" s:mustUnderstand="1"/>'), SIMPLE, 500,
                       f"{{{SOAP}}}MustUnderstand", None),
    "nothing": (REGISTRY, b"", SIMPLE, 400, SENDER, None),
    "no xml": (REGISTRY, b"hello", SIMPLE, 400, SENDER, None),
    "broken xml": (REGISTRY, envelope()[:-9], SIMPLE, 400, SENDER, None),
    "invalid utf-8": (REGISTRY, envelope().replace(b"urn:uuid:m", b"\xff\xfe"), SIMPLE, 400, SENDER, None),
    "utf-7": (REGISTRY, b'<?xml version="1.0" encoding="UTF-7"?>' + envelope(), SIMPLE, 400, SENDER, None),
    "dtd": (REGISTRY, DTD + envelope(), SIMPLE, 400, SENDER, None),
    "deep": (REGISTRY, envelope(DEEP.decode()), SIMPLE, 400, SENDER, None),
    "form": (REGISTRY, b"a=b", "application/x-www-form-urlencoded", 415, SENDER, None),
    "no content type": (REGISTRY, envelope(), "", 415, SENDER, None),
    "json": (REPOSITORY, b"{}", "application/json", 415, SENDER, None),
    "mtom truncated": (REPOSITORY, MTOM_BODY[:-12], MTOM_TYPE, 400, SENDER, None),
    "mtom truncated in root": (REPOSITORY, MTOM_BODY[:300], MTOM_TYPE, 400, SENDER, None),
    "mtom other boundary": (REPOSITORY, MTOM_BODY, MTOM_TYPE.replace("=b", "=c"), 400, SENDER, None),
    "mtom no boundary": (REPOSITORY, MTOM_BODY, MTOM_TYPE.replace("boundary=b", ""), 400, SENDER, None),
    "mtom empty": (REPOSITORY, b"", MTOM_TYPE, 400, SENDER, None),
    "mtom same cid twice": (REPOSITORY, mtom(envelope(PROVIDE, PROVIDE_ACTION), ("d", b"1"), ("d", b"2"))[1],
                            MTOM_TYPE, 400, SENDER, None),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_message_gets_a_fault(app: WsgiApplication, server: Server, name: str) -> None:
    path, body, content_type, status, code, subcode = BROKEN[name]
    answer = post(app, path, body, content_type)
    seen_code, seen_subcode, reason = answer.fault()
    assert (answer.status, seen_code) == (status, code)
    assert seen_subcode == (f"{{{WSA}}}{subcode}" if subcode else None)
    assert reason
    assert not server.requests
    assert not server.stager.waiting
    assert post(app, REGISTRY, envelope()).status == 200


@pytest.mark.parametrize("name", ["unknown action", "action and body differ", "no action", "not understood"])
def test_fault_relates_to_the_request(app: WsgiApplication, name: str) -> None:
    path, body, content_type, *_ = BROKEN[name]
    assert post(app, path, body, content_type).header("RelatesTo") == "urn:uuid:m"


def test_fault_says_what_is_allowed(app: WsgiApplication) -> None:
    assert QUERY_ACTION in post(app, REGISTRY, envelope(action="urn:x")).fault()[2]
    assert ITI_18.body in post(app, REGISTRY, envelope(RETRIEVE)).fault()[2]


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({"CONTENT_LENGTH": "9" * 12}, 413),
        ({"CONTENT_LENGTH": "9" * 5000}, 400),
        ({"CONTENT_LENGTH": "-1"}, 400),
        ({"CONTENT_LENGTH": "x"}, 400),
        ({"CONTENT_LENGTH": "٣"}, 400),
        ({"CONTENT_LENGTH": "5000"}, 400),
        ({"CONTENT_LENGTH": ""}, 411),
        ({"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}, 411),
        ({"HTTP_CONTENT_ENCODING": "gzip"}, 415),
        ({"wsgi.input": Raising(TimeoutError())}, 408),
        ({"wsgi.input": Raising(ConnectionResetError())}, 400),
        ({"wsgi.input": Raising(ValueError("bad chunk"))}, 400),
    ],
)
def test_broken_http(app: WsgiApplication, environ: dict[str, Any], status: int) -> None:
    answer = post(app, REGISTRY, envelope(), SIMPLE, environ)
    assert (answer.status, answer.fault()[0]) == (status, SENDER)


def test_slow_body_is_given_up(server: Server) -> None:
    app = server.build(server={"body_timeout_s": 0.05})
    answer = post(app, REGISTRY, b"", SIMPLE, {"CONTENT_LENGTH": "999999999", "wsgi.input": Dripping()})
    assert answer.status == 408
    assert answer.fault()[0] == SENDER


def test_endless_body_is_given_up(server: Server) -> None:
    app = server.build(limits={"request_bytes": 65536})
    environ = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True, "wsgi.input": io.BytesIO(b"<" * 70000)}
    assert post(app, REGISTRY, b"", SIMPLE, environ).status == 413


def test_document_over_its_limit_leaves_nothing(server: Server) -> None:
    app = server.build(limits={"document_bytes": 5})
    answer = post(app, REPOSITORY, MTOM_BODY, MTOM_TYPE)
    assert answer.status == 413
    assert not server.stager.waiting


def test_refused_body_is_read_to_its_end(app: WsgiApplication) -> None:
    body = io.BytesIO(b"x" * 1_000_000)
    assert post(app, REGISTRY, body.getvalue(), "text/plain", {"wsgi.input": body}).status == 415
    assert body.read() == b""


def test_documents_of_a_refused_action_are_forgotten(app: WsgiApplication, server: Server) -> None:
    content_type, body = mtom(envelope(PROVIDE, "urn:x"), ("d@x", b"octets"))
    assert post(app, REPOSITORY, body, content_type).status == 400
    assert server.stager.seen == [b"octets"]
    assert not server.stager.waiting


def test_full_disk_while_staging(app: WsgiApplication, server: Server) -> None:
    server.stager.failing = OSError(28, "No space left on device: /srv/secret")
    with structlog.testing.capture_logs() as logs:
        answer = post(app, REPOSITORY, MTOM_BODY, MTOM_TYPE)
    code, _, reason = answer.fault()
    assert (answer.status, code) == (500, RECEIVER)
    assert "secret" not in reason
    assert logs[-1]["reference"] in reason


def test_answer_that_breaks_off_is_logged_and_breaks_off(server: Server) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x" * 400_000
        raise OSError("disk")

    def retrieve(request: Request) -> Answer:
        return Answer([b'<x><i:Include xmlns:i="i"/></x>'],
                      documents=[OutgoingDocument("d", "text/xml", 500_000, chunks())])  # fmt: skip

    app = server.build({"ITI-43": retrieve})
    content_type, body = mtom(envelope(RETRIEVE, RETRIEVE_ACTION))
    with structlog.testing.capture_logs() as logs, pytest.raises(OSError, match="disk"):
        post(app, REPOSITORY, body, content_type)
    assert logs[-1]["event"] == "answer broke off"


def test_nothing_of_a_message_is_logged(app: WsgiApplication) -> None:
    secret = "58831404726"
    with structlog.testing.capture_logs() as logs:
        post(app, REGISTRY, envelope(QUERY.replace("<q:", f"<!--{secret}--><q:", 1), message_id=secret))
        post(app, REGISTRY, envelope(f"<x>{secret}</x>", action=secret), SIMPLE, {"HTTP_X": secret})
        post(app, REGISTRY, secret.encode(), f"text/{secret}")
        post(app, REGISTRY, envelope(secret)[:-5])
    assert len(logs) == 4
    assert secret not in str(logs)
