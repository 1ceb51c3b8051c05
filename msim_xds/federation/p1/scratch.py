"""Where documents of P1 wait until they are handed on: a directory for each retrieval from a repository.

A directory is locked for as long as its process needs it. The system lets go of the lock with the process, so
what a killed one has left behind is known, and removed at the next start of any.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp


class Folder:
    """A directory for one retrieval.

    Args:
        path: an existing one.

    Raises:
        BlockingIOError: somebody else needs it.
        OSError: it is gone, or cannot be read.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(self._lock)
            raise

    def remove(self) -> None:
        """Remove it with all that is in it; harmless a second time."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(lock)


class Scratch:
    """The directory of these, shared by all threads and processes of a server.

    Args:
        path: is made where it is wanted first.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def new(self) -> Folder:
        """A directory that is to be removed. Raises OSError."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._alone():
            return Folder(mkdtemp(prefix="p1-", dir=self._path))

    def remove_stale(self) -> int:
        """Remove what nobody needs any more; returns how many. Raises OSError."""
        removed = 0
        if not self._path.is_dir():
            return removed
        with self._alone():
            for each in self._path.iterdir():
                with suppress(BlockingIOError, NotADirectoryError, FileNotFoundError):
                    Folder(str(each)).remove()
                    removed += 1
        return removed

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else makes or removes one: a new one is not locked yet."""
        lock = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
