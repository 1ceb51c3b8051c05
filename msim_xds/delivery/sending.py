"""One answer sent to one address: a POST, of whose own answer only the status counts (ITI TF-2 V.3)."""

from __future__ import annotations

import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from msim_xds import __version__
from msim_xds.delivery.addresses import ForbiddenPeer, Target
from msim_xds.federation.transport import reason
from msim_xds.wire.mtom import Packaged

_CONNECT_S: Final = 10.0
_PATIENCE: Final = 2  # so many time-outs may pass without any progress, as when headers come in drop by drop


class NotDelivered(Exception):
    """The receiver has not said that it has the answer; the text says why, without the answer's contents."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to talk to receivers.

    Attributes:
        timeout_s: longest silence.
        ca_file: trusted authorities (PEM); None for the system's.
        certificate: our certificate with its key (PEM) for mutual TLS.
    """

    timeout_s: float
    ca_file: Path | None = None
    certificate: Path | None = None


class Attempt:
    """Sends one answer once. ``abort`` may come from another thread."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._touched = math.inf  # it has not begun
        self._socket: socket.socket | None = None
        self._aborted = False
        self._lock = threading.Lock()

    @property
    def is_stuck(self) -> bool:
        """Whether it makes no progress for longer than its time-outs allow: the receiver plays for time."""
        return time.monotonic() - self._touched > _PATIENCE * self._options.timeout_s + _CONNECT_S

    def send(self, target: Target, message: Packaged) -> None:
        """Send it. Nothing is followed: neither redirects nor proxies of the environment.

        Raises:
            NotDelivered: no connection, no answer, or one that is not 2xx.
        """
        self._touched = time.monotonic()
        try:
            status = self._post(target, message)
        except urllib3.exceptions.HTTPError as error:
            raise NotDelivered("broken off" if self._aborted else reason(error)) from None
        except ForbiddenPeer as error:
            raise NotDelivered(str(error)) from None
        if not 200 <= status < 300:
            raise NotDelivered(f"the receiver answers HTTP {status}; wanted: 202 or another 2xx")

    def abort(self) -> None:
        """Break the connection off, now or as soon as there is one."""
        with self._lock:
            self._aborted = True
            if self._socket is not None:
                _shut_down(self._socket)

    def _post(self, target: Target, message: Packaged) -> int:
        headers = {
            "Content-Type": message.content_type,
            "User-Agent": f"msim-xds/{__version__}",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        if message.length is not None:
            headers["Content-Length"] = str(message.length)
        with self._pool(target) as pool:
            response = pool.urlopen(
                "POST",
                target.path,
                body=self._watched(message.chunks),
                headers=headers,
                redirect=False,
                preload_content=False,
                chunked=message.length is None,
            )
            status = response.status
            response.close()  # unread: whatever else it says, the status decides
        return status

    def _pool(self, target: Target) -> urllib3.HTTPConnectionPool:
        """A connection to the parts of the address that were compared; no URL is read again."""
        timeout_s = self._options.timeout_s
        common: dict[str, Any] = {
            "host": f"[{target.host}]" if ":" in target.host else target.host,
            "port": target.port,
            "timeout": urllib3.Timeout(connect=min(_CONNECT_S, timeout_s), read=timeout_s),
            "retries": False,
        }
        connected = partial(self._connected, target)
        if target.scheme == "http":
            pool = urllib3.HTTPConnectionPool(**common)
            pool.ConnectionCls = partial(_Http, connected)  # type: ignore[assignment]  # it is only called
            return pool
        options = self._options
        secure = urllib3.HTTPSConnectionPool(
            **common,
            cert_reqs=ssl.CERT_REQUIRED,
            ca_certs=None if options.ca_file is None else str(options.ca_file),
            cert_file=None if options.certificate is None else str(options.certificate),
        )
        secure.ConnectionCls = partial(_Https, connected)  # type: ignore[assignment]  # it is only called
        return secure

    def _connected(self, target: Target, connection: socket.socket) -> None:
        """There is a connection, and nothing of the answer has been sent. Raises ForbiddenPeer."""
        target.check_peer(connection.getpeername()[0])
        with self._lock:
            self._socket = connection
            if self._aborted:
                _shut_down(connection)

    def _watched(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._touched = time.monotonic()
            yield chunk
        self._touched = time.monotonic()


class _Http(HTTPConnection):
    def __init__(self, connected: Callable[[socket.socket], None], **options: Any) -> None:  # noqa: ANN401  # urllib3's
        super().__init__(**options)
        self._connected = connected

    def connect(self) -> None:
        super().connect()
        self._connected(self.sock)


class _Https(HTTPSConnection):
    def __init__(self, connected: Callable[[socket.socket], None], **options: Any) -> None:  # noqa: ANN401  # urllib3's
        super().__init__(**options)
        self._connected = connected

    def connect(self) -> None:
        super().connect()
        self._connected(self.sock)


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):  # it is gone already
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # TLS or not: a thread may be reading
