"""Connections of feeds, by real sockets: many, broken, slow, secured."""

from __future__ import annotations

import datetime
import errno
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog

from msim_xds.mllp.feed import Feed
from msim_xds.mllp.framing import Frame, framed
from msim_xds.mllp.listener import Listener, tls_context
from msim_xds.registry.identity import PatientIdentity
from msim_xds.settings import MllpSettings
from tests.test_mllp.conftest import Dial, Line, serving
from tests.test_mllp.messages import announcement, header, message, segments

AUTHORITY = "2.16.840.1.113883.3.4424.2.7.99999.17.1"


def echo(frame: Frame, _address: str) -> bytes:
    """What a test without a registry answers."""
    return frame.data.upper() if frame.whole else b"too large"


def cx(number: int) -> str:
    return f"P{number}^^^&{AUTHORITY}&ISO"


def test_two_feeds_of_a_hundred_messages(feed: Feed, identity: PatientIdentity) -> None:
    """Ten connections, five of each of two systems; one has broken frames, one sends an unknown event."""

    def send(dial: Dial, number: int) -> list[str]:
        line = dial()
        codes = []
        for turn in range(10):
            data = announcement(cx(number * 10 + turn), f3=f"HIS{number % 2}", f10=f"M{number}.{turn}")
            if number == 3:
                line.send(b"garbage\x1c\r\x0bMSH|half a message")
            if number == 7 and turn == 5:
                data = message(header("A99"), f"PID|||{cx(0)}")
            answer = segments(line.exchange(data))
            if number != 7 or turn != 5:
                assert answer["MSA"][2] == f"M{number}.{turn}"
                assert answer["MSH"][4] == f"HIS{number % 2}"
            codes.append(answer["MSA"][1])
        return codes

    with serving(feed.answer) as (_, dial), ThreadPoolExecutor(10) as senders:
        outcomes = [each.result() for each in [senders.submit(send, dial, n) for n in range(10)]]
    assert outcomes == [["AR" if (n, turn) == (7, 5) else "AA" for turn in range(10)] for n in range(10)]
    assert {each.cx for each in identity.listed()} == {cx(n) for n in range(100) if n != 75}


def test_pieces_and_several_in_one_packet() -> None:
    with serving(echo) as (_, dial):
        line = dial()
        line.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (b"\x0b", b"on", b"e", b"\x1c", b"\r\x0btwo\x1c\r\x0bthree\x1c"):
            line.send(piece)
            time.sleep(0.02)
        assert [line.receive() for _ in range(3)] == [b"ONE", b"TWO", b"THREE"]
        assert line.exchange(b"four") == b"FOUR"


def test_too_large_is_answered_and_the_next_is_read() -> None:
    with serving(echo, message_bytes=1024) as (_, dial):
        line = dial()
        assert line.exchange(b"x" * 3_000_000) == b"too large"
        assert line.exchange(b"y" * 1024) == b"Y" * 1024


def test_nothing_but_strays() -> None:
    with structlog.testing.capture_logs() as logs, serving(echo, message_bytes=1024) as (_, dial):
        line = dial()
        line.send(b"GET / HTTP/1.1\r\n" * 100)
        assert line.receive() == b""
    assert [(log["event"], log["end"]) for log in logs] == [("feed connection", "ConnectionAbortedError")]


@pytest.mark.parametrize(
    ("sent", "reason"), [(b"", None), (b"\x0bMSH|", "no whole message in time"), (b"\r\n", None)]
)
def test_silence_is_given_up(sent: bytes, reason: str | None) -> None:
    with (
        structlog.testing.capture_logs() as logs,
        serving(echo, idle_timeout_s=0.3, message_timeout_s=0.3) as (_, dial),
    ):
        line = dial()
        line.send(sent)
        begun = time.monotonic()
        assert line.receive() == b""
        assert 0.2 < time.monotonic() - begun < 5
    assert [log["end"] for log in logs] == ([reason] if reason else [])


def trickle(line: Line) -> None:
    """One octet after the other until the listener closes; raises OSError then."""
    line.send(b"\x0b")
    line.connection.settimeout(0.05)
    for _ in range(200):
        line.send(b"x")
        with suppress(TimeoutError):
            if line.connection.recv(1) == b"":
                raise ConnectionResetError


def test_a_message_that_trickles_is_given_up() -> None:
    with serving(echo, idle_timeout_s=20, message_timeout_s=0.5) as (_, dial):
        line = dial()
        with pytest.raises(ConnectionError):
            trickle(line)


