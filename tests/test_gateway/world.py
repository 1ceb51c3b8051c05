"""Servers on loopback for a gateway to ask: whole communities, and partners that misbehave."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from cheroot.wsgi import Server

from msim_xds.ihe.transactions import Endpoint
from msim_xds.server.front import WsgiApplication
from tests.test_gateway.conftest import CommunityNode, open_community

PESEL: Final = "2.16.840.1.113883.3.4424.1.1.616"


@contextmanager
def serving(app: WsgiApplication) -> Iterator[str]:
    """The application on a free port; its base URL."""
    server = Server(("127.0.0.1", 0), app, numthreads=8)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.bind_addr[1]}"
    finally:
        server.stop()
        thread.join()


Behaviour = Callable[[socket.socket], None]


class Faulty:
    """A partner that does with each connection, after the request's head, what it is told."""

    def __init__(self, behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self._behaviour = behaviour
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}/xca"
        self.seen: list[bytes] = []
        self.over = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]

    def behave(self, behaviour: Behaviour) -> None:
        """Do something else from now on."""
        self._behaviour = behaviour

    def __enter__(self) -> Faulty:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while not self.over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(10)
            if self._tls is None:
                self._talk(connection)
                return
            with self._tls.wrap_socket(connection, server_side=True) as secure:
                self._talk(secure)

    def _talk(self, connection: socket.socket) -> None:
        self.seen.append(whole_request(connection))
        self._behaviour(connection)


def whole_request(connection: socket.socket) -> bytes:
    """A whole request with Content-Length. Raises ConnectionError where it breaks off."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += _some(connection)
    return head + b"\r\n\r\n" + body


def _some(connection: socket.socket) -> bytes:
    octets = connection.recv(65536)
    if not octets:
        raise ConnectionError
    return octets


def partner_toml(name: str, home: str, url: str, more: str = "", tables: str = "") -> str:
    """One table of a partner file, for a server on loopback."""
    return (
        f'[[community]]\nname = "{name}"\nhomes = ["{home}"]\nquery_url = "{url}"\n'
        f"plain_http = true\n{more}\n"
        f'patients.shared = ["{PESEL}"]\n{tables}\n'
    )


@contextmanager
def gateway(folder: Path, partners: str, **gateway_settings: object) -> Iterator[CommunityNode]:
    """The community whose Initiating Gateway asks ``partners``."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "partners.toml"
    file.write_text(partners)
    opened = open_community(folder / "data", gateway={"partners": file, **gateway_settings})
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def neighbour(folder: Path, home: str, **sections: Any) -> Iterator[tuple[CommunityNode, str]]:
    """A whole other community, and the URL of its Responding Gateway."""
    opened = open_community(folder, home=home, **sections)
    try:
        with serving(opened.app) as url:
            yield opened, url + Endpoint.RESPONDING_GATEWAY
    finally:
        opened.close()
