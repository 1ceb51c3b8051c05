"""remove, on the stores of a server that has ended."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from msim_xds.app import open_node
from msim_xds.findings import Finding, Refused
from msim_xds.repository.withdrawal import Withdrawal
from msim_xds.settings import Settings
from tests.support.metadata import OTHER_PATIENT, new_oid
from tests.test_cli.conftest import Run
from tests.test_repository.removing import Removing

CATEGORY = "urn:extpl:SlotName:StorageCategory"


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Removing]:
    """Stores in a data directory of their own."""
    node = open_node(Settings(data=tmp_path / "var"))
    try:
        yield Removing(node)
    finally:
        node.close()


@pytest.fixture
def data(repository: Removing) -> Path:
    return repository.node.settings.data


def things(data: Path) -> int:
    """How many objects and associations are registered."""
    with sqlite3.connect(data / "msim.db") as connection:
        counts = "SELECT (SELECT count(*) FROM registry_object) + (SELECT count(*) FROM association)"
        return int(connection.execute(counts).fetchone()[0])


def answer(run: Run, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Exit code, and what --json prints."""
    result = run("remove", "--json", *arguments)
    return result.exit_code, json.loads(result.stdout)


def test_nothing_happens_without_yes(run: Run, repository: Removing, data: Path) -> None:
    unique_id = repository.submit()
    result = run("remove", unique_id, "--data", data)
    assert result.exit_code == 0
    assert unique_id in result.stdout
    assert "would be removed: 4" in result.stderr
    code, shown = answer(run, unique_id, "--data", data)
    assert (code, shown["removed"], shown["refused"], shown["unknown"]) == (0, False, [], [])
    assert sorted(each["kind"] for each in shown["things"]) == [
        "Association",
        "DocumentEntry",
        "SubmissionSet",
        "document",
    ]
    assert (things(data), repository.rows()) == (3, {unique_id})


def test_everything_of_a_document_goes(run: Run, repository: Removing, data: Path) -> None:
    unique_id = repository.submit()
    result = run("remove", unique_id, "--data", data, "--yes")
    assert (result.exit_code, "removed: 4" in result.stderr) == (0, True)
    assert (things(data), repository.rows(), repository.files()) == (0, set(), set())
    assert [row.transaction for row in repository.removals()] == ["ITI-62"] * 3 + ["ITI-86"]
    assert {row.remover.split()[0] for row in repository.removals()} == {"operator"}


def test_an_id_of_nothing_stops_all(run: Run, repository: Removing, data: Path) -> None:
    unique_id, nobody = repository.submit(), new_oid()
    result = run("remove", unique_id, nobody, "--data", data, "--yes")
    assert result.exit_code == 1
    assert f"{nobody}: nothing here has this id" in result.stderr
    assert "nothing was removed" in result.stderr
    assert repository.rows() == {unique_id}


def test_what_must_be_kept_needs_a_reason(run: Run, repository: Removing, data: Path) -> None:
    unique_id = repository.submit(slots={CATEGORY: "2999"})
    for arguments in ((), ("--yes",), ("--yes", "--reason", " ")):
        result = run("remove", unique_id, "--data", data, *arguments)
        assert result.exit_code == 1
        assert "must be kept until 2999-12-31" in result.stderr
        code, shown = answer(run, unique_id, "--data", data, *arguments)
        assert (code, shown["removed"]) == (1, False)
        assert {each["code"] for each in shown["refused"]} == {"XDSRegistryError", "XDSRemoveDocumentsError"}
    assert things(data) == 3
    code, shown = answer(run, unique_id, "--data", data, "--yes", "--reason", "wrong patient")
    assert (code, shown["removed"]) == (0, True)
    assert {row.override_reason for row in repository.removals()} == {"wrong patient"}
    assert things(data) == 0


def test_a_document_stays_while_another_entry_has_it(run: Run, repository: Removing, data: Path) -> None:
    unique_id = repository.submit()
    with sqlite3.connect(data / "msim.db") as connection:
        (entry,) = connection.execute("SELECT entry_uuid FROM registry_object WHERE kind = 1").fetchone()
    repository.submit(unique_id=unique_id, patient_id=OTHER_PATIENT)
    assert (
        run("remove", entry.upper().replace("URN:UUID", "urn:uuid"), "--data", data, "--yes").exit_code == 0
    )
    assert (things(data), repository.rows()) == (3, {unique_id})
    assert run("remove", unique_id, "--data", data, "--yes").exit_code == 0
    assert (things(data), repository.rows()) == (0, set())


def test_metadata_or_documents_alone(run: Run, repository: Removing, data: Path) -> None:
    first, second = repository.submit(b"1"), repository.submit(b"2")
    assert run("remove", first, "--data", data, "--yes", "--what", "documents").exit_code == 0
    assert (things(data), repository.rows()) == (6, {second})
    assert run("remove", second, "--data", data, "--yes", "--what", "metadata").exit_code == 0
    assert (things(data), repository.rows()) == (3, {second})
    # The document alone is left, and named by its uniqueId; as metadata there is nothing of that name.
    assert run("remove", second, "--data", data, "--what", "metadata").exit_code == 1
    assert run("remove", second, "--data", data, "--yes").exit_code == 0
    assert repository.rows() == set()
    assert "sound" in run("fsck", "--data", data).stderr


def test_wrong_usage(run: Run, tmp_path: Path, data: Path) -> None:
    result = run("remove", "1.2", "--data", tmp_path / "nowhere")
    assert (result.exit_code, "no such directory" in result.stderr) == (2, True)
    result = run("remove", "1.2", "--data", data, "--what", "all")
    assert (result.exit_code, "one of both, metadata, documents" in result.stderr) == (2, True)
    assert run("remove", "--data", data).exit_code == 2


def test_what_changes_after_the_rehearsal_is_told(
    run: Run, repository: Removing, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unique_id = repository.submit()

    def gone_meanwhile(*_: object) -> None:
        raise Refused([Finding("XDSDocumentUniqueIdError", "is gone")])

    monkeypatch.setattr(Withdrawal, "carry_out", gone_meanwhile)
    code, shown = answer(run, unique_id, "--data", data, "--yes")
    assert (code, shown["removed"]) == (1, False)
    assert shown["refused"] == [{"code": "XDSDocumentUniqueIdError", "text": "is gone"}]
    assert "not all was removed" in run("remove", unique_id, "--data", str(data), "--yes").stderr


def test_a_user_without_a_name_is_on_record_by_number(
    run: Run, repository: Removing, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless(uid: int) -> object:
        raise KeyError(f"uid not found: {uid}")

    monkeypatch.setattr("pwd.getpwuid", nameless)
    assert run("remove", repository.submit(), "--data", data, "--yes").exit_code == 0
    assert {row.remover.partition(" on ")[0] for row in repository.removals()} == {
        f"operator uid {os.getuid()}"
    }
