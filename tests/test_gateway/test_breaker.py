"""When a community is left alone, and who tries it again."""

from __future__ import annotations

from msim_xds.gateway.breaker import Breaker


def test_failures_in_a_row_open_it_and_one_request_tries() -> None:
    now = [0.0]
    breaker = Breaker(2, 30.0, lambda: now[0])
    breaker.failed()
    assert breaker.wait_s() == 0.0
    breaker.failed()
    assert breaker.wait_s() == 30.0
    now[0] = 29.0
    assert breaker.wait_s() == 1.0
    now[0] = 31.0
    assert breaker.wait_s() == 0.0
    assert breaker.wait_s() == 30.0
    breaker.failed()
    assert breaker.wait_s() == 30.0
    breaker.succeeded()
    assert breaker.wait_s() == 0.0


def test_a_trial_that_asked_nothing_is_left_to_the_next() -> None:
    now = [0.0]
    breaker = Breaker(1, 30.0, lambda: now[0])
    breaker.unused()
    assert breaker.wait_s() == 0.0
    breaker.failed()
    now[0] = 31.0
    assert breaker.wait_s() == 0.0  # the trial
    breaker.unused()
    assert breaker.wait_s() == 0.0
    assert breaker.wait_s() == 30.0


def test_a_success_forgets_failures() -> None:
    breaker = Breaker(2, 30.0)
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert breaker.wait_s() == 0.0
