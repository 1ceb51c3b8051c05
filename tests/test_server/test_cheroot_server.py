"""The server in pure Python with TLS, in this process: who is let in, and who delays whom."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from cryptography import x509
from structlog.testing import capture_logs

from msim_xds.server.cheroot_server import HttpServer
from msim_xds.server.peer import CLIENT_CERTIFICATE
from msim_xds.settings import ServerSettings
from msim_xds.tls_settings import TlsSettings
from tests.support.tls import Site, get

SLOW_S = 1.0


def echo(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    """Says whose certificate it has seen."""
    size = int(environ.get("CONTENT_LENGTH") or 0)
    environ["wsgi.input"].read(size)
    pem = unquote(environ.get(CLIENT_CERTIFICATE, ""))
    who = x509.load_pem_x509_certificate(pem.encode()).subject.rfc4514_string() if pem else "nobody"
    body = f"{environ['wsgi.url_scheme']} {who} {environ['REMOTE_ADDR']} {size}".encode()
    seen = ",".join(sorted(name for name in environ if name.startswith("HTTP_X_")))
    start_response("200 OK", [("Content-Length", str(len(body))), ("X-Seen", seen)])
    return [body]


@dataclass
class Served:
    """A running server."""

    server: HttpServer
    site: Site

    @property
    def port(self) -> int:
        port: int = self.server.bind_addr[1]
        return port

    def get(self, name: str = "hospital") -> tuple[int, bytes]:
        """Over a new connection of the named client."""
        return get(self.port, self.site.client(name))


Serve = Callable[..., Served]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def serve(site: Site) -> Iterator[Serve]:
    with contextlib.ExitStack() as stack:

        def start(tls: TlsSettings | None = None, **changes: Any) -> Served:
            settings = tls or site.settings(handshake_timeout_s=SLOW_S, **changes)
            server = HttpServer(ServerSettings(port=0, header_timeout_s=5), echo, settings)
            server.prepare()
            thread = threading.Thread(target=server.serve)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.stop)
            return Served(server, site)

        yield start


def plain(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Raises AssertionError when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has ended, whatever it said before."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def test_certificate_reaches_the_application(serve: Serve) -> None:
    assert serve().get() == (200, b"https CN=hospital 127.0.0.1 0")


def test_optional_lets_everybody_in_and_says_who(serve: Serve, site: Site) -> None:
    served = serve(client_certificates="optional")
    assert served.get("")[1] == b"https nobody 127.0.0.1 0"
    assert served.get()[1] == b"https CN=hospital 127.0.0.1 0"


def test_plain_connections_without_tls(serve: Serve) -> None:
    served = serve(TlsSettings())
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", served.port)) as connection:
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.read() == b"http nobody 127.0.0.1 0"
        assert answer.headers["Server"] == "msim-xds"


def test_a_header_cannot_pass_for_the_certificate(serve: Serve) -> None:
    served = serve(client_certificates="optional")
    context = served.site.client()
    connection = http.client.HTTPSConnection("localhost", served.port, context=context)
    with contextlib.closing(connection):
        pem = served.site.identities["hospital"].certificate_pem.decode().replace("\n", "%0A")
        connection.request("GET", "/", headers={CLIENT_CERTIFICATE: pem, "SSL-Client-Cert": pem})
        assert connection.getresponse().read().startswith(b"https nobody")


def test_headers_with_underscores_are_dropped(serve: Serve) -> None:
    served = serve(TlsSettings())
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", served.port)) as connection:
        connection.request("GET", "/", headers={"X_SSL_Client_Cert": "forged", "X-Other": "1"})
        answer = connection.getresponse()
        answer.read()
        assert answer.headers["X-Seen"] == "HTTP_X_OTHER"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_refused_learn_why(serve: Serve, site: Site, version: ssl.TLSVersion) -> None:
    site.revoke("stolen")
    served = serve(crl=[site.folder / "crl.pem"])
    with capture_logs() as logs:
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REVOKED"):
            get(served.port, site.client("stolen", version))
        with pytest.raises(ssl.SSLError, match=r"CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE"):
            get(served.port, site.client(version=version))
    assert [(line["event"], line["reason"]) for line in logs] == [
        ("client certificate refused", "certificate revoked"),
        ("TLS handshake failed", "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
    ]


def test_connections_are_kept(serve: Serve) -> None:
    served = serve()
    connection = http.client.HTTPSConnection("localhost", served.port, context=served.site.client("hospital"))
    with contextlib.closing(connection):
        for size in (0, 10, 300_000, 5):
            connection.request("POST", "/", bytes(size))
            assert connection.getresponse().read() == f"https CN=hospital 127.0.0.1 {size}".encode()


def test_requests_in_one_record_are_all_answered(serve: Serve) -> None:
    served = serve()
    one = b"GET / HTTP/1.1\r\nHost: x\r\nX-Fill: " + bytes([65]) * 6000 + b"\r\n\r\n"
    with (
        plain(served.port) as raw,
        served.site.client("hospital").wrap_socket(raw, server_hostname="localhost") as connection,
    ):
        connection.sendall(one + one)  # 12 kB: one record, more than one read of the server's
        answers = b""
        while answers.count(b"CN=hospital") < 2:
            got = connection.recv(65536)
            assert got, answers
            answers += got


def test_slow_handshakes_delay_nobody_and_end(serve: Serve) -> None:
    served = serve()
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(plain(served.port)) for _ in range(300)]  # more than there are threads
        for connection in slow[::2]:
            connection.sendall(b"\x16\x03\x01")  # the beginning of a ClientHello
        began = time.monotonic()
        assert served.get()[0] == 200
        assert time.monotonic() - began < SLOW_S
        assert all(map(is_closed, slow))
        assert time.monotonic() - began < SLOW_S + 15
    assert served.get()[0] == 200


def test_no_more_handshakes_than_allowed(serve: Serve) -> None:
    served = serve(handshakes=1)
    with plain(served.port) as first, plain(served.port) as second, capture_logs() as logs:
        assert is_closed(second)
        assert is_closed(first)
        wait_for(lambda: len(logs) == 2)
    assert [line["reason"] for line in logs] == ["too many at a time", "too slow"]
    assert served.get()[0] == 200


@pytest.mark.parametrize("octets", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(80), b""])
def test_what_is_no_tls_is_closed(serve: Serve, octets: bytes) -> None:
    served = serve()
    with plain(served.port) as connection:
        connection.sendall(octets)
        connection.shutdown(socket.SHUT_WR)
        assert is_closed(connection)
    assert served.get()[0] == 200


def test_a_peer_that_never_reads_its_alert_is_let_go(serve: Serve) -> None:
    served = serve()
    with plain(served.port) as connection:
        connection.sendall(b"no TLS at all")
        assert is_closed(connection)
        connection.settimeout(0.2)
        with contextlib.suppress(OSError):
            while True:  # it goes on talking
                connection.sendall(b"x" * 1000)
                time.sleep(0.2)


def test_renewed_files_hold_for_new_connections_and_end_old_ones_in_order(serve: Serve, site: Site) -> None:
    served = serve(crl=[site.folder / "crl.pem"])
    kept = http.client.HTTPSConnection("localhost", served.port, context=site.client("stolen"))
    with contextlib.closing(kept):
        kept.request("GET", "/")
        first = kept.getresponse()
        assert first.read().startswith(b"https CN=stolen")
        assert first.headers["Connection"] is None
        site.revoke("stolen")
        assert served.server.contexts is not None
        served.server.contexts.refresh()
        kept.request("GET", "/")  # is still answered, and told that it was the last
        last = kept.getresponse()
        assert (last.status, last.headers["Connection"]) == (200, "close")
        last.read()
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REVOKED"):
            get(served.port, site.client("stolen"))
    assert served.get()[0] == 200


def test_handshakes_under_way_end_with_the_server(serve: Serve) -> None:
    served = serve()
    with plain(served.port) as connection:
        connection.sendall(b"\x16")
        handshakes = served.server._handshakes
        assert handshakes is not None
        deadline = time.monotonic() + 10
        while not handshakes._running:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        served.server.stop()
        assert is_closed(connection)


def test_messages_of_cheroot_are_logged(serve: Serve) -> None:
    served = serve(TlsSettings())
    with capture_logs() as logs:
        served.server.error_log("something", 30)
    assert logs == [
        {"event": "http server", "problem": "something", "log_level": "warning", "exc_info": False}
    ]
