"""msim-xds partners: what is configured, and whether it can be reached."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from msim_xds.cli.main import app
from msim_xds.cli.partners import _clock
from msim_xds.federation.probe import Probe
from tests.support.server import ServerProcess
from tests.support.tls import Site
from tests.test_gateway.world import PESEL, neighbour, partner_toml

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
    assert "plain HTTP" in text
    assert "agrees with ours" in text


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A partner with TLS that lets in one of three who would ask it."""
    folder = tmp_path_factory.mktemp("secure")
    site = Site(folder)
    environment = {
        "MSIM_REGISTRY__HOME_COMMUNITY_ID": THERE,
        "MSIM_SERVER__ENGINE": "cheroot",
        "MSIM_TLS__CERTIFICATE": str(folder / "server.pem"),
        "MSIM_TLS__CLIENT_CERTIFICATES": "required",
        "MSIM_TLS__CLIENT_CA": json.dumps([str(folder / "root.pem")]),
    }
    shown = {
        "known": f'certificate = "{folder}/hospital.pem"\nkey = "{folder}/hospital.pem"',
        "nobody": "",
    }
    context = site.client("hospital")
    server = ServerProcess(folder, f"sqlite:///{folder / 'msim.db'}", environment=environment, tls=context)
    with server:
        tables = ""
        for number, (name, certificate) in enumerate(shown.items(), 2):
            tables += (
                f'[[community]]\nname = "{name}"\nhomes = ["urn:oid:1.2.616.{number}"]\n'
                f'query_url = "{server.url}/xca/responding-gateway"\npatients.shared = ["{PESEL}"]\n'
                f'[community.tls]\nauthorities = "{folder}/root.pem"\n{certificate}\n'
            )
        (folder / "partners.toml").write_text(tables)
        file = folder / "msim.toml"
        file.write_text(
            '[registry]\nhome_community_id = "urn:oid:1.2.616.1"\n'
            f'[gateway]\npartners = "{folder}/partners.toml"\n'
        )
        yield file


def test_test_tells_of_tls(secure: Path) -> None:
    code, text = run("test", "known", "--config", secure)
    assert code == 0
    row = " ".join(text.split())
    assert re.search(
        r"Success in [\d.]+ ms TLSv1\.3 until \d{4}-\d\d-\d\d, 6 days; is to be renewed agrees with ours", row
    )
    (seen,) = json.loads(run("test", "known", "--config", secure, "--json")[1])
    assert seen["tls"] == "TLSv1.3"
    until = datetime.fromisoformat(seen["certificate_until"])
    assert timedelta(days=6) < until - datetime.now(UTC) < timedelta(days=7)


def test_test_tells_who_is_not_let_in(secure: Path) -> None:
    for _ in range(20):
        code, text = run("test", "nobody", "--config", secure, "--json")
        (seen,) = json.loads(text)
        assert (code, seen["status"], seen["tls"], seen["certificate_until"]) == (2, "", "", None)
        if "accept" in seen["problem"]:  # in TLS 1.3 the hang-up may overtake the alert
            break
    assert "it does not accept our TLS certificate" in seen["problem"]


@pytest.mark.parametrize(
    ("ahead_s", "words"),
    [
        (0.4, "agrees with ours"),
        (90.0, "90 s ahead of ours"),
        (-3600.0, "3600 s behind ours"),
        (None, "not told"),
    ],
)
def test_clocks_in_words(ahead_s: float | None, words: str) -> None:
    assert _clock(Probe("Success", skew_s=ahead_s)) == words


def test_no_partners(tmp_path: Path) -> None:
    file = tmp_path / "msim.toml"
    file.write_text("")
    assert run("list", "--config", file) == (0, "")
