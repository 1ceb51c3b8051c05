"""The processes of a server end with the one that started them, also where that is killed."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from typing import Final

_LOOK_S: Final = 0.5
_GRACE_S: Final = 30.0


def end_with_parent(stop: Callable[[], None]) -> None:
    """Have ``stop`` called when the parent is gone; a process that goes on nevertheless is ended after 30 s.

    Nothing in a process that is nobody's part: whoever started a server from a shell may leave.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.pid, stop), daemon=True).start()


def _watch(parent: int | None, stop: Callable[[], None]) -> None:
    # parent.join() would not do: processes forked later hold the pipe open by whose end it is told.
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    stop()
    time.sleep(_GRACE_S)
    os._exit(1)
