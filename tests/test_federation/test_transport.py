"""federation.transport: exact streaming, and every way in which a server can fail to answer."""

from __future__ import annotations

import hashlib
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Event, Thread

import pytest

from msim_xds.federation.answers import RemoteUnavailable
from msim_xds.federation.transport import Channel, Options, UnreadableDocument, file_document
from msim_xds.ihe.transactions import ITI_18, ITI_41, ITI_43
from msim_xds.repository.spool import Spool
from msim_xds.settings import MIB, LimitSettings
from msim_xds.wire import mtom
from tests.test_federation.peer import Peer, Reply, envelope, multipart, registry_response

ANSWER = envelope(registry_response())


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Where documents of answers go."""
    return Spool(tmp_path / "spool")


def left_behind(tmp_path: Path) -> list[Path]:
    """Files in the spool."""
    return list((tmp_path / "spool").iterdir())


def test_documents_are_sent_as_they_are_with_an_exact_length(
    peer: Peer, spool: Spool, tmp_path: Path
) -> None:
    contents = [b"\r\n--B--\r\n edges \r\n", b"", bytes(range(256)) * 5000]
    documents = []
    for number, content in enumerate(contents):
        path = tmp_path / str(number)
        path.write_bytes(content)
        documents.append(file_document(f"d{number}", "text/xml", path))
    peer.reply = Reply(ANSWER)
    with Channel(peer.url, Options()) as channel:
        channel.post(ITI_41, b"<Envelope/>", documents, spool)
    (request,) = peer.received
    assert request.headers["Content-Length"] == str(len(request.body))
    assert "Transfer-Encoding" not in request.headers
    assert request.headers["Accept-Encoding"] == "identity"
    assert f'action="{ITI_41.action}"' in request.content_type
    message = mtom.read(request.content_type, [request.body], spool, LimitSettings())
    assert message.root == b"<Envelope/>"
    assert [message.parts[f"d{n}"].sha1 for n in range(3)] == [
        hashlib.sha1(content).hexdigest() for content in contents
    ]


def test_a_transaction_without_mtom_is_a_simple_message(peer: Peer, spool: Spool) -> None:
    peer.reply = Reply(ANSWER)
    with Channel(peer.url, Options()) as channel:
        message = channel.post(ITI_18, b"<Envelope/>", [], spool)
    assert peer.received[0].body == b"<Envelope/>"
    assert peer.received[0].content_type.startswith("application/soap+xml; charset=UTF-8")
    assert message.root == ANSWER


def test_parts_of_the_answer_become_files(peer: Peer, spool: Spool) -> None:
    octets = b"\r\nbinary\0\r\n" * 1000
    peer.reply = multipart(ANSWER, {"a": octets, "b": b""})
    with Channel(peer.url, Options()) as channel:
        message = channel.post(ITI_43, b"<Envelope/>", [], spool)
    assert message.root == ANSWER
    assert Path(spool.path(message.parts["a"])).read_bytes() == octets
    assert message.parts["a"].size == len(octets)
    assert message.parts["b"].size == 0


def test_memory_does_not_grow_with_the_document(peer: Peer, spool: Spool, tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(64 * MIB)
    peer.reply = Reply(ANSWER)
    document = file_document("d", "text/xml", big)
    peer.received = _Discarding()
    tracemalloc.start()
    with Channel(peer.url, Options()) as channel:
        channel.post(ITI_41, b"<Envelope/>", [document], spool)
    grown = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert grown < 64 * MIB + 16 * MIB  # the scripted server itself reads the body at once


class _Discarding(list):  # type: ignore[type-arg]
    """Keeps no request."""

    def append(self, _: object) -> None:
        """Drop it."""


@pytest.mark.parametrize("size", [MIB // 2, 2 * MIB])
def test_a_file_that_changes_while_it_is_sent_is_an_error(
    peer: Peer, spool: Spool, tmp_path: Path, size: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(MIB))
    document = file_document("d", "text/xml", path)
    path.write_bytes(bytes(size))
    with (
        Channel(peer.url, Options()) as channel,
        pytest.raises(UnreadableDocument, match="changed while it was sent"),
    ):
        channel.post(ITI_41, b"<Envelope/>", [document], spool)


def test_a_file_that_is_not_there(peer: Peer, spool: Spool, tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(UnreadableDocument, match="No such file"):
        file_document("d", "text/xml", path)
    path.write_bytes(b"1")
    document = file_document("d", "text/xml", path)
    path.unlink()
    with Channel(peer.url, Options()) as channel, pytest.raises(UnreadableDocument, match="No such file"):
        channel.post(ITI_41, b"<Envelope/>", [document], spool)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(b"<html/>", 502, "text/html"), "HTTP 502 (text/html) and not SOAP"),
        (Reply(b"", 202, ""), "HTTP 202 (no content)"),
        (Reply(b"", 301, "", {"Location": "http://127.0.0.1:1/"}), "HTTP 301"),
        (Reply(ANSWER, headers={"Content-Encoding": "gzip"}), "compressed"),
        (Reply(ANSWER[:-5], length=len(ANSWER)), "the connection fails"),
        (Reply(b"--B\r\n", content_type="multipart/related; boundary=B"), "answer is broken"),
        (Reply(b"x", content_type="multipart/related"), "without a boundary"),
        (Reply(b"<a/>" + b" " * 70_000), "over 65536 bytes"),
    ],
)
def test_unusable_answers(peer: Peer, spool: Spool, tmp_path: Path, reply: Reply, words: str) -> None:
    peer.reply = reply
    options = Options(limits=LimitSettings(root_part_bytes=65536))
    with Channel(peer.url, options) as channel, pytest.raises(RemoteUnavailable) as caught:
        channel.post(ITI_18, b"<Envelope/>", [], spool)
    assert words in str(caught.value)
    assert str(caught.value).startswith(peer.url)
    assert caught.value.sent
    assert left_behind(tmp_path) == []


def test_a_broken_answer_leaves_no_document_behind(peer: Peer, spool: Spool, tmp_path: Path) -> None:
    whole = multipart(ANSWER, {"a": bytes(100_000)})
    peer.reply = Reply(whole.body[:-3000], content_type=whole.content_type)
    with Channel(peer.url, Options()) as channel, pytest.raises(RemoteUnavailable):
        channel.post(ITI_43, b"<Envelope/>", [], spool)
    assert left_behind(tmp_path) == []


def test_silence_ends(peer: Peer, spool: Spool) -> None:
    peer.reply = Reply(ANSWER, before=lambda: time.sleep(0.5))
    with (
        Channel(peer.url, Options(read_timeout_s=0.1)) as channel,
        pytest.raises(RemoteUnavailable) as caught,
    ):
        channel.post(ITI_18, b"<Envelope/>", [], spool)
    assert "does not answer in time" in str(caught.value)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml\r\n"


@contextmanager
def dripping(first: bytes, drop: bytes) -> Iterator[str]:
    """A server that answers with ``first`` and then, without an end, ``drop`` every 50 ms; its authority."""

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.recv(65536)
                self.request.sendall(first)
                while not ended.wait(0.05):
                    self.request.sendall(drop)

    ended = Event()
    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            ended.set()
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("scheme", "first", "drop", "words"),
    [
        ("http", b"", b"H", "it does not answer in time"),
        ("http", HEAD, b"X-More: 1\r\n", "it does not answer in time"),
        ("http", HEAD + b"\r\n", b" ", "its answer takes over 0.4 s"),  # the connection's end is the body's
        ("http", HEAD + b"Content-Length: 9999\r\n\r\n", b" ", "its answer takes over 0.4 s"),
        ("http", HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", "its answer takes over 0.4 s"),
        ("https", b"\x16\x03\x03\x40\x00", b"\x00", "it does not answer in time"),  # a record of 16 KiB
    ],
)
def test_a_trickle_ends_at_the_deadline_wherever_it_is(
    spool: Spool, scheme: str, first: bytes, drop: bytes, words: str
) -> None:
    options = Options(deadline_s=0.4)
    started = time.monotonic()
    with (
        dripping(first, drop) as authority,
        Channel(f"{scheme}://{authority}/", options) as channel,
        pytest.raises(RemoteUnavailable) as caught,
    ):
        channel.post(ITI_18, b"<Envelope/>", [], spool)
    assert words in str(caught.value)
    assert caught.value.sent
    assert 0.4 <= time.monotonic() - started < 3


def test_a_deadline_holds_for_one_exchange(peer: Peer, spool: Spool) -> None:
    peer.reply = Reply(ANSWER)
    with Channel(peer.url, Options(deadline_s=0.5)) as channel:
        for _ in range(2):  # on a connection that is kept
            assert channel.post(ITI_18, b"<Envelope/>", [], spool).root == ANSWER
            time.sleep(0.3)


def test_without_time_nothing_is_sent(peer: Peer, spool: Spool) -> None:
    with Channel(peer.url, Options(deadline_s=0.0)) as channel, pytest.raises(RemoteUnavailable) as caught:
        channel.post(ITI_18, b"<Envelope/>", [], spool)
    assert "it does not answer in time" in str(caught.value)
    assert not caught.value.sent
    assert peer.received == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/", "Connection refused"),
        ("ftp://127.0.0.1/", "expected http://"),
        ("nonsense", "expected http://"),
        ("http://", "expected http://"),
    ],
)
def test_unreachable(url: str, words: str, spool: Spool) -> None:
    with Channel(url, Options()) as channel, pytest.raises(RemoteUnavailable) as caught:
        channel.post(ITI_18, b"<Envelope/>", [], spool)
    assert words in str(caught.value)
    assert not caught.value.sent


def test_proxies_of_the_environment_are_not_used(
    peer: Peer, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    peer.reply = Reply(ANSWER)
    with Channel(peer.url, Options()) as channel:
        assert channel.post(ITI_18, b"<Envelope/>", [], spool).root == ANSWER
