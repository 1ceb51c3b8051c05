"""What commands on this machine leave in the audit trail, on both databases."""

from __future__ import annotations

import json
import os
import pwd
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from msim_xds.audit.key import read_key
from msim_xds.audit.message import Participant
from msim_xds.audit.operators import Operator
from msim_xds.audit.outbox import Outbox
from msim_xds.cli.main import app
from msim_xds.database.engine import Database
from msim_xds.findings import Finding, Refused
from msim_xds.repository.removal import DocumentRemoval
from msim_xds.settings import DatabaseSettings
from tests.support.atna import Read, trail
from tests.support.metadata import (
    OTHER_PATIENT,
    PATIENT,
    SUBMISSION_SET,
    document_entry,
    new_oid,
    original,
    submission_set,
    submit_objects,
)
from tests.test_audit.conftest import AUDIT, Audited
from tests.test_importer.archives import pair, put, version, versions, write_manifest

REFERENCE = "urn:ihe:iti:2017:ObjectRef"
REPORT = "9"

Command = Callable[..., tuple[Result, list[Read]]]


@pytest.fixture
def config(audited: Audited, tmp_path: Path, database_url: str) -> Path:
    path = tmp_path / "msim.toml"
    path.write_text(
        f'data = "{tmp_path / "data"}"\n[audit]\nenabled = true\nsource_id = "{AUDIT["source_id"]}"\n'
        f'[database]\nurl = "{database_url}"\n'
    )
    return path


@pytest.fixture
def command(audited: Audited, config: Path) -> Command:
    """Calls a command; its result, and what it has recorded."""

    def call(*arguments: str | Path) -> tuple[Result, list[Read]]:
        audited.new()
        result = CliRunner().invoke(app, [*map(str, arguments), "--config", str(config)])
        return result, audited.new()

    return call


def provide(audited: Audited, patient: str = PATIENT, category: str | None = None) -> tuple[str, str]:
    """uniqueIds of a document and its SubmissionSet."""
    unique_id, set_id = new_oid(), new_oid()
    slots = {} if category is None else {"urn:extpl:SlotName:StorageCategory": category}
    entry = document_entry(unique_id=unique_id, patient_id=patient, slots=slots)
    audited.provide(
        submit_objects(submission_set(unique_id=set_id, patient_id=patient), entry, original()),
        {"Document01": b"hello"},
    )
    return unique_id, set_id


def assert_operator(record: Read, name: str) -> None:
    """The command's process is the Source, its account the requestor, this server the Destination."""
    process, person, server = record.participants
    account, host = pwd.getpwuid(os.getuid()).pw_name, socket.gethostname()
    assert (process["UserID"], process["UserIsRequestor"]) == (f"msim-xds {name}", "false")
    assert (process["AlternativeUserID"], process["roles"]) == (str(os.getpid()), "110153")
    assert (process["NetworkAccessPointID"], process["NetworkAccessPointTypeCode"]) == (host, "1")
    assert (person["UserID"], person["UserIsRequestor"]) == (f"{account}@{host}", "true")
    assert person["UserName"] == f"operator {account} on {host}"
    assert (server["UserID"], server["roles"]) == ("http://127.0.0.1:8080", "110152")


def test_patients(command: Command, tmp_path: Path) -> None:
    _, (record,) = command("patients", "add", PATIENT)
    assert record.short == ("110110", "ITI-8", "C", "0")
    assert record.patients == [PATIENT]
    assert_operator(record, "patients add")
    table = tmp_path / "patients.csv"
    table.write_text(f"id,sex\n{OTHER_PATIENT},F\n{OTHER_PATIENT},female\n3^^^&1.2.3&ISO,M\n")
    result, records = command("patients", "import", table)
    assert result.exit_code == 1  # the second cannot be said, and is no announcement
    assert [(each.short, each.patients) for each in records] == [
        (("110110", "ITI-8", "C", "0"), [OTHER_PATIENT]),
        (("110110", "ITI-8", "C", "0"), ["3^^^&1.2.3&ISO"]),
    ]
    assert_operator(records[0], "patients import")
    _, records = command("patients", "merge", PATIENT, OTHER_PATIENT, "--yes")
    assert [(each.short, each.patients) for each in records] == [
        (("110110", "ITI-8", "D", "0"), [OTHER_PATIENT]),
        (("110110", "ITI-8", "U", "0"), [PATIENT]),
    ]


def test_a_refused_merge(command: Command) -> None:
    command("patients", "add", PATIENT)
    result, records = command("patients", "merge", PATIENT, PATIENT, "--yes")
    assert result.exit_code == 1
    assert [(each.short, each.patients) for each in records] == [
        (("110110", "ITI-8", "D", "8"), [PATIENT]),
        (("110110", "ITI-8", "U", "8"), [PATIENT]),
    ]
    assert records[0].description == records[1].description
    assert records[0].description


def test_listing_leaves_nothing(command: Command) -> None:
    assert command("patients", "list")[1] == []


