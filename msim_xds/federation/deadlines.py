"""One thread that acts when a time is over, for all who wait: a timer for each would cost a thread each."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

Act = Callable[[], None]


class Deadlines:
    """What is to be done at which time, unless it is called off; safe to share between threads.

    What is called off leaves nothing behind, however far its time was. The thread begins with the first
    deadline, again in a process that was forked, and ends with the process.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pending: dict[object, tuple[float, Act]] = {}
        self._wakes = math.inf
        self._thread: threading.Thread | None = None

    def add(self, deadline: float, act: Act) -> object:
        """Have ``act`` called at ``deadline`` (``time.monotonic()``); returns what calls it off.

        It is called in a thread that others wait for: it must be short, and raise nothing.
        """
        token = object()
        with self._changed:
            self._pending[token] = (deadline, act)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            elif deadline < self._wakes:
                self._changed.notify()
        return token

    def call_off(self, token: object) -> None:
        """Forget a deadline; harmless when it is over. What it does may be under way just then."""
        with self._changed:
            self._pending.pop(token, None)

    def _run(self) -> None:
        while True:
            for act in self._due():
                act()

    def _due(self) -> list[Act]:
        """What is to be done now; waits until there may be something."""
        with self._changed:
            now = time.monotonic()
            due = [token for token, (deadline, _) in self._pending.items() if deadline <= now]
            if not due:
                self._wakes = min((deadline for deadline, _ in self._pending.values()), default=math.inf)
                left = self._wakes - now
                self._changed.wait(None if math.isinf(left) else min(left, threading.TIMEOUT_MAX))
                self._wakes = -math.inf
            return [self._pending.pop(token)[1] for token in due]


DEADLINES = Deadlines()
"""Those of this process."""
