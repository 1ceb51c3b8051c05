"""The double's audit sink: syslog over TLS as RFC 5425 has it, for those whom its authority knows."""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Final, NamedTuple

from cryptography import x509
from cryptography.x509.oid import NameOID

_MAX_DIGITS: Final = 9
_PATIENCE_S: Final = 30.0


class HandedOver(NamedTuple):
    """A syslog message, and the common name of whoever has sent it."""

    sender: str
    message: bytes

    @property
    def record(self) -> bytes:
        """The AuditMessage in it, without XML declaration (ITI TF-2 3.20.4.1.2)."""
        return self.message[self.message.index(b"<AuditMessage") :]


@contextmanager
def listening(tls: ssl.SSLContext, take: Callable[[HandedOver], None]) -> Iterator[int]:
    """Take messages on a free port of loopback, which is given, until the end of the block."""
    with _Server(tls, take) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="p1-double-audit")
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


class _Server(socketserver.ThreadingTCPServer):
    """A thread for each connection; leaving it waits for them."""

    def __init__(self, tls: ssl.SSLContext, take: Callable[[HandedOver], None]) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.tls = tls
        self.take = take

    def handle_error(self, request: object, client_address: object) -> None:
        """Who is refused, or breaks off, learns it from TLS; what was whole is kept."""


class _Connection(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        """Read messages until the sender closes, and answer its close_notify (RFC 5425 4.4)."""
        self.request.settimeout(_PATIENCE_S)
        with self.server.tls.wrap_socket(self.request, server_side=True) as connection:
            sender = _common_name(connection)
            with connection.makefile("rb") as stream:
                for message in _messages(stream):
                    self.server.take(HandedOver(sender, message))
            connection.unwrap().close()


def _messages(stream: IO[bytes]) -> Iterator[bytes]:
    """Each behind its length in octets (RFC 5425 4.3). Raises ValueError where it is none, or too short."""
    while digit := stream.read(1):
        digits = digit
        while (digit := stream.read(1)) != b" ":
            digits += digit
            if not digit or len(digits) > _MAX_DIGITS:
                raise ValueError("no length of a message")
        message = stream.read(int(digits))
        if len(message) != int(digits):
            raise ValueError("a message broke off")
        yield message


def _common_name(connection: ssl.SSLSocket) -> str:
    shown = connection.getpeercert(binary_form=True)
    if shown is None:
        return ""
    names = x509.load_der_x509_certificate(shown).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""
