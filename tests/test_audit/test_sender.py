"""Sending: a repository that is down, and senders that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
import structlog
from sqlalchemy import text

from msim_xds.audit.channels import open_channel
from msim_xds.audit.dispatch import Dispatch, progress
from msim_xds.audit.outbox import Entry, Outbox
from msim_xds.audit.sealer import seal_all
from msim_xds.audit.sender import Sender
from msim_xds.audit.syslog import Syslog
from msim_xds.audit_settings import AuditRepositorySettings
from msim_xds.database.engine import Database
from msim_xds.pauses import Pauses
from msim_xds.settings import DatabaseSettings
from tests.support.arr import Ending, Pki, Repository, without_doubles
from tests.support.server import free_port

NOW = datetime(2026, 9, 14, 12, tzinfo=UTC)
PAUSES = Pauses(0.05, 0.2)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.make(tmp_path_factory.mktemp("pki"))


def fill(outbox: Outbox, numbers: range, feed: str | None = None) -> None:
    """Records that say nothing but their number."""
    for start in range(numbers.start, numbers.stop, 500):
        outbox.write(
            [
                Entry("2026-09-14T12:00:00.000+00:00", "ITI-18", 0, "", f"<m>{number}</m>".encode(), feed)
                for number in range(start, min(start + 500, numbers.stop))
            ]
        )
    seal_all(outbox)


def numbers(messages: Sequence[bytes]) -> list[int]:
    return [int(each.rpartition(b"<m>")[2].removesuffix(b"</m>")) for each in messages]


@contextmanager
def sending(outbox: Outbox, pki: Pki, port: int, **settings: object) -> Iterator[Sender]:
    values = {"name": "arr", "url": f"tls://127.0.0.1:{port}", "ca_file": pki.authority}
    repository = AuditRepositorySettings.model_validate({**values, "certificate": pki.sender, **settings})
    dispatch = Dispatch(outbox.database, 60, lambda: NOW)
    name = repository.name
    dispatch.prepare([name])
    feed = None if name == "arr" else name
    sender = Sender(name, dispatch, Syslog("reg1", "msim-xds"), open_channel(repository, 5), PAUSES, feed)
    with sender:
        yield sender


def until(condition: Callable[[], object], patience_s: float = 60) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_10000_records_while_the_repository_is_down_arrive_once_and_in_order(
    outbox: Outbox, pki: Pki
) -> None:
    port = free_port()
    with sending(outbox, pki, port):
        fill(outbox, range(10_000))
        until(lambda: progress(outbox.database, ["arr"])[0].failures > 2)
        (state,) = progress(outbox.database, ["arr"])
        assert state.waiting == 10_000
        assert "ConnectionRefused" in (state.problem or "")
        with Repository(pki.context(), port) as repository:
            repository.wait(10_000)
            until(lambda: progress(outbox.database, ["arr"])[0].waiting == 0)
            fill(outbox, range(10_000, 10_003))
            repository.wait(10_003)
            until(lambda: progress(outbox.database, ["arr"])[0].waiting == 0)
    assert numbers(repository.messages) == list(range(10_003))
    assert progress(outbox.database, ["arr"])[0].problem is None


def test_records_for_one_party_go_to_that_one_alone(outbox: Outbox, pki: Pki) -> None:
    with Repository(pki.context()) as repository, Repository(pki.context()) as party:
        for number in range(6):
            fill(outbox, range(number, number + 1), "party" if number % 3 == 2 else None)
        with sending(outbox, pki, repository.port), sending(outbox, pki, party.port, name="party"):
            repository.wait(4)
            party.wait(2)
            # Also behind the last record that is not for it nothing waits.
            until(lambda: [each.waiting for each in progress(outbox.database, ["arr", "party"])] == [0, 0])
            assert progress(outbox.database, ["arr"])[0].sent_at is not None
    assert numbers(repository.messages) == [0, 1, 3, 4]
    assert numbers(party.messages) == [2, 5]


def test_a_repository_that_goes_and_comes_loses_nothing(outbox: Outbox, pki: Pki) -> None:
    port = free_port()
    received: list[bytes] = []
    with sending(outbox, pki, port):
        for number in range(5):
            fill(outbox, range(number * 400, (number + 1) * 400))
            ending = Ending.RESET if number % 2 else Ending.CLOSE_NOTIFY
            with Repository(pki.context(), port, ending) as repository:
                repository.wait(1)
            received += repository.messages
        with Repository(pki.context(), port) as repository:
            until(lambda: progress(outbox.database, ["arr"])[0].waiting == 0)
        received += repository.messages
    assert numbers(without_doubles(received)) == list(range(2000))


def test_one_record_that_never_gets_through_is_all_that_is_sent_again(outbox: Outbox, pki: Pki) -> None:
    """It holds up what comes after it, but nothing before it comes twice."""
    fill(outbox, range(3))
    with (
        Repository(pki.context(), ending=Ending.RESET) as repository,
        sending(outbox, pki, repository.port),
    ):
        repository.wait(4)
        assert set(numbers(repository.messages)) == {0}
        repository.ending = Ending.CLOSE_NOTIFY
        until(lambda: progress(outbox.database, ["arr"])[0].waiting == 0)
    assert numbers(without_doubles(repository.messages)) == [0, 1, 2]


def test_two_processes_send_nothing_twice(outbox: Outbox, pki: Pki, database_url: str) -> None:
    other = Database(database_url, DatabaseSettings())
    with (
        Repository(pki.context()) as repository,
        sending(outbox, pki, repository.port),
        sending(Outbox(other, b"k" * 32), pki, repository.port),
    ):
        for start in range(0, 1000, 100):
            fill(outbox, range(start, start + 100))
        repository.wait(1000)
        until(lambda: progress(outbox.database, ["arr"])[0].waiting == 0)
    assert numbers(repository.messages) == list(range(1000))
    other.close()


class Closing:
    """A way to a repository, in the midst of whose use the database goes away for a while."""

    most = 500

    def __init__(self, database: Database) -> None:
        self.sent: list[bytes] = []
        self._database = database

    def rename(self, table: str, name: str) -> None:
        with self._database.write() as connection:
            connection.execute(text(f"ALTER TABLE {table} RENAME TO {name}"))

    def send(self, messages: Sequence[bytes]) -> None:
        self.sent += messages
        if len(self.sent) == 1:
            self.rename("audit_repository", "away")


def test_what_has_arrived_is_not_sent_again_because_the_database_was_away(outbox: Outbox) -> None:
    fill(outbox, range(3))
    dispatch = Dispatch(outbox.database, 60, lambda: NOW)
    dispatch.prepare(["arr"])
    channel = Closing(outbox.database)
    sender = Sender("arr", dispatch, Syslog("reg1", "msim-xds"), channel, PAUSES)
    with structlog.testing.capture_logs() as logs, sender:
        until(lambda: "audit records not sent" in [each["event"] for each in logs])
        assert len(channel.sent) == 1
        channel.rename("away", "audit_repository")
        until(lambda: progress(outbox.database, ["arr"])[0].waiting == 0)
    assert numbers(channel.sent) == [0, 1, 2]


SEND = """
import sys, threading
from datetime import UTC, datetime
from msim_xds.audit.outbox import Outbox
from msim_xds.audit.setup import Caretaker
from msim_xds.audit_settings import AuditSettings
from msim_xds.database.engine import Database
from msim_xds.settings import DatabaseSettings

