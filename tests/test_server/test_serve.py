"""Real HTTP servers on loopback, each a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zeep

from msim_xds.database.engine import Database
from msim_xds.server.serve import SETTINGS_VARIABLE, greeting, serve, served_settings
from msim_xds.settings import DatabaseSettings, Settings
from msim_xds.tls import UnusableTls
from msim_xds.tls_settings import TlsSettings
from tests.support.atna import trail
from tests.support.paths import REGISTRY, REPOSITORY
from tests.support.tls import Site, get
from tests.test_server.conftest import DOCUMENT
from tests.test_server.soap import (
    PROVIDE,
    PROVIDE_ACTION,
    RETRIEVE,
    RETRIEVE_ACTION,
    SIMPLE,
    Response,
    envelope,
    mtom,
)

RUN = (
    "import sys; from msim_xds.settings import Settings; from msim_xds.server.serve import serve;"
    "serve(Settings.model_validate_json(sys.argv[1]), 'tests.test_server.stub_app:from_environment')"
)


class Running:
    """A server process."""

    def __init__(self, settings: Settings, output: Path) -> None:
        self.settings = settings
        self.port = settings.server.port
        self._output = output
        run = RUN.replace("tests.test_server.stub_app", "msim_xds.app") if settings.audit.enabled else RUN
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", run, settings.model_dump_json()],
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=Path(__file__).parents[2],
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            if settings.tls.certificate:
                if "Try next" in self.output:
                    return
                time.sleep(0.05)
                continue
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get("/health/live").status == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(self.output)

    @property
    def output(self) -> str:
        return self._output.read_text()

    def wait_for(self, line: str, times: int = 1) -> None:
        """Until it has printed so many such lines."""
        deadline = time.monotonic() + 30
        while self.output.count(line) < times:
            assert time.monotonic() < deadline, self.output
            time.sleep(0.02)

    def connect(self) -> socket.socket:
        uds = self.settings.server.uds
        if uds is None:
            return socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(20)
        try:
            connection.connect(str(uds))
        except OSError:
            connection.close()
            raise
        return connection

    def request(
        self, method: str, path: str, body: bytes | Iterator[bytes] | None = None, content_type: str = SIMPLE
    ) -> Response:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = self.connect()
        with contextlib.closing(connection):
            headers = {} if body is None else {"Content-Type": content_type}
            connection.request(method, path, body, headers, encode_chunked=not isinstance(body, bytes | None))
            answer = connection.getresponse()
            data = answer.read()
        return Response(answer.status, {k.lower(): v for k, v in answer.getheaders()}, data)

    def get(self, path: str) -> Response:
        return self.request("GET", path)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)  # a worker that is still starting is killed after 30 s


Start = Callable[..., Running]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Running] = []

    def start_(tls: TlsSettings | None = None, *, audited: bool = False, **server: object) -> Running:
        settings = Settings(
            data=tmp_path,
            tls=tls or TlsSettings(),
            audit={"enabled": audited},
            server={"port": free_port(), "threads": 4, **server},
        )
        running.append(Running(settings, tmp_path / f"out{len(running)}"))
        return running[-1]

    yield start_
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


@pytest.fixture(params=["granian", "cheroot"])
def running(request: pytest.FixtureRequest, start: Start) -> Running:
    return start(engine=request.param)


def test_messages_in_all_forms(running: Running) -> None:
    assert running.request("POST", REGISTRY, envelope()).header("RelatesTo") == "urn:uuid:m"
    content_type, body = mtom(envelope(PROVIDE, PROVIDE_ACTION), ("d@x", os.urandom(3_000_000)))
    pieces = (body[i : i + 70_000] for i in range(0, len(body), 70_000))
    for form in (body, pieces):
        answer = running.request("POST", REPOSITORY, form, content_type)
        assert (answer.status, answer.is_mtom) == (200, True)
    content_type, body = mtom(envelope(RETRIEVE, RETRIEVE_ACTION))
    assert running.request("POST", REPOSITORY, body, content_type).parts()[1][1] == DOCUMENT
    assert running.request("POST", REGISTRY, b"", content_type).fault()
    assert running.request("POST", REGISTRY, b"x" * 3_000_000, "text/plain").status == 415
    assert running.get("/").status == 200
    assert running.get("/health").status == 200


def test_zeep_with_nothing_but_the_wsdl(running: Running) -> None:
    url = f"http://127.0.0.1:{running.port}"
    registry = zeep.Client(f"{url}{REGISTRY}?wsdl")  # type: ignore[no-untyped-call]
    operations = {op.name for port in registry.wsdl.services["DocumentRegistry_Service"].ports.values()
                  for op in port.binding.all().values()}  # fmt: skip
    assert operations >= {"DocumentRegistry_RegistryStoredQuery", "DocumentRegistry_RegisterDocumentSet-b"}
    answer = registry.service.DocumentRegistry_RegistryStoredQuery(
        ResponseOption={"returnType": "LeafClass", "returnComposedObjects": True},
        AdhocQuery={
            "id": "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d",
            "Slot": [{"name": "$XDSDocumentEntryPatientId", "ValueList": {"Value": ["'1^^^&1.2&ISO'"]}}],
        },
    )
    assert answer.status.endswith(":Success")
    repository = zeep.Client(f"{url}{REPOSITORY}?wsdl")  # type: ignore[no-untyped-call]
    request = {"RepositoryUniqueId": "1.2", "DocumentUniqueId": "1.2.3"}
    got = repository.service.DocumentRepository_RetrieveDocumentSet([request])
    assert got.DocumentResponse[0].Document == DOCUMENT


def test_stalled_clients_hold_up_nobody(running: Running) -> None:
    stalled = [running.connect() for _ in range(40)]
    for connection in stalled:
        connection.sendall(
            b"POST /xds/registry HTTP/1.1\r\nHost: stalled\r\nContent-Type: application/soap+xml\r\n"
            b"Content-Length: 5000\r\n\r\n<"
        )
    running.wait_for("a stalled request has come", len(stalled))
    begun = time.monotonic()
    assert running.request("POST", REGISTRY, envelope()).status == 200
    assert time.monotonic() - begun < 2
    for connection in stalled:
        connection.close()
    assert running.request("POST", REGISTRY, envelope()).status == 200


def test_client_that_goes_away_in_the_middle(running: Running) -> None:
    content_type, body = mtom(envelope(PROVIDE, PROVIDE_ACTION), ("d@x", b"x" * 200_000))
    connection = running.connect()
    connection.sendall(
        f"POST /xds/repository HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body[:100_000]
    )
    connection.close()
    assert running.request("POST", REGISTRY, envelope()).status == 200
    assert "Traceback" not in running.output


def test_stop_lets_requests_finish(running: Running) -> None:
    answers: list[Response] = []
    thread = threading.Thread(
        target=lambda: answers.append(running.request("POST", REGISTRY, envelope(message_id="slow")))
    )
    thread.start()
    running.wait_for("a slow query has come")
    status = running.stop()
    thread.join()
    assert [answer.status for answer in answers] == [200]
    assert status == 0
    assert "Traceback" not in running.output
    with pytest.raises(OSError, match="refused"):
        running.connect()


def test_start_says_where_it_listens(running: Running) -> None:
    assert f"http://127.0.0.1:{running.port}" in running.output


def test_an_address_in_use_is_an_error_that_names_it(running: Running) -> None:
    """Also that of a server of the same kind, which the system would let it share."""
    settings = running.settings.model_dump_json()
    done = subprocess.run(
        [sys.executable, "-c", RUN, settings], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("OSError: ")
    assert "Address already in use" in last
    assert "127.0.0.1" in last
    assert str(running.port) in last


def test_unix_socket_and_workers(start: Start, tmp_path: Path) -> None:
    running = start(uds=str(tmp_path / "xds.sock"), workers=2)
    while running.output.count("worker is ready") < 2:
        time.sleep(0.05)
    assert running.request("POST", REGISTRY, envelope()).status == 200
    assert running.stop() == 0
    assert not (tmp_path / "xds.sock").exists()


def test_cheroot_on_a_unix_socket(start: Start, tmp_path: Path) -> None:
    running = start(uds=str(tmp_path / "xds.sock"), engine="cheroot")
    assert running.request("POST", REGISTRY, envelope()).status == 200
    assert running.stop() == 0


def test_requests_are_logged_as_json_without_contents(start: Start, tmp_path: Path) -> None:
    os.environ["MSIM_LOG__FORMAT"] = "json"
    try:
        running = start()
    finally:
        del os.environ["MSIM_LOG__FORMAT"]
    running.request("POST", REGISTRY, envelope())
    running.stop()
    lines = [json.loads(line) for line in running.output.splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line["event"] == "request"]
    assert {"transaction", "status", "codes", "ms", "level", "timestamp", "event"} == set(line)


def test_settings_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(server={"port": 81}, repository={"unique_id": "1.2.3"})
    monkeypatch.setenv(SETTINGS_VARIABLE, settings.model_dump_json())
    assert served_settings() == settings


def test_greeting() -> None:
    text = "\n".join(greeting(Settings()))
    for expected in (
        "http://127.0.0.1:8080",
        "patients.policy  open",
        "repository.unique_id",
        "msim-xds submit",
    ):
        assert expected in text
    own = "\n".join(greeting(Settings(repository={"unique_id": "1.2.3"}, patients={"policy": "known"})))
    assert "WARNING" not in own
    assert "patients.policy  known" in own
    assert "audit trail      off" in text
    assert "audit trail" not in "\n".join(greeting(Settings(audit={"enabled": True})))
    assert "server.public_url" in "\n".join(greeting(Settings(server={"host": "0.0.0.0"})))


# --- TLS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reload_s", "number"), [(600, signal.SIGHUP), (0.2, None)])
def test_tls_is_renewed_by_signal_and_by_change(
    start: Start, tmp_path: Path, reload_s: float, number: signal.Signals | None
) -> None:
    folder = tmp_path / "tls"
    folder.mkdir()
    site = Site(folder)
    running = start(tls=site.settings(crl=[folder / "crl.pem"], reload_s=reload_s), engine="cheroot")
    for name in ("hospital", "stolen"):
        assert get(running.port, site.client(name), "/health/live")[0] == 200
    site.revoke("stolen")
    if number is not None:
        running.process.send_signal(number)
    deadline = time.monotonic() + 20
    while "TLS files read" not in running.output:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REVOKED"):
        get(running.port, site.client("stolen"), "/health/live")
    assert get(running.port, site.client("hospital"), "/health/live")[0] == 200
    assert running.stop() == 0


def test_a_refused_certificate_is_in_the_audit_trail(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    folder.mkdir()
    site = Site(folder)
    site.revoke("stolen")
    running = start(tls=site.settings(crl=[folder / "crl.pem"]), audited=True, engine="cheroot")
    for _ in range(3):
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REVOKED"):
            get(running.port, site.client("stolen"), "/health/live")
    assert running.stop() == 0
    with contextlib.closing(Database(running.settings.database_url, DatabaseSettings())) as database:
        alerts = [each.description for each in trail(database) if each.short[1] == "110126"]
    assert alerts == ["certificate revoked", "certificate revoked (2 handshakes)"]


def test_granian_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    with pytest.raises(UnusableTls, match=r"server\.engine"):
        serve(Settings(data=tmp_path, tls=Site(tmp_path).settings()))
