"""A sender's own endpoint: it takes answers that are sent to wsa:ReplyTo, or misbehaves."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from tests.test_server.soap import Response


class Misbehaviour(Enum):
    """What a receiver does instead of answering."""

    HANG = "hang"
    RESET = "reset"
    TRICKLE = "trickle"


Behaviour = int | Misbehaviour
_PATIENCE_S = 60


@dataclass(frozen=True)
class Received:
    """One POST, read to its end."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def message(self) -> Response:
        """The message, as a client looks at an answer."""
        return Response(200, self.headers, self.body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Senders may go away."""


class Receiver:
    """Listens on loopback. ``behaviours`` are used up one by one; the last one stays.

    Args:
        behaviours: HTTP status, or something worse.
        host: any address of 127.0.0.0/8, or ::1.
        port: 0 takes a free one.
        tls: makes it speak https.
        before: called with what came, before anything is answered.
    """

    def __init__(
        self,
        behaviours: Sequence[Behaviour] = (202,),
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        before: Callable[[Received], None] = lambda received: None,
    ) -> None:
        self.received: list[Received] = []
        self._behaviours = list(behaviours)
        self._before = before
        self._changed = threading.Condition()
        self._ended = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers["content-length"]))
                receiver._take(self, Received(self.path, headers, body, time.monotonic()))

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        class Server(_Server):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        self._server = Server((host, port), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        shown = f"[{host}]" if ":" in host else host
        self.port = int(self._server.server_address[1])
        self.host = f"{shown}:{self.port}"
        self.url = f"{'http' if tls is None else 'https'}://{self.host}/answers"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def wait(self, count: int = 1, patience_s: float = _PATIENCE_S) -> list[Received]:
        """The first ``count`` POSTs."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.received) >= count, patience_s), self.received
            return self.received[:count]

    def _take(self, handler: BaseHTTPRequestHandler, received: Received) -> None:
        self._before(received)
        with self._changed:
            behaviour = self._behaviours.pop(0) if len(self._behaviours) > 1 else self._behaviours[0]
            self.received.append(received)
            self._changed.notify_all()
        if isinstance(behaviour, int):
            handler.send_response(behaviour)
            handler.send_header("Location", f"{self.url}/elsewhere")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
        elif behaviour is Misbehaviour.HANG:
            self._ended.wait(_PATIENCE_S)
        elif behaviour is Misbehaviour.TRICKLE:
            while not self._ended.wait(0.05):
                handler.wfile.write(b"H")
                handler.wfile.flush()
        else:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
