"""Sends the trail to Audit Record Repositories: a thread for each, which never gives up."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.audit.channels import Channel
from msim_xds.audit.dispatch import Dispatch
from msim_xds.audit.rounds import Rounds
from msim_xds.audit.syslog import Sealed, Syslog
from msim_xds.pauses import Pauses

_log: FilteringBoundLogger = structlog.get_logger()

_LOOK_S: Final = 1.0


class Sender(Rounds):
    """Tells one repository all that it has not been told, for the length of a with block.

    Args:
        name: of the repository in the settings.
        dispatch: knows what is next.
        syslog: makes messages of records.
        channel: carries them.
        pauses: between failed attempts.
        feed: whose records; None for everybody's.
    """

    def __init__(
        self,
        name: str,
        dispatch: Dispatch,
        syslog: Syslog,
        channel: Channel,
        pauses: Pauses,
        feed: str | None = None,
    ) -> None:
        super().__init__(f"audit-{name}", 0.0)
        self._name = name
        self._feed = feed
        self._dispatch = dispatch
        self._syslog = syslog
        self._channel = channel
        self._pauses = pauses
        self._size = 1  # of the next batch; it doubles while all goes well
        self._failures = 0
        self._arrived: int | None = None

    def _round(self) -> float:
        """Send one batch, if there is something to send; returns seconds until the next round."""
        if self._arrived is not None:  # but the database could not be told
            self._dispatch.arrived(self._name, self._arrived)
            self._arrived = None
        batch = self._dispatch.next(self._name, self._size, self._feed)
        if not batch:
            return _LOOK_S
        try:
            self._channel.send([self._syslog.message(each) for each in batch])
        except OSError as error:
            return self._refused(batch, error)
        self._size = min(2 * self._size, self._channel.most)
        if self._failures:
            _log.info("audit records arrive again", to=self._name, failures=self._failures)
        self._failures = 0
        self._arrived = batch[-1].position
        self._dispatch.arrived(self._name, self._arrived)
        self._arrived = None
        return 0.0

    def _failed(self, error: Exception) -> float:
        _log.warning("audit records not sent", to=self._name, error=type(error).__name__)
        return _LOOK_S

    def _refused(self, batch: Sequence[Sealed], error: OSError) -> float:
        """The next attempt is with one record: of one that never gets through all before it arrive, once."""
        self._size = 1
        self._failures += 1
        problem = f"{type(error).__name__}: {error}"
        pause_s = self._pauses.after(self._failures)
        _log.warning(
            "audit records not sent",
            to=self._name,
            position=batch[0].position,
            reason=problem,
            next_s=round(pause_s, 1),
        )
        self._dispatch.failed(self._name, problem)
        return pause_s


class Senders:
    """All senders of a process, for the length of a with block; in the end others may take over at once."""

    def __init__(self, senders: Sequence[Sender], dispatch: Dispatch) -> None:
        self._senders = senders
        self._dispatch = dispatch
        self._running = ExitStack()

    def __enter__(self) -> Self:
        for sender in self._senders:
            self._running.enter_context(sender)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()
        try:
            self._dispatch.release()
        except (TimeoutError, OSError) as problem:  # then the lease ends by itself
            _log.warning("audit repositories not released", error=type(problem).__name__)
