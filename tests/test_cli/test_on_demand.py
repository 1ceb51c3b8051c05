"""on-demand register: an entry that can be found and retrieved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conformance.node import Node
from tests.support.metadata import REPOSITORY
from tests.test_cli.conftest import Run
from tests.test_cli.documents import patient

HOSPITAL = "Szpital^^^^^&2.16.840.1.113883.3.4424.2.3.1&ISO^^^^000000999901"


def registered(run: Run, data: Path, *options: str, cx: str) -> dict[str, str]:
    result = run("on-demand", "register", "--data", data, "--patient", cx, "--json", *options)
    assert result.exit_code == 0, result.output
    answer: dict[str, str] = json.loads(result.stdout)
    return answer


def test_an_entry_that_is_retrieved(run: Run, tmp_path: Path) -> None:
    cx = patient()
    record = registered(run, tmp_path, "--title", "Spis <1>", "--institution", HOSPITAL, cx=cx)
    assert (record["patient"], record["repository_unique_id"]) == (cx, REPOSITORY)
    node = Node(tmp_path)
    assert node.statuses(record["entry_uuid"]) == ["Approved"]
    (found,) = node.retrieve(record["unique_id"]).documents.values()
    mime_type, octets = found
    assert mime_type == "text/xml"
    assert "<title>Spis &lt;1&gt;</title>" in octets.decode()
    assert "<name>Szpital</name>" in octets.decode()


def test_once_for_each_patient(run: Run, tmp_path: Path) -> None:
    cx = patient()
    first = registered(run, tmp_path, cx=cx)
    result = run("on-demand", "register", "--data", tmp_path, "--patient", cx)
    assert result.exit_code == 0
    assert "it is registered already" in result.stderr
    assert first["entry_uuid"] in result.stdout
    other = registered(run, tmp_path, cx=patient())
    assert {first["unique_id"], first["entry_uuid"]}.isdisjoint(other.values())


def test_fsck_has_no_complaint(run: Run, tmp_path: Path) -> None:
    registered(run, tmp_path, cx=patient())
    result = run("fsck", "--data", tmp_path)
    assert (result.exit_code, "the repository is sound" in result.stderr) == (0, True)


@pytest.mark.parametrize(
    ("options", "environment", "exit_code", "said"),
    [
        (("--patient", "nobody"), {}, 2, "expected a CX"),
        (("--class-code", "00"), {}, 2, "CODE^^SCHEME"),
        (("--confidentiality-code", "N^^Łódź"), {}, 1, "codingScheme is no identifier"),
        ((), {"MSIM_PATIENTS__POLICY": "known"}, 1, "not known to the registry"),
        ((), {"MSIM_REGISTRY__URL": "http://127.0.0.1:1/"}, 2, "registry.url is set"),
        ((), {"MSIM_ON_DEMAND__SOURCES": "[]"}, 0, "nobody will make the document"),
        ((), {"MSIM_ON_DEMAND__SOURCES": '["theirs"]'}, 2, "theirs is not installed"),
    ],
)
def test_what_a_person_is_told(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    environment: dict[str, str],
    exit_code: int,
    said: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = run("on-demand", "register", "--data", tmp_path, "--patient", patient(), *options)
    assert result.exit_code == exit_code, result.output
    assert said in " ".join(result.stderr.split())
