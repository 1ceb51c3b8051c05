"""deliveries list, retry and drop."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from msim_xds.database.engine import Database
from msim_xds.delivery.queue import DeliveryQueue
from msim_xds.settings import Settings
from tests.test_cli.conftest import Run
from tests.test_delivery.conftest import ANSWER


class Kept:
    """A data directory with one answer that waits and two that were given up."""

    def __init__(self, data: Path) -> None:
        settings = Settings(data=data)
        self.data = data
        database = Database(settings.database_url, settings.database)
        database.migrate()
        self._queue = DeliveryQueue(database, settings.delivery, lambda: datetime.now(UTC))
        self.given_up = [self._queue.add(ANSWER), self._queue.add(ANSWER)]
        for _ in self.given_up:
            claimed = self._queue.claim(())
            assert claimed is not None
            self._queue.give_up(claimed, "HTTP 500")
        self.waiting = self._queue.add(ANSWER)

    def states(self) -> dict[int, str]:
        return {row.id: row.state.label for row in self._queue.rows()}


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    (tmp_path / "var").mkdir()
    return Kept(tmp_path / "var")


def test_list(run: Run, kept: Kept) -> None:
    result = run("deliveries", "list", "--data", kept.data)
    assert result.exit_code == 0
    for shown in ("ITI-42", "given up", "waiting", ANSWER.address, "HTTP 500"):
        assert shown in result.stdout
    rows = json.loads(run("deliveries", "list", "--data", kept.data, "--json").stdout)
    assert [(row["id"], row["state"], row["attempts"]) for row in rows] == [
        (kept.given_up[0], "given up", 1),
        (kept.given_up[1], "given up", 1),
        (kept.waiting, "waiting", 0),
    ]
    assert "payload" not in rows[0]


def test_retry(run: Run, kept: Kept) -> None:
    first, second = kept.given_up
    result = run("deliveries", "retry", first, "--data", kept.data)
    assert (result.exit_code, "sent again: 1" in result.stderr) == (0, True)
    assert kept.states() == {first: "waiting", second: "given up", kept.waiting: "waiting"}
    assert run("deliveries", "retry", "--all", "--data", kept.data).exit_code == 0
    assert set(kept.states().values()) == {"waiting"}
    result = run("deliveries", "retry", first, "--data", kept.data)
    assert (result.exit_code, f"{first} was not given up" in result.stderr) == (1, True)


def test_drop(run: Run, kept: Kept) -> None:
    assert run("deliveries", "drop", kept.waiting, "--data", kept.data).exit_code == 0
    assert list(kept.states()) == kept.given_up
    assert run("deliveries", "drop", "--all", "--data", kept.data).exit_code == 0
    assert kept.states() == {}
    result = run("deliveries", "drop", kept.waiting, "--data", kept.data)
    assert (result.exit_code, f"{kept.waiting} is not there" in result.stderr) == (1, True)
    assert "no answer waits" in run("deliveries", "list", "--data", kept.data).stderr


@pytest.mark.parametrize("command", ["retry", "drop"])
@pytest.mark.parametrize("chosen", [(), ("1", "--all")])
def test_what_is_meant_must_be_said(run: Run, kept: Kept, command: str, chosen: tuple[str, ...]) -> None:
    result = run("deliveries", command, *chosen, "--data", kept.data)
    assert (result.exit_code, "name the ids, or give --all" in result.stderr) == (2, True)
    assert len(kept.states()) == 3


def test_no_such_directory(run: Run, tmp_path: Path) -> None:
    result = run("deliveries", "list", "--data", tmp_path / "none")
    assert (result.exit_code, "no such directory" in result.stderr) == (2, True)
    assert not (tmp_path / "none").exists()
