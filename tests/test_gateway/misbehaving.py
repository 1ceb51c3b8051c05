"""What partners answer that misbehave, and what a gateway's client asks them."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from msim_xds.ihe.transactions import Endpoint
from tests.support import queries
from tests.support.metadata import RIM, XDS
from tests.test_gateway.conftest import CommunityNode
from tests.test_gateway.test_responding import RS, SUCCESS
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


def ask(here: CommunityNode) -> tuple[Response, float]:
    begun = time.monotonic()
    answer = here.ask(Endpoint.INITIATING_GATEWAY, "RegistryStoredQuery", queries.find_documents())
    return answer, time.monotonic() - begun


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


def cut(connection: socket.socket) -> None:
    """Half a document, with the length of a whole one announced."""
    connection.sendall(whole(delivered(CONTENT), RELATED)[:-500_000])


def cut_chunked(connection: socket.socket) -> None:
    body = delivered(CONTENT)[:-500_000]
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {RELATED}\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection.sendall(head.encode() + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")
