"""What the HTTP servers of the tests serve: the real front over fixed answers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from functools import partial

from msim_xds.ihe.names import ResponseStatus
from msim_xds.server import log
from msim_xds.server.front import Environ, StartResponse, WsgiApplication
from msim_xds.server.parent import end_with_parent
from msim_xds.server.serve import served_settings
from msim_xds.wire import answers
from msim_xds.wire.exchange import Answer, Request
from tests.test_server.conftest import Server


def slow_query(request: Request) -> Answer:
    """A query with the MessageID ``slow`` takes a second, and is told of."""
    if request.addressing.message_id == "slow":
        print("a slow query has come", flush=True)
        time.sleep(1)
    return Answer(answers.adhoc_query_response(ResponseStatus.SUCCESS))


class Telling:
    """Tells of each request for the host ``stalled`` as it begins."""

    def __init__(self, application: WsgiApplication) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["HTTP_HOST"] == "stalled":
            print("a stalled request has come", flush=True)
        return self._application(environ, start_response)


def from_environment() -> WsgiApplication:
    end_with_parent(partial(os.kill, os.getpid(), signal.SIGTERM))  # tests kill servers
    settings = served_settings()
    log.configure(settings.log)
    application = Server().build({"ITI-18": slow_query}, **dict(settings))
    print("worker is ready", flush=True)
    return Telling(application)
