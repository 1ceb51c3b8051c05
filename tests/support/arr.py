"""An Audit Record Repository on loopback: syslog over TLS as RFC 5425 has it, and over UDP."""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.authority import Identity, issue

_PATIENCE_S = 120
_LINE = re.compile(
    rb"<(?P<pri>\d+)>1 (?P<time>\S+) (?P<host>\S+) (?P<app>\S+) (?P<proc>\S+) (?P<id>\S+)"
    rb" (?P<data>-|\[[^\]]*\]) (?P<text>.*)",
    re.DOTALL,
)


class Ending(Enum):
    """How a receiver ends a connection that the sender closes."""

    CLOSE_NOTIFY = "close_notify"
    EOF = "eof"
    RESET = "reset"
    HANG = "hang"


@dataclass(frozen=True)
class Line:
    """A syslog message, taken apart."""

    raw: bytes
    parts: Mapping[str, str]

    @property
    def record(self) -> bytes:
        """The audit message, without XML declaration."""
        text = self.parts["text"].encode()
        assert text.startswith(b'<?xml version="1.0" encoding="UTF-8"?>')
        return text.partition(b"?>")[2]


def line(raw: bytes) -> Line:
    found = _LINE.fullmatch(raw)
    assert found, raw[:200]
    return Line(raw, {key: value.decode() for key, value in found.groupdict().items()})


class Repository:
    """Listens on loopback over TLS, for the length of a with block.

    It keeps what it has read of a connection that breaks off, except for the message in its midst.

    Args:
        tls: its certificate, and whose it demands.
        port: 0 takes a free one.
        ending: what it does at the end of a connection.
    """

    def __init__(self, tls: ssl.SSLContext, port: int = 0, ending: Ending = Ending.CLOSE_NOTIFY) -> None:
        self.messages: list[bytes] = []
        self.connections = 0
        self.problems: list[str] = []
        self.peers: set[str] = set()
        self.ending = ending
        self._tls = tls
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listening.getsockname()[1])
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join()

    @property
    def lines(self) -> list[Line]:
        return [line(each) for each in self.messages]

    def wait(self, count: int, patience_s: float = _PATIENCE_S) -> None:
        """Until so many messages are here."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.messages) >= count, patience_s)
        assert arrived, (len(self.messages), self.problems)

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                plain, _ = self._listening.accept()
            except OSError:
                return
            plain.settimeout(_PATIENCE_S)
            self._start(self._serve, plain)

    def _serve(self, plain: socket.socket) -> None:
        self.connections += 1
        try:
            connection = self._tls.wrap_socket(plain, server_side=True, suppress_ragged_eofs=False)
        except OSError as error:
            self.problems.append(str(error))
            plain.close()
            return
        with connection:
            try:
                self._note(connection)
                self._read(connection)
                self._end(connection)
            except OSError as error:  # the sender was killed
                self.problems.append(str(error))

    def _note(self, connection: ssl.SSLSocket) -> None:
        certificate = connection.getpeercert(binary_form=True)
        if certificate:
            self.peers.add(x509.load_der_x509_certificate(certificate).subject.rfc4514_string())

    def _read(self, connection: ssl.SSLSocket) -> None:
        waiting = b""
        while octets := connection.recv(65536):
            waiting = self._taken(waiting + octets)
        assert not waiting

    def _taken(self, stream: bytes) -> bytes:
        """Keep whole messages; what is left is returned (RFC 5425 4.3)."""
        while True:
            length, blank, rest = stream.partition(b" ")
            if not blank or len(rest) < int(length):
                return stream
            assert re.fullmatch(rb"[1-9][0-9]*", length)
            stream = rest[int(length) :]
            with self._changed:
                self.messages.append(rest[: int(length)])
                self._changed.notify_all()

    def _end(self, connection: ssl.SSLSocket) -> None:
        match self.ending:
            case Ending.CLOSE_NOTIFY:
                connection.unwrap().close()
            case Ending.EOF:
                socket.socket(fileno=connection.detach()).close()
            case Ending.RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                socket.socket(fileno=connection.detach()).close()
            case Ending.HANG:
                self._ended.wait(_PATIENCE_S)


class UdpRepository:
    """Listens on loopback over UDP, for the length of a with block."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(_PATIENCE_S)
        self.port = int(self._socket.getsockname()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def next(self) -> bytes:
        """One datagram."""
        return self._socket.recv(100_000)


@dataclass(frozen=True)
class Pki:
    """An authority, a repository's certificate and a sender's, as files."""

    authority: Path
    repository: Path
    sender: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        authority = issue("ARR CA", None, ca=True)
        usage = {"digital_signature": True}
        names = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        repository = issue("arr", authority, key_name="ec arr", usage=usage, extensions=[(names, False)])
        sender = issue("msim-xds", authority, key_name="ec sender", usage=usage)
        paths = (folder / "ca.pem", folder / "arr.pem", folder / "sender.pem")
        paths[0].write_bytes(authority.pem)
        paths[1].write_bytes(_both(repository))
        paths[2].write_bytes(_both(sender))
        return cls(*paths)

    def context(self, *, demands: bool = True) -> ssl.SSLContext:
        """The repository's."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.repository)
        if demands:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.authority)
        return context


def _both(identity: Identity) -> bytes:
    key = identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return identity.pem + key


def without_doubles(messages: list[bytes]) -> list[bytes]:
    """What a receiver keeps that recognises a message by its octets."""
    return list(dict.fromkeys(messages))
