"""The worker with a real queue and real listeners."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from msim_xds.database.engine import Database
from msim_xds.database.queues import State
from msim_xds.delivery import worker as module
from msim_xds.delivery.addresses import ReplyHosts
from msim_xds.delivery.queue import Delivery, DeliveryQueue
from msim_xds.delivery.worker import DeliveryWorker
from msim_xds.delivery_settings import DeliverySettings
from msim_xds.wire.mtom import Packaged, plain
from tests.support.receiver import Behaviour, Misbehaviour, Receiver
from tests.test_delivery.conftest import ANSWER, clock

#: Pauses that tests can wait for.
FAST = {"first_pause_s": 0.05, "longest_pause_s": 0.2, "timeout_s": 1.0, "lease_s": 1.0}


def compose(due: Delivery) -> Packaged:
    return plain([due.payload], (), due.action)


def to(receiver: Receiver, payload: bytes = b"<envelope/>") -> Any:
    return replace(ANSWER, address=receiver.url, host=receiver.host.rpartition(":")[0], payload=payload)


class Deliveries:
    """A queue with a worker on it."""

    def __init__(self, database: Database, settings: DeliverySettings, compose: module.Compose) -> None:
        self.queue = DeliveryQueue(database, settings, clock)
        self.worker = DeliveryWorker(
            self.queue, ReplyHosts(["127.0.0.1", "127.0.0.2", "127.0.0.3"]), compose, settings
        )

    def until(self, condition: Callable[[list[Delivery]], bool], patience_s: float = 20) -> list[Delivery]:
        """The rows, once they are so."""
        end = time.monotonic() + patience_s
        while not condition(rows := list(self.queue.rows())):
            assert time.monotonic() < end, rows
            time.sleep(0.02)
        return rows


@contextmanager
def delivering(
    database: Database, compose: module.Compose = compose, **settings: Any
) -> Iterator[Deliveries]:
    deliveries = Deliveries(database, DeliverySettings(**{**FAST, **settings}), compose)
    deliveries.worker.start()
    try:
        yield deliveries
    finally:
        deliveries.worker.stop()


def is_empty(rows: list[Delivery]) -> bool:
    return not rows


def test_delivered_at_once_and_logged_without_contents(database: Database, logs: list[Any]) -> None:
    with Receiver() as receiver, delivering(database) as deliveries:
        begun = time.monotonic()
        key = deliveries.queue.add(to(receiver, b"<secret/>"))
        received = receiver.wait()[0]
        assert received.at - begun < 2
        assert received.body == b"<secret/>"
        deliveries.until(is_empty)
    assert [line["event"] for line in logs] == ["delivered", "deliveries stopped"]
    assert (logs[0]["id"], logs[0]["transaction"], logs[0]["attempt"]) == (key, "ITI-42", 1)
    assert "secret" not in str(logs)
    assert "/answers" not in str(logs)


def test_tried_again_with_growing_pauses_until_it_arrives(database: Database, logs: list[Any]) -> None:
    behaviours: list[Behaviour] = [500, Misbehaviour.RESET, 503, 302, 202]
    with Receiver(behaviours) as receiver, delivering(database, longest_pause_s=60) as deliveries:
        deliveries.queue.add(to(receiver))
        received = receiver.wait(5)
        deliveries.until(is_empty)
    assert {each.body for each in received} == {b"<envelope/>"}
    pauses = [line["next_s"] for line in logs if line["event"] == "not delivered"]
    for number, (first, second) in enumerate(itertools.pairwise(received)):
        assert second.at - first.at >= 0.025 * 2**number
    assert len(pauses) == 4
    assert [line["attempt"] for line in logs if "attempt" in line] == [1, 2, 3, 4, 5]


def test_given_up_visibly_and_sent_again_on_request(database: Database, logs: list[Any]) -> None:
    with Receiver([500, 500, 500, 202]) as receiver, delivering(database, attempts=3) as deliveries:
        deliveries.queue.add(to(receiver))
        (row,) = deliveries.until(lambda rows: rows[0].state is State.GIVEN_UP)
        assert (row.attempts, row.last_error) == (
            3,
            "the receiver answers HTTP 500; wanted: 202 or another 2xx",
        )
        deliveries.queue.retry([row.id])
        deliveries.queue.news.set()
        deliveries.until(is_empty)
    (line,) = [line for line in logs if line["event"] == "delivery given up"]
    assert (line["log_level"], line["attempt"], line["host"]) == ("error", 3, "127.0.0.1")


def test_receiver_that_hangs_delays_nobody_else(database: Database) -> None:
    with (
        Receiver([Misbehaviour.HANG]) as hanging,
        Receiver(host="127.0.0.2") as quick,
        delivering(database, timeout_s=30) as deliveries,
    ):
        for _ in range(10):
            deliveries.queue.add(to(hanging))
        hanging.wait()
        begun = time.monotonic()
        for _ in range(10):
            deliveries.queue.add(to(quick))
        quick.wait(10)
        assert time.monotonic() - begun < 5
        assert len(hanging.received) == 1


def test_no_more_senders_than_allowed(database: Database) -> None:
    with (
        Receiver([Misbehaviour.HANG]) as first,
        Receiver([Misbehaviour.HANG], host="127.0.0.2") as second,
        Receiver(host="127.0.0.3") as third,
        delivering(database, timeout_s=2, senders=2) as deliveries,
    ):
        for receiver in (first, second, third):
            deliveries.queue.add(to(receiver))
        first.wait()
        second.wait()
        begun = time.monotonic()
        third.wait()
        assert time.monotonic() - begun > 1


def test_receiver_that_plays_for_time_is_left(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msim_xds.delivery.sending._CONNECT_S", 0.2)
    with Receiver([Misbehaviour.TRICKLE, 202]) as receiver, delivering(database, timeout_s=0.5) as deliveries:
        deliveries.queue.add(to(receiver))
        receiver.wait(2)
        deliveries.until(is_empty)


def test_long_attempt_keeps_its_lease(database: Database) -> None:
    def slow(due: Delivery) -> Packaged:
        time.sleep(2.5)  # longer than the lease
        return compose(due)

    with Receiver() as receiver, delivering(database, slow) as deliveries:
        deliveries.queue.add(to(receiver))
        deliveries.until(lambda rows: rows[0].state is State.SENDING)
        with delivering(database):
            receiver.wait()
            deliveries.until(is_empty)
        assert len(receiver.received) == 1


def test_address_that_is_not_allowed_any_more(database: Database) -> None:
    with Receiver(host="127.0.0.9") as receiver, delivering(database, attempts=1) as deliveries:
        deliveries.queue.add(to(receiver))
        (row,) = deliveries.until(lambda rows: rows[0].state is State.GIVEN_UP)
        assert "operator has allowed" in (row.last_error or "")
        assert receiver.received == []


def test_failure_of_ours_has_a_reference(database: Database, logs: list[Any]) -> None:
    def broken(due: Delivery) -> Packaged:
        raise ZeroDivisionError

    with Receiver() as receiver, delivering(database, broken, attempts=1) as deliveries:
        deliveries.queue.add(to(receiver))
        (row,) = deliveries.until(lambda rows: rows[0].state is State.GIVEN_UP)
    (line,) = [line for line in logs if line["event"] == "failed"]
    assert line["reference"] in (row.last_error or "")
    assert isinstance(line["exc_info"], ZeroDivisionError)


def test_answer_that_ends_the_server_is_given_up(database: Database) -> None:
    """Attempts count when they begin, so that one that kills its process does not go on for ever."""
    dying = DeliveryQueue(database, DeliverySettings(lease_s=0.01), clock)
    with Receiver() as receiver:
        dying.add(to(receiver))
        for _ in range(2):
            assert dying.claim(()) is not None
            time.sleep(0.05)
        with delivering(database, attempts=2) as deliveries:
            (row,) = deliveries.until(lambda rows: rows[0].state is State.GIVEN_UP)
    assert row.last_error == "the server ended during each attempt"
    assert receiver.received == []


def test_stop_waits_for_what_is_under_way(database: Database) -> None:
    def linger(_: object) -> None:
        time.sleep(0.5)

    with Receiver(before=linger) as receiver, delivering(database) as deliveries:
        deliveries.queue.add(to(receiver))
        deliveries.until(lambda rows: rows[0].state is State.SENDING)
        deliveries.worker.stop()
        assert deliveries.queue.rows() == []
        assert len(receiver.received) == 1


def test_stop_gives_back_what_hangs(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GRACE_S", 0.3)
    with Receiver([Misbehaviour.HANG]) as receiver, delivering(database, timeout_s=30) as deliveries:
        deliveries.queue.add(to(receiver))
        receiver.wait()
        begun = time.monotonic()
        deliveries.worker.stop()
        assert time.monotonic() - begun < 5
        (row,) = deliveries.until(lambda rows: rows[0].state is State.WAITING)
        assert row.due_in_s <= 0
        assert row.last_error == "broken off"


def test_database_that_is_away_for_a_while(
    database: Database, logs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.1)
    with Receiver() as receiver, delivering(database) as deliveries:
        away = {"next_due_s", "delivered"}

        def fails(name: str) -> Callable[..., Any]:
            real = getattr(deliveries.queue, name)

            def call(*arguments: Any) -> Any:
                if name in away:
                    away.discard(name)
                    raise TimeoutError("the database cannot be reached")
                return real(*arguments)

            return call

        for name in tuple(away):
            monkeypatch.setattr(deliveries.queue, name, fails(name))
        deliveries.queue.add(to(receiver))
        receiver.wait(2)  # the first arrived too, but that could not be kept: at least once
        deliveries.until(is_empty)
    events = [line["event"] for line in logs]
    assert events.count("delivery waits for the database") == 1
    assert events.count("outcome of a delivery not kept") == 1
