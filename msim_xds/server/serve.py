"""Starts the HTTP server: Granian with one or more worker processes, or cheroot with one."""

from __future__ import annotations

import os
import pkgutil
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from queue import Empty, SimpleQueue
from typing import Final
from urllib.parse import urlsplit

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from msim_xds.federation.p1 import setup as p1
from msim_xds.gateway import setup as gateway
from msim_xds.security.access.setup import access_policy
from msim_xds.security.xua import setup
from msim_xds.server import log, peer
from msim_xds.server.cheroot_server import HttpServer
from msim_xds.server.companion import Companion, listen
from msim_xds.server.wsdl import public_url
from msim_xds.settings import PatientPolicy, RepositorySettings, Settings
from msim_xds.tls import Contexts

TARGET: Final = "msim_xds.app:from_environment"
"""Makes the WSGI callable in each worker, from ``served_settings``."""

FEED: Final = "msim_xds.companions:run_feed"
"""Listens for the patient feed, in a process of its own."""

AUDIT: Final = "msim_xds.companions:run_audit"
"""Looks after the audit trail, in a process of its own: workers come and go, and there may be many."""

VALIDATION: Final = "msim_xds.companions:run_validation"
"""Validates signatures of what is registered, likewise: it must not cost the time of requests."""

SETTINGS_VARIABLE: Final = "MSIM_SERVED_SETTINGS"

_RECEIVING_THREADS: Final = 1024
"""Threads of a worker that may wait for a client's octets. How many requests are carried out at a time is
``server.threads``, which ``front`` enforces: a slow client costs one idle thread and holds up nobody. Granian
starts them when they are needed."""

_CONNECTIONS: Final = 4096
"""Connections of a worker, most of them idle; while there are so many Granian accepts no more."""
_FILES: Final = 65536
"""Open files of a worker, as far as the system lets us: each connection and each upload is one."""

_STOP_TIMEOUT_S: Final = 30
_BACKLOG: Final = 1024


def served_settings() -> Settings:
    """The settings that ``serve`` hands to its workers.

    Raises:
        KeyError: this process was not started by ``serve``.
    """
    return Settings.model_validate_json(os.environ[SETTINGS_VARIABLE])


def serve(settings: Settings, target: str = TARGET) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished first, for at most 30 seconds.

    Args:
        settings: the whole configuration, also for the workers.
        target: ``module:function`` that makes the WSGI callable from ``served_settings``.

    Raises:
        OSError: an address is in use or not allowed, or a process beside the server could not start.
        SystemExit: it was stopped before it served.
        UnusableXua, UnusableTls, UnusableSystems, UnusablePartner, UnusableP1: a section, or a file that it
            names, cannot be used.
    """
    log.configure(settings.log)
    peer.check(settings)
    peer.door(settings)
    gateway.check(settings)
    access_policy(settings)
    setup.check(settings.xua)  # said here once, before each worker would find it
    p1.check(settings)
    _allow_files()
    os.environ[SETTINGS_VARIABLE] = settings.model_dump_json()
    signal.signal(signal.SIGTERM, _leave)  # until the server has a handler of its own
    with _companions(settings):
        if settings.server.engine == "cheroot":
            _serve_cheroot(settings, target)
        else:
            _serve_granian(settings, target)


def _leave(_number: int, _frame: object) -> None:
    raise SystemExit(0)


@contextmanager
def _companions(settings: Settings) -> Iterator[None]:
    """The processes that the settings want beside the server; one that cannot start ends it."""
    with ExitStack() as running:
        feed = None
        if settings.mllp.port is not None:
            feed = running.enter_context(listen(settings.mllp.host, settings.mllp.port))
        for name, target, is_wanted, listening in (
            ("audit trail", AUDIT, settings.audit.enabled, None),
            ("patient feed", FEED, feed is not None, feed),
            ("signature validation", VALIDATION, settings.validates_later, None),
        ):
            if is_wanted:
                running.enter_context(Companion(name, target, settings, _stop, listening))
        yield


def _stop() -> None:
    """End this server as a service manager would."""
    os.kill(os.getpid(), signal.SIGTERM)


def _allow_files() -> None:
    """Raise the soft limit of open files, often 1024; workers inherit it."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if most == resource.RLIM_INFINITY else min(_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(allowed, wanted), most))


