"""`msim-xds serve` as a group of processes: how many there are, and that none outlives the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.server import ServerProcess, free_port, processes_of

#: Well below the 30 s after which what does not end is killed.
SOON_S = 20
COMPANIONS = {"MSIM_SIGNATURES__POLICY": "record", "MSIM_AUDIT__ENABLED": "true"}


class Serve:
    """The command in a session of its own."""

    def __init__(self, data: Path, environment: dict[str, str]) -> None:
        self.log = data / "serve.log"
        own = {name: value for name, value in os.environ.items() if not name.startswith("MSIM_")}
        command = [sys.executable, "-m", "msim_xds", "serve", "--port", str(free_port()), "--data", str(data)]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command, env=own | environment, stdout=output, stderr=output, start_new_session=True
            )

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


Start = Callable[..., Serve]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Serve] = []

    def start_(**environment: str) -> Serve:
        started.append(Serve(tmp_path, environment))
        return started[-1]

    yield start_
    for each in started:
        each.kill()


def commands(pids: list[int]) -> list[str]:
    """Command lines of processes."""
    return [Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for pid in pids]


def all_end(group: int) -> bool:
    """Whether no process of a group is left soon."""
    deadline = time.monotonic() + SOON_S
    while processes_of(group) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not processes_of(group)


def test_one_companion_of_each_kind_however_many_workers(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "", workers=4, environment=COMPANIONS) as server:
        group = os.getpgid(server.processes()[0])
        found = commands(server.processes())
        assert sum("spawn_main" in each for each in found) == 2
        assert sum("msim_xds serve" in each for each in found) == 5
        server.stop()
        assert all_end(group)
        assert "Traceback" not in server.log


@pytest.mark.parametrize("engine", ["granian", "cheroot"])
def test_none_outlives_the_first_one_that_is_killed(tmp_path: Path, engine: str) -> None:
    environment = {**COMPANIONS, "MSIM_SERVER__ENGINE": engine}
    with ServerProcess(tmp_path, "", environment=environment) as server:
        group = os.getpgid(server.processes()[0])
        assert len(server.processes()) > 2
        os.kill(group, signal.SIGKILL)  # a session's first process gives the group its id
        assert all_end(group)


@pytest.mark.parametrize("engine", ["granian", "cheroot"])
def test_a_companion_that_cannot_start_ends_the_server(start: Start, tmp_path: Path, engine: str) -> None:
    missing = tmp_path / "not-there.pem"
    lists = json.dumps([str(tmp_path / "list.xml")])
    serve = start(
        MSIM_SERVER__ENGINE=engine,
        MSIM_SIGNATURES__TRUSTED_LISTS=lists,
        MSIM_SIGNATURES__LIST_SIGNERS=str(missing),
    )
    assert serve.process.wait(SOON_S) == 2
    said = serve.log.read_text()
    last = said.splitlines()[-1]
    assert last.startswith("signature validation: ")
    assert str(missing) in last
    assert "Traceback" not in said
    assert all_end(serve.process.pid)


@pytest.mark.parametrize("engine", ["granian", "cheroot"])
@pytest.mark.parametrize("after_s", [0.8, 2.0, 3.5])
def test_it_can_be_stopped_while_it_starts(start: Start, engine: str, after_s: float) -> None:
    """Whatever has begun by then: its imports, the companions, the workers."""
    serve = start(MSIM_SERVER__ENGINE=engine, **COMPANIONS)
    time.sleep(after_s)
    serve.process.terminate()
    assert serve.process.wait(SOON_S) in (0, -signal.SIGTERM)  # the latter before our first line runs
    assert all_end(serve.process.pid)
    assert "Traceback" not in serve.log.read_text()
