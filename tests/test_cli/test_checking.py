"""check: all findings of every form that a message may have."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from msim_xds.app import open_node
from msim_xds.findings import Refused
from msim_xds.ihe.transactions import ITI_57, ITI_92
from msim_xds.settings import Settings
from msim_xds.wire import mtom
from msim_xds.wire.exchange import Addressing, OutgoingDocument, Request
from msim_xds.wire.safexml import parse
from msim_xds.wire.xop import include
from tests.support import metadata, updates
from tests.test_cli.conftest import Run

SOAP = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://www.w3.org/2005/08/addressing"
CONTENT = b"hello"


def register(**options: object) -> bytes:
    """A SubmitObjectsRequest."""
    return metadata.single_document(**options)


def envelope(payload: bytes, action: str = "") -> bytes:
    """A SOAP 1.2 message."""
    header = f'<a:Action xmlns:a="{WSA}"> {action} </a:Action>' if action else ""
    return (
        f'<s:Envelope xmlns:s="{SOAP}"><s:Header>{header}</s:Header><s:Body>'.encode()
        + payload
        + b"</s:Body></s:Envelope>"
    )


def provide(submit: bytes, *documents: str) -> bytes:
    """A ProvideAndRegisterDocumentSetRequest."""
    inner = "".join(documents).encode()
    return (
        b'<x:ProvideAndRegisterDocumentSetRequest xmlns:x="%s">%s%s</x:ProvideAndRegisterDocumentSetRequest>'
        % (metadata.XDS.encode(), submit, inner)
    )


def document(content: str, id: str = "Document01") -> str:
    """An xds:Document."""
    return f'<x:Document id="{id}">{content}</x:Document>'


def message(content: bytes = CONTENT) -> mtom.Packaged:
    """An ITI-41 message with one document of ``CONTENT``'s metadata."""
    payload = provide(register(content=CONTENT), document(include("a@b")))
    return mtom.package(
        [envelope(payload)], [OutgoingDocument("a@b", "text/xml", len(content), [content])], "urn:x"
    )


def findings(run: Run, path: Path, *arguments: str) -> list[dict[str, str]]:
    """What `check --json` prints; the exit code agrees with it."""
    result = run("check", "--json", path, *arguments)
    answer = json.loads(result.stdout)
    found: list[dict[str, str]] = answer["findings"]
    assert answer["errors"] == sum(finding["severity"] == "error" for finding in found)
    assert result.exit_code == (1 if answer["errors"] else 0)
    return found


@pytest.mark.parametrize("form", ["bare", "envelope", "mtom", "mime", "http", "inline", "provide"])
def test_a_good_message_in_each_form(run: Run, tmp_path: Path, form: str) -> None:
    packaged = message()
    body = b"".join(packaged.chunks)
    content_type = packaged.content_type.encode()
    inline = provide(register(content=CONTENT), document("aGVsbG8="))
    contents = {
        "bare": register(),
        "envelope": b'\n<?xml version="1.0"?>'.strip() + envelope(register()),
        "mtom": body,
        "mime": b"MIME-Version: 1.0\nContent-Type: %s\n\n" % content_type.replace(b"; ", b";\n\t") + body,
        "http": b"POST /xds/repository HTTP/1.1\r\nHost: x\r\ncontent-type: %s\r\n\r\n" % content_type + body,
        "inline": envelope(inline),
        "provide": inline,
    }
    path = tmp_path / "message"
    path.write_bytes(contents[form])
    assert findings(run, path) == []
    result = run("check", path)
    assert "0 errors, 0 warnings" in result.stderr


