"""kill -9 of the server between P1's registration and its answer: P1 has each document once."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from msim_xds.testing.p1 import start
from tests.support.metadata import single_document
from tests.support.paths import REGISTRY
from tests.support.server import ServerProcess
from tests.test_federation.test_p1.world import World

ACTION = "urn:ihe:iti:2007:RegisterDocumentSet-b"
_PATIENCE_S = 90


def _until_empty(world: World) -> None:
    end = time.monotonic() + _PATIENCE_S
    while world.outbox.rows():
        assert time.monotonic() < end, world.outbox.rows()
        time.sleep(0.1)


@pytest.mark.parametrize("documents", [1, 3])
def test_each_publication_arrives_once(tmp_path: Path, database_url: str, documents: int) -> None:
    (tmp_path / "p1").mkdir()
    (tmp_path / "var").mkdir()
    reached, release = threading.Event(), threading.Event()
    with start(tmp_path / "p1") as double:
        section = double.section(lease_s=1.0, first_pause_s=0.1)
        world = World(double, tmp_path / "var", database_url)

        def hold(path: str) -> None:
            if path == world.settings.p1.iti42:
                reached.set()
                release.wait(_PATIENCE_S)

        double.before_answer = hold
        environment = {f"MSIM_P1__{key.upper()}": _text(value) for key, value in section.items()}
        with world, ServerProcess(tmp_path / "var", database_url, environment=environment) as server:
            for _ in range(documents):
                answer = server.ask(REGISTRY, ACTION, single_document(patient_id=world.patient))
                assert b"StatusType:Success" in answer.body
            assert reached.wait(_PATIENCE_S)
            server.kill()
            release.set()
            assert len(world.outbox.rows()) == documents
            server.start()
            _until_empty(world)
            assert len(world.at_p1()) == len(world.sets_at_p1()) == documents
            assert world.calls(world.settings.p1.iti42) == documents


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