def test_further_connections_wait() -> None:
    with serving(echo, connections=2) as (_, dial):
        first, second, third = dial(), dial(), dial()
        assert first.exchange(b"a") == b"A"
        assert second.exchange(b"b") == b"B"
        third.connection.settimeout(0.4)
        third.send(framed(b"c"))
        with pytest.raises(TimeoutError):
            third.receive()
        first.connection.close()
        third.connection.settimeout(20)
        assert third.receive() == b"C"


class Exhausted(socket.socket):
    """A listening socket of a process that has no files left, for a while."""

    failures = 2

    def accept(self) -> tuple[socket.socket, Any]:
        if Exhausted.failures:
            Exhausted.failures -= 1
            raise OSError(errno.EMFILE, "too many open files")
        return super().accept()


def test_connections_wait_while_no_file_is_left() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as created,
        Exhausted(fileno=created.detach()) as listening,
        structlog.testing.capture_logs() as logs,
    ):
        listener = Listener(listening, echo, MllpSettings())
        thread = threading.Thread(target=listener.serve)
        thread.start()
        with socket.create_connection(listening.getsockname(), 20) as connection:
            assert Line(connection).exchange(b"a") == b"A"
        listener.stop()
        thread.join(20)
    assert [(log["event"], log["errno"]) for log in logs] == [("no connection accepted", errno.EMFILE)] * 2


def test_a_sender_that_goes_away_harms_nobody() -> None:
    with serving(echo) as (_, dial):
        for sent in (b"", b"\x0bMSH", framed(b"x" * 100_000)):
            line = dial()
            line.send(sent)
            line.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            line.connection.close()
        assert dial().exchange(b"a") == b"A"


def test_stopping_answers_what_is_under_way() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slowly(frame: Frame, _address: str) -> bytes:
        begun.set()
        assert go_on.wait(10)
        return frame.data

    with serving(slowly) as (listener, dial):
        idle, busy = dial(), dial()
        busy.send(framed(b"under way"))
        assert begun.wait(10)
        listener.stop()
        assert idle.receive() == b""
        go_on.set()
        assert busy.receive() == b"under way"
        assert busy.receive() == b""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate with its key in one file."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


class TestTls:
    def secured(self, line: Line, certificate: Path, *, own: bool) -> Line:
        context = ssl.create_default_context(cafile=certificate)
        if own:
            context.load_cert_chain(certificate)
        return Line(context.wrap_socket(line.connection, server_hostname="localhost"))

    def test_messages(self, certificate: Path) -> None:
        settings = {"tls_certificate": certificate, "tls_key": certificate}
        with serving(echo, **settings) as (_, dial):
            line = self.secured(dial(), certificate, own=False)
            assert line.exchange(b"x" * 100_000) == b"X" * 100_000
            plain = dial()
            plain.send(framed(b"plain"))
            with suppress(ConnectionResetError):
                assert not plain.receive().startswith(b"PLAIN")
            assert line.exchange(b"y") == b"Y"
            line.connection.close()

    def test_clients_must_have_a_certificate_of_ours(self, certificate: Path) -> None:
        settings = dict.fromkeys(("tls_certificate", "tls_key", "tls_client_ca"), certificate)
        refused: list[tuple[str, str]] = []
        with serving(echo, lambda *each: refused.append(each), **settings) as (_, dial):
            line = self.secured(dial(), certificate, own=True)
            assert line.exchange(b"x") == b"X"
            dial().connection.sendall(b"no TLS at all, which is no refused node")
            stranger = self.secured(dial(), certificate, own=False)
            with suppress(OSError):  # the alert, or the closed connection
                assert stranger.exchange(b"x") == b""
            line.connection.close()
            stranger.connection.close()
        assert refused == [("127.0.0.1", "PEER_DID_NOT_RETURN_A_CERTIFICATE")]

    def test_stopping_answers_what_is_under_way(self, certificate: Path) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def slowly(frame: Frame, _address: str) -> bytes:
            begun.set()
            assert go_on.wait(10)
            return frame.data

        settings = {"tls_certificate": certificate, "tls_key": certificate}
        with serving(slowly, **settings) as (listener, dial):
            line = self.secured(dial(), certificate, own=False)
            line.send(framed(b"under way"))
            assert begun.wait(10)
            listener.stop()
            go_on.set()
            assert line.receive() == b"under way"
            line.connection.close()

    def test_files_that_are_none(self, tmp_path: Path) -> None:
        (tmp_path / "bad.pem").write_text("nonsense")
        for name in ("none.pem", "bad.pem"):
            with pytest.raises(OSError, match=name):
                tls_context(MllpSettings(tls_certificate=tmp_path / name))
