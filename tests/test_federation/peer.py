"""A scripted server: keeps what it is sent and answers what it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from lxml import etree

SOAP = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://www.w3.org/2005/08/addressing"
RS = "urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0"
SUCCESS = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Success"
FAILURE = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Failure"


@dataclass
class Reply:
    """One HTTP answer; ``length`` overrides Content-Length, ``write`` may send the body by itself."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/soap+xml; charset=UTF-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    before: Callable[[], None] = lambda: None


@dataclass
class Received:
    """One request."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """The header."""
        return self.headers["Content-Type"]


@dataclass
class Peer:
    """The server: its URL, its answer, and the requests so far."""

    url: str
    reply: Reply = field(default_factory=Reply)
    received: list[Received] = field(default_factory=list)


def envelope(payload: str) -> bytes:
    """A SOAP 1.2 message."""
    return f'<s:Envelope xmlns:s="{SOAP}"><s:Header/><s:Body>{payload}</s:Body></s:Envelope>'.encode()


def registry_response(status: str = SUCCESS, errors: str = "") -> str:
    """rs:RegistryResponse with rs:RegistryError elements."""
    inner = f"<rs:RegistryErrorList>{errors}</rs:RegistryErrorList>" if errors else ""
    return f'<rs:RegistryResponse xmlns:rs="{RS}" status="{status}">{inner}</rs:RegistryResponse>'


def multipart(root: bytes, parts: Mapping[str, bytes]) -> Reply:
    """An MTOM answer."""
    pieces = [b"--B\r\nContent-Type: application/xop+xml\r\nContent-ID: <root>\r\n\r\n" + root]
    for cid, octets in parts.items():
        head = f"--B\r\nContent-Type: text/xml\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <{cid}>"
        pieces.append(head.encode() + b"\r\n\r\n" + octets)
    body = b"\r\n".join([*pieces, b"--B--\r\n"])
    return Reply(
        body, content_type='multipart/related; type="application/xop+xml"; start="<root>"; boundary=B'
    )


def header(request: bytes, name: str) -> list[etree._Element]:
    """WS-Addressing headers of that name."""
    return etree.fromstring(request).findall(f"{{{SOAP}}}Header/{{{WSA}}}{name}")


@contextmanager
def serving() -> Iterator[Peer]:
    """A peer that listens on a loopback port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            peer.received.append(
                Received(dict(self.headers), self.rfile.read(int(self.headers["Content-Length"])))
            )
            reply = peer.reply
            reply.before()
            self.send_response(reply.status)
            if reply.content_type:
                self.send_header("Content-Type", reply.content_type)
            length = len(reply.body) if reply.length is None else reply.length
            self.send_header("Content-Length", str(length))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)
            if reply.length is not None:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that goes away in the midst is part of the tests."""

    server = Server(("127.0.0.1", 0), Handler)
    peer = Peer(f"http://127.0.0.1:{server.server_address[1]}/xds/repository")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield peer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
