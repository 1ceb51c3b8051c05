"""Exchanges of the client that are broken off when they take too long, whatever they wait for."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final
from weakref import WeakSet

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError

from msim_xds.federation.deadlines import DEADLINES

NOT_IN_TIME: Final = "it does not answer in time"


class Watch:
    """Breaks the connections of a channel off when an exchange takes too long.

    Time-outs of sockets bound a silence, not the whole: who sends an octet a second never meets one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: WeakSet[_Breakable] = WeakSet()
        self._end = 0.0
        self._under_way: object = None

    @property
    def late(self) -> bool:
        """Whether the time of the exchange is over."""
        return time.monotonic() >= self._end

    @contextmanager
    def during(self, seconds: float) -> Iterator[None]:
        """One exchange, which ends after ``seconds``."""
        this = object()
        with self._lock:
            self._end = time.monotonic() + seconds
            self._under_way = this
        deadline = DEADLINES.add(self._end, partial(self._expire, this))
        try:
            yield
        finally:
            with self._lock:
                self._under_way = None
            DEADLINES.call_off(deadline)

    def add(self, connection: _Breakable) -> None:
        """Watch a new connection. Raises TimeoutError where it comes too late."""
        with self._lock:
            if self.late:
                raise TimeoutError
            self._connections.add(connection)

    def _expire(self, this: object) -> None:
        with self._lock:
            if self._under_way is this:  # else the connection may be another exchange's already
                for connection in self._connections:
                    connection.shut()


class _Breakable(HTTPConnection):
    """A connection that another thread can break off."""

    def __init__(self, *args: Any, watch: Watch, **options: Any) -> None:  # noqa: ANN401  # urllib3's
        super().__init__(*args, **options)
        self._watch = watch
        self._sockets: tuple[socket.socket, ...] = ()

    def connect(self) -> None:
        """Connect. The base forgets sockets: in the TLS handshake, and where the answer ends with them."""
        try:
            super().connect()
        finally:
            handshake = self._sockets
            self._sockets = () if self.sock is None else (self.sock,)
            for each in handshake:
                each.close()

    def shut(self) -> None:
        """Break off; whoever reads sees an end."""
        for each in self._sockets:
            with suppress(OSError):  # it is gone already
                socket.socket.shutdown(each, socket.SHUT_RDWR)

    def _new_conn(self) -> socket.socket:
        connected = super()._new_conn()
        self._sockets = (connected.dup(),)
        try:
            self._watch.add(self)
        except TimeoutError:
            connected.close()
            raise ConnectTimeoutError(self, NOT_IN_TIME) from None
        return connected


class _BreakableTls(_Breakable, HTTPSConnection):
    """The same with TLS."""


class WatchingAdapter(HTTPAdapter):
    """Makes connections that are watched."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401  # requests'
        """A pool of them; for ``requests``."""
        pool: Any = super().get_connection_with_tls_context(*args, **options)
        kind = _BreakableTls if pool.scheme == "https" else _Breakable
        pool.ConnectionCls = partial(kind, watch=self._watch)
        return pool