def greeting(settings: Settings) -> list[str]:
    """What an operator should know at the start, one line each."""
    url = public_url(settings)
    lines = [
        f"msim-xds listens on {settings.server.uds or url}",
        f"  data directory   {settings.data.absolute()}",
        f"  database         {urlsplit(settings.database_url).scheme}",
        f"  patients.policy  {settings.patients.policy} ({_POLICY[settings.patients.policy]})",
        f"  validation       {settings.validation.profile}, codes.policy {settings.codes.policy}",
    ]
    if settings.mllp.port is not None:
        tls = " (TLS)" if settings.mllp.tls_certificate else ""
        lines.append(f"  patient feed     mllp://{settings.mllp.host}:{settings.mllp.port}{tls}")
    if not settings.audit.enabled:
        lines.append("  audit trail      off: nobody can tell later who read what (audit.enabled)")
    if settings.repository.unique_id == RepositorySettings.model_fields["unique_id"].default:
        lines.append(
            "  WARNING: repository.unique_id is the sample; set your own before real documents come in"
        )
    if not settings.server.public_url and urlsplit(url).hostname != settings.server.host:
        lines.append(f"  WARNING: ?wsdl gives {url}; set server.public_url to the address that clients use")
    return [
        *lines,
        "Try next:",
        f"  msim-xds submit --url {url} FILE.xml        publish a CDA document",
        f"  open {url}/                                 endpoints and WSDLs",
        f"  curl {url}/health",
    ]


_POLICY: Final = {
    PatientPolicy.OPEN: "any well-formed patient id is taken",
    PatientPolicy.KNOWN: "only patients that a feed has announced",
}


def _greet(settings: Settings) -> None:
    print("\n".join(greeting(settings)), flush=True)


def _serve_granian(settings: Settings, target: str) -> None:
    server = settings.server
    granian = Granian(
        target,
        factory=True,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,  # while it waits to learn which protocol it is, Granian has no time limit
        address=server.host,
        port=server.port,
        uds=server.uds,
        workers=server.workers,
        blocking_threads=_RECEIVING_THREADS,
        backpressure=_CONNECTIONS,
        backlog=_BACKLOG,
        http1_settings=HTTP1Settings(header_read_timeout=int(server.header_timeout_s * 1000)),
        websockets=False,
        workers_max_rss=server.worker_max_mib,
        respawn_failed_workers=True,
        workers_kill_timeout=_STOP_TIMEOUT_S,
        log_level=LogLevels.error,
        log_dictconfig={"loggers": {}},
    )
    if server.uds is None:
        listen(server.host, server.port).close()  # Granian would share the port with a server that has it
    granian.on_startup(lambda: _greet(settings))
    os.register_at_fork(after_in_child=_as_worker)
    granian.serve()


def _as_worker() -> None:
    """A worker that is still starting has nothing to finish; with its parent's handlers it would not end.

    A terminal's SIGINT goes to all processes; the parent's is enough.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _serve_cheroot(settings: Settings, target: str) -> None:
    from msim_xds.server.front import Front  # heavy, and needed in this process only here

    application = pkgutil.resolve_name(target)()
    trail = application.trail if isinstance(application, Front) else None
    server = HttpServer(settings.server, application, settings.tls, trail)
    signals: SimpleQueue[int] = SimpleQueue()  # which signal handlers may put into
    for number in (signal.SIGTERM, signal.SIGINT, *((signal.SIGHUP,) if server.contexts else ())):
        signal.signal(number, lambda number, _frame: signals.put(number))
    server.prepare()
    _greet(settings)
    # In a thread of its own: an exception out of a signal handler could hit cheroot between taking and giving
    # back what its stop() waits for.
    serving = threading.Thread(target=_until, args=(server.serve, signals))
    serving.start()
    _await_stop(signals, server.contexts, settings.tls.reload_s)
    server.stop()
    serving.join()


def _until(serve: Callable[[], None], signals: SimpleQueue[int]) -> None:
    try:
        serve()
    finally:
        signals.put(signal.SIGTERM)


def _await_stop(signals: SimpleQueue[int], contexts: Contexts | None, reload_s: float) -> None:
    """Wait for the end, and look after the files of TLS meanwhile."""
    number = None
    while number not in (signal.SIGTERM, signal.SIGINT):
        try:
            number = signals.get(timeout=reload_s if contexts else None)
        except Empty:
            number = None
        if contexts is not None and number in (None, signal.SIGHUP):
            contexts.refresh(anyway=number is not None)