def test_remove(audited: Audited, command: Command) -> None:
    unique_id, set_id = provide(audited)
    shown, records = command("remove", unique_id)
    assert (shown.exit_code, records) == (0, [])
    result, (metadata, document) = command("remove", unique_id, "--yes")
    assert result.exit_code == 0
    assert metadata.short == ("110110", "ITI-62", "D", "0")
    assert document.short == ("110110", "ITI-86", "D", "0")
    assert len(metadata.ids(REFERENCE)) == 3
    assert {each.get("ParticipantObjectDataLifeCycle") for each in metadata.objects(REFERENCE)} == {"15"}
    assert document.ids(REPORT) == [unique_id]
    assert metadata.patients == document.patients == [PATIENT]  # although the entry went before the document
    assert_operator(document, "remove")
    assert set_id not in document.ids(REPORT)


def test_documents_of_several_patients_have_a_record_each(audited: Audited, command: Command) -> None:
    first, _ = provide(audited)
    second, _ = provide(audited, OTHER_PATIENT)
    _, records = command("remove", first, second, "--what", "documents", "--yes")
    assert [(each.patients, each.ids(REPORT)) for each in records] == [
        ([PATIENT], [first]),
        ([OTHER_PATIENT], [second]),
    ]


def test_a_refused_removal(audited: Audited, command: Command) -> None:
    unique_id, _ = provide(audited, category="2999")
    result, records = command("remove", unique_id, "--yes")
    assert result.exit_code == 1
    assert [each.short for each in records] == [
        ("110110", "ITI-62", "D", "8"),
        ("110110", "ITI-86", "D", "8"),
    ]
    assert [each.patients for each in records] == [[PATIENT], [PATIENT]]
    assert records[1].ids(REPORT) == [unique_id]


def test_a_document_that_is_refused_after_its_entry_went(
    audited: Audited, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part is recorded as what became of it."""
    unique_id, _ = provide(audited)
    remove = DocumentRemoval.remove

    def refusing(self: DocumentRemoval, *arguments: Any, rehearse: bool = False, **options: Any) -> Any:
        if rehearse:
            return remove(self, *arguments, rehearse=True, **options)
        raise Refused([Finding("XDSDocumentUniqueIdError", "is gone", context=unique_id)])

    monkeypatch.setattr(DocumentRemoval, "remove", refusing)
    result, (metadata, document) = command("remove", unique_id, "--yes")
    assert result.exit_code == 1
    assert (metadata.short[1:], document.short[1:]) == (("ITI-62", "D", "0"), ("ITI-86", "D", "8"))
    assert document.patients == [PATIENT]
    assert document.ids(REPORT) == [unique_id]


def test_import(command: Command, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    versions(source, 1)
    put(source, "1.xml", pair(b"<v>1</v>", patient_id="")[0])
    put(source, "1.doc", b"<v>1</v>")
    manifest = write_manifest(source, [version(0), "", version(1), "no JSON"])
    result, records = command("import", manifest, "--jobs", "1")
    assert result.exit_code == 1, result.output
    assert sorted(each.short for each in records) == [
        ("110107", "ITI-41", "C", "0"),
        ("110107", "ITI-41", "C", "8"),
        ("110107", "ITI-41", "C", "8"),
    ]
    done = next(each for each in records if each.short[3] == "0")
    assert done.patients == [PATIENT]
    assert len(done.ids(SUBMISSION_SET)) == 1
    assert_operator(done, "import")
    again, records = command("import", manifest, "--jobs", "1", "--again")
    assert again.exit_code == 1
    assert [each.short[3] for each in records] == ["8", "8"]  # what was there already was not done again


def test_what_is_recorded_is_told_to_the_patient_and_sealed(
    command: Command, audited: Audited, tmp_path: Path, database_url: str
) -> None:
    command("patients", "add", PATIENT)
    outbox = Outbox(Database(database_url, DatabaseSettings()), read_key(tmp_path / "data" / "audit.key"))
    assert outbox.counts() == (1, 0)
    assert list(outbox.verify()) == []
    outbox.database.close()
    result, _ = command("audit", "patient", PATIENT, "--json")
    (happening,) = json.loads(result.stdout)
    assert happening["who"].startswith("operator ")


def test_nothing_is_kept_that_cannot_be_recorded(
    command: Command, monkeypatch: pytest.MonkeyPatch, audited: Audited
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    unique_id, _ = provide(audited)
    with monkeypatch.context() as patched:
        patched.setattr(Outbox, "add", full)
        assert command("patients", "add", OTHER_PATIENT)[0].exit_code != 0
        assert command("remove", unique_id, "--yes")[0].exit_code != 0
    assert OTHER_PATIENT not in command("patients", "list")[0].stdout
    assert "would be removed: 4" in command("remove", unique_id)[0].output


def test_without_a_trail_nothing_is_recorded(audited: Audited, config: Path) -> None:
    config.write_text(config.read_text().replace("enabled = true", "enabled = false"))
    assert CliRunner().invoke(app, ["patients", "add", PATIENT, "--config", str(config)]).exit_code == 0
    assert trail(audited.database) == []


def test_the_account_is_the_process_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else")
    monkeypatch.setenv("USER", "somebody-else")
    operator = Operator.of_process("msim-xds remove")
    assert operator.account == pwd.getpwuid(os.getuid()).pw_name
    person: Participant = operator.person()
    assert person.is_requestor
