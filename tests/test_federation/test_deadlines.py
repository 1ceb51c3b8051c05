from __future__ import annotations

import threading
import time

from msim_xds.federation.deadlines import Deadlines


def test_what_is_due_is_done_in_the_order_of_time_and_the_rest_is_not() -> None:
    deadlines = Deadlines()
    done: list[str] = []
    over = threading.Event()
    now = time.monotonic()
    deadlines.add(now + 60, lambda: done.append("much later"))
    deadlines.add(now + 0.3, over.set)
    deadlines.add(now + 0.2, lambda: done.append("second"))
    called_off = deadlines.add(now + 0.15, lambda: done.append("never"))
    deadlines.add(now + 0.05, lambda: done.append("first"))
    deadlines.call_off(called_off)
    deadlines.call_off(called_off)
    assert over.wait(10)
    assert done == ["first", "second"]


def test_a_time_that_is_over_is_due_at_once_and_a_sleeping_thread_wakes_for_it() -> None:
    deadlines = Deadlines()
    for _ in range(2):
        over = threading.Event()
        deadlines.add(time.monotonic() - 1, over.set)
        assert over.wait(10)
        time.sleep(0.05)  # now it sleeps without an end


def test_what_is_called_off_leaves_nothing() -> None:
    deadlines = Deadlines()
    for _ in range(1000):
        deadlines.call_off(deadlines.add(time.monotonic() + 3600, lambda: None))
    assert deadlines._pending == {}
