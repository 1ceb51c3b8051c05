"""`msim-xds serve` as people start it, and the plainest HTTP client for it."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from msim_xds.settings import DatabaseSettings, Settings
from tests.test_repository.messages import include, provide
from tests.test_server.soap import PROVIDE_ACTION, SIMPLE, Response, envelope, mtom

_START_S = 60


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processes_of(group: int) -> list[int]:
    """Ids of the processes of a group that have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getpgid(int(folder.name)) == group and "\nState:\tZ" not in (folder / "status").read_text():
                found.append(int(folder.name))
    return found


class ServerProcess:
    """A server with its data directory; it can be killed and started again. All its processes are one group.

    ``environment`` are further settings, such as MSIM_CODES__POLICY. Signatures are ignored unless these say
    otherwise, which saves a process beside the server. ``tls`` is what to speak to it with, where it has TLS.
    """

    def __init__(
        self,
        data: Path,
        database_url: str,
        workers: int = 1,
        environment: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.port = free_port()
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"
        self._tls = tls
        self.settings = Settings(data=data, database=DatabaseSettings(url=database_url))
        self._log = data / "server.log"
        self._command = [sys.executable, "-m", "msim_xds", "serve", "--port", str(self.port)]
        self._command += ["--data", str(data), "--workers", str(workers)]
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("MSIM_")
        }
        self._environment |= {
            "MSIM_DATABASE__URL": database_url,
            "MSIM_SIGNATURES__POLICY": "ignore",
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return self._log.read_text()

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.request("GET", "/health").status == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(self.log)

    def kill(self) -> None:
        """kill -9 of the whole process group."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """SIGTERM, as a service manager stops it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_START_S)
            self._process = None

    def processes(self) -> list[int]:
        """Ids of all its processes."""
        return [] if self._process is None else processes_of(self._process.pid)

    def connect(self) -> socket.socket:
        """A connection of one's own."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def request(
        self, method: str, path: str, body: bytes | None = None, content_type: str = SIMPLE
    ) -> Response:
        """One request on a new connection. Raises OSError or HTTPException when there is no answer."""
        with contextlib.closing(self._connection()) as connection:
            connection.request(method, path, body, {} if body is None else {"Content-Type": content_type})
            answer = connection.getresponse()
            data = answer.read()
        return Response(answer.status, {k.lower(): v for k, v in answer.getheaders()}, data)

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=self._tls)

    def ask(self, path: str, action: str, payload: bytes) -> Response:
        """One simple SOAP message."""
        return self.request("POST", path, envelope(payload.decode(), action))


def provide_message(submit_objects: bytes, documents: dict[str, bytes]) -> tuple[str, bytes]:
    """Content-Type and octets of an ITI-41 in MTOM; ``documents`` by the id of their DocumentEntry."""
    references = (include(name, f"{name}@x") for name in documents)
    root = envelope(provide(submit_objects, *references).decode(), PROVIDE_ACTION)
    return mtom(root, *((f"{name}@x", content) for name, content in documents.items()))
