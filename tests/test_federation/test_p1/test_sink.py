"""The double's audit sink: what is whole is taken, from those whom its authority knows, and nothing else."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from msim_xds.testing.p1.keys import TlsKeys, make_tls
from msim_xds.testing.p1.sink import HandedOver, listening
from msim_xds.tls import server_context


class Sink:
    """A sink that listens, and somebody who speaks to it."""

    def __init__(self, keys: TlsKeys, port: int, taken: list[HandedOver]) -> None:
        self.taken = taken
        self._port = port
        self._context = ssl.create_default_context(cafile=keys.authority)
        self._context.load_cert_chain(keys.client.certificate, keys.client.key)

    def say(self, octets: bytes) -> bool:
        """Send them and close; whether the sink answers our close_notify."""
        with socket.create_connection(("127.0.0.1", self._port), 10) as plain:
            connection = self._context.wrap_socket(plain, server_hostname="localhost")
            with connection:
                connection.sendall(octets)
                try:
                    connection.unwrap().close()
                except OSError:
                    return False
                return True


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    keys = make_tls(tmp_path, "hospital")
    taken: list[HandedOver] = []
    with listening(server_context(keys.settings), taken.append) as port:
        yield Sink(keys, port, taken)


def test_messages_are_taken_in_order_with_their_sender(sink: Sink) -> None:
    assert sink.say(b"3 one3 two")
    assert sink.taken == [HandedOver("hospital", b"one"), HandedOver("hospital", b"two")]


@pytest.mark.parametrize("broken", [b"9 short", b"x9 message", b"9999999999 m", b"12"])
def test_what_is_broken_is_neither_taken_nor_confirmed(sink: Sink, broken: bytes) -> None:
    assert not sink.say(b"3 one" + broken)
    assert [each.message for each in sink.taken] == [b"one"]
