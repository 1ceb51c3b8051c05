"""policy: rules looked at without a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.test_cli.conftest import Run

NORMAL = "confidentiality=N^^2.16.840.1.113883.5.25"


@pytest.fixture
def sample(run: Run, tmp_path: Path) -> Path:
    """The shipped policy, as `policy sample` prints it."""
    path = tmp_path / "policy.toml"
    path.write_text(run("policy", "sample").stdout, "utf-8")
    return path


def test_check_lists_the_rules(run: Run, sample: Path) -> None:
    result = run("policy", "check", sample)
    assert result.exit_code == 0
    assert "permit if document.own true" in result.stdout
    assert result.stdout.endswith("otherwise: deny\n")


def test_check_says_what_is_wrong(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text('[[rule]]\nname = "a"\neffect = "allow"', "utf-8")
    result = run("policy", "check", path)
    assert result.exit_code == 2
    assert (
        "rule 1 (line 1): effect: Input should be 'permit' or 'deny'; seen: 'allow'"
        in result.stderr.replace("\n", " ")
    )


def test_explain(run: Run, sample: Path) -> None:
    caller = ["--caller", "purpose=TREAT", "--caller", "organization=urn:oid:1.2", "--caller", "role=r^^s"]
    about = [
        "--document",
        NORMAL,
        "--document",
        "institution=Szpital^^^^^^^^^1.3",
        "--document",
        "created=2020",
    ]
    result = run("policy", "explain", sample, *caller, *about)
    assert result.exit_code == 0
    assert result.stdout.endswith("decides\nPERMIT\n")
    denied = run("policy", "explain", sample, *caller, *about, "--document", "opted_out=true", "--json")
    answer = json.loads(denied.stdout)
    assert not answer["permit"]
    assert answer["steps"][-1]["rule"].startswith("rule 4 'opted out'")


@pytest.mark.parametrize(
    ("option", "value"), [("--caller", "colour=red"), ("--document", "x"), ("--document", "created=tomorrow")]
)
def test_what_cannot_be_asked(run: Run, sample: Path, option: str, value: str) -> None:
    result = run("policy", "explain", sample, option, value)
    assert result.exit_code == 2
    assert f"{option} {value}: expected" in result.stderr.replace("\n", " ")
