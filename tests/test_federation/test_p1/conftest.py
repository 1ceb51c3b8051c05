"""The double of P1, once for each module, and clients of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from msim_xds.federation.p1.providers import Providers, read_providers
from msim_xds.federation.p1.tokens import Wanted
from msim_xds.p1_settings import P1Settings
from msim_xds.testing.p1 import Double, start

ORGANIZATION = "2.16.840.1.113883.3.4424.2.3.1#000000999901"
PATIENT = "2.16.840.1.113883.3.4424.1.1.616#58831404726"
WANTED = Wanted(
    "one", ORGANIZATION, "", "2.16.840.1.113883.3.4424.1.6.2#2999999", "medical doctor", PATIENT, "TREAT"
)


class Clock:
    """A clock that can be put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture(scope="module")
def shared_double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Double]:
    """A double for all tests of a module."""
    with start(tmp_path_factory.mktemp("p1")) as running:
        yield running


@pytest.fixture
def double(shared_double: Double) -> Double:
    """The same with its usual behaviour."""
    shared_double.consents = {}
    shared_double.unknown_events = set()
    shared_double.refusals = {}
    shared_double.lifetime = timedelta(minutes=30)
    shared_double.before_answer = lambda path: None
    shared_double.calls.clear()
    return shared_double


@pytest.fixture
def clock() -> Clock:
    """The time of day."""
    return Clock()


def section(double: Double, **changes: Any) -> P1Settings:
    """Settings of a client."""
    return P1Settings.model_validate(double.section(**{"deadline_s": 5.0, **changes}))


@pytest.fixture
def settings(double: Double) -> P1Settings:
    """The usual ones."""
    return section(double)


@pytest.fixture
def providers(settings: P1Settings, clock: Clock) -> Providers:
    """The providers of the usual settings."""
    return read_providers(settings, clock)
