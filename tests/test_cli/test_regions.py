"""demo --region: four communities answer as one, one of them fails, and nothing is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from msim_xds.cli.failures import Failure
from msim_xds.cli.region_servers import OWN, P1, PLACES, SOUTH
from msim_xds.cli.regions import Told, _must_have
from msim_xds.federation.answers import QueryAnswer
from msim_xds.findings import Finding
from msim_xds.ihe.names import ResponseStatus
from tests.test_cli.conftest import Run

COMMAND = [sys.executable, "-m", "msim_xds", "demo", "--region"]
LINE = re.compile(r"^ *(west|east|south|P1) +(urn:oid:[0-9.]+) +(\D.*?) {2,}(\d+) +(\w+) +(\d+) *$", re.M)


class Row(NamedTuple):
    """A line of the table of communities."""

    name: str
    home: str
    known_by: str
    entries: str
    status: str
    ms: str


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Temporary files below the test's directory; settings of the environment do not matter."""
    return {**os.environ, "TMPDIR": str(tmp_path), "MSIM_SERVER__PORT": "nonsense"}


def using(directory: Path) -> list[str]:
    """Processes whose command line names something in a directory."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = each.read_bytes()
        except OSError:
            continue  # it has ended
        if str(directory).encode() in command:
            found.append(each.parent.name)
    return found


def summary(rows: Sequence[Row]) -> list[tuple[str, str, str, str]]:
    return [(row.name, row.home, row.entries, row.status) for row in rows]


def test_the_whole_story(environment: dict[str, str], tmp_path: Path) -> None:
    result = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    rows = [Row(*found) for found in LINE.findall(result.stdout)]
    well = [(place.name, place.home, "1", "Success") for place in PLACES]
    assert summary(rows[:4]) == well
    lost = (SOUTH.name, SOUTH.home, "0", "XDSUnavailableCommunity")
    assert summary(rows[4:]) == [lost if each[0] == SOUTH.name else each for each in well]
    assert [row.known_by for row in rows[:4]] == [place.found_by for place in PLACES]
    assert "Success: 4 documents in " in result.stdout
    assert "PartialSuccess: 3 documents in " in result.stdout
    assert f"XDSUnavailableCommunity: community south ({SOUTH.home})" in result.stdout
    sums = re.findall(r"\b[0-9a-f]{40}\b", result.stdout)
    assert len(sums) == 4
    assert (sums[0], sums[2]) == (sums[1], sums[3])
    assert "Equal." in result.stdout
    assert list(tmp_path.iterdir()) == []
    assert using(tmp_path) == []


def test_termination_ends_all_servers(environment: dict[str, str], tmp_path: Path) -> None:
    with subprocess.Popen(COMMAND, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("1. One patient's documents" in line for line in process.stdout)
        assert len(using(tmp_path)) >= 3  # each may have companions
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 143
    assert list(tmp_path.iterdir()) == []
    assert using(tmp_path) == []


@pytest.mark.parametrize("option", [["--keep"], ["--port", "8080"]])
def test_it_is_for_itself(run: Run, option: list[str]) -> None:
    result = run("demo", "--region", *option)
    assert result.exit_code == 2
    assert "neither --keep nor --port" in result.output


def told(entries: dict[str, Any], *findings: Finding) -> Told:
    return Told(QueryAnswer(ResponseStatus.SUCCESS, findings), entries, {}, 0.0)


def test_a_community_has_the_status_of_the_error_that_names_it() -> None:
    finding = Finding("XDSUnavailableCommunity", "it does not answer", place=f"community P1 ({P1.home})")
    assert told({}, finding).status(P1) == "XDSUnavailableCommunity"
    assert told({}, finding).status(OWN) == "Success"


@pytest.mark.parametrize("found", [{}, {OWN.home: ["1.2.4"]}, {OWN.home: ["1.2.3"], P1.home: ["1.2.3"]}])
def test_other_documents_than_expected_are_a_failure(found: dict[str, list[str]]) -> None:
    published: Any = {OWN: SimpleNamespace(entry=SimpleNamespace(unique_id="1.2.3"))}
    seen = {home: [SimpleNamespace(unique_id=each) for each in ids] for home, ids in found.items()}
    with pytest.raises(Failure, match="the demonstration has failed") as failure:
        _must_have(told(seen), published, [OWN])
    assert failure.value.exit_code == 1
    _must_have(told({OWN.home: [SimpleNamespace(unique_id="1.2.3")]}), published, [OWN])
