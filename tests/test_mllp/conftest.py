"""A feed into a real registry, and the listener in front of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from msim_xds.database.engine import Database
from msim_xds.mllp.feed import Feed
from msim_xds.mllp.framing import END, framed
from msim_xds.mllp.listener import Answer, Listener
from msim_xds.registry.fragment_codec import FragmentCodec
from msim_xds.registry.identity import PatientIdentity
from msim_xds.registry.relinking import Relinker
from msim_xds.settings import DatabaseSettings, MllpSettings, Settings
from tests.support.metadata import new_uuid

NOW = datetime(2026, 9, 14, 12, tzinfo=UTC)


@pytest.fixture
def identity(database_url: str) -> Iterator[PatientIdentity]:
    """Patients on a database of each kind; only announced ones count."""
    settings = Settings(patients={"policy": "known"})
    database = Database(database_url, DatabaseSettings())
    database.migrate()
    relinker = Relinker(FragmentCodec(database), lambda: NOW, new_uuid)
    yield PatientIdentity(database, settings.patients, relinker, lambda: NOW)
    database.close()


@pytest.fixture
def feed(identity: PatientIdentity) -> Feed:
    """A feed of them."""
    return Feed(identity, "UNICODE UTF-8", lambda: NOW)


class Line:
    """A sender's connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._received = b""

    def send(self, data: bytes) -> None:
        """Octets as they are."""
        self.connection.sendall(data)

    def receive(self) -> bytes:
        """The next answer's message; empty when the listener has closed."""
        while END not in self._received:
            data = self.connection.recv(65536)
            if not data:
                return b""
            self._received += data
        frame, _, self._received = self._received.partition(END + b"\r")
        assert frame[:1] == b"\x0b"
        return frame[1:]

    def exchange(self, message: bytes) -> bytes:
        """The answer to a message."""
        self.send(framed(message))
        return self.receive()


Dial = Callable[[], Line]


@contextmanager
def serving(answer: Answer, refused: Any = None, **settings: object) -> Iterator[tuple[Listener, Dial]]:
    """A listener on a free loopback port, stopped at the end, and what connects to it."""
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as lines:
        listener = Listener(listening, answer, MllpSettings(**settings), refused)
        thread = threading.Thread(target=listener.serve)
        thread.start()

        def dial() -> Line:
            return Line(lines.enter_context(socket.create_connection(listening.getsockname(), 20)))

        try:
            yield listener, dial
        finally:
            if thread.is_alive():
                listener.stop()
            thread.join(30)
            assert not thread.is_alive()
