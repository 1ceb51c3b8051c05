"""p1 check, register, outbox list, retry and drop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from msim_xds.testing.p1 import Double, start
from tests.test_cli.conftest import Run
from tests.test_federation.test_p1.world import World

EVENT = "urn:extpl:SlotName:MedicalEventId"


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Double]:
    with start(tmp_path_factory.mktemp("p1")) as running:
        yield running


@pytest.fixture
def config(double: Double, tmp_path: Path) -> Path:
    """A configuration file for the double, with its own data directory."""
    file = tmp_path / "msim.toml"
    section = double.section()
    (source, provider), *_ = section.pop("providers").items()
    lines = ["[p1]", *(f"{key} = {json.dumps(value)}" for key, value in section.items())]
    lines += [
        f'[p1.providers."{source}"]',
        *(f"{key} = {json.dumps(value)}" for key, value in provider.items()),
    ]
    file.write_text("\n".join(lines), "utf-8")
    return file


def test_without_p1_nothing_is_tried(run: Run, tmp_path: Path) -> None:
    for command in (["check"], ["register", "https://x"]):
        result = run("p1", *command, "--data", tmp_path)
        assert (result.exit_code, "p1.enabled is false" in result.stderr) == (2, True)


def test_check_tries_each_service(run: Run, double: Double, config: Path) -> None:
    result = run("p1", "check", "--config", config, "--json")
    rows = {row["service"].split()[0]: row for row in json.loads(result.stdout)}
    assert result.exit_code == 1
    assert rows["token"]["works"]
    assert "unknown repository" in rows["address"]["detail"]
    registered = run("p1", "register", "http://127.0.0.1:9/xds", "--config", config)
    assert (registered.exit_code, "OK zarejestrowano" in registered.stderr) == (0, True)
    result = run("p1", "check", "--config", config)
    assert (result.exit_code, "FAILS" in result.stdout) == (0, False)


def test_register_asks_for_an_id_where_wanted(run: Run, double: Double, config: Path) -> None:
    result = run("p1", "register", "http://127.0.0.1:9/xds", "--new", "--config", config)
    assert result.exit_code == 0
    assert "set repository.unique_id to it" in result.stderr
    assert "http://127.0.0.1:9/xds" in double.addresses.values()


def test_the_outbox_is_shown_retried_and_dropped(run: Run, double: Double, tmp_path: Path) -> None:
    data = tmp_path / "var"
    with World(double, data, f"sqlite:///{data / 'msim.db'}") as world:
        double.unknown_events.add("e1")
        world.register(slots={EVENT: "e1"})
        world.publish()
    result = run("p1", "outbox", "list", "--data", data)
    assert "REG.WER.6860" in result.stdout
    (row,) = json.loads(run("p1", "outbox", "list", "--data", data, "--json").stdout)
    assert (row["state"], row["attempts"], "payload" in row) == ("given up", 1, False)
    assert run("p1", "outbox", "retry", row["id"], "--data", data).exit_code == 0
    again = run("p1", "outbox", "retry", row["id"], "--data", data)
    assert (again.exit_code, "was not given up" in again.stderr) == (1, True)
    assert run("p1", "outbox", "drop", row["id"], "--data", data).exit_code == 0
    assert "no publication waits" in run("p1", "outbox", "list", "--data", data).stderr


def test_an_outbox_needs_a_data_directory(run: Run, tmp_path: Path) -> None:
    result = run("p1", "outbox", "list", "--data", tmp_path / "none")
    assert (result.exit_code, "no such directory" in result.stderr) == (2, True)
