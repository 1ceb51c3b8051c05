"""Clients that stall and go away, on the server as it is started: the others are served meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.metadata import single_document
from tests.support.paths import REGISTRY, REPOSITORY
from tests.support.queries import find_documents
from tests.support.server import ServerProcess, provide_message
from tests.test_server.soap import QUERY_ACTION

STALLED = 300
CONTENT = bytes(400_000)  # more than the server reads at a time
CONTENT_TYPE, MESSAGE = provide_message(single_document(content=CONTENT), {"Document01": CONTENT})
HEAD = f"POST {REPOSITORY} HTTP/1.1\r\nHost: x\r\nContent-Type: {CONTENT_TYPE}\r\n".encode()
LENGTH = f"Content-Length: {len(MESSAGE)}\r\n\r\n".encode()
#: How far a client comes before it stalls.
STAGES = {
    "nothing": b"",
    "request line": HEAD[:9],
    "headers": HEAD,
    "no body": HEAD + LENGTH,
    "in the SOAP part": HEAD + LENGTH + MESSAGE[:2000],
    "in the document": HEAD + LENGTH + MESSAGE[:-12],
    "chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n--b\r\n\r\n",
    "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n--b\r\n",
}


_PATIENCE_S = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that carries out two requests at a time, and waits two seconds for headers."""
    data = tmp_path_factory.mktemp("data")
    few = {"MSIM_SERVER__THREADS": "2", "MSIM_SERVER__HEADER_TIMEOUT_S": "2"}
    with ServerProcess(data, f"sqlite:///{data}/registry.db", environment=few) as running:
        yield running


def spooled(server: ServerProcess) -> int:
    """Documents that are still on their way in."""
    return sum(1 for _ in Path(server.settings.document_store, "tmp").iterdir())


@contextmanager
def monitored(server: ServerProcess) -> Iterator[None]:
    """A monitor looks every half second, as one does.

    Granian counts a thread that has just taken a request as idle for an instant; a request that comes then
    waits for a thread until one more comes (docs/deployment.md).
    """
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            server.request("GET", "/health/live")

    with ThreadPoolExecutor(1) as monitor:
        looking = monitor.submit(look)
        try:
            yield
        finally:
            over.set()
        looking.result()


def found(server: ServerProcess) -> int:
    """Documents that a consumer finds."""
    answer = server.ask(REGISTRY, QUERY_ACTION, find_documents(returns="ObjectRef"))
    assert b"ResponseStatusType:Success" in answer.body
    return answer.body.count(b"<rim:ObjectRef ")


def wait_for(server: ServerProcess, documents: int) -> None:
    """Until so many are on their way in."""
    deadline = time.monotonic() + _PATIENCE_S
    while spooled(server) != documents:
        assert time.monotonic() < deadline, spooled(server)
        time.sleep(0.01)


@pytest.mark.parametrize("stage", STAGES)
def test_stalled_clients_hold_up_nobody(server: ServerProcess, stage: str) -> None:
    with ExitStack() as stack:
        stack.enter_context(monitored(server))
        for _ in range(STALLED):
            stack.enter_context(server.connect()).sendall(STAGES[stage])
        wait_for(server, STALLED if stage == "in the document" else 0)
        assert found(server) == 0
    wait_for(server, 0)
    assert found(server) == 0


@pytest.mark.parametrize("stage", ["nothing", "request line", "headers"])
def test_silent_clients_are_given_up(server: ServerProcess, stage: str) -> None:
    with server.connect() as connection:
        connection.sendall(STAGES[stage])
        assert connection.recv(1) == b""
