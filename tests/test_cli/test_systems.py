"""systems list, check."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.tls import Site
from tests.test_cli.conftest import Run

TABLE = """\
[systems.szpital]
kind = "hospital"
certificates = [{{ sha256 = "{}" }}, {{ subject = "CN=his", issuer = "CN=Root" }}]
transactions = ["ITI-41"]
limits = {{ requests_per_s = 5, burst = 9, concurrent = 2 }}
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    (tmp_path / "systems.toml").write_text(TABLE.format(site.identities["hospital"].fingerprint))
    (tmp_path / "msim.toml").write_text(f'[access]\nsystems = "{tmp_path}/systems.toml"\nconcurrent = 3\n')
    return site


def test_list(run: Run, site: Site) -> None:
    done = run("systems", "list", "--config", site.folder / "msim.toml")
    assert done.exit_code == 0, done.stderr
    for expected in ("szpital", "hospital", "ITI-41", "any", "5/s, 9 at once, 2 at a time", "subject CN=his"):
        assert expected in done.stdout


def test_list_as_json(run: Run, site: Site) -> None:
    (row,) = json.loads(run("systems", "list", "--file", site.folder / "systems.toml", "--json").stdout)
    assert (row["name"], row["transactions"], row["institutions"]) == ("szpital", ["ITI-41"], None)
    assert row["limits"] == {"requests_per_s": 5, "burst": 9, "concurrent": 2}
    assert row["certificates"][1] == {"kind": "subject", "value": "CN=his", "issuer": "CN=Root"}


def test_check_says_whose_a_certificate_is(run: Run, site: Site) -> None:
    config, folder = site.folder / "msim.toml", site.folder
    done = run("systems", "check", folder / "hospital.pem", "--config", config)
    assert (done.exit_code, "hospital.pem: szpital" in done.stderr) == (0, True)
    done = run("systems", "check", folder / "hospital.pem", folder / "stolen.pem", "--config", config)
    assert (done.exit_code, "stolen.pem: NOT REGISTERED" in done.stderr) == (1, True)
    done = run("systems", "check", folder / "stolen.pem", "--config", config, "--json")
    assert json.loads(done.stdout) == {"systems": 1, "certificates": {str(folder / "stolen.pem"): None}}


def test_what_cannot_be_checked(run: Run, site: Site, tmp_path: Path) -> None:
    config = site.folder / "msim.toml"
    done = run("systems", "check", tmp_path / "systems.toml", "--config", config)
    assert (done.exit_code, "neither PEM nor DER" in done.stderr) == (2, True)
    done = run("systems", "list")
    assert (done.exit_code, "there is no table" in done.stderr) == (2, True)
    (site.folder / "systems.toml").write_text("[systems.szpital]\n")
    done = run("systems", "check", "--config", config)
    assert (done.exit_code, "line 1: [systems.szpital] kind: Field required" in done.stderr) == (2, True)
