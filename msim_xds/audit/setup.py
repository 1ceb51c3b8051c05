"""From settings to a trail, and to what looks after it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import structlog
from pydantic import BaseModel
from structlog.typing import FilteringBoundLogger

from msim_xds.audit.backlog import Backlog
from msim_xds.audit.changes import changed
from msim_xds.audit.channels import DATAGRAM_BYTES, open_channel
from msim_xds.audit.dispatch import Dispatch
from msim_xds.audit.key import make_key
from msim_xds.audit.message import AuditSource
from msim_xds.audit.outbox import Outbox
from msim_xds.audit.sealer import Sealer, seal_all
from msim_xds.audit.sender import Sender, Senders
from msim_xds.audit.syslog import Syslog
from msim_xds.audit.trail import Place, Trail
from msim_xds.audit_settings import AuditRepositorySettings, AuditSettings
from msim_xds.database.engine import Database
from msim_xds.pauses import Pauses

_log: FilteringBoundLogger = structlog.get_logger()

Clock = Callable[[], datetime]

_LEASE_TIMEOUTS: Final = 6  # to look up, connect, shake hands, send and close, each no longer than one
_WATCH_S: Final = 60.0


def open_trail(
    settings: AuditSettings,
    data: Path,
    url: str,
    database: Database,
    clock: Clock,
    feeds: Sequence[str] = (),
) -> Trail:
    """The audit trail in a database, with its key and the beginning of its chain made where they are absent.

    Args:
        settings: of the trail.
        data: directory of everything that is kept.
        url: base of this server's endpoints.
        database: where the registry is.
        clock: the time of day, UTC.
        feeds: see ``Backlog``.

    Raises:
        OSError: the key can be neither read nor made.
        ValueError: it is too short.
    """
    outbox = Outbox(database, make_key(settings.key_in(data)))
    outbox.prepare()
    source = AuditSource(settings.source_id, settings.site or None)
    place = Place(source, url, os.getpid())
    return Trail(database, outbox, place, clock, Backlog(database, settings, feeds))


@contextmanager
def life(trail: Trail, settings: BaseModel, key: bytes, kept: Path) -> Iterator[None]:
    """A server's life: start, stop, and what has changed of its settings since the last start, are recorded.

    Args:
        trail: where.
        settings: all of them.
        key: secret of the trail.
        kept: file that remembers the settings.

    Raises:
        TimeoutError, OSError: they cannot be.
    """
    trail.started()
    if names := changed(settings, key, kept):
        trail.settings_changed(names)
    try:
        yield
    finally:
        trail.stopped()
        seal_all(trail.outbox)


class Caretaker:
    """Seals the trail and sends it on.

    Args:
        settings: of the trail.
        url: base of this server's endpoints; its host is the HOSTNAME of syslog messages.
        database: where the trail is.
        outbox: the trail.
        clock: the time of day, UTC.
        feeds: parties that are told nothing but the records whose ``feed`` is their name.

    Raises:
        ValueError: what is needed to reach a repository cannot be used; the message names the setting.
    """

    def __init__(
        self,
        settings: AuditSettings,
        url: str,
        database: Database,
        outbox: Outbox,
        clock: Clock,
        feeds: Sequence[AuditRepositorySettings] = (),
    ) -> None:
        self._sealer = Sealer(outbox)
        self._backlog = Backlog(database, settings, [each.name for each in feeds])
        dispatch = Dispatch(database, _LEASE_TIMEOUTS * settings.timeout_s, clock)
        pauses = Pauses(settings.first_pause_s, settings.longest_pause_s)
        told = [(each, None) for each in settings.repositories] + [(each, each.name) for each in feeds]
        senders = [
            Sender(
                each.name,
                dispatch,
                _syslog(each, url, settings.source_id),
                open_channel(each, settings.timeout_s),
                pauses,
                feed,
            )
            for each, feed in told
        ]
        dispatch.prepare([each.name for each, _ in told])
        self._senders = Senders(senders, dispatch)

    def work(self, stop: threading.Event, ready: Callable[[], None] = lambda: None) -> None:
        """Look after the trail until ``stop`` is set; ``ready`` is called when that begins."""
        with self._sealer, self._senders:
            ready()
            while not stop.wait(_WATCH_S):
                self._watch()

    def _watch(self) -> None:
        """Tell the log of a backlog that is larger than it should be, as often as it is looked at."""
        try:
            waiting = self._backlog.look()
        except (TimeoutError, OSError) as error:
            _log.warning("audit backlog unknown", error=type(error).__name__)
            return
        if waiting.is_full:
            _log.error("audit backlog over its bound", **waiting.facts())


def _syslog(settings: AuditRepositorySettings, url: str, application: str) -> Syslog:
    longest = settings.message_bytes
    if settings.address.scheme == "udp":
        longest = min(longest or DATAGRAM_BYTES, DATAGRAM_BYTES)
    return Syslog(urlsplit(url).hostname or "", application, longest, settings.sequence_ids)
