"""One attempt against real listeners, good and bad."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from msim_xds.delivery.addresses import ReplyHosts
from msim_xds.delivery.sending import Attempt, NotDelivered, Options
from msim_xds.ihe.transactions import ITI_18
from msim_xds.wire.exchange import OutgoingDocument
from msim_xds.wire.mtom import Packaged, package, plain
from msim_xds.wire.xop import include
from tests.support.receiver import Behaviour, Misbehaviour, Receiver
from tests.support.server import free_port
from tests.test_delivery import certificates

OPTIONS = Options(timeout_s=1)


def message() -> Packaged:
    return plain([b"<envelope/>"], (), ITI_18.answer_action)


def send(url: str, options: Options = OPTIONS, packaged: Packaged | None = None, host: str = "") -> None:
    hosts = ReplyHosts([host or "127.0.0.1", "[::1]", "localhost"])
    Attempt(options).send(hosts.target(url), packaged or message())


@pytest.mark.parametrize("status", [200, 202, 204])
def test_delivered(status: int) -> None:
    with Receiver([status]) as receiver:
        send(f"{receiver.url}?a=%20b")
        (received,) = receiver.wait()
    assert (received.path, received.body) == ("/answers?a=%20b", b"<envelope/>")
    assert received.headers["host"] == receiver.host
    assert received.headers["content-length"] == "11"
    assert received.headers["content-type"].endswith(f'; action="{ITI_18.answer_action}"')
    assert received.headers["user-agent"].startswith("msim-xds/")


def test_ipv6() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with Receiver(host="::1") as receiver:
        send(receiver.url)
        assert receiver.wait()[0].headers["host"] == receiver.host


def test_documents_are_streamed() -> None:
    octets = bytes(range(256)) * 4096
    chunks = (octets[start : start + 65536] for start in range(0, len(octets), 65536))
    document = OutgoingDocument("d@x", "text/xml", len(octets), chunks)
    with Receiver() as receiver:
        send(receiver.url, packaged=package([include("d@x").encode()], [document], ITI_18.answer_action))
        ((_, root), (_, content)) = receiver.wait()[0].message.parts()
    assert (root, content) == (include("d@x").encode(), octets)


@pytest.mark.parametrize(
    ("behaviour", "problem"),
    [
        (500, "answers HTTP 500"),
        (404, "answers HTTP 404"),
        (302, "answers HTTP 302"),
        (307, "answers HTTP 307"),
        (Misbehaviour.HANG, "does not answer in time"),
        (Misbehaviour.RESET, "Connection reset|closed connection"),
    ],
)
def test_not_delivered(behaviour: Behaviour, problem: str) -> None:
    with Receiver([behaviour]) as receiver:
        with pytest.raises(NotDelivered, match=problem):
            send(receiver.url)
        assert [received.path for received in receiver.received] == ["/answers"]  # nothing was followed


def test_nobody_listens() -> None:
    with pytest.raises(NotDelivered, match="Connection refused"):
        send(f"http://127.0.0.1:{free_port()}/")


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Has every name stand for the addresses in the list."""
    found = ["127.0.0.1"]

    def resolve(host: str, port: int, *args: object, **named: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return found


def test_name_that_stands_for_this_machine(named: list[str]) -> None:
    with Receiver() as receiver:
        with pytest.raises(NotDelivered, match=r"stands for 127\.0\.0\.1, which is allowed as a number only"):
            send(f"http://rebound.example:{receiver.port}/", host="rebound.example")
        time.sleep(0.2)
        assert receiver.received == []
        send(f"http://localhost:{receiver.port}/")
        receiver.wait()


def test_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver() as proxy, Receiver() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://{proxy.host}")
        send(receiver.url)
        receiver.wait()
        assert proxy.received == []


def test_abort_breaks_a_receiver_off_that_hangs() -> None:
    attempt = Attempt(Options(timeout_s=30))
    with Receiver([Misbehaviour.HANG]) as receiver:
        target = ReplyHosts(["127.0.0.1"]).target(receiver.url)
        threading.Timer(0.3, attempt.abort).start()
        begun = time.monotonic()
        with pytest.raises(NotDelivered, match="broken off"):
            attempt.send(target, message())
        assert time.monotonic() - begun < 10


def test_abort_before_there_is_a_connection() -> None:
    attempt = Attempt(Options(timeout_s=30))
    attempt.abort()
    with Receiver([Misbehaviour.HANG]) as receiver, pytest.raises(NotDelivered, match="broken off"):
        attempt.send(ReplyHosts(["127.0.0.1"]).target(receiver.url), message())


def test_receiver_that_plays_for_time_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msim_xds.delivery.sending._CONNECT_S", 0.5)
    attempt = Attempt(Options(timeout_s=0.5))
    assert not attempt.is_stuck
    with Receiver([Misbehaviour.TRICKLE]) as receiver:
        target = ReplyHosts(["127.0.0.1"]).target(receiver.url)

        def watch() -> None:
            while not attempt.is_stuck:
                time.sleep(0.05)
            attempt.abort()

        threading.Thread(target=watch).start()
        begun = time.monotonic()
        with pytest.raises(NotDelivered, match="broken off"):
            attempt.send(target, message())
        assert 1.5 <= time.monotonic() - begun < 10


class TestTls:
    def test_mutual(self, tmp_path: Path) -> None:
        ca = certificates.authority(tmp_path)
        listening = certificates.server(certificates.certificate(tmp_path, "receiver"), clients=ca)
        ours = certificates.certificate(tmp_path, "sender")
        with Receiver(tls=listening) as receiver:
            send(receiver.url, Options(1, ca_file=ca, certificate=ours))
            assert receiver.wait()[0].body == b"<envelope/>"

    def test_authority_nobody_trusts(self, tmp_path: Path) -> None:
        certificates.authority(tmp_path)
        listening = certificates.server(certificates.certificate(tmp_path, "receiver"))
        with (
            Receiver(tls=listening) as receiver,
            pytest.raises(NotDelivered, match="certificate verify failed"),
        ):
            send(receiver.url)

    def test_certificate_of_another_name(self, tmp_path: Path, named: list[str]) -> None:
        ca = certificates.authority(tmp_path)
        listening = certificates.server(certificates.certificate(tmp_path, "receiver"))
        with (
            Receiver(tls=listening) as receiver,
            pytest.raises(NotDelivered, match=r"doesn't match|not valid for"),
        ):
            send(f"https://localhost:{receiver.port}/", Options(1, ca_file=ca))

    def test_receiver_that_speaks_no_tls(self) -> None:
        with Receiver() as receiver, pytest.raises(NotDelivered, match="connection fails"):
            send(receiver.url.replace("http:", "https:"))
