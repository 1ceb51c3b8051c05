"""policy: rules looked at without a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from msim_xds.registry import emergencies
from msim_xds.registry.emergencies import Emergency
from tests.support.metadata import PATIENT, document_entry, new_oid, new_uuid, original, submission_set
from tests.support.registry import Registry
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
    assert result.stdout.endswith("document.confidentiality N\nPERMIT\n")
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


def test_the_policy_of_the_settings(run: Run, sample: Path, tmp_path: Path) -> None:
    config = tmp_path / "msim.toml"
    config.write_text(f'[access]\npolicy = "{sample}"\n', "utf-8")
    assert run("policy", "check", "--config", config).stdout.endswith("otherwise: deny\n")
    result = run("policy", "check", "--data", tmp_path)
    assert result.exit_code == 2
    assert "the settings have none (access.policy)" in " ".join(result.stderr.split())


class TestRegistered:
    """A document of hospital 1.2.616.2, asked for by a doctor of 1.2.616.1 who treats."""

    CALLER = ("--caller", "purpose=TREAT", "--caller", "organization=1.2.616.1", "--caller", "kind=hospital")

    @pytest.fixture
    def registry(self, tmp_path: Path) -> Iterator[Registry]:
        with Registry(f"sqlite:///{tmp_path / 'msim.db'}", data=tmp_path) as ready:
            yield ready

    def submit(self, registry: Registry, level: str = "N", unique_id: str = "", **more: Any) -> str:
        uuid = new_uuid()
        codes = {"confidentialityCode": (level, "2.16.840.1.113883.5.25", level)}
        entry = document_entry(uuid, unique_id=unique_id or new_oid(), codes=codes, **more)
        registry.submit(submission_set(), entry, original(uuid))
        return uuid

    def explained(self, run: Run, sample: Path, name: str, *more: str) -> dict[str, Any]:
        options = ("--data", sample.parent, "--document", name, "--json", *more)
        result = run("policy", "explain", sample, *self.CALLER, *options)
        assert result.exit_code == 0, result.stderr
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer

    def test_codes_and_consents_are_those_of_the_registry(
        self, run: Run, sample: Path, registry: Registry
    ) -> None:
        uuid = self.submit(registry)
        answer = self.explained(run, sample, uuid)
        (entry,) = answer["entries"]
        assert answer["permit"]
        assert entry["steps"][-1]["rule"].startswith("rule 5 'normal documents, for treatment'")
        assert "document.confidentiality N" in entry["steps"][-1]["reason"]
        assert (entry["entryUUID"], entry["patient"], entry["consents"]) == (uuid, PATIENT, [])
        said = ("--reason", "asked", "--data", sample.parent)
        run("consent", "set", PATIENT, "opt-out", *said)
        run("consent", "set", PATIENT, "opt-out", "--created-to", "1999", *said)
        run("consent", "set", PATIENT, "opt-in", *said)
        run("consent", "withdraw", run_number(run, sample, -1), *said)
        (entry,) = self.explained(run, sample, uuid)["entries"]
        assert not entry["permit"]
        assert entry["steps"][-1]["rule"].startswith("rule 4 'opted out'")
        assert [each["concerns"] for each in entry["consents"]] == [True, False]
        text = run("policy", "explain", sample, *self.CALLER, "--data", sample.parent, "--document", uuid)
        assert "opt-out: everything: about this document\n" in text.stdout
        assert "opt-out: created 0 to 19999999999999: not about this document\n" in text.stdout
        assert text.stdout.splitlines()[-2] == "DENY"
        assert text.stdout.splitlines()[-1].endswith("&ISO: 0, not reviewed 0")

    def test_all_entries_of_a_unique_id_count(self, run: Run, sample: Path, registry: Registry) -> None:
        unique_id = new_oid()
        first = self.submit(registry, unique_id=unique_id)
        second = self.submit(registry, "V", unique_id)
        answer = self.explained(run, sample, unique_id)
        assert [(each["entryUUID"], each["permit"]) for each in answer["entries"]] == [
            (first, True),
            (second, False),
        ]
        assert not answer["permit"]
        assert self.explained(run, sample, first)["permit"]
        options = ("--data", sample.parent, "--document", unique_id)
        text = run("policy", "explain", sample, *self.CALLER, *options)
        assert text.stdout.endswith("all 2 entries together: DENY\n")

    def test_emergencies_of_the_patient(self, run: Run, sample: Path, registry: Registry) -> None:
        uuid = self.submit(registry, "V")
        happened = Emergency("2026-09-14T12:00:00+00:00", "ITI-43", "", "u", "o", "s", "r", "BTG", "why", 2)
        with registry.database.write() as connection:
            emergencies.record(connection, happened, {PATIENT, "another^^^&1.2&ISO"})
        (found,) = self.explained(run, sample, uuid)["emergencies"][PATIENT]
        assert found["emergency"]["reason"] == "why"
        assert self.explained(run, sample, uuid, "--caller", "emergency=true")["permit"]

    @pytest.mark.parametrize(
        ("documents", "problem"),
        [
            (["1.2.3.4"], "1.2.3.4: no DocumentEntry here has this"),
            (["urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1"], "no DocumentEntry here has this"),
            (["1.2.3.4", NORMAL], "1.2.3.4: a registered document is explained alone"),
        ],
    )
    def test_what_is_not_there(
        self, run: Run, sample: Path, registry: Registry, documents: list[str], problem: str
    ) -> None:
        asked = [text for each in documents for text in ("--document", each)]
        result = run("policy", "explain", sample, *asked, "--data", registry.settings.data)
        assert result.exit_code != 0
        assert problem in " ".join(result.stderr.split())

    def test_a_registry_elsewhere(self, run: Run, sample: Path, registry: Registry) -> None:
        config = registry.settings.data / "msim.toml"
        config.write_text('[registry]\nurl = "https://registry.example.org/"\n', "utf-8")
        options = ("--data", registry.settings.data, "--config", config)
        result = run("policy", "explain", sample, "--document", "1.2.3", *options)
        assert result.exit_code != 0
        assert "the registry is at https://registry.example.org/, not here" in " ".join(result.stderr.split())


def run_number(run: Run, sample: Path, index: int) -> str:
    """Number of one of the consents."""
    listed = json.loads(run("consent", "list", "--data", sample.parent, "--json").stdout)
    return str(listed[index]["number"])
