"""When a process looks for garbage. Most goes by reference counting; what hangs in cycles may wait.

Python's own threshold, 700 objects, has what is being loaded looked through a hundred times, which takes a
quarter of the start; and a request that makes thousands of objects would be interrupted several times.
"""

from __future__ import annotations

import gc
from typing import Final

_WHILE_LOADING: Final = 100_000
_WHILE_SERVING: Final = 10_000


def loading() -> None:
    """The process begins, and what it makes stays."""
    gc.set_threshold(_WHILE_LOADING)


def loaded() -> None:
    """The process is about to serve."""
    gc.set_threshold(_WHILE_SERVING)
