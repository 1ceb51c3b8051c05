"""signatures pending and signatures validate, on both databases."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from msim_xds.cli.main import app
from tests.support import metadata
from tests.support.signing import sign
from tests.test_repository.stores import blob_path
from tests.test_repository.test_signing import Site


@pytest.fixture
def command(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("MSIM_DATABASE__URL", database_url)
    return ["--data", str(tmp_path / "data")]


def waiting(folder: Path, url: str) -> Site:
    """A site with two documents that wait."""
    site = Site(folder, url)
    for _ in range(2):
        content = sign()
        body = metadata.single_document(unique_id=metadata.new_oid(), content=content)
        site.provide(body, {"Document01": content})
    return site


def test_what_waits_and_its_validation(tmp_path: Path, database_url: str, command: list[str]) -> None:
    site = waiting(tmp_path, database_url)
    run = CliRunner().invoke
    shown = run(app, ["signatures", "pending", *command])
    assert shown.stdout.startswith("2 waiting, the oldest since 2026-")
    assert json.loads(run(app, ["signatures", "pending", *command, "--json"]).stdout)["documents"] == 2
    done = run(app, ["signatures", "validate", *command])
    assert "2 validated" in done.output
    assert done.exit_code == 0
    assert run(app, ["signatures", "pending", *command]).stdout == "0 waiting\n"
    site.node.close()
    again = waiting(tmp_path, database_url)
    for blob in again.node.store.blobs():
        blob_path(tmp_path / "data" / "documents", blob.sha256).write_bytes(b"damage")
    again.node.close()
    told = json.loads(run(app, ["signatures", "validate", *command, "--json"]).stdout)
    assert told == {"validated": 0, "pending": 2}
    assert "0 validated, 2 to be tried again later" in run(app, ["signatures", "validate", *command]).output


def test_a_registry_elsewhere(command: list[str]) -> None:
    elsewhere = {"MSIM_REGISTRY__URL": "http://127.0.0.1:9/"}
    refused = CliRunner().invoke(app, ["signatures", "validate", *command], env=elsewhere)
    assert refused.exit_code == 2
    assert "registry.url" in refused.output


def test_following_until_it_is_stopped(tmp_path: Path, database_url: str, command: list[str]) -> None:
    site = waiting(tmp_path, database_url)
    line = [sys.executable, "-m", "msim_xds", "signatures", "validate", "--follow", *command]
    with subprocess.Popen(line, env=dict(os.environ)) as process:
        deadline = time.monotonic() + 120
        while site.node.late_validation.backlog().documents and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert site.node.late_validation.backlog().documents == 0
    assert site.node.late_validation.finish(threading.Event()) == 0
    site.node.close()
