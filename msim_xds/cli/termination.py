"""SIGTERM as an exception, so that a command closes what it has open."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_SOON_S: Final = 0.1


@contextmanager
def raised_on_sigterm() -> Iterator[None]:
    """Have SIGTERM raise SystemExit in the main thread, with the exit code of a process that it ends.

    Where it comes while a finalizer runs Python drops what it raises; then it is sent again.
    """
    report, handler = sys.unraisablehook, signal.signal(signal.SIGTERM, _end)

    def again(dropped: UnraisableHookArgs) -> None:
        if isinstance(dropped.exc_value, SystemExit):
            Timer(_SOON_S, os.kill, (os.getpid(), signal.SIGTERM)).start()
        else:
            report(dropped)

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = report
        signal.signal(signal.SIGTERM, handler)


def _end(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)