def test_every_finding_is_listed(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "message.xml"
    path.write_bytes(
        register(
            patient_id="7", codes={"typeCode": None}, slots={"creationTime": "yesterday"}, unique_id="x y"
        )
    )
    found = findings(run, path)
    assert {finding["attribute"] for finding in found if finding["severity"] == "error"} >= {
        "patientId",
        "typeCode",
        "creationTime",
        "uniqueId",
    }
    time = next(finding for finding in found if finding["attribute"] == "creationTime")
    assert time["seen"] == "yesterday"
    assert time["object"] == "DocumentEntry Document01"
    assert time["source"].startswith("ITI TF-3")
    shown = run("check", path)
    assert shown.exit_code == 1
    assert "creationTime" in shown.stdout


def test_documents_are_held_against_their_entries(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_bytes(b"".join(message(b"other").chunks))
    (finding,) = findings(run, path)
    assert finding["attribute"] == "hash"
    assert hashlib.sha1(b"other").hexdigest() in finding["allowed"]
    path.write_bytes(provide(register(), document("", "Stranger")))
    codes = {finding["code"] for finding in findings(run, path)}
    assert codes >= {"XDSMissingDocument", "XDSMissingDocumentMetadata"}


def test_a_transaction_and_a_profile_can_be_chosen(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "message.xml"
    path.write_bytes(register(content=None))
    assert {finding["attribute"] for finding in findings(run, path)} == {"hash", "size"}
    assert findings(run, path, "--transaction", "ITI-41") == []
    path.write_bytes(register(unique_id="1.2.3^1234567890123456789012"))
    assert [finding["attribute"] for finding in findings(run, path)] == ["uniqueId"]
    assert findings(run, path, "--profile", "pl") == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not well-formed"),
        (b"<a/>", "this is a; expected a SOAP 1.2 envelope"),
        (b"<!DOCTYPE a><a/>", "DOCTYPE"),
        (b"--B\r\nContent-ID: <a>\r\n\r\n<a/>", "multipart"),
        (envelope(b"<a/>"), "this is a; expected"),
    ],
)
def test_what_is_no_message(run: Run, tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "message"
    path.write_bytes(content)
    result = run("check", path)
    assert result.exit_code == 2
    assert words in result.stderr


def test_no_file(run: Run, tmp_path: Path) -> None:
    result = run("check", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "No such file" in result.stderr


# --- updates, and other transactions of the same payload --------------------------------------------


def judged(run: Run, path: Path, *arguments: str) -> tuple[str, set[str]]:
    """By which transaction `check --json` has judged, and the codes of the errors."""
    answer = json.loads(run("check", "--json", path, *arguments).stdout)
    codes = {each["code"] for each in answer["findings"] if each["severity"] == "error"}
    return answer["transaction"], codes


UUID = metadata.new_uuid()
UPDATE_ERROR, INVALID = {"XDSMetadataUpdateOperationError"}, {"XDSInvalidRequestException"}
UPDATE, RESTRICTED = "urn:ihe:iti:2010:UpdateDocumentSet", "urn:ihe:iti:2018:RestrictedUpdateDocumentSet"


@pytest.mark.parametrize("action", ["", UPDATE, RESTRICTED])
def test_a_good_update(run: Run, tmp_path: Path, action: str) -> None:
    path = tmp_path / "message.xml"
    body = updates.update(updates.entry_version(metadata.new_uuid(), metadata.new_oid()))
    path.write_bytes(envelope(body, action) if action else body)
    assert judged(run, path) == ("ITI-92" if action == RESTRICTED else "ITI-57", set())
    result = run("check", path)
    assert ": 0 errors, 0 warnings" in result.stderr


@pytest.mark.parametrize(
    ("operation", "update", "restricted"),
    [
        (updates.status_change(metadata.new_uuid(), new=metadata.APPROVED), UPDATE_ERROR, INVALID),
        (updates.put_into(metadata.new_uuid(), metadata.new_uuid()), set(), INVALID),
        (updates.entry_version("Symbolic", "1.2.3"), {"XDSMetadataUpdateError"}, {"XDSMetadataUpdateError"}),
        (
            updates.entry_version(UUID, "1.2.3", previous=None),
            {"XDSMetadataUpdateError"},
            {"XDSMetadataAnnotationError"},
        ),
    ],
)
def test_the_rules_of_an_update(
    run: Run, tmp_path: Path, operation: str, update: set[str], restricted: set[str]
) -> None:
    path = tmp_path / "message.xml"
    path.write_bytes(body := updates.update(operation))
    assert judged(run, path, "--transaction", "ITI-57") == ("ITI-57", update)
    assert judged(run, path, "--transaction", "ITI-92") == ("ITI-92", restricted)
    path.write_bytes(envelope(body, RESTRICTED))
    assert judged(run, path) == ("ITI-92", restricted)
    assert judged(run, path, "--transaction", "ITI-57") == ("ITI-57", update)


def test_an_action_of_another_payload_is_passed_over(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "message.xml"
    path.write_bytes(envelope(register(), "urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b"))
    assert judged(run, path) == ("ITI-42", set())
    path.write_bytes(envelope(provide(register(), document("aGVsbG8=")), UPDATE))
    assert judged(run, path) == ("ITI-41", set())


def test_an_on_demand_entry(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "message.xml"
    body = register(
        content=None, object_type=metadata.ON_DEMAND, slots={"creationTime": None, "hash": None, "size": None}
    )
    path.write_bytes(envelope(body, "urn:ihe:iti:2010:RegisterOnDemandDocumentEntry"))
    assert judged(run, path) == ("ITI-61", set())
    transaction, codes = judged(run, path, "--transaction", "ITI-42")
    assert (transaction, bool(codes)) == ("ITI-42", True)


def test_what_check_says_of_an_update_the_server_says(run: Run, tmp_path: Path) -> None:
    """The same findings in the same words, without what only the registry knows."""
    body = updates.update(
        updates.entry_version("Symbolic", "x y", previous="0", slots={"creationTime": "yesterday"}),
        updates.status_change(metadata.new_uuid(), original=None),
    )
    path = tmp_path / "message.xml"
    path.write_bytes(body)
    node = open_node(Settings(data=tmp_path / "data"))
    try:
        for row in (ITI_57, ITI_92):
            with pytest.raises(Refused) as refused:
                node.updates.update_document_set(Request(row, parse(body), Addressing(row.action)))
            said = [finding.record() for finding in refused.value.findings]
            assert findings(run, path, "--transaction", row.name) == said
            assert len(said) > 3
    finally:
        node.close()
