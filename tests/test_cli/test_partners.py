"""msim-xds partners: what is configured, and whether it can be reached."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from msim_xds.cli.main import app
from tests.test_gateway.world import neighbour, partner_toml

THERE, GONE = "urn:oid:1.2.616.2", "urn:oid:1.2.616.3"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("partners")
    with neighbour(folder / "there", THERE) as (_, url):
        partners = folder / "partners.toml"
        gone = "http://127.0.0.1:9/xca"
        partners.write_text(
            partner_toml("there", THERE, url)
            + partner_toml("gone", GONE, gone, "valid_until = 2020-01-01\nconnect_timeout_s = 0.5")
        )
        file = folder / "msim.toml"
        file.write_text(
            f'[registry]\nhome_community_id = "urn:oid:1.2.616.1"\n[gateway]\npartners = "{partners}"\n'
        )
        yield file


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["partners", *map(str, arguments)])
    return result.exit_code, result.stdout


def test_list(config: Path) -> None:
    code, text = run("list", "--config", config, "--json")
    assert code == 0
    assert [(each["name"], each["asked_today"]) for each in json.loads(text)] == [
        ("there", True), ("gone", False),
    ]  # fmt: skip
    assert "there" in run("list", "--config", config)[1]


def test_show(config: Path) -> None:
    code, text = run("show", "there", "--config", config)
    assert code == 0
    assert "limits.objects" in text
    assert json.loads(run("show", "there", "--config", config, "--json")[1])["homes"] == [THERE]
    assert run("show", "nobody", "--config", config)[0] == 2


def test_test(config: Path) -> None:
    code, text = run("test", "there", "--config", config, "--json")
    (seen,) = json.loads(text[text.index("[\n") :])  # the partner, in this process, has logged the request
    assert (code, seen["status"], seen["problem"]) == (0, "Success", "")
    assert seen["round_trip_ms"] > 0
    assert abs(seen["skew_s"]) < 5
    code, text = run("test", "--config", config)
    assert code == 2
    assert "refused" in text


def test_no_partners(tmp_path: Path) -> None:
    file = tmp_path / "msim.toml"
    file.write_text("")
    assert run("list", "--config", file) == (0, "")
