"""HTTP to one partner for many threads: kept connections, and an end at the deadline whatever it does.

Time-outs of sockets bound a silence, not the whole: who sends an octet a second never meets one. So another
thread breaks the connection off when the time is over. Redirects, proxies and compression are not used.
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Final, NamedTuple, TypeGuard
from urllib.parse import urlsplit

from msim_xds import __version__
from msim_xds.federation.answers import NotAsked, RemoteUnavailable
from msim_xds.federation.deadlines import DEADLINES
from msim_xds.federation.transport import reason
from msim_xds.findings import shorten
from msim_xds.wire import mtom
from msim_xds.wire.mtom import Packaged

_CHUNK: Final = 512 * 1024  # at most; what has come goes on at once
_SOAP_TYPES: Final = frozenset({mtom.SOAP_TYPE, "multipart/related", "text/xml"})
_GIVEN_UP: Final = (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected)
_BROKEN: Final = (OSError, http.client.HTTPException)


@dataclass(frozen=True, slots=True)
class LineOptions:
    """How to talk to a partner.

    Attributes:
        connect_timeout_s: longest wait for a connection.
        silence_s: longest silence, also between a document's octets.
        connections: requests at a time; further ones are refused at once.
        tls: trusted authorities and our certificate; None for plain HTTP.
    """

    connect_timeout_s: float = 5.0
    silence_s: float = 30.0
    connections: int = 8
    tls: ssl.SSLContext | None = None


class _Answered(NamedTuple):
    """The head of an answer. The connection forgets its socket where the answer ends with it."""

    connection: HTTPConnection
    socket: socket.socket
    response: HTTPResponse


class Reply:
    """An answer that is being read. ``close`` may come from another thread, and more than once.

    ``content_type``, ``date`` and ``length`` are its headers; the latter is None where the partner does not
    say. ``certificate`` is what the partner has shown, as ``ssl`` tells it; None for plain HTTP.
    """

    def __init__(self, line: Line, answered: _Answered) -> None:
        connection, self._socket, response = answered
        self.date: Final = response.headers.get("Date", "")
        self.certificate: Final = self._socket.getpeercert() if _is_tls(self._socket) else None
        self.length: Final = _number(response.headers.get("Content-Length", ""))
        self.content_type: Final = response.headers.get("Content-Type", "")
        self._line = line
        self._connection = connection
        self._response = response
        self._lock = threading.Lock()
        self._open = True
        self._deadline: object = None
        self._late = False

    @property
    def tls_version(self) -> str:
        """The version of TLS, such as ``TLSv1.3``, while the connection is open; empty for plain HTTP."""
        return (self._socket.version() or "") if _is_tls(self._socket) else ""

    def bound(self, deadline: float) -> None:
        """Break the answer off at ``deadline`` (``time.monotonic()``), instead of at the one before."""
        with self._lock:
            DEADLINES.call_off(self._deadline)
            if self._open:
                self._deadline = DEADLINES.add(deadline, self._expire)

    def chunks(self) -> Iterator[bytes]:
        """The octets as they come. Raises RemoteUnavailable where they break off."""
        try:
            while octets := self._response.read1(_CHUNK):
                yield octets
            if self._late:  # a shut socket reads as an end
                raise TimeoutError
            if self._response.length:
                raise ConnectionResetError(f"it breaks off {self._response.length} bytes before the end")
        except _BROKEN as error:
            self._release(whole=False)
            raise self._line.unavailable(TimeoutError() if self._late else error) from None
        self._release(whole=True)

    def close(self) -> None:
        """Let go of the connection."""
        self._release(whole=False)

    def _expire(self) -> None:
        with self._lock:
            if self._open:  # else its connection may be another request's already
                self._late = True
                _shut(self._socket)

    def _release(self, *, whole: bool) -> None:
        with self._lock:
            if not self._open:
                return
            self._open = False
            DEADLINES.call_off(self._deadline)
        if not whole:
            _shut(self._socket)  # first: another thread may be reading, and would keep the next line waiting
        self._response.close()
        if not whole:
            self._connection.close()
        self._line.end(self._connection if whole else None)


class Line:
    """Connections to one URL.

    Args:
        url: of the partner's endpoint.
        options: time-outs, TLS, how many at a time.

    Raises:
        ValueError: the URL is none of HTTP.
    """

    def __init__(self, url: str, options: LineOptions) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url}: expected http://… or https://…")
        self.url: Final = url
        self.host: Final = parts.hostname
        self.port: Final = parts.port or (443 if parts.scheme == "https" else 80)
        self.is_tls: Final = parts.scheme == "https"
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._options = options
        self._lock = threading.Lock()
        self._idle: list[HTTPConnection] = []
        self._under_way = 0

    def close(self) -> None:
        """Close what is kept."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def post(self, message: Packaged, deadline: float) -> Reply:
        """Send a message; returns when the head of the answer is there.

        Args:
            message: what to send. It must change nothing: a kept connection that the partner has given up
                meanwhile makes it go again.
            deadline: ``time.monotonic()`` at which to give up; it holds for the answer's octets too, until
                ``Reply.bound`` gives another.

        Raises:
            RemoteUnavailable: there is no SOAP message for an answer, whatever the reason.
        """
        self._begin()
        try:
            answered = self._exchanged(b"".join(message.chunks), message.content_type, deadline)
        except BaseException:
            self.end(None)
            raise
        reply = Reply(self, answered)
        reply.bound(deadline)
        try:
            self._check(answered.response)
        except BaseException:
            reply.close()
            raise
        return reply

    def unavailable(self, why: str | Exception) -> RemoteUnavailable:
        """The error that says why there is no answer."""
        return RemoteUnavailable(self.url, why if isinstance(why, str) else reason(why))

    def end(self, usable: HTTPConnection | None) -> None:
        """A request is over; its connection is kept where it is ``usable``."""
        with self._lock:
            self._under_way -= 1
            if usable is not None and usable.sock is not None:
                self._idle.append(usable)

    def _begin(self) -> None:
        with self._lock:
            if self._under_way >= self._options.connections:
                raise NotAsked(self.url, f"{self._under_way} requests to it are under way already")
            self._under_way += 1

    def _exchanged(self, body: bytes, content_type: str, deadline: float) -> _Answered:
        kept = self._kept()
        try:
            if kept is not None:
                with suppress(*_GIVEN_UP):  # the partner had closed it; a fresh one will do
                    return self._exchange(kept, body, content_type, deadline)
                _in_time(deadline)  # else it is we who have shut it
            return self._exchange(self._fresh(deadline), body, content_type, deadline)
        except _BROKEN as error:
            late = time.monotonic() >= deadline
            raise self.unavailable(TimeoutError() if late else error) from None

    def _exchange(
        self, connection: HTTPConnection, body: bytes, content_type: str, deadline: float
    ) -> _Answered:
        watched = DEADLINES.add(deadline, lambda: _shut(connection.sock))
        try:
            if connection.sock is None:
                connection.connect()
            _in_time(deadline)  # before there was a connection nothing could be shut
            sock = connection.sock
            sock.settimeout(self._options.silence_s)
            headers = {
                "Content-Type": content_type,
                "User-Agent": f"msim-xds/{__version__}",
                "Accept-Encoding": "identity",
            }
            connection.request("POST", self._path, body, headers)
            response = connection.getresponse()
            if time.monotonic() >= deadline:  # a socket that was shut reads as the end of the headers
                response.close()  # which may have the connection's socket
                raise TimeoutError
            return _Answered(connection, sock, response)
        except BaseException:
            connection.close()
            raise
        finally:
            DEADLINES.call_off(watched)

    def _kept(self) -> HTTPConnection | None:
        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                if not _is_readable(connection.sock):  # an end, or octets that nobody has asked for
                    return connection
                connection.close()
        return None

    def _fresh(self, deadline: float) -> HTTPConnection:
        timeout = max(0.001, min(self._options.connect_timeout_s, deadline - time.monotonic()))
        if self.is_tls:
            return HTTPSConnection(self.host, self.port, timeout=timeout, context=self._options.tls)
        return HTTPConnection(self.host, self.port, timeout=timeout)

    def _check(self, response: HTTPResponse) -> None:
        """Only a SOAP message may go on to the parser; faults come with 400, 500 and others."""
        content_type = response.headers.get("Content-Type", "")
        if content_type.partition(";")[0].strip().lower() not in _SOAP_TYPES:
            kind = shorten(content_type) or "no content"
            raise self.unavailable(f"it answers HTTP {response.status} ({kind}) and not SOAP")
        if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise self.unavailable("its answer is compressed, which was not asked for")


def _in_time(deadline: float) -> None:
    """Raises TimeoutError when a deadline is over."""
    if time.monotonic() >= deadline:
        raise TimeoutError


def _is_tls(sock: socket.socket) -> TypeGuard[ssl.SSLSocket]:
    return isinstance(sock, ssl.SSLSocket)


def _is_readable(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _shut(sock: socket.socket | None) -> None:
    """Break a connection off that another thread may be reading."""
    if sock is not None:
        with suppress(OSError):  # it is gone already
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
