"""demo: it runs, tells the story, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from msim_xds.cli.demonstration import free_port
from msim_xds.demo import documents

COMMAND = [sys.executable, "-m", "msim_xds", "demo"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Temporary files below the test's directory; settings of the environment do not matter."""
    return {**os.environ, "TMPDIR": str(tmp_path), "MSIM_SERVER__PORT": "nonsense"}


def test_the_whole_story(environment: dict[str, str], tmp_path: Path) -> None:
    result = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for document in documents():
        assert document.name in result.stdout
    assert "replaces the version before" in result.stdout
    assert "4 documents" in result.stdout + result.stderr
    sums = re.findall(r"\b[0-9a-f]{40}\b", result.stdout)
    assert len(sums) == 2
    assert sums[0] == sums[1]
    assert "Equal." in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_it_stays_when_asked(environment: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [*COMMAND, "--keep", "--port", str(port)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert any("Ctrl-C ends it" in line for line in process.stdout)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
        assert answer.status == 200
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=30)[0]
    assert "has ended" in rest
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_termination_ends_the_server_too(environment: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [*COMMAND, "--keep", "--port", str(port)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert any("Ctrl-C ends it" in line for line in process.stdout)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert list(tmp_path.iterdir()) == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_port_in_use(environment: dict[str, str], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = subprocess.run(
            [*COMMAND, "--port", port],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
    assert result.returncode == 2
    assert "does not start" in result.stderr
    assert list(tmp_path.iterdir()) == []
