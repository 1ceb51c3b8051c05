"""What asking other communities costs: beside the slowest of them, with one that hangs, and per document."""

from __future__ import annotations

import http.client
import os
import re
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, NamedTuple

from bench import big, messages
from bench.figures import Figure
from msim_xds.ihe.transactions import ITI_18, ITI_38, Endpoint

_ENTRIES: Final = 10
_ROUNDS: Final = 100
_MIB: Final = 100
_DOWNLOADS: Final = 9
_PATIENT: Final = 1
_DEADLINE_S: Final = 2.0
_AWAY_S: Final = 0.02
_RECEIVED: Final = 1 << 20
_OBJECTS: Final = b"<rim:ExtrinsicObject"


class _Node(NamedTuple):
    port: int
    home: str
    worker: int


def measure(work: Path) -> list[Figure]:
    """Figures of three communities, of twenty with one that hangs, and of a large document."""
    with ExitStack() as stack:
        others = [stack.enter_context(_node(work, f"urn:oid:1.2.616.{number}", "")) for number in (2, 3)]
        partners = "".join(_partner(node.home, node.port) for node in others)
        here = stack.enter_context(_node(work, "urn:oid:1.2.616.1", partners))
        for node in (*others, here):
            _fill(node.port)
        return [
            *_queries("FindDocuments of 3 communities, slowest alone", here, others),
            *_far_away(work, others),
            *_document(here, others[0]),
            _with_one_that_hangs(work),
        ]


def _far_away(work: Path, others: Sequence[_Node]) -> list[Figure]:
    """The same where answers of the others come over a network that takes its time."""
    with ExitStack() as stack:
        away = [each._replace(port=stack.enter_context(_delayed(each.port))) for each in others]
        partners = "".join(_partner(node.home, node.port) for node in away)
        here = stack.enter_context(_node(work, "urn:oid:1.2.616.4", partners))
        _fill(here.port)
        return _queries(f"the same, the others {_AWAY_S * 1000:.0f} ms away", here, away)


def _queries(what: str, here: _Node, others: Sequence[_Node]) -> list[Figure]:
    slowest = max(_median_ms(node.port, Endpoint.RESPONDING_GATEWAY, _ENTRIES) for node in others)
    slowest = max(slowest, _median_ms(here.port, Endpoint.REGISTRY, _ENTRIES))
    all_three = _median_ms(here.port, Endpoint.INITIATING_GATEWAY, 3 * _ENTRIES)
    at_once = _at_once_ms(
        [(here.port, Endpoint.REGISTRY), *((node.port, Endpoint.RESPONDING_GATEWAY) for node in others)]
    )
    return [
        Figure(what, "ms", all_three, slowest, at_most=1.5),
        Figure("its three answers merely received, by sockets", "ms", at_once, slowest),
    ]


