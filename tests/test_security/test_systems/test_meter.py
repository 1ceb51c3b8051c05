"""How often, and how much at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from msim_xds.security.systems.meter import Meter
from msim_xds.security.systems.table import Limits


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rate() -> None:
    clock = Clock()
    meter = Meter(Limits(requests_per_s=2), clock)
    assert [meter.enter() for _ in range(3)] == [0, 0, 0.5]
    clock.now += 0.25
    assert meter.enter() == 0.25
    clock.now += 0.25
    assert [meter.enter(), meter.enter()] == [0, 0.5]
    clock.now += 1000
    assert [meter.enter() for _ in range(3)] == [0, 0, 0.5]  # no more than the burst is saved up


def test_burst() -> None:
    meter = Meter(Limits(requests_per_s=0.1, burst=3), Clock())
    assert [meter.enter() for _ in range(4)] == [0, 0, 0, 10]


def test_a_rate_below_one_lets_one_in() -> None:
    meter = Meter(Limits(requests_per_s=0.5), Clock())
    assert [meter.enter(), meter.enter()] == [0, 2]


def test_concurrent() -> None:
    meter = Meter(Limits(concurrent=2), Clock())
    assert [meter.enter() for _ in range(3)] == [0, 0, 1]
    meter.leave()
    assert [meter.enter(), meter.enter()] == [0, 1]


def test_what_waits_for_others_costs_no_token() -> None:
    meter = Meter(Limits(requests_per_s=2, concurrent=1), Clock())
    assert [meter.enter(), meter.enter(), meter.enter()] == [0, 1, 1]
    meter.leave()
    assert meter.enter() == 0


@given(
    rate=st.floats(0.1, 100),
    burst=st.integers(1, 20),
    pauses=st.lists(st.floats(0, 5), max_size=60),
)
def test_never_more_than_burst_and_rate(rate: float, burst: int, pauses: list[float]) -> None:
    clock = Clock()
    meter = Meter(Limits(rate, burst), clock)
    taken = 0
    for pause in pauses:
        clock.now += pause
        wait = meter.enter()
        taken += wait == 0
        assert 0 <= wait <= 1 / rate + 1e-6
    assert taken <= burst + sum(pauses) * rate + 1e-6
