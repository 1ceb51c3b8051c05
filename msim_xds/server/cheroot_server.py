"""The HTTP server in pure Python: cheroot, with TLS that shows client certificates to the application."""

from __future__ import annotations

import logging
import socket
import ssl
from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import structlog
from cheroot.errors import FatalSSLAlert
from cheroot.makefile import StreamReader, StreamWriter
from cheroot.server import HeaderReader, HTTPConnection, HTTPRequest
from cheroot.ssl import Adapter
from cheroot.wsgi import Server
from structlog.typing import FilteringBoundLogger

from msim_xds.audit.refusals import Refusals
from msim_xds.audit.trail import Trail
from msim_xds.server.handshakes import Handshakes
from msim_xds.server.peer import CLIENT_CERTIFICATE
from msim_xds.settings import ServerSettings
from msim_xds.tls import Contexts
from msim_xds.tls_settings import TlsSettings

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from msim_xds.server.front import WsgiApplication

_log: FilteringBoundLogger = structlog.get_logger()

SERVER_NAME: Final = "msim-xds"

#: Each waits for a client's octets or carries out a request; cheroot starts all at once.
_THREADS: Final = 256
_IDLE_CONNECTIONS: Final = 4096
_BACKLOG: Final = 1024
_HEADER_BYTES: Final = 65536
_STOP_TIMEOUT_S: Final = 30


class _Reader(StreamReader):
    def __init__(self, sock: ssl.SSLSocket, mode: str = "r", size: int = 8192) -> None:
        super().__init__(sock, mode, size)
        self._pending = sock.pending

    def has_data(self) -> bool:
        """Whether there is something to read that no selector sees, also decrypted already."""
        buffered: bool = super().has_data()  # type: ignore[no-untyped-call]  # cheroot's
        return buffered or self._pending() > 0


class _Writer(StreamWriter):
    """Hands what is written to TLS at once; cheroot's own copies what is left for each record of 16 KiB."""

    def __init__(self, sock: ssl.SSLSocket, mode: str = "w", size: int = 8192) -> None:
        super().__init__(sock, mode, size)
        self._send = sock.sendall

    def write(self, val: ReadableBuffer) -> int:
        """Send all of it."""
        octets = memoryview(val)
        self._send(octets)
        self.bytes_written += octets.nbytes
        return octets.nbytes


class _Adapter(Adapter):
    """Wraps connections without a handshake, which would hold up the accept loop."""

    def __init__(self, contexts: Contexts) -> None:
        super().__init__("", "")
        self.contexts = contexts

    def bind(self, sock: socket.socket) -> socket.socket:
        """The listening socket stays plain."""
        return sock

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, str]]:
        """The connection as the context in force wants it.

        Raises:
            FatalSSLAlert: it has ended already.
        """
        try:
            return self.contexts.current.wrap_socket(
                sock, server_side=True, do_handshake_on_connect=False
            ), {}
        except OSError as error:
            raise FatalSSLAlert(*error.args) from error

    def get_environ(self) -> dict[str, str]:
        """Nothing before the handshake."""
        return {}

    def makefile(self, sock: ssl.SSLSocket, mode: str = "r", bufsize: int = 8192) -> _Reader | _Writer:
        """A file over the connection."""
        return (_Reader if "r" in mode else _Writer)(sock, mode, bufsize)


class _HeaderReader(HeaderReader):
    def _allow_header(self, key_name: bytes) -> bool:
        """Not those with underscores: in the environ X_Y would pass for X-Y. Cheroot's own way fails."""
        return b"_" not in key_name


class _Request(HTTPRequest):
    header_reader = _HeaderReader()

    def respond(self) -> None:
        """Answer; the last answer of a connection whose certificate was judged by files that have changed."""
        if self.conn.is_outdated():
            self.close_connection = True
        super().respond()


class _Connection(HTTPConnection):
    RequestHandlerClass = _Request
    authenticated = False

    def is_outdated(self) -> bool:
        """Whether it was accepted by another context than new ones are."""
        adapter = self.server.ssl_adapter
        return adapter is not None and self.socket.context is not adapter.contexts.current

    def close(self) -> None:
        """Say so to a peer that speaks TLS, and give the descriptor back at once."""
        if self.authenticated:
            with suppress(OSError, ValueError):  # the peer has gone
                self.socket.setblocking(False)
                self.socket.unwrap()  # its answer is not waited for
        with suppress(OSError):  # likewise
            super().close()
        self.wfile.raw.close()


class HttpServer(Server):
    """One process that serves a WSGI callable.

    Args:
        settings: where it listens.
        application: the WSGI callable.
        tls: section ``tls``; without a certificate connections are plain.
        trail: records clients whose certificates are refused; None where nothing is recorded.

    Raises:
        UnusableTls: what is wrong with the section, and in which file.
    """

    ConnectionClass = _Connection
    keep_alive_conn_limit = _IDLE_CONNECTIONS
    max_request_header_size = _HEADER_BYTES

    def __init__(
        self,
        settings: ServerSettings,
        application: WsgiApplication,
        tls: TlsSettings,
        trail: Trail | None = None,
    ) -> None:
        super().__init__(
            str(settings.uds) if settings.uds else (settings.host, settings.port),
            application,
            numthreads=_THREADS,
            server_name=SERVER_NAME,
            request_queue_size=_BACKLOG,
            timeout=ceil(settings.header_timeout_s),
            shutdown_timeout=_STOP_TIMEOUT_S,
        )
        self._handshakes: Handshakes | None = None
        self._refusals: Refusals | None = None
        self.contexts: Contexts | None = None
        if tls.certificate is not None:
            self.contexts = Contexts(tls)
            self.ssl_adapter = _Adapter(self.contexts)
            if trail is not None:
                self._refusals = Refusals(trail.node_refused)
            told = None if self._refusals is None else self._refusals.add
            self._handshakes = Handshakes(tls.handshake_timeout_s, tls.handshakes, told)

    def prepare(self) -> None:
        """Listen."""
        super().prepare()
        if self._refusals is not None:
            self._refusals.start()
        if self._handshakes is not None:
            self._handshakes.start()

    def stop(self) -> None:
        """Accept no more, and finish the requests under way."""
        super().stop()
        if self._handshakes is not None:
            self._handshakes.stop()
        if self._refusals is not None:
            self._refusals.stop()

    def process_conn(self, conn: _Connection) -> None:
        """Serve a connection that has something to say, after its handshake."""
        if self._handshakes is None or conn.authenticated:
            super().process_conn(conn)
            return

        def finished(succeeded: bool) -> None:
            self._shaken(conn, succeeded)

        self._handshakes.begin(conn.socket, conn.remote_addr or "", finished)

    def _shaken(self, conn: _Connection, succeeded: bool) -> None:
        if not succeeded:
            conn.close()
            return
        conn.authenticated = True
        conn.ssl_env = {"wsgi.url_scheme": "https", CLIENT_CERTIFICATE: _certificate(conn.socket)}
        conn.socket.settimeout(self.timeout)
        self.put_conn(conn)  # it costs no thread until its request comes

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Cheroot's own messages, where all others go."""
        _log.log(level, "http server", problem=msg, exc_info=traceback)


def _certificate(connection: ssl.SSLSocket) -> str:
    der = connection.getpeercert(binary_form=True)
    return quote(ssl.DER_cert_to_PEM_cert(der)) if der else ""
