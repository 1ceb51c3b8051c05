"""Stands before all else: nothing is received of a system that is not registered, or calls too often."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.files import stamp
from msim_xds.ihe.names import WSSE
from msim_xds.security.systems.identity import FINGERPRINT, marks, read
from msim_xds.security.systems.meter import Meter
from msim_xds.security.systems.table import Limits, Systems, UnusableSystems, load
from msim_xds.wire.exchange import System
from msim_xds.wire.faults import FaultCode, SoapFault

_log: FilteringBoundLogger = structlog.get_logger()

_LOOK_S: Final = 5.0
_UNKNOWN: Final = "The security token could not be authenticated or authorized"  # WS-Security's own words
_BUSY: Final = "too many requests of this system at the moment; send the same message again later"


class Throttled(SoapFault):
    """A system that calls more than it may; nothing was carried out.

    Attributes:
        retry_s: whole seconds after which it may be tried again.
    """

    def __init__(self, retry_s: float) -> None:
        super().__init__(FaultCode.RECEIVER, _BUSY, http_status=503)
        self.retry_s = max(1, ceil(retry_s))


class Door:
    """Finds the system of each request; safe to share between threads.

    Args:
        path: the table of systems. It is read again within seconds of a change; a table that cannot be used
            leaves the one before in force.
        limits: of systems that have none of their own.
        clock: seconds, never going back.

    Raises:
        UnusableSystems: what is wrong with the table, and where.
    """

    def __init__(self, path: Path, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._limits = limits
        self._clock = clock
        self._seen = stamp(path)
        self._looked = clock()
        self._looking = threading.Lock()
        self._systems = load(path, limits)
        self._meters: Mapping[str, tuple[Limits, Meter]] = {}
        self._meters = self._metered(self._systems)

    @contextmanager
    def admitted(self, certificate: str) -> Iterator[System]:
        """The system that shows this certificate (URL-encoded PEM), for the time of a request.

        Raises:
            SoapFault: it is no registered system's (ITI TF-2 3.19).
            Throttled: it calls more than it may.
        """
        self._refresh()
        row = self._systems.find(certificate)
        if row is None:
            _log.warning("system refused", **described(certificate))
            raise _unauthenticated()
        metered = self._meters.get(row.system.name)
        if metered is None:
            yield row.system
            return
        _, meter = metered
        wait = meter.enter()
        if wait:
            _log.warning("system throttled", system=row.system.name, retry_s=round(wait, 3))
            raise Throttled(wait)
        try:
            yield row.system
        finally:
            meter.leave()

    def recall(self, name: str) -> System:
        """The system that was admitted before under this name.

        Raises:
            SoapFault: it is registered no longer.
        """
        self._refresh()
        row = self._systems.by_name.get(name)
        if row is None:
            raise _unauthenticated()
        return row.system

    def _refresh(self) -> None:
        if self._clock() - self._looked < _LOOK_S or not self._looking.acquire(blocking=False):
            return
        try:
            self._looked = self._clock()
            seen = stamp(self._path)
            if seen != self._seen:
                self._seen = seen
                self._read()
        finally:
            self._looking.release()

    def _read(self) -> None:
        try:
            systems = load(self._path, self._limits)
        except UnusableSystems as error:
            _log.error("table of systems not usable; the one before stays in force", reason=str(error))
            return
        self._meters = self._metered(systems)
        self._systems = systems
        _log.info("table of systems read", systems=len(systems.rows))

    def _metered(self, systems: Systems) -> Mapping[str, tuple[Limits, Meter]]:
        """A meter for each system with limits; that of before where they are the same."""
        meters = {}
        for row in systems.rows:
            limits = row.limits
            if limits.requests_per_s is None and limits.concurrent is None:
                continue
            before = self._meters.get(row.system.name)
            if before is None or before[0] != limits:
                before = (limits, Meter(limits, self._clock))
            meters[row.system.name] = before
        return meters


def _unauthenticated() -> SoapFault:
    return SoapFault(FaultCode.SENDER, _UNKNOWN, subcodes=[f"{{{WSSE}}}FailedAuthentication"])


def described(certificate: str) -> dict[str, str]:
    """What log and audit trail say of a certificate that is refused, so that an operator can register it."""
    if not certificate:
        return {"reason": "no certificate"}
    try:
        shown = read(certificate)
    except ValueError:
        return {"reason": "unreadable certificate"}
    fingerprint = next(mark.value for mark in marks(shown) if mark.kind == FINGERPRINT)
    return {"reason": "not registered", "subject": shown.subject.rfc4514_string(), "sha256": fingerprint}
