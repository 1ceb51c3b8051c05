"""TLS handshakes of new connections, in one thread beside the accept loop: slow ones delay nobody."""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.tls import is_about_certificate, reason_of

_log: FilteringBoundLogger = structlog.get_logger()

_TICK_S: Final = 0.5
_LINGER_S: Final = 2.0
_CHUNK: Final = 65536

Refused = Callable[[str, str], None]
Finished = Callable[[bool], None]
"""Told once how a handshake ended: True when the peer may speak. Must not raise."""


@dataclass(slots=True)
class _Handshake:
    connection: ssl.SSLSocket
    address: str
    deadline: float
    finished: Finished
    refused: bool = False


class Handshakes:
    """Carries out handshakes until ``stop``.

    Args:
        timeout_s: the longest of them.
        most: how many at a time.
        refused: told address and reason where the peer's certificate is refused or missing. Must not wait.
    """

    def __init__(self, timeout_s: float, most: int, refused: Refused | None = None) -> None:
        self._timeout_s = timeout_s
        self._most = most
        self._refused = refused
        self._arrived: deque[_Handshake] = deque()
        self._running: dict[int, _Handshake] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="TLS handshakes", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        self._thread.start()

    def stop(self) -> None:
        """End; handshakes under way are given up."""
        self._stopping = True
        self._notify()
        self._thread.join()

    def begin(self, connection: ssl.SSLSocket, address: str, finished: Finished) -> None:
        """Take over a connection that was wrapped without a handshake; may be called from any thread."""
        if len(self._running) + len(self._arrived) >= self._most:
            _log.warning("TLS handshake refused", address=address, reason="too many at a time")
            finished(False)
            return
        connection.setblocking(False)
        deadline = time.monotonic() + self._timeout_s
        self._arrived.append(_Handshake(connection, address, deadline, finished))
        self._notify()

    def _notify(self) -> None:
        with suppress(OSError):  # it is awake: the pipe is full; or it has ended
            self._wake.send(b"\0")

    def _run(self) -> None:
        with self._wake, self._woken, selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            looked = time.monotonic()
            while not self._stopping:
                for key, _ in selector.select(_TICK_S):
                    if key.data is None:
                        self._admit(selector)
                    else:
                        self._advance(selector, key.data)
                if time.monotonic() - looked >= _TICK_S:
                    looked = time.monotonic()
                    self._expire(selector, looked)
            for each in (*self._running.values(), *self._arrived):
                each.finished(False)

    def _admit(self, selector: selectors.BaseSelector) -> None:
        with suppress(BlockingIOError):
            self._woken.recv(_CHUNK)
        while self._arrived:
            handshake = self._arrived.popleft()
            number = handshake.connection.fileno()
            self._running[number] = handshake
            selector.register(number, selectors.EVENT_READ, handshake)

    def _advance(self, selector: selectors.BaseSelector, handshake: _Handshake) -> None:
        if handshake.refused:
            self._linger(selector, handshake)
            return
        number = handshake.connection.fileno()
        try:
            handshake.connection.do_handshake()
        except ssl.SSLWantReadError:
            selector.modify(number, selectors.EVENT_READ, handshake)
        except ssl.SSLWantWriteError:
            selector.modify(number, selectors.EVENT_WRITE, handshake)
        except (OSError, ValueError) as error:  # ValueError: a socket that is gone
            self._refuse(selector, handshake, error)
        else:
            self._end(selector, handshake, succeeded=True)

    def _refuse(
        self, selector: selectors.BaseSelector, handshake: _Handshake, error: OSError | ValueError
    ) -> None:
        """Wait a moment for the peer to read the alert; closed at once, the connection could lose it."""
        reason = _tell(handshake, error)
        if self._refused is not None and is_about_certificate(error):
            self._refused(handshake.address, reason)
        handshake.refused = True
        handshake.deadline = time.monotonic() + _LINGER_S
        try:
            handshake.connection.shutdown(socket.SHUT_WR)
        except OSError:
            self._end(selector, handshake, succeeded=False)
        else:
            selector.modify(handshake.connection.fileno(), selectors.EVENT_READ, handshake)

    def _linger(self, selector: selectors.BaseSelector, handshake: _Handshake) -> None:
        try:
            left = handshake.connection.recv(_CHUNK)
        except OSError:
            left = b""
        if not left:
            self._end(selector, handshake, succeeded=False)

    def _expire(self, selector: selectors.BaseSelector, now: float) -> None:
        for handshake in [each for each in self._running.values() if each.deadline <= now]:
            if not handshake.refused:
                _log.info("TLS handshake failed", address=handshake.address, reason="too slow")
            self._end(selector, handshake, succeeded=False)

    def _end(self, selector: selectors.BaseSelector, handshake: _Handshake, *, succeeded: bool) -> None:
        number = handshake.connection.fileno()
        selector.unregister(number)
        del self._running[number]
        handshake.finished(succeeded)


def _tell(handshake: _Handshake, error: OSError | ValueError) -> str:
    """The reason, logged. A refused certificate is a warning; port scans and broken connections are not."""
    reason = reason_of(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        _log.warning("client certificate refused", address=handshake.address, reason=reason)
        return reason
    _log.info("TLS handshake failed", address=handshake.address, reason=reason)
    return reason
