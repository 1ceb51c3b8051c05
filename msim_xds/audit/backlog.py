"""How much of the trail waits, and what that does to requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msim_xds.audit.dispatch import Progress, progress, unsealed
from msim_xds.audit_settings import AuditSettings, WhenFull
from msim_xds.database.engine import Database

_LOOK_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits: records without a place in the chain, and those that each repository has not been told.

    ``unsealed`` is counted up to one more than the bound, ``is_full`` whether more waits than it allows.
    """

    unsealed: int
    repositories: Sequence[Progress]
    is_full: bool

    def facts(self) -> Mapping[str, object]:
        """The same as ``/health`` shows it; why something fails is for those who may see this machine."""
        repositories = {
            each.name: {"waiting": each.waiting, "failures": each.failures, "sent_at": each.sent_at}
            for each in self.repositories
        }
        return {"unsealed": self.unsealed, "full": self.is_full, "repositories": repositories}


class Backlog:
    """The records that wait; safe to share between threads.

    Args:
        database: where the trail is.
        settings: the bound, what is done beyond it, and the repositories.
        feeds: names of parties that are told some records only. However much waits for them, it keeps nobody
            out.
    """

    def __init__(self, database: Database, settings: AuditSettings, feeds: Sequence[str] = ()) -> None:
        self._database = database
        self._bound = settings.backlog
        self._names = tuple(each.name for each in settings.repositories)
        self._feeds = tuple(feeds)
        self._refuses = settings.when_full is WhenFull.REFUSE
        self._looking = threading.Lock()
        self._looked = float("-inf")
        self._full = False

    @property
    def refuses(self) -> bool:
        """Whether more than the bound keeps requests out."""
        return self._refuses

    def look(self) -> Waiting:
        """What waits now."""
        count = unsealed(self._database, self._bound + 1)
        repositories = progress(self._database, (*self._names, *self._feeds))
        slowest = max((each.waiting for each in repositories[: len(self._names)]), default=0)
        return Waiting(count, repositories, count + slowest > self._bound)

    def admit(self) -> None:
        """Nothing, unless too much waits and the settings have requests refused then.

        The database is asked by one thread every two seconds; the others go by its last answer.

        Raises:
            TimeoutError: too much waits, or the database does not say.
        """
        if not self._refuses:
            return
        if time.monotonic() > self._looked + _LOOK_S and self._looking.acquire(blocking=False):
            try:
                self._full = self.look().is_full
                self._looked = time.monotonic()
            finally:
                self._looking.release()
        if self._full:
            raise TimeoutError("too many audit records wait (audit.backlog)")
