"""A process beside the HTTP server, which is started again when it dies.

The server does not wait for it: both start side by side. One that cannot start ends the server.

The patient feed runs in one: one listener, however many workers there are, and its port is bound by the main
process, so that a port in use is told before anything starts and no connection is lost when it is replaced.
What looks after the audit trail runs in another, without a port, and what validates signatures in a third.
"""

from __future__ import annotations

import multiprocessing
import pkgutil
import signal
import socket
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Final, Protocol, Self

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds import garbage
from msim_xds.server import log
from msim_xds.server.parent import end_with_parent
from msim_xds.settings import Settings

_log: FilteringBoundLogger = structlog.get_logger()

_START_S: Final = 60.0
_STOP_S: Final = 30.0
_PAUSE_S: Final = 1.0
#: A process of its own from the first instruction on: a copy of this one would share locks and connections.
_processes: Final = multiprocessing.get_context("spawn")


class Target(Protocol):
    """What the process does until ``stop`` is set; ``ready`` is called when it does so.

    Between settings and ``ready`` stands the socket that it serves, if it was given one.
    """

    def __call__(self, settings: Settings, /, *rest: Any) -> None:  # noqa: ANN401  # as said
        """Serve."""


def listen(host: str, port: int) -> socket.socket:
    """A TCP socket that listens.

    Raises:
        OSError: the address is in use or not allowed; the message names it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise OSError(
            error.errno, f"cannot listen on {host} port {port}: {error.strerror or error}"
        ) from None


class Companion:
    """Runs ``module:function``, a ``Target``, in a process of its own for the length of a with block.

    The block is entered before the process is ready.

    Args:
        name: how logs and messages call it.
        target: the function; it is found in the process itself.
        settings: handed to it.
        failed: called, in a thread, when it does not become ready at its start; the block should end then.
        listening: handed to it, if there is one; stays open here.

    Raises:
        OSError: at the end of the block, if the process did not become ready; the message says why.
    """

    def __init__(
        self,
        name: str,
        target: str,
        settings: Settings,
        failed: Callable[[], None],
        listening: socket.socket | None = None,
    ) -> None:
        self._name = name
        self._arguments = (target, settings.model_dump_json(), listening)
        self._failed = failed
        self._problem: OSError | None = None
        self._stopping = threading.Event()

    def __enter__(self) -> Self:
        self._process, here = self._begun()
        self._watcher = threading.Thread(target=self._watch, args=(here,), daemon=True)
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._process.terminate()
        self._watcher.join(_STOP_S)
        self._process.kill()
        self._process.join()
        if self._problem is not None:
            raise self._problem from error

    def _begun(self) -> tuple[multiprocessing.process.BaseProcess, Connection]:
        """A process, and where it will say that it is ready."""
        here, there = _processes.Pipe(duplex=False)
        process = _processes.Process(
            name=self._name, target=_run, args=(*self._arguments, there), daemon=True
        )
        process.start()
        there.close()
        return process, here

    def _await_ready(self, here: Connection) -> None:
        """Return when the process is ready. Raises OSError where it is not in time, and then it is gone."""
        with here:
            problem = _problem(here)
        if problem is not None:
            self._process.kill()
            self._process.join()
            raise OSError(f"{self._name}: {problem}")

    def _watch(self, here: Connection) -> None:
        """Start it again when it ends by itself; one that somebody has stopped stays stopped."""
        try:
            self._await_ready(here)
        except OSError as error:
            if not self._stopping.is_set():
                _log.error("not started", process=self._name, reason=str(error))
                self._problem = error
                self._failed()
            return
        while True:
            self._process.join()
            if self._stopping.is_set() or self._process.exitcode == 0:
                return
            _log.error("ended unexpectedly", process=self._name, exit_code=self._process.exitcode)
            while not self._stopping.wait(_PAUSE_S):
                try:
                    self._process, here = self._begun()
                    self._await_ready(here)
                    break
                except OSError as error:
                    _log.error("not started", process=self._name, reason=str(error))
            if self._stopping.is_set():
                self._process.terminate()


def _problem(here: Connection) -> str | None:
    """Why a process does not become ready; None when it does."""
    if not here.poll(_START_S):
        return f"not ready after {_START_S:g} s"
    try:
        word: str = here.recv()
    except EOFError:
        return "ended at its start"
    return word or None


def _run(target: str, settings_json: str, listening: socket.socket | None, there: Connection) -> None:
    """What the process does. It ends with the one that started it, whatever happens to that."""
    stop = threading.Event()

    def end(_number: int, _frame: object) -> None:
        stop.set()
        if not there.closed:  # it is still starting, and has nothing to finish
            raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    end_with_parent(stop.set)
    garbage.loading()
    settings = Settings.model_validate_json(settings_json)
    log.configure(settings.log, lasting=True)

    def ready() -> None:
        garbage.loaded()
        there.send("")
        there.close()

    serve: Target = pkgutil.resolve_name(target)
    try:
        serve(settings, *(() if listening is None else (listening,)), ready, stop)
    except (OSError, ValueError, RuntimeError) as error:
        if there.closed:
            _log.error("failed", process=multiprocessing.current_process().name, exc_info=error)
        else:
            there.send(str(error) or type(error).__name__)
        raise SystemExit(1) from None
