"""Accepts the connections of patient feeds: one thread each, bounded in number, time and size."""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.mllp.framing import Frame, FrameReader, framed
from msim_xds.settings import MllpSettings
from msim_xds.tls import is_about_certificate, reason_of

_log: FilteringBoundLogger = structlog.get_logger()

_CHUNK: Final = 65536
_PAUSE_S: Final = 0.2  # where the system has no file or thread left for a connection
_STOP_S: Final = 20.0

Refused = Callable[[str, str], None]
Answer = Callable[[Frame, str], bytes]
"""The acknowledgement of a message that came from this address."""


def tls_context(settings: MllpSettings) -> ssl.SSLContext | None:
    """TLS as the settings want it (ITI-19); None for plain TCP.

    Raises:
        OSError: a file cannot be read, or is no certificate or key.
    """
    if settings.tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with _naming(settings.tls_certificate, settings.tls_key):
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    if settings.tls_client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        with _naming(settings.tls_client_ca):
            context.load_verify_locations(settings.tls_client_ca)
    return context


@contextmanager
def _naming(*files: Path | None) -> Iterator[None]:
    """Name the files in an error that does not."""
    try:
        yield
    except OSError as error:
        named = ", ".join(str(file) for file in files if file is not None)
        raise OSError(f"{named}: {error.strerror or error}") from error


class Listener:
    """Serves a listening socket until ``stop``.

    Args:
        listening: a socket that listens; it stays the caller's.
        answer: makes the acknowledgement of a message.
        settings: limits and TLS.
        refused: told address and reason where a peer's certificate is refused or missing. Must not wait.

    Raises:
        OSError: the files for TLS cannot be used.
    """

    def __init__(
        self,
        listening: socket.socket,
        answer: Answer,
        settings: MllpSettings,
        refused: Refused | None = None,
    ) -> None:
        self._listening = listening
        self._answer = answer
        self._settings = settings
        self._tls = tls_context(settings)
        self._refused = refused
        self._free = threading.BoundedSemaphore(settings.connections)
        self._changing = threading.Lock()
        self._open: dict[threading.Thread, socket.socket] = {}
        self._stopping = False
        self._wake, self._woken = socket.socketpair()

    def serve(self) -> None:
        """Accept connections; returns after ``stop``, when messages under way are answered."""
        self._listening.setblocking(False)
        with self._wake, self._woken, selectors.DefaultSelector() as ready:
            ready.register(self._listening, selectors.EVENT_READ)
            ready.register(self._woken, selectors.EVENT_READ)
            while not self._stopping:
                ready.select()
                if not self._stopping and self._free.acquire(timeout=_PAUSE_S):
                    self._accept()
            self._finish()

    def stop(self) -> None:
        """Accept no more and read no more; may be called from any thread."""
        with self._changing:
            self._stopping = True
            for connection in self._open.values():
                _stop_reading(connection)
        with suppress(OSError):  # it has ended already
            self._wake.send(b"\0")

    def _accept(self) -> None:
        try:
            connection, (address, *_) = self._listening.accept()
        except OSError as error:
            self._free.release()
            if not isinstance(error, BlockingIOError):  # which it is when the sender has gone away again
                _log.warning("no connection accepted", error=type(error).__name__, errno=error.errno)
                time.sleep(_PAUSE_S)
            return
        thread = threading.Thread(target=self._attend, args=(connection, address), daemon=True)
        self._note(thread, connection)
        thread.start()

    def _note(self, thread: threading.Thread, connection: socket.socket) -> None:
        with self._changing:
            self._open[thread] = connection
            if self._stopping:
                _stop_reading(connection)

    def _attend(self, connection: socket.socket, address: str) -> None:
        reader = FrameReader(self._settings.message_bytes)
        reason = "closed"
        try:
            with self._secured(connection, address) as secured:
                self._converse(secured, reader, address)
        except TimeoutError:
            reason = "no whole message in time" if reader.inside else "idle"
        except OSError as error:
            reason = type(error).__name__
        finally:
            with self._changing:
                del self._open[threading.current_thread()]
            self._free.release()
        if reason not in ("closed", "idle") or reader.strays or reader.inside:
            _log.warning("feed connection", address=address, end=reason, strays=reader.strays)

    def _secured(self, connection: socket.socket, address: str) -> socket.socket:
        connection.settimeout(self._settings.message_timeout_s)
        if self._tls is None:
            return connection
        try:
            secured = self._tls.wrap_socket(connection, server_side=True)
        except OSError as error:
            connection.close()
            if self._refused is not None and is_about_certificate(error):
                self._refused(address, reason_of(error))
            raise
        self._note(threading.current_thread(), secured)
        return secured

    def _converse(self, connection: socket.socket, reader: FrameReader, address: str) -> None:
        """Answer message after message, until the sender ends or is too slow."""
        begun = time.monotonic()
        strays = reader.strays
        while True:
            limit = self._settings.message_timeout_s if reader.inside else self._settings.idle_timeout_s
            connection.settimeout(max(begun + limit - time.monotonic(), 0.001))
            data = connection.recv(_CHUNK)
            if not data:
                return
            was_inside = reader.inside
            for frame in reader.feed(data):
                answer = framed(self._answer(frame, address))
                connection.settimeout(self._settings.message_timeout_s)
                connection.sendall(answer)
                begun, was_inside, strays = time.monotonic(), False, reader.strays
            if reader.inside and not was_inside:
                begun = time.monotonic()
            if reader.strays - strays > self._settings.message_bytes:
                raise ConnectionAbortedError("nothing but strays")

    def _finish(self) -> None:
        with self._changing:
            threads = list(self._open)
        until = time.monotonic() + _STOP_S
        for thread in threads:
            thread.join(max(until - time.monotonic(), 0))


def _stop_reading(connection: socket.socket) -> None:
    """Let the connection's thread read to what has arrived, and still answer it."""
    with suppress(OSError):  # it has ended already
        # Not its own method, which for TLS would end encryption.
        socket.socket.shutdown(connection, socket.SHUT_RD)
