"""SIGTERM as an exception."""

from __future__ import annotations

import signal
import sys
import time
import weakref

import pytest

from msim_xds.cli.termination import raised_on_sigterm


class Thing:
    """Something that can be finalized."""


def terminated_in_a_finalizer() -> None:
    thing = Thing()
    weakref.finalize(thing, signal.raise_signal, signal.SIGTERM)
    del thing
    time.sleep(10)


def test_it_ends_by_an_exception_and_leaves_nothing_behind() -> None:
    before = signal.getsignal(signal.SIGTERM), sys.unraisablehook
    with pytest.raises(SystemExit) as ended, raised_on_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 143
    assert (signal.getsignal(signal.SIGTERM), sys.unraisablehook) == before


def test_one_that_comes_in_a_finalizer_is_not_lost() -> None:
    with pytest.raises(SystemExit) as ended, raised_on_sigterm():
        terminated_in_a_finalizer()
    assert ended.value.code == 143


def test_other_exceptions_of_finalizers_are_told_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[sys.UnraisableHookArgs] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    with raised_on_sigterm():
        thing = Thing()
        weakref.finalize(thing, int, "no number")
        del thing
    assert [each.exc_type for each in told] == [ValueError]
