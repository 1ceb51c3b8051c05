"""No hostile message passes, and each gets the fault of the first check that it fails."""

from __future__ import annotations

import pytest

from tests.support.saml import ask, sign
from tests.test_security.test_xua.conftest import Door
from tests.test_security.test_xua.hostile import HOSTILE


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_message_gets_its_fault(door: Door, name: str) -> None:
    make, fault = HOSTILE[name]
    assert door.refusal(make()) == fault


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_message_gets_the_same_fault_after_the_original(door: Door, name: str) -> None:
    """What was recognised once opens nothing for what is derived from it."""
    make, fault = HOSTILE[name]
    assert door.caller(ask(sign())) is not None
    assert door.refusal(make()) == fault
    assert door.refusal(make()) == fault
