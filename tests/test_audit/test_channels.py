"""The ways to a repository, to real receivers on loopback."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from msim_xds.audit.channels import Channel, NotConfirmed, open_channel
from msim_xds.audit_settings import AuditRepositorySettings
from tests.support.arr import Ending, Pki, Repository, UdpRepository
from tests.support.server import free_port

MESSAGES = [b"one", "zażółć".encode(), b"x" * 100_000]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.make(tmp_path_factory.mktemp("pki"))


def channel(pki: Pki, port: int, host: str = "127.0.0.1", **settings: object) -> Channel:
    values = {"name": "arr", "url": f"tls://{host}:{port}", "ca_file": pki.authority, **settings}
    return open_channel(AuditRepositorySettings.model_validate(values), 3)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_messages_arrive_in_frames_by_mutual_tls(pki: Pki, version: ssl.TLSVersion, host: str) -> None:
    context = pki.context()
    context.maximum_version = version
    with Repository(context) as repository:
        way = channel(pki, repository.port, host, certificate=pki.sender)
        way.send(MESSAGES)
        assert repository.messages == MESSAGES  # all read before send has returned
        assert repository.peers == {"CN=msim-xds,C=PL"}
        way.send([b"again"])
        assert (repository.messages[-1], repository.connections) == (b"again", 2)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_sender_whose_certificate_is_missing_learns_of_it(pki: Pki, version: ssl.TLSVersion) -> None:
    """In TLS 1.3 all that it has sent was accepted by its own machine only."""
    context = pki.context()
    context.maximum_version = version
    with Repository(context) as repository:
        with pytest.raises(OSError, match=r"alert|EOF|reset|[Pp]ipe|close_notify"):
            channel(pki, repository.port).send([b"one"])
        assert repository.messages == []


def wait_for_close_notify(octets: socket.socket) -> None:
    """Until the last record that waits to be read is an alert: two octets, their type and the tag."""
    deadline = time.monotonic() + 10
    record = b""
    while record[:5] != b"\x17\x03\x03\x00\x13":
        assert time.monotonic() < deadline
        time.sleep(0.01)
        with suppress(BlockingIOError):
            record = octets.recv(1 << 16, socket.MSG_PEEK)[-24:]


def test_an_alert_behind_our_close_notify_is_no_answer(pki: Pki) -> None:
    """A receiver in TLS 1.3 that takes its time to find out that it does not know us."""
    context = pki.context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def receive() -> None:
            plain, _ = listening.accept()
            with (
                plain.dup() as octets,
                context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False) as connection,
            ):
                connection.setblocking(False)
                assert select.select([connection], [], [], 5)[0]
                with suppress(OSError):  # the sender was quicker
                    try:
                        connection.do_handshake()
                    except ssl.SSLWantReadError:
                        wait_for_close_notify(octets)
                connection.setblocking(True)
                with suppress(OSError):
                    connection.do_handshake()

        receiver = threading.Thread(target=receive)
        receiver.start()
        with pytest.raises(OSError, match=r"alert|reset|[Pp]ipe"):
            channel(pki, listening.getsockname()[1], confirmation="eof").send([b"one"])
        receiver.join()


def test_a_repository_that_is_not_trusted_gets_nothing(pki: Pki) -> None:
    with Repository(pki.context(demands=False)) as repository:
        with pytest.raises(ssl.SSLCertVerificationError):
            channel(pki, repository.port, ca_file=pki.sender).send([b"one"])
        assert repository.messages == []


def test_a_certificate_may_be_trusted_by_itself(pki: Pki) -> None:
    with Repository(pki.context(demands=False)) as repository:
        channel(pki, repository.port, ca_file=pki.repository).send([b"one"])
        assert repository.messages == [b"one"]


def test_the_name_in_the_certificate(pki: Pki) -> None:
    with Repository(pki.context(demands=False)) as repository:
        with pytest.raises(ssl.SSLCertVerificationError):
            channel(pki, repository.port, server_name="other.example.org").send([b"one"])
        channel(pki, repository.port, server_name="other.example.org", check_name=False).send([b"two"])
        channel(pki, repository.port, server_name="localhost").send([b"three"])
        assert repository.messages == [b"two", b"three"]


@pytest.mark.parametrize(
    ("ending", "error"),
    [(Ending.EOF, NotConfirmed), (Ending.RESET, ConnectionResetError), (Ending.HANG, TimeoutError)],
)
def test_without_an_answer_to_close_notify_nothing_is_confirmed(
    pki: Pki, ending: Ending, error: type[Exception]
) -> None:
    with Repository(pki.context(demands=False), ending=ending) as repository:
        with pytest.raises(error):
            channel(pki, repository.port).send([b"one"])
        repository.wait(1)


def test_a_receiver_that_only_hangs_up_may_be_believed(pki: Pki) -> None:
    with Repository(pki.context(demands=False), ending=Ending.EOF) as repository:
        way = channel(pki, repository.port, confirmation="eof")
        way.send([b"one"])
        assert repository.messages == [b"one"]
        repository.ending = Ending.RESET
        with pytest.raises(ConnectionResetError):
            way.send([b"two"])


def test_nobody_listens(pki: Pki) -> None:
    with pytest.raises(ConnectionRefusedError):
        channel(pki, free_port()).send([b"one"])


def test_datagrams() -> None:
    with UdpRepository() as repository:
        settings = AuditRepositorySettings(name="arr", url=f"udp://127.0.0.1:{repository.port}")
        open_channel(settings, 3).send([b"one", b"x" * 65_479])
        assert (repository.next(), len(repository.next())) == (b"one", 65_479)


def test_datagrams_that_nobody_takes() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
    way = open_channel(AuditRepositorySettings(name="arr", url=f"udp://127.0.0.1:{port}"), 3)
    for messages in ([b"one"], [b"one", b"two"]):
        with pytest.raises(ConnectionRefusedError):
            way.send(messages)


@pytest.mark.parametrize(
    ("setting", "content", "problem"),
    [
        ("ca_file", None, "ca_file .*: No such file"),
        ("ca_file", b"nothing", "ca_file .*"),
        ("certificate", None, "certificate .*: No such file"),
        ("certificate", b"nothing", "certificate .*"),
        ("key", b"nothing", "certificate .*"),
    ],
)
def test_files_that_cannot_be_used(
    pki: Pki, tmp_path: Path, setting: str, content: bytes | None, problem: str
) -> None:
    path = tmp_path / "file.pem"
    if content is not None:
        path.write_bytes(content)
    files: dict[str, Any] = {"certificate": pki.sender, setting: path}
    with pytest.raises(ValueError, match=f"audit.repositories 'arr': {problem}"):
        channel(pki, 1, **files)
