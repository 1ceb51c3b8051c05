"""submit, query and retrieve against a real server."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from msim_xds.cli.partner import Outcome, Partner
from msim_xds.cli.publication import Publication
from msim_xds.federation.answers import RemoteUnavailable
from tests.test_cli.conftest import Run, serving
from tests.test_cli.documents import OID, cda, patient

NOWHERE = "http://127.0.0.1:1"


def submitted(run: Run, server: str, *arguments: str | Path) -> list[dict[str, Any]]:
    """What `submit --json` prints."""
    result = run("submit", "--url", server, "--json", *arguments)
    assert result.exit_code == 0, result.output
    documents: list[dict[str, Any]] = json.loads(result.stdout)["documents"]
    return documents


def found(run: Run, server: str, *arguments: str) -> list[dict[str, Any]]:
    """What `query --json` prints."""
    result = run("query", "--url", server, "--json", *arguments)
    assert result.exit_code == 0, result.output
    documents: list[dict[str, Any]] = json.loads(result.stdout)["documents"]
    return documents


def test_what_is_submitted_is_found_and_comes_back(run: Run, server: str, tmp_path: Path) -> None:
    who = patient()
    file = cda(tmp_path, who, "A1")
    (document,) = submitted(run, server, file)
    assert list(document) == ["file", "unique_id", "entry_uuid", "repository_unique_id", "patient_id"]
    assert document["file"] == str(file)
    assert document["patient_id"] == who
    assert document["unique_id"] == f"{OID}.2^A1"
    (entry,) = found(run, server, "--patient", who)
    assert {name: entry[name] for name in document if name != "file"} == {
        name: value for name, value in document.items() if name != "file"
    }
    assert entry["hash"] == hashlib.sha1(file.read_bytes()).hexdigest()
    assert entry["size"] == str(file.stat().st_size)
    assert entry["creation_time"] == "202609141130"
    assert entry["type_code"] == "18842-5^^2.16.840.1.113883.6.1"
    assert entry["class_code"] == "00.20^^2.16.840.1.113883.3.4424.11.1.32"
    assert entry["author"] == "Wzorcowy Adam"
    assert entry["status"] == "Approved"
    copy = tmp_path / "copy.xml"
    result = run("retrieve", "--url", server, document["unique_id"], "--output", copy)
    assert result.exit_code == 0, result.output
    assert copy.read_bytes() == file.read_bytes()


def test_octets_go_to_standard_output(run: Run, server: str, tmp_path: Path) -> None:
    file = tmp_path / "letter.bin"
    file.write_bytes(b"\r\n\0\xff" * 1000 + b"\n")
    (document,) = submitted(run, server, file, "--patient", patient())
    result = run(
        "retrieve", "--url", server, document["unique_id"], "--repository", document["repository_unique_id"]
    )
    assert result.exit_code == 0
    assert result.stdout_bytes == file.read_bytes()


def test_any_file_of_a_named_patient(run: Run, server: str, tmp_path: Path) -> None:
    who = patient()
    names = {
        "a.pdf": "application/pdf",
        "b.txt": "text/plain",
        "c.xml": "text/xml",
        "d.x-y": "application/octet-stream",
    }
    for name in names:
        (tmp_path / name).write_bytes(b"<not-cda/>" + name.encode())
    documents = submitted(run, server, *(tmp_path / name for name in names), "--patient", who)
    assert {document["patient_id"] for document in documents} == {who}
    entries = found(run, server, "--patient", who)
    assert {entry["title"]: entry["mime_type"] for entry in entries} == names


def test_options_override_the_document(run: Run, server: str, tmp_path: Path) -> None:
    who, other = patient(), patient()
    (document,) = submitted(
        run,
        server,
        cda(tmp_path, who),
        *("--patient", other),
        *("--class-code", "06.10^^2.16.840.1.113883.3.4424.11.1.32^^Wynik"),
        *("--confidentiality-code", "V^^2.16.840.1.113883.5.25"),
        *("--title", "Inny tytuł"),
        *("--mime-type", "application/hl7-v3+xml"),
    )
    assert document["patient_id"] == other
    (entry,) = found(run, server, "--patient", other)
    assert entry["class_code"] == "06.10^^2.16.840.1.113883.3.4424.11.1.32"
    assert entry["confidentiality_codes"] == ["V^^2.16.840.1.113883.5.25"]
    assert entry["title"] == "Inny tytuł"
    assert entry["mime_type"] == "application/hl7-v3+xml"
    assert found(run, server, "--patient", who) == []


def test_filters(run: Run, server: str, tmp_path: Path) -> None:
    who = patient()
    submitted(run, server, cda(tmp_path, who), cda(tmp_path, who))
    lab = "06.10^^2.16.840.1.113883.3.4424.11.1.32"
    submitted(run, server, cda(tmp_path, who), "--class-code", lab)
    assert len(found(run, server, "--patient", who)) == 3
    assert [entry["class_code"] for entry in found(run, server, "--patient", who, "--class-code", lab)] == [
        lab
    ]
    two = ("--class-code", lab, "--class-code", "00.20^^2.16.840.1.113883.3.4424.11.1.32")
    assert len(found(run, server, "--patient", who, *two)) == 3
    assert len(found(run, server, "--patient", who, "--author", "%Wzorcowy%")) == 3
    assert found(run, server, "--patient", who, "--author", "%Nobody%") == []
    assert len(found(run, server, "--patient", who, "--from", "20260914", "--to", "20260914")) == 3
    assert found(run, server, "--patient", who, "--from", "20260915") == []
    assert found(run, server, "--patient", who, "--status", "deprecated") == []


def test_a_new_version_replaces_the_old(run: Run, server: str, tmp_path: Path) -> None:
    who, other = patient(), patient()
    old = cda(tmp_path, who)
    extension = submitted(run, server, old)[0]["unique_id"].partition("^")[2]
    result = run("submit", "--url", server, cda(tmp_path, who, replaces=extension))
    assert result.exit_code == 0
    assert "replaces urn:uuid:" in result.stderr
    assert len(found(run, server, "--patient", who)) == 1
    assert len(found(run, server, "--patient", who, "--status", "all")) == 2
    submitted(run, server, cda(tmp_path, other, replaces=extension))  # another patient's is left alone
    submitted(run, server, cda(tmp_path, who, replaces=extension))  # and so is a deprecated one
    assert len(found(run, server, "--patient", who, "--status", "all")) == 3


def test_replacing_can_be_switched_off(run: Run, server: str, tmp_path: Path) -> None:
    who = patient()
    (first,) = submitted(run, server, cda(tmp_path, who))
    extension = first["unique_id"].partition("^")[2]
    submitted(run, server, "--no-replace", cda(tmp_path, who, replaces=extension))
    assert len(found(run, server, "--patient", who)) == 2


def test_an_id_that_belongs_to_other_content_is_replaced(run: Run, server: str, tmp_path: Path) -> None:
    who = patient()
    first = cda(tmp_path, who, "TWICE", text="one")
    second = cda(tmp_path, who, "TWICE", text="two")
    documents = submitted(run, server, first, second)
    assert documents[0]["unique_id"] == f"{OID}.2^TWICE"
    assert documents[1]["unique_id"].startswith("2.25.")
    for document in documents:
        result = run("retrieve", "--url", server, document["unique_id"])
        assert result.stdout_bytes == Path(document["file"]).read_bytes()
    result = run("submit", "--url", server, "--keep-id", second, first)
    assert result.exit_code == 1
    assert "XDSNonIdenticalHash" in result.stderr
    assert "1 of 2 refused" in result.stderr
    assert len(found(run, server, "--patient", who)) == 3


def test_the_same_file_twice_is_two_entries_of_one_document(run: Run, server: str, tmp_path: Path) -> None:
    who = patient()
    file = cda(tmp_path, who)
    documents = submitted(run, server, file, file)
    assert len({document["unique_id"] for document in documents}) == 1
    assert len({document["entry_uuid"] for document in documents}) == 2


def test_what_was_published_before_an_interruption_is_said(
    run: Run, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [cda(tmp_path, patient()) for _ in range(3)]
    honest = Partner.publish

    def fails_later(self: Partner, publication: Publication, **options: bool) -> Outcome:
        if publication.path == files[1]:
            raise RemoteUnavailable("http://there", "it does not answer in time")
        return honest(self, publication, **options)

    monkeypatch.setattr(Partner, "publish", fails_later)
    result = run("submit", "--url", server, "--json", *files)
    assert result.exit_code == 2
    assert "does not answer in time" in result.stderr
    assert [document["file"] for document in json.loads(result.stdout)["documents"]] == [str(files[0])]


def test_several_patients_at_once(run: Run, server: str, tmp_path: Path) -> None:
    files = [cda(tmp_path, patient()) for _ in range(3)]
    documents = submitted(run, server, *files)
    assert [document["file"] for document in documents] == [str(file) for file in files]
    assert all(document["repository_unique_id"] for document in documents)
    assert len({document["patient_id"] for document in documents}) == 3


def test_a_document_of_two_patients_comes_back(run: Run, server: str, tmp_path: Path) -> None:
    file = cda(tmp_path, patient())
    submitted(run, server, file)
    (document,) = submitted(run, server, file, "--patient", patient())
    assert run("retrieve", "--url", server, document["unique_id"]).stdout_bytes == file.read_bytes()


def test_more_entries_than_one_answer_holds(
    run: Run, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msim_xds.cli.partner._BATCH", 2)
    who = patient()
    submitted(run, server, *(cda(tmp_path, who) for _ in range(5)))
    assert len({entry["entry_uuid"] for entry in found(run, server, "--patient", who)}) == 5


def test_long_ids_fit_the_letter_or_stay_for_the_polish_profile(
    run: Run, server: str, tmp_path: Path
) -> None:
    extension = "1234567890123456789012"
    first = cda(tmp_path, patient(), extension)
    made = submitted(run, server, first)[0]["unique_id"]
    assert made.startswith("2.25.")
    assert submitted(run, server, first)[0]["unique_id"] == made, "the same each time"
    refused = run("submit", "--url", server, "--profile", "pl", first)
    assert refused.exit_code == 1
    assert "uniqueId" in refused.stderr
    with serving(tmp_path, "pl") as polish:
        kept = submitted(run, polish, "--profile", "pl", first)[0]["unique_id"]
        assert kept == f"{OID}.2^{extension}"


def test_url_may_be_an_endpoint(run: Run, server: str, tmp_path: Path) -> None:
    who = patient()
    submitted(run, f"{server}/xds/repository", cda(tmp_path, who))
    assert len(found(run, f"{server}/xds/registry", "--patient", who)) == 1
    assert len(found(run, f"{server}/", "--patient", who)) == 1


def test_output_for_people(run: Run, server: str, tmp_path: Path) -> None:
    who = patient()
    result = run("submit", "--url", server, cda(tmp_path, who, "HUMAN"))
    assert f"unique_id             {OID}.2^HUMAN" in result.stdout
    result = run("query", "--url", server, "--patient", who)
    assert f"{OID}.2^HUMAN" in result.stdout
    assert "1 document\n" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["submit", "--url", NOWHERE, "{cda}"], 2, "Connection refused\nIs the server running"),
        (["submit", "--url", "localhost:8080", "{cda}"], 2, "expected the server's address"),
        (["submit", "--url", NOWHERE, "{plain}"], 2, "give --patient"),
        (["submit", "--url", NOWHERE, "/nowhere.xml"], 2, "No such file"),
        (["submit", "--url", NOWHERE, "--patient", "7", "{plain}"], 2, "ID^^^&OID&ISO"),
        (["submit", "--url", NOWHERE, "--type-code", "7", "{cda}"], 2, "expected CODE^^SCHEME"),
        (["query", "--url", NOWHERE, "--patient", "7"], 2, "Is the server running"),
        (["query", "--url", NOWHERE], 2, "--patient"),
        (["retrieve", "--url", NOWHERE, "1.2.3"], 2, "Is the server running"),
        (["retrieve", "--url", "{server}", "1.2.3.404"], 1, "knows no document with uniqueId 1.2.3.404"),
        (["retrieve", "--url", "{server}", "1.2", "--repository", "1.3"], 1, "XDSUnknownRepositoryId"),
        (["query", "--url", "{server}", "--patient", "7", "--from", "yesterday"], 1, "XDSRegistryError"),
    ],
)
def test_failures_say_what_to_do(
    run: Run, server: str, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    plain = tmp_path / "plain.txt"
    plain.write_text("text")
    values = {"cda": cda(tmp_path, patient()), "plain": plain, "server": server}
    result = run(*(argument.format(**values) for argument in arguments))
    assert words in result.output
    assert result.exit_code == code
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.stdout_bytes == b""


def test_octets_that_differ_from_the_registered_hash_are_not_written(
    run: Run, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (document,) = submitted(run, server, cda(tmp_path, patient()))
    honest = Partner.retrieve

    def corrupt(self: Partner, *arguments: Any) -> Any:
        return replace(honest(self, *arguments), sha1="0" * 40)

    monkeypatch.setattr(Partner, "retrieve", corrupt)
    copy = tmp_path / "copy"
    result = run("retrieve", "--url", server, document["unique_id"], "--output", copy)
    assert result.exit_code == 1
    assert "nothing was written" in result.stderr
    assert not copy.exists()


def test_a_terminal_gets_no_octets(server: str) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "msim_xds", "retrieve", "--url", server, "1.2.3"]
    process = subprocess.run(command, stdout=follower, stderr=subprocess.PIPE, text=True, check=False)
    os.close(leader)
    os.close(follower)
    assert process.returncode == 2
    assert "--output" in process.stderr