def _at_once_ms(asked: Sequence[tuple[int, Endpoint]]) -> float:
    """Until all have answered whom the client asks at the same time by itself, reading nothing of it."""
    times = []
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for port, _ in asked]
        requests = [_http_request(endpoint) for _, endpoint in asked]
        selector = stack.enter_context(selectors.DefaultSelector())
        for _ in range(_ROUNDS):
            begun = time.perf_counter()
            for connection, request in zip(sockets, requests, strict=True):
                connection.sendall(request)
                selector.register(connection, selectors.EVENT_READ, (connection, bytearray()))
            while selector.get_map():
                for key, _ in selector.select(60):
                    connection, answer = key.data
                    answer += connection.recv(_RECEIVED)
                    if _is_whole(answer):
                        selector.unregister(connection)
            times.append(time.perf_counter() - begun)
    return statistics.median(times[_ROUNDS // 10 :]) * 1000


def _http_request(endpoint: Endpoint) -> bytes:
    body = _query_of(endpoint)
    head = f"POST {endpoint} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {messages.SOAP_TYPE}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _is_whole(answer: bytearray) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return bool(end) and length is not None and len(body) == int(length[1])


def _query_of(endpoint: Endpoint) -> bytes:
    body = messages.all_documents(_PATIENT).body
    if endpoint is Endpoint.RESPONDING_GATEWAY:
        return body.replace(ITI_18.action.encode(), ITI_38.action.encode())
    return body


def _median_ms(port: int, endpoint: Endpoint, expected: int) -> float:
    body = _query_of(endpoint)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    times = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        connection.request("POST", str(endpoint), body, {"Content-Type": messages.SOAP_TYPE})
        answer = connection.getresponse().read()
        times.append(time.perf_counter() - begun)
        if answer.count(_OBJECTS) != expected:
            raise RuntimeError(answer[:2000].decode("utf-8", "replace"))
    connection.close()
    return statistics.median(times[_ROUNDS // 10 :]) * 1000


def _document(here: _Node, there: _Node) -> list[Figure]:
    number = 70_000_100
    big.upload(there.port, Endpoint.REPOSITORY, number, _MIB)
    document = messages.unique_id(number)
    start_kib = big.peak_kib(here.worker, reset=True)
    with _relay(there.port) as relay:
        rounds = [  # they take turns: what else the machine does comes to all
            (
                _MIB / big.download(there.port, Endpoint.REPOSITORY, document, _MIB),
                _MIB / big.download(here.port, Endpoint.INITIATING_GATEWAY, document, _MIB, there.home),
                _MIB / big.download(relay, Endpoint.REPOSITORY, document, _MIB),
            )
            for _ in range(_DOWNLOADS)
        ]
    direct, through, relayed = (statistics.median(rates) for rates in zip(*rounds, strict=True))
    growth = (big.peak_kib(here.worker) - start_kib) / 1024
    return [
        Figure(f"{_MIB} MiB through the gateway, direct", "MiB/s", through, direct, at_least=0.6),
        Figure("the same through a relay that reads nothing of it", "MiB/s", relayed, direct),
        Figure(f"{_MIB} MiB through the gateway: growth of the worker", "MiB", growth, at_most=32),
    ]


def _with_one_that_hangs(work: Path) -> Figure:
    """Nineteen answer, the twentieth takes the request and says nothing."""
    with ExitStack() as stack:
        homes = [f"urn:oid:1.2.617.{number}" for number in range(1, 19)]
        partners = "".join(_partner(home, stack.enter_context(_canned(home))) for home in homes)
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        partners += _partner("urn:oid:1.2.617.99", silent.getsockname()[1])
        here = stack.enter_context(_node(work, "urn:oid:1.2.617.100", partners))
        _fill(here.port, 1)
        connection = http.client.HTTPConnection("127.0.0.1", here.port, timeout=60)
        body = messages.all_documents(_PATIENT).body
        begun = time.perf_counter()
        connection.request("POST", Endpoint.INITIATING_GATEWAY, body, {"Content-Type": messages.SOAP_TYPE})
        answer = connection.getresponse().read()
        took = time.perf_counter() - begun
        connection.close()
    if answer.count(b"<rim:ObjectRef") + answer.count(_OBJECTS) != len(homes) + 1:
        raise RuntimeError(answer[:2000].decode("utf-8", "replace"))
    allowed = (_DEADLINE_S + 0.3) / _DEADLINE_S
    return Figure("20 communities, one hangs, its deadline", "s", took, _DEADLINE_S, at_most=allowed)


def _partner(home: str, port: int) -> str:
    return (
        f'[[community]]\nname = "c{home.rpartition(".")[2]}"\nhomes = ["{home}"]\nplain_http = true\n'
        f'query_url = "http://127.0.0.1:{port}{Endpoint.RESPONDING_GATEWAY}"\ndeadline_s = {_DEADLINE_S}\n'
        'patients.shared = ["2.16.840.1.113883.3.4424.1.1.616"]\n'
    )


def _fill(port: int, entries: int = _ENTRIES) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for number in range(entries):
        message = messages.provide_and_register(number, _PATIENT, b"<a/>")
        connection.request("POST", Endpoint.REPOSITORY, message.body, {"Content-Type": message.content_type})
        if b"ResponseStatusType:Success" not in connection.getresponse().read():
            raise RuntimeError("a submission was refused")
    connection.close()


@contextmanager
def _node(work: Path, home: str, partners: str) -> Iterator[_Node]:
    folder = work / home.rpartition(":")[2]
    folder.mkdir()
    environment = {**os.environ, "MSIM_REGISTRY__HOME_COMMUNITY_ID": home}
    if partners:
        file = folder / "partners.toml"
        file.write_text(partners)
        environment["MSIM_GATEWAY__PARTNERS"] = str(file)
    port = big.free_port()
    command = [str(Path(sys.executable).with_name("msim-xds")), "serve", "--port", str(port)]
    with big.server([*command, "--data", str(folder / "data")], folder, environment, port) as worker:
        yield _Node(port, home, worker)


@contextmanager
def _relay(target: int) -> Iterator[int]:
    """A process that passes octets on to a server; its port."""
    command = [sys.executable, "-m", "bench.relay", str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def _delayed(port: int) -> Iterator[int]:
    """A relay before a server, which keeps each answer back for a while; its port."""

    class Relay(_Handler):
        def setup(self) -> None:
            super().setup()
            self.server_side = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

        def finish(self) -> None:
            self.server_side.close()
            super().finish()

        def answer(self, request: bytes) -> bytes:
            self.server_side.request("POST", self.path, request, {"Content-Type": messages.SOAP_TYPE})
            body = self.server_side.getresponse().read()
            time.sleep(_AWAY_S)
            return body

    with _serving(Relay) as at:
        yield at


@contextmanager
def _canned(home: str) -> Iterator[int]:
    """A community that answers every query with one reference of its own; its port."""
    payload = (
        '<q:AdhocQueryResponse xmlns:q="urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0" '
        'xmlns:rim="urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0" '
        'status="urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Success"><rim:RegistryObjectList>'
        f'<rim:ObjectRef id="{messages.entry_uuid(1)}" home="{home}"/></rim:RegistryObjectList>'
        "</q:AdhocQueryResponse>"
    )
    body = messages.envelope(ITI_38.answer_action, payload)

    class Canned(_Handler):
        def answer(self, _: bytes) -> bytes:
            return body

    with _serving(Canned) as at:
        yield at


class _Handler(BaseHTTPRequestHandler, ABC):
    """Answers SOAP messages over kept connections."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one piece: no delayed acknowledgement between them

    @abstractmethod
    def answer(self, request: bytes) -> bytes:
        """The body of the answer to this request."""

    def do_POST(self) -> None:
        body = self.answer(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", messages.SOAP_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@contextmanager
def _serving(handler: type[_Handler]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