url, settings = sys.argv[1:]
database = Database(url, DatabaseSettings())
outbox = Outbox(database, b"k" * 32)
audit = AuditSettings.model_validate_json(settings)
Caretaker(audit, "http://reg1", database, outbox, lambda: datetime.now(UTC)).work(threading.Event())
"""


def test_senders_that_are_killed_lose_nothing(outbox: Outbox, database_url: str, pki: Pki) -> None:
    """kill -9 in the midst of it: all in order, and nothing twice but what was under way at a kill."""
    kills = 3
    fill(outbox, range(10_000))
    with Repository(pki.context()) as repository:
        arr = {"name": "arr", "url": f"tls://localhost:{repository.port}", "ca_file": str(pki.authority)}
        settings = {"timeout_s": 0.5, "repositories": [{**arr, "certificate": str(pki.sender)}]}
        command = [sys.executable, "-c", SEND, database_url, json.dumps(settings)]
        for number in range(kills + 1):
            process = subprocess.Popen(command)
            if number < kills:
                repository.wait(len(repository.messages) + 1 + 37 * number)
                assert len(repository.messages) < 10_000  # every kill comes before the end
            else:
                until(lambda: progress(outbox.database, ["arr"])[0].waiting == 0, 120)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    received = repository.messages
    assert numbers(without_doubles(received)) == list(range(10_000))
    assert len(received) - 10_000 <= kills * 500
    assert list(outbox.verify()) == []
