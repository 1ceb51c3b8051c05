"""The whole application in process, and what must hold of it whatever it is sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from sqlalchemy import func, literal, select, union_all

from msim_xds.app import open_node
from msim_xds.database import schema
from msim_xds.ihe.transactions import TRANSACTIONS
from msim_xds.server.front import build_front
from msim_xds.settings import MIB, DatabaseSettings, LimitSettings, Settings
from tests.test_server.soap import NS, SIMPLE, SOAP, Response, post

T = TypeVar("T")

#: No request of these tests takes a second; one that takes this long will never end.
_HANG_S = 120
_ANSWERS = {row.answer.value for row in TRANSACTIONS}
_FAULTS = {f"{{{SOAP}}}{code}" for code in ("Sender", "VersionMismatch", "MustUnderstand")}
#: What our code says when it failed, and what Python says.
_OUR_FAULT = re.compile(rb"internal error|reference [0-9a-f]{32}|Traceback|\.py\b|sqlalchemy|psycopg|sqlite3")
_COUNTS = union_all(
    *(select(literal(table.name), func.count()).select_from(table) for table in schema.metadata.sorted_tables)
)
_END = datetime(9999, 1, 1, tzinfo=UTC)


class Watchdog:
    """Carries out calls in a thread of its own, so that one that hangs fails its test and nothing else."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        Thread(target=self._work, daemon=True).start()

    def run(self, call: Callable[[], T]) -> T:
        """The call's result. Raises TimeoutError when it hangs."""
        future: Future[T] = Future()
        self._calls.put((call, future))
        return future.result(_HANG_S)

    def stop(self) -> None:
        self._calls.put(None)

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            call, future = item
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)


class Target:
    """The application on its stores."""

    def __init__(self, data: Path, database_url: str, watchdog: Watchdog) -> None:
        limits = LimitSettings(request_bytes=32 * MIB, document_bytes=16 * MIB)
        settings = Settings(data=data, database=DatabaseSettings(url=database_url), limits=limits)
        self.node = open_node(settings)
        self._app = build_front(settings, self.node.handlers(), self.node.store, self.node.ready)
        self._watchdog = watchdog

    def post(
        self, path: str, body: bytes, content_type: str = SIMPLE, environ: Mapping[str, Any] | None = None
    ) -> Response:
        """One request; its answer is looked at by ``verdict``."""
        return self._watchdog.run(lambda: post(self._app, path, body, content_type, environ))

    def kept(self) -> dict[str, int]:
        """How much is stored: rows by table, blobs, and spool files."""
        with self.node.database.read() as connection:
            counts = {name: count for name, count in connection.execute(_COUNTS)}
        blobs = sum(1 for _ in self.node.store.blobs())
        return {**counts, "blobs": blobs, "spool files": len(list(self.node.store.stale(_END)))}


def verdict(answer: Response) -> str:
    """``Success``, ``Failure``, ``PartialSuccess`` or ``Fault``; asserts that it is one of them, and ours."""
    said = _OUR_FAULT.search(answer.body)
    assert said is None, said
    payload = answer.xml().find("s:Body/*", NS)
    assert payload is not None
    if payload.tag in _ANSWERS:
        assert answer.status == 200
        holders = (payload, payload.find("{*}RegistryResponse"))
        (status,) = (each.get("status", "") for each in holders if each is not None and each.get("status"))
        return status.rpartition(":")[2]
    code, _, reason = answer.fault()
    assert code in _FAULTS
    assert (answer.status == 500) == (not code.endswith("Sender"))
    assert reason
    return "Fault"


def codes(answer: Response) -> set[str]:
    """The error codes of an answer."""
    return {error.get("errorCode", "") for error in answer.xml().iter("{*}RegistryError")}


@contextmanager
def nothing_kept(target: Target) -> Iterator[None]:
    """Asserts that what happens inside leaves nothing behind."""
    before = target.kept()
    yield
    assert target.kept() == before
