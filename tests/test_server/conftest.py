"""A front with handlers that answer something fixed, and a stager that keeps count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from msim_xds.database.engine import Database
from msim_xds.ihe.names import XDS, ResponseStatus
from msim_xds.ihe.transactions import TRANSACTIONS, AnswerKind
from msim_xds.server.front import WsgiApplication, build_front
from msim_xds.settings import DatabaseSettings, Settings
from msim_xds.wire import answers
from msim_xds.wire.acknowledgement import acknowledgement
from msim_xds.wire.exchange import Answer, Handler, OutgoingDocument, Request, StagedPart
from tests.support.parts import part_of
from tests.test_server.asking_later import Exchange

DOCUMENT = bytes(range(256)) * 3


class MemorySink:
    """One document in memory."""

    def __init__(self, stager: MemoryStager) -> None:
        self._stager = stager
        self._data = b""

    def write(self, data: bytes) -> None:
        if self._stager.failing:
            raise self._stager.failing
        self._data += data

    def finish(self) -> StagedPart:
        token = f"t{len(self._stager.seen)}"
        self._stager.seen.append(self._data)
        self._stager.waiting.add(token)
        return part_of(self._data, token)

    def discard(self) -> None:
        self._data = b""


@dataclass
class MemoryStager:
    """What was staged, and what of it still waits to be kept or forgotten."""

    seen: list[bytes] = field(default_factory=list)
    waiting: set[str] = field(default_factory=set)
    failing: Exception | None = None

    def stage(self) -> MemorySink:
        return MemorySink(self)

    def discard(self, part: StagedPart) -> None:
        self.waiting.discard(part.token)


@dataclass
class Server:
    """The pieces that a test may look at or replace."""

    stager: MemoryStager = field(default_factory=MemoryStager)
    requests: list[Request] = field(default_factory=list)
    facts: Mapping[str, object] = field(default_factory=lambda: {"ready": True})

    def handlers(self) -> dict[str, Handler]:
        def query(request: Request) -> Answer:
            self.requests.append(request)
            return Answer(answers.adhoc_query_response(ResponseStatus.SUCCESS))

        def register(request: Request) -> Answer:
            self.requests.append(request)
            return Answer([answers.registry_response(ResponseStatus.SUCCESS)])

        def retrieve(request: Request) -> Answer:
            self.requests.append(request)
            delivered = answers.DeliveredDocument(None, "1.2", "1.2.3", "text/xml", "d1@x")
            return Answer(
                [answers.retrieve_response(ResponseStatus.SUCCESS, (), [delivered])],
                documents=[
                    OutgoingDocument("d1@x", "text/xml", len(DOCUMENT), [DOCUMENT[:300], DOCUMENT[300:]])
                ],
            )

        def acknowledge(request: Request) -> Answer:
            self.requests.append(request)
            return Answer([acknowledgement(request.body)])

        by_answer = {
            AnswerKind.ADHOC_QUERY_RESPONSE: query,
            AnswerKind.REGISTRY_RESPONSE: register,
            AnswerKind.RETRIEVE_RESPONSE: retrieve,
            AnswerKind.ACKNOWLEDGEMENT: acknowledge,
            AnswerKind.PATIENT_DISCOVERY: acknowledge,
        }
        return {row.name: by_answer[row.answer] for row in TRANSACTIONS}

    def build(self, handlers: Mapping[str, Handler] | None = None, **settings: Any) -> WsgiApplication:
        return build_front(
            Settings(**settings), {**self.handlers(), **(handlers or {})}, self.stager, lambda: self.facts
        )


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture(scope="module")
def queue_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Where answers wait that are sent elsewhere."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('later') / 'queue.db'}", DatabaseSettings())
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def exchange(server: Server, queue_database: Database) -> Exchange:
    """A front over a queue that is empty."""
    exchange = Exchange(server, queue_database)
    exchange.queue.drop([row.id for row in exchange.queue.rows()])
    return exchange


@pytest.fixture
def app(server: Server) -> WsgiApplication:
    return server.build()


@pytest.fixture
def failing(server: Server) -> Callable[[Exception], WsgiApplication]:
    """A front whose every handler raises this."""

    def build(error: Exception) -> WsgiApplication:
        def handler(request: Request) -> Answer:
            raise error

        return server.build(dict.fromkeys(server.handlers(), handler))

    return build


def found_document(xml: Any) -> Any:
    """xds:Document of an ITI-43 answer."""
    return xml.find(f".//{{{XDS}}}Document")
