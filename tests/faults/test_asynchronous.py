"""Answers to wsa:ReplyTo across everything that may happen to the servers: restarts, kill -9, two at once."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.faults.test_crash import Submission, make_submission
from tests.support.metadata import REPOSITORY
from tests.support.paths import REGISTRY
from tests.support.paths import REPOSITORY as REPOSITORY_PATH
from tests.support.receiver import Misbehaviour, Received, Receiver
from tests.support.server import ServerProcess, free_port
from tests.test_repository.messages import retrieve, wanted
from tests.test_server.soap import QUERY, QUERY_ACTION, RETRIEVE_ACTION, WSA, envelope, mtom

#: Pauses that tests can wait for.
FAST = {"FIRST_PAUSE_S": "0.1", "LONGEST_PAUSE_S": "1", "TIMEOUT_S": "5", "LEASE_S": "2", "ATTEMPTS": "100"}
_LATE_S = 10
_SOURCES = 40


def reply_to(url: str) -> str:
    return f"<a:ReplyTo><a:Address>{url}</a:Address></a:ReplyTo>"


@contextmanager
def serving(data: Path, database_url: str, workers: int = 1) -> Iterator[ServerProcess]:
    environment = {f"MSIM_DELIVERY__{name}": value for name, value in FAST.items()}
    environment["MSIM_DELIVERY__REPLY_HOSTS"] = '["127.0.0.1"]'
    data.mkdir(exist_ok=True)
    with ServerProcess(data, database_url, workers, environment) as server:
        yield server


def addressed(message: tuple[str, bytes], url: str, message_id: str) -> tuple[str, bytes]:
    """A message of these tests with a ReplyTo and a MessageID of its own."""
    content_type, body = message
    body = body.replace(b"<a:MessageID>urn:uuid:m<", b"<a:MessageID>" + message_id.encode() + b"<")
    return content_type, body.replace(b"</a:MessageID>", b"</a:MessageID>" + reply_to(url).encode(), 1)


def accept(server: ServerProcess, path: str, message: tuple[str, bytes]) -> None:
    content_type, body = message
    answer = server.request("POST", path, body, content_type)
    assert (answer.status, answer.body) == (202, b"")


def successful(received: Received) -> bool:
    return b"ResponseStatusType:Success" in received.message.root


def test_everything_is_answered_elsewhere(database_url: str, tmp_path: Path) -> None:
    """ITI-41, ITI-18, a retrieve of the same octets by MTOM, and a fault, on a connection each."""
    submission = make_submission(random.Random(1))
    with Receiver() as receiver, serving(tmp_path, database_url) as server:
        accept(server, REPOSITORY_PATH, addressed(submission.message, receiver.url, "urn:uuid:41"))
        provided = receiver.wait(1)[0].message
        assert provided.is_mtom
        assert b"ResponseStatusType:Success" in provided.root

        query = envelope(QUERY, QUERY_ACTION, reply_to(receiver.url), "urn:uuid:18")
        accept(server, REGISTRY, ("application/soap+xml", query))
        queried = receiver.wait(2)[1].message
        assert not queried.is_mtom

        body = retrieve(wanted(REPOSITORY, submission.unique_id)).decode()
        root = envelope(body, RETRIEVE_ACTION, reply_to(receiver.url), "urn:uuid:43")
        accept(server, REPOSITORY_PATH, mtom(root))
        retrieved = receiver.wait(3)[2].message
        assert retrieved.is_mtom
        assert retrieved.parts()[1][1] == submission.content

        unknown = envelope(QUERY, "urn:unknown", reply_to(receiver.url), "urn:uuid:0")
        accept(server, REGISTRY, ("application/soap+xml", unknown))
        fault = receiver.wait(4)[3].message
        assert fault.fault()[1] == f"{{{WSA}}}ActionNotSupported"

        answers = (provided, queried, retrieved, fault)
        assert [answer.header("RelatesTo") for answer in answers] == [
            "urn:uuid:41",
            "urn:uuid:18",
            "urn:uuid:43",
            "urn:uuid:0",
        ]
        assert {answer.header("To") for answer in answers} == {receiver.url}
        assert len({answer.header("MessageID") for answer in answers}) == len(answers)


def test_receiver_comes_late_and_the_server_restarts_meanwhile(database_url: str, tmp_path: Path) -> None:
    submission = make_submission(random.Random(2))
    port = free_port()
    url = f"http://127.0.0.1:{port}/answers"
    body = retrieve(wanted(REPOSITORY, submission.unique_id)).decode()
    with serving(tmp_path, database_url) as server:
        begun = time.monotonic()
        accept(server, REPOSITORY_PATH, addressed(submission.message, url, "urn:uuid:41"))
        root = envelope(body, RETRIEVE_ACTION, reply_to(url), "urn:uuid:43")
        accept(server, REPOSITORY_PATH, mtom(root))
        time.sleep(1)
        server.stop()
        assert "deliveries stopped" in server.log
        server.start()
        time.sleep(max(0, begun + _LATE_S - time.monotonic()))
        with Receiver(port=port) as receiver:
            received = {each.message.header("RelatesTo"): each for each in receiver.wait(2)}
        assert successful(received["urn:uuid:41"])
        assert received["urn:uuid:43"].message.parts()[1][1] == submission.content
        assert server.log.count("not delivered") > 5


def test_kill_while_answers_are_sent(database_url: str, tmp_path: Path) -> None:
    """Answers that hang at their receiver when the servers die are sent again, as the same messages."""
    submissions = [make_submission(random.Random(seed)) for seed in range(5)]
    with Receiver([Misbehaviour.HANG, 202]) as receiver, serving(tmp_path, database_url) as server:
        for number, submission in enumerate(submissions):
            accept(server, REPOSITORY_PATH, addressed(submission.message, receiver.url, f"urn:uuid:{number}"))
        receiver.wait(1)
        server.kill()
        server.start()
        received = receiver.wait(len(submissions) + 1)
        by_request = Counter(each.message.header("RelatesTo") for each in received)
        by_answer = Counter(each.message.header("MessageID") for each in received)
        assert sorted(by_request.values()) == sorted(by_answer.values()) == [1, 1, 1, 1, 2]
        assert all(map(successful, received))


def test_kill_during_submissions_leaves_nobody_without_an_answer(database_url: str, tmp_path: Path) -> None:
    """Every 202 is followed by Success. Where the connection broke, the retry brings it."""
    submissions: dict[str, Submission] = {}
    with Receiver() as receiver, serving(tmp_path, database_url, workers=2) as server:
        accepted: set[str] = set()

        def submit(message_id: str) -> None:
            with suppress(OSError, HTTPException):
                message = addressed(submissions[message_id].message, receiver.url, message_id)
                accept(server, REPOSITORY_PATH, message)
                accepted.add(message_id)

        def submit_until_it_breaks(source: int) -> None:
            for number in itertools.count():
                message_id = f"urn:uuid:{source}-{number}"
                submissions[message_id] = make_submission(random.Random(message_id))
                submit(message_id)
                if message_id not in accepted:
                    return

        with ThreadPoolExecutor(_SOURCES) as pool:
            jobs = [pool.submit(submit_until_it_breaks, source) for source in range(_SOURCES)]
            end = time.monotonic() + 60
            while len(accepted) < _SOURCES and time.monotonic() < end:
                time.sleep(0.001)
            server.kill()
            for job in jobs:
                job.result()
        assert _SOURCES <= len(accepted) == len(submissions) - _SOURCES
        server.start()

        def answered() -> dict[str | None, bool]:
            return {each.message.header("RelatesTo"): successful(each) for each in list(receiver.received)}

        end = time.monotonic() + 60
        while not accepted <= answered().keys():
            assert time.monotonic() < end
            time.sleep(0.1)
        assert all(answered()[message_id] for message_id in accepted)
        time.sleep(3)  # the leases of the dead
        unknown = [each for each in receiver.received if not successful(each)]
        assert {each.message.header("RelatesTo") for each in unknown}.isdisjoint(accepted)
        assert all(b"XDSRepositoryBusy" in each.body for each in unknown)

        first = len(receiver.received)
        for message_id in submissions:
            submit(message_id)
        again = receiver.wait(first + len(submissions))[first:]
        assert {each.message.header("RelatesTo") for each in again} == submissions.keys()
        assert all(map(successful, again))


@pytest.mark.postgres
def test_two_servers_on_one_database_deliver_each_answer_once(postgres_url: str, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/answers"
    count = 150
    with ExitStack() as stack:
        servers = [
            stack.enter_context(serving(tmp_path / name, postgres_url, workers=2)) for name in ("a", "b")
        ]
        for number, server in zip(range(count), itertools.cycle(servers), strict=False):
            query = envelope(QUERY, QUERY_ACTION, reply_to(url), f"urn:uuid:{number}")
            accept(server, REGISTRY, ("application/soap+xml", query))
        receiver = stack.enter_context(Receiver(port=port))
        receiver.wait(count)
        time.sleep(3)  # longer than a lease: nothing is sent again
        seen = Counter(each.message.header("RelatesTo") for each in receiver.received)
        assert seen == Counter(f"urn:uuid:{number}" for number in range(count))
        delivered = [server.log.count("info    delivered id=") for server in servers]
        assert sum(delivered) == count
        assert min(delivered) > 0


def test_requests_with_an_answer_on_their_connection_do_not_wait(database_url: str, tmp_path: Path) -> None:
    """While receivers hang and answers pile up, others are served as ever."""
    with Receiver([Misbehaviour.HANG]) as receiver, serving(tmp_path, database_url) as server:
        for number in range(50):
            query = envelope(QUERY, QUERY_ACTION, reply_to(receiver.url), f"urn:uuid:{number}")
            accept(server, REGISTRY, ("application/soap+xml", query))
        receiver.wait(1)
        begun = time.monotonic()
        for _ in range(50):
            assert server.ask(REGISTRY, QUERY_ACTION, QUERY.encode()).status == 200
        assert time.monotonic() - begun < 5
