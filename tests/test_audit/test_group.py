"""Several threads share one write, and none returns before its items are written."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from msim_xds.audit.group import GroupCommit


class Store:
    """Takes batches one after the other; the first one waits until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.go_on = threading.Event(), threading.Event()

    def write(self, items: Sequence[int]) -> None:
        if -1 in items:
            raise OSError("no room")
        if not self.begun.is_set():
            self.begun.set()
            assert self.go_on.wait(10)
        self.batches.append(list(items))


def started(target: object, *items: int) -> threading.Thread:
    assert isinstance(target, GroupCommit)
    thread = threading.Thread(target=target.put, args=(items,))
    thread.start()
    return thread


def wait_for(group: GroupCommit[int], count: int) -> None:
    for _ in range(1000):
        batch = group._gathering
        if batch is not None and len(batch.items) == count:
            return
        threading.Event().wait(0.005)
    raise AssertionError("they do not gather")


def test_what_comes_while_a_batch_is_written_makes_one_batch() -> None:
    store = Store()
    group = GroupCommit(store.write)
    threads = [started(group, 0)]
    assert store.begun.wait(10)
    threads += [started(group, number) for number in range(1, 9)]
    wait_for(group, 8)
    assert all(thread.is_alive() for thread in threads)
    store.go_on.set()
    for thread in threads:
        thread.join(10)
    assert [sorted(batch) for batch in store.batches] == [[0], list(range(1, 9))]


def test_a_fault_of_one_is_not_the_others() -> None:
    store = Store()
    group = GroupCommit(store.write)
    first = started(group, 0)
    assert store.begun.wait(10)
    failed: list[OSError] = []

    def put_bad() -> None:
        try:
            group.put([-1])
        except OSError as error:
            failed.append(error)

    bad = threading.Thread(target=put_bad)
    bad.start()
    wait_for(group, 1)
    good = started(group, 7)
    wait_for(group, 2)
    store.go_on.set()
    for thread in (first, bad, good):
        thread.join(10)
    assert len(failed) == 1
    assert store.batches == [[0], [7]]


def test_alone_it_is_a_plain_write() -> None:
    written: list[Sequence[int]] = []
    GroupCommit[int](lambda items: written.append(list(items))).put([1, 2])
    assert written == [[1, 2]]
    with pytest.raises(OSError, match="no room"):
        GroupCommit[int](Store().write).put([-1])
