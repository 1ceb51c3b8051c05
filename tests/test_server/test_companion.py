"""Processes beside the server: ready or told why not, replaced when they die, gone with their parent."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from msim_xds.server import companion
from msim_xds.server.companion import Companion, listen
from msim_xds.settings import Settings

TARGETS = "tests.test_server.companion_target"
NEVER = threading.Event()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with listen("127.0.0.1", 0) as opened:
        yield opened


def pid_at(address: tuple[str, int]) -> int:
    with socket.create_connection(address, 20) as connection:
        return int(connection.recv(100) or b"0")


def is_gone(pid: int) -> bool:
    """Whether the process ends soon."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        with contextlib.suppress(OSError):
            if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        time.sleep(0.05)
    return False


def test_it_serves_and_ends_with_the_block(listening: socket.socket, tmp_path: Path) -> None:
    with Companion("test", f"{TARGETS}:answer_with_pid", Settings(data=tmp_path), NEVER.set, listening):
        pid = pid_at(listening.getsockname())
        assert pid not in (0, os.getpid())
    assert is_gone(pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_it_is_replaced_and_no_connection_is_lost(
    listening: socket.socket, tmp_path: Path, number: signal.Signals
) -> None:
    with Companion("test", f"{TARGETS}:answer_with_pid", Settings(data=tmp_path), NEVER.set, listening):
        first = pid_at(listening.getsockname())
        os.kill(first, number)
        assert is_gone(first)
        second = pid_at(listening.getsockname())  # waits in the backlog meanwhile
        assert second not in (0, first)
    assert is_gone(second)


def test_one_that_somebody_has_stopped_stays_stopped(
    listening: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(companion, "_PAUSE_S", 0.01)
    with Companion("test", f"{TARGETS}:answer_with_pid", Settings(data=tmp_path), NEVER.set, listening):
        first = pid_at(listening.getsockname())
        os.kill(first, signal.SIGTERM)
        assert is_gone(first)
        with socket.create_connection(listening.getsockname(), 1) as connection:
            connection.settimeout(1)
            with pytest.raises(TimeoutError):
                connection.recv(1)


def test_it_is_tried_again_until_it_starts(
    listening: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(companion, "_PAUSE_S", 0.05)
    with Companion("test", f"{TARGETS}:fail_the_second_time", Settings(data=tmp_path), NEVER.set, listening):
        first = pid_at(listening.getsockname())
        os.kill(first, signal.SIGKILL)
        assert pid_at(listening.getsockname()) not in (0, first)
        assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("target", "words"), [("fail", "nothing works below"), ("vanish", "ended at its start")]
)
def test_one_that_does_not_start(listening: socket.socket, tmp_path: Path, target: str, words: str) -> None:
    failed = threading.Event()
    with (
        capture_logs() as logs,
        pytest.raises(OSError, match=f"patient feed: {words}"),
        Companion("patient feed", f"{TARGETS}:{target}", Settings(data=tmp_path), failed.set, listening),
    ):
        assert failed.wait(20)
    (line,) = logs
    assert (line["event"], line["process"]) == ("not started", "patient feed")


def test_one_that_takes_too_long(
    listening: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(companion, "_START_S", 0.01)
    failed = threading.Event()
    with (
        pytest.raises(OSError, match="not ready after"),
        Companion("x", f"{TARGETS}:answer_with_pid", Settings(data=tmp_path), failed.set, listening),
    ):
        assert failed.wait(20)


@pytest.mark.parametrize("after_s", [0.0, 0.5, 2.0])
def test_the_block_may_end_before_it_is_ready(
    listening: socket.socket, tmp_path: Path, after_s: float
) -> None:
    failed = threading.Event()
    start = time.monotonic()
    with Companion("x", f"{TARGETS}:never_ready", Settings(data=tmp_path), failed.set, listening) as one:
        time.sleep(after_s)
        pid = one._process.pid
        assert pid is not None
    assert time.monotonic() - start < 20
    assert is_gone(pid)
    assert not failed.is_set()


def test_an_address_in_use(listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {port}"):
        listen("127.0.0.1", port)


def test_ipv6() -> None:
    try:
        with listen("::1", 0) as opened:
            assert opened.family is socket.AF_INET6
    except OSError as error:
        assert "cannot listen on ::1" in str(error)  # noqa: PT017  # a machine without IPv6


def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import time; from pathlib import Path; from msim_xds.settings import Settings;"
        "from msim_xds.server.companion import Companion, listen\n"
        f"settings = Settings(data=Path({str(tmp_path)!r}))\n"
        "with listen('127.0.0.1', 0) as opened:\n"
        f"    with Companion('x', '{TARGETS}:answer_with_pid', settings, print, opened):\n"
        "        print(opened.getsockname()[1], flush=True)\n"
        "        time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        pid = pid_at(("127.0.0.1", port))
        parent.kill()
    assert is_gone(pid)
