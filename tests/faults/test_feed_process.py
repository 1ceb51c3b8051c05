"""The patient feed beside the server as people start it: ports, signals, a feed that is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.metadata import PATIENT
from tests.support.server import free_port
from tests.test_mllp.conftest import Line
from tests.test_mllp.messages import announcement, segments

_WAIT_S = 60


class Serve:
    """``msim-xds serve`` with a feed, and no other process beside it."""

    def __init__(self, data: Path, engine: str, mllp_port: int | None = None) -> None:
        self.port, self.mllp_port = free_port(), mllp_port or free_port()
        self.output = data / "out"
        command = [sys.executable, "-m", "msim_xds", "serve", "--port", str(self.port), "--data", str(data)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MSIM_")}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--mllp-port", str(self.mllp_port)],
                env=environment | {"MSIM_SERVER__ENGINE": engine, "MSIM_SIGNATURES__POLICY": "ignore"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def line(self) -> Line:
        """A connection to the feed, when it listens."""
        until = time.monotonic() + _WAIT_S
        while time.monotonic() < until and self.process.poll() is None:
            with suppress(OSError):
                return Line(socket.create_connection(("127.0.0.1", self.mllp_port), 20))
            time.sleep(0.05)
        raise AssertionError(self.output.read_text())

    def feed_pids(self) -> list[int]:
        """Processes started by this one that serve the feed."""
        found = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                parent = status.read_text().rpartition(")")[2].split()[1]
                command = status.with_name("cmdline").read_bytes()
                if int(parent) == self.process.pid and b"spawn_main" in command:
                    found.append(int(status.parent.name))
        return found

    def healthy(self) -> bool:
        """Whether the HTTP server answers as well, and has named the feed."""
        until = time.monotonic() + _WAIT_S
        while time.monotonic() < until and self.process.poll() is None:
            with suppress(OSError), urlopen(f"http://127.0.0.1:{self.port}/health") as answer:
                return answer.status == 200 and "patient feed     mllp:" in self.output.read_text()
            time.sleep(0.05)
        return False


@pytest.fixture(params=["granian", "cheroot"])
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Serve]:
    started = Serve(tmp_path, request.param)
    yield started
    if started.process.poll() is None:
        started.process.kill()
        started.process.wait()


def test_sigterm_stops_both(serve: Serve) -> None:
    line = serve.line()
    assert segments(line.exchange(announcement(PATIENT)))["MSA"][1] == "AA"
    assert serve.healthy()
    serve.process.send_signal(signal.SIGTERM)
    assert serve.process.wait(_WAIT_S) == 0, serve.output.read_text()
    assert line.receive() == b""
    line.connection.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", serve.mllp_port), 5)
    assert "Traceback" not in serve.output.read_text()


def test_a_feed_that_is_killed_comes_back(serve: Serve) -> None:
    line = serve.line()
    assert segments(line.exchange(announcement(PATIENT)))["MSA"][1] == "AA"
    for pid in serve.feed_pids():
        os.kill(pid, signal.SIGKILL)
    assert line.receive() == b""
    line.connection.close()
    again = serve.line()
    assert segments(again.exchange(announcement(PATIENT)))["MSA"][1] == "AA"
    again.connection.close()
    assert "ended unexpectedly" in serve.output.read_text()


def test_a_port_in_use_is_told_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        serve = Serve(tmp_path, "granian", port)
        assert serve.process.wait(_WAIT_S) == 2
    output = serve.output.read_text()
    assert f"cannot listen on 127.0.0.1 port {port}" in output
    assert "Traceback" not in output


def test_tls_files_that_cannot_be_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSIM_MLLP__TLS_CERTIFICATE", str(tmp_path / "none.pem"))
    command = [sys.executable, "-m", "msim_xds", "serve", "--port", "0", "--mllp-port", str(free_port())]
    done = subprocess.run(
        [*command, "--data", str(tmp_path)], check=False, capture_output=True, text=True, timeout=_WAIT_S
    )
    assert done.returncode == 2
    assert "patient feed: " in done.stderr
    assert "none.pem" in done.stderr
