"""The queue of answers, on both databases: bounds, leases, and that an answer is one process's at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import pytest
import structlog
from sqlalchemy import update

from msim_xds.database.engine import Database
from msim_xds.database.queue_schema import delivery
from msim_xds.database.queues import State
from msim_xds.delivery.queue import Delivery, DeliveryQueue, NewDelivery, QueueFull
from msim_xds.delivery_settings import DeliverySettings
from msim_xds.settings import DatabaseSettings
from tests.test_delivery.conftest import ANSWER, clock, to


def another(database: Database) -> DeliveryQueue:
    """The queue of a process whose work is taken over after a minute."""
    return DeliveryQueue(database, DeliverySettings(lease_s=60), clock)


def pass_time(database: Database, seconds: int) -> None:
    """For the rows: all that is due later comes so much nearer."""
    with database.write() as connection:
        connection.execute(update(delivery).values(due_at=delivery.c.due_at - seconds * 1000))


def claimed(queue: DeliveryQueue, *busy: str) -> Delivery:
    row = queue.claim(busy)
    assert row is not None
    return row


def test_what_is_added_is_due_at_once_and_claimed_once(queue: DeliveryQueue) -> None:
    assert queue.next_due_s(()) is None
    assert not queue.news.is_set()
    key = queue.add(ANSWER)
    assert queue.news.is_set()
    assert -5 < (queue.next_due_s(()) or 0) <= 0
    row = claimed(queue)
    assert (row.id, row.state, row.attempts, row.created_at) == (
        key,
        State.SENDING,
        1,
        "2026-09-14T12:00:00+00:00",
    )
    assert {f.name: getattr(row, f.name) for f in fields(NewDelivery)} == {
        f.name: getattr(ANSWER, f.name) for f in fields(NewDelivery)
    }
    assert row.due_in_s == pytest.approx(60, abs=1)
    assert queue.claim(()) is None


def test_delivered_is_forgotten(queue: DeliveryQueue) -> None:
    queue.add(ANSWER)
    queue.delivered(claimed(queue))
    assert queue.rows() == []


def test_postponed_is_due_again_after_its_pause(queue: DeliveryQueue, database: Database) -> None:
    queue.add(ANSWER)
    queue.postpone(claimed(queue), 300, "HTTP 500")
    (row,) = queue.rows()
    assert (row.state, row.attempts, row.last_error, row.payload) == (State.WAITING, 1, "HTTP 500", b"")
    assert queue.claim(()) is None
    assert queue.next_due_s(()) == pytest.approx(300, abs=60)
    pass_time(database, 300)
    assert claimed(queue).attempts == 2


def test_the_longest_due_goes_first_and_busy_hosts_wait(queue: DeliveryQueue) -> None:
    first, second, third = (queue.add(to(host)) for host in ("a", "a", "b"))
    assert claimed(queue).id == first
    assert queue.next_due_s({"a", "b"}) is None
    assert claimed(queue, "a").id == third
    assert queue.claim({"a"}) is None
    assert claimed(queue).id == second


def test_given_up_until_retried(queue: DeliveryQueue) -> None:
    keys = [queue.add(ANSWER), queue.add(ANSWER)]
    for _ in keys:
        queue.give_up(claimed(queue), "HTTP 500")
    assert queue.next_due_s(()) is None
    assert queue.claim(()) is None
    assert not any(row.is_live for row in queue.rows())
    assert queue.retry([keys[1], 10**6]) == [keys[1]]
    row = claimed(queue)
    assert (row.id, row.attempts, row.last_error) == (keys[1], 1, "HTTP 500")
    assert queue.retry([keys[1]]) == []
    assert queue.retry() == [keys[0]]


def test_drop(queue: DeliveryQueue) -> None:
    waiting, given_up = queue.add(to("a")), queue.add(to("b"))
    queue.give_up(claimed(queue, "a"), "")
    assert queue.drop() == [given_up]
    assert queue.drop([waiting, 10**6]) == [waiting]
    assert queue.rows() == []


def test_open_row_falls_due_with_what_is_kept_unless_completed(database: Database) -> None:
    queue = another(database)
    lost, done = queue.open(to("a", b"unknown")), queue.open(to("b", b"unknown"))
    assert not queue.news.is_set()
    assert [row.state for row in queue.rows()] == [State.OPEN, State.OPEN]
    assert queue.claim(()) is None
    assert queue.complete(done, b"<answer/>") is True
    assert queue.news.is_set()
    assert claimed(queue).payload == b"<answer/>"
    pass_time(database, 60)  # nobody renews: the process is dead
    row = claimed(queue, "b")
    assert (row.id, row.payload) == (lost, b"unknown")
    assert queue.complete(lost, b"<answer/>") is False
    assert [each.state for each in queue.rows()] == [State.SENDING, State.SENDING]


def test_renewed_rows_stay_with_their_process(database: Database) -> None:
    queue, other = another(database), another(database)
    queue.open(to("a"))
    queue.add(to("b"))
    claimed(queue)
    for _ in range(4):
        pass_time(database, 30)
        queue.renew()
        assert other.claim(()) is None
    for row in queue.rows():
        queue.let_go(row.id)
    queue.renew()
    pass_time(database, 60)
    assert {claimed(other).host, claimed(other).host} == {"a", "b"}


def test_who_has_lost_a_row_changes_nothing_in_it(database: Database) -> None:
    slow, other = another(database), another(database)
    slow.add(ANSWER)
    lost = claimed(slow)
    pass_time(database, 60)
    taken = claimed(other)
    assert (taken.id, taken.attempts) == (lost.id, 2)
    outcomes: list[Callable[[], None]] = [
        lambda: slow.delivered(lost),
        lambda: slow.postpone(lost, 0, "x"),
        lambda: slow.give_up(lost, "x"),
    ]
    for outcome in outcomes:
        outcome()
        (row,) = other.rows()
        assert (row.state, row.attempts, row.last_error) == (State.SENDING, 2, None)
    other.delivered(taken)
    assert other.rows() == []


def test_queue_has_a_bound_of_rows(database: Database) -> None:
    queue = DeliveryQueue(database, DeliverySettings(queue=2), clock)
    queue.add(ANSWER)
    queue.open(ANSWER)
    for put in (queue.add, queue.open):
        with pytest.raises(QueueFull):
            put(ANSWER)
    assert len(queue.rows()) == 2


def test_queue_has_a_bound_of_octets(database: Database) -> None:
    queue = DeliveryQueue(database, DeliverySettings(queue_bytes=65536), clock)
    queue.add(to("a", bytes(65000)))
    with pytest.raises(QueueFull):
        queue.add(to("a", bytes(537)))
    queue.add(to("a", bytes(536)))


def test_given_up_answers_make_room(database: Database) -> None:
    queue = DeliveryQueue(database, DeliverySettings(queue=1), clock)
    queue.add(ANSWER)
    queue.give_up(claimed(queue), "HTTP 500")
    with structlog.testing.capture_logs() as logs:
        key = queue.add(ANSWER)
    assert [row.id for row in queue.rows()] == [key]
    assert [(line["log_level"], line["count"]) for line in logs] == [("warning", 1)]


def test_processes_that_claim_at_once_share_the_rows(database: Database, module_database_url: str) -> None:
    others = [Database(module_database_url, DatabaseSettings()) for _ in range(3)]
    queues = [DeliveryQueue(each, DeliverySettings(), clock) for each in (database, *others)]
    keys = [queues[0].add(ANSWER) for _ in range(60)]

    def claim_all(queue: DeliveryQueue) -> list[int]:
        found = []
        while (row := queue.claim(())) is not None:
            found.append(row.id)
        return found

    with ThreadPoolExecutor(len(queues)) as pool:
        counts = Counter(key for found in pool.map(claim_all, queues) for key in found)
    for other in others:
        other.close()
    assert counts == Counter(keys)


def test_states_have_words() -> None:
    assert [state.label for state in State] == ["open", "waiting", "sending", "given up"]
