"""importer.composing: what is registered of files and their metadata, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from msim_xds.app import open_node
from msim_xds.repository import scrub
from msim_xds.settings import LimitSettings, PatientSettings, Settings
from tests.support.metadata import (
    PATIENT,
    REPOSITORY,
    document_entry,
    new_oid,
    new_uuid,
    original,
    submission_set,
    submit_objects,
)
from tests.test_cli.documents import OID, cda, patient
from tests.test_importer.archives import (
    RIM,
    answer,
    codes,
    counts,
    entries,
    everything,
    imported,
    is_sound,
    pair,
    put,
    remarks,
    settings_of,
    slot,
    write_manifest,
    zipped,
)
from tests.test_repository.messages import retrieve, wanted

# --- files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_metadata_with_their_documents(
    settings: Settings, source: Path, tmp_path: Path, packed: bool
) -> None:
    by_id, by_uri, by_oid, by_name = (new_oid() for _ in range(4))
    uuid = new_uuid()
    files = {
        "1/metadata.xml": pair(b"<id/>", by_id)[0],
        "1/Document01.xml": b"<id/>",
        "2/metadata.xml": pair(b"<uri/>", by_uri, slots={"URI": "karta.xml"})[0],
        "2/karta.xml": b"<uri/>",
        "3/metadata.xml": pair(b"<oid/>", by_oid, id=uuid)[0],
        f"3/{by_oid}.pdf": b"<oid/>",
        "4/0001.metadata": pair(b"<name/>", by_name)[0],
        "4/0001.xml": b"<name/>",
        "4/other.xml": b"<other/>",
    }
    if packed:
        where = zipped(tmp_path / "archive.zip", files)
    else:
        where = source
        for name, content in files.items():
            put(source, name, content)
    summary = imported(settings, where)
    assert counts(summary) == (4, 0, 0), remarks(summary)
    assert entries(settings) == dict.fromkeys((by_id, by_uri, by_oid, by_name), "Approved")
    assert uuid in everything(settings)
    report = is_sound(settings)
    assert (report.documents, report.counts) == (4, {})
    node = open_node(settings)
    (document,) = answer(node, retrieve(wanted(REPOSITORY, by_uri)), retrieve=True).documents
    assert b"".join(document.chunks) == b"<uri/>"
    node.close()


def test_documents_by_their_headers(settings: Settings, source: Path) -> None:
    who, first = patient(), "FIRST"
    cda(source, who, "SECOND", replaces=first)
    cda(source, who, first)
    summary = imported(settings, source)
    assert counts(summary) == (2, 0, 0), remarks(summary)
    assert entries(settings, who) == {f"{OID}.2^FIRST": "Deprecated", f"{OID}.2^SECOND": "Approved"}
    (batch, *_) = (each for each in everything(settings, who).values() if each.tag == f"{RIM}RegistryPackage")
    assert slot(batch, "submissionTime") == "202609141130"
    assert remarks(summary) == []
    # The ids that the documents do not have are made from them, so that they are the same each time.
    again = imported(settings, source, again=True)
    assert counts(again) == (0, 2, 0)


def test_a_parent_that_is_not_there_is_noted(settings: Settings, source: Path) -> None:
    who = patient()
    cda(source, who, "LATER", replaces="UNKNOWN")
    summary = imported(settings, source)
    assert entries(settings, who) == {f"{OID}.2^LATER": "Approved"}
    (remark,) = remarks(summary)
    assert remark["outcome"] == "imported"
    assert "UNKNOWN, which is not registered" in remark["notes"][0]


def test_documents_without_a_header(settings: Settings, source: Path) -> None:
    put(source, "scan.pdf", b"%PDF-1")
    summary = imported(settings, source)
    assert (counts(summary), summary.skipped) == ((0, 0, 0), 1)
    assert remarks(summary)[0] | {"notes": 0} == {"name": "scan.pdf", "outcome": "skipped", "notes": 0}
    write_manifest(source, [{"documents": [{"path": "scan.pdf"}]}])
    refused = imported(settings, source)
    assert codes(refused) == {"manifest.jsonl:1": ["XDSRepositoryMetadataError"]}
    taken = imported(settings, source, again=True, patient_id=PATIENT, source_id="1.2.3.4")
    assert counts(taken) == (1, 0, 0)
    found = everything(settings).values()
    (entry,) = (each for each in found if each.tag == f"{RIM}ExtrinsicObject")
    assert entry.get("mimeType") == "application/pdf"


# --- refusals ---------------------------------------------------------------------------------------


def test_each_is_refused_for_what_is_wrong_and_the_others_go_on(
    tmp_path: Path, source: Path, database_url: str
) -> None:
    limits = LimitSettings(document_bytes=1000)
    settings = settings_of(tmp_path / "data", database_url, limits=limits)
    good = new_oid()
    wrong_hash, _ = pair(b"something else")
    bad_metadata = pair(b"<a/>", patient_id="nobody")[0]
    used = submission_set(unique_id=(set_id := new_oid()))
    files = {
        "good.xml": pair(b"<good/>", good)[0],
        "good.doc": b"<good/>",
        "used1.xml": submit_objects(used, document_entry(content=b"1"), original()),
        "used2.xml": submit_objects(
            submission_set(unique_id=set_id), document_entry(content=b"2"), original()
        ),
        "doc1": b"1",
        "doc2": b"2",
        "hash.xml": wrong_hash,
        "rules.xml": bad_metadata,
        "rules.doc": b"<a/>",
        "broken.xml": b"<SubmitObjectsRequest",
        "other.xml": b"<other/>",
        "two.xml": submit_objects(
            submission_set(), document_entry("D1"), document_entry("D2"), original("D1"), original("D2")
        ),
        "large.doc": b"x" * 1001,
        "large.xml": pair(b"x" * 1001)[0],
    }
    for name, content in files.items():
        put(source, name, content)
    path = write_manifest(
        source,
        [
            {"metadata": "good.xml", "documents": [{"path": "good.doc"}]},
            {"metadata": "used1.xml", "documents": [{"path": "doc1"}]},
            {"metadata": "used2.xml", "documents": [{"path": "doc2"}]},
            {"metadata": "hash.xml", "documents": [{"path": "doc1"}]},
            {"metadata": "rules.xml", "documents": [{"path": "rules.doc"}]},
            {"metadata": "broken.xml"},
            {"metadata": "other.xml"},
            {"metadata": "none.xml"},
            {"metadata": "good.xml", "documents": [{"path": "../secret"}]},
            {"metadata": "good.xml", "documents": [{"path": "doc1", "id": "Document02", "title": "x"}]},
            {"metadata": "two.xml", "documents": [{"path": "doc1"}, {"path": "doc2"}]},
            {"metadata": "large.xml", "documents": [{"path": "large.doc"}]},
            {"metadata": "hash.xml"},
            "no json",
            "",
            {"metadata": "good.xml", "documents": [{"path": "good.doc"}]},
        ],
        "archive.jsonl",
    )
    summary = imported(settings, path)
    assert (summary.total, summary.progress.position) == (16, 16)
    assert counts(summary) == (2, 1, 12), remarks(summary)
    metadata, missing = ["XDSRepositoryMetadataError"], ["XDSMissingDocument"]
    refused = {int(name.rpartition(":")[2]): each for name, each in codes(summary).items()}
    assert refused == {
        3: ["XDSDuplicateUniqueIdInRegistry"],
        4: [*metadata, *metadata],
        5: refused[5],
        6: metadata,
        7: metadata,
        8: metadata,
        9: missing,
        10: [*missing, "XDSMissingDocumentMetadata"],
        11: metadata,
        12: missing,
        13: missing,
        14: metadata,
    }
    assert "XDSRegistryMetadataError" in refused[5]
    assert set(entries(settings).values()) == {"Approved"}
    assert len(entries(settings)) == 2
    # What the rules refuse leaves no octets; what the registry refuses leaves an orphan, as ITI-41 does.
    assert is_sound(settings).counts == {scrub.ProblemKind.ORPHAN: 1}


def test_patients_are_judged_by_policy(tmp_path: Path, source: Path) -> None:
    settings = settings_of(tmp_path / "data", patients=PatientSettings(policy="known"))
    metadata, document = pair(b"<a/>")
    put(source, "a.xml", metadata)
    put(source, "Document01", document)
    assert codes(imported(settings, source)) == {"a.xml": ["XDSUnknownPatientId"]}


def test_two_changes_of_metadata_that_are_no_submission(settings: Settings, source: Path) -> None:
    put(source, "none.xml", submit_objects(document_entry()))
    put(
        source,
        "unmarked.xml",
        submit_objects(submission_set().replace("classificationNode", "x"), document_entry()),
    )
    lines = [
        {"metadata": each, "documents": [{"path": "none.xml", "title": "x"}]}
        for each in ("none.xml", "unmarked.xml")
    ]
    refused = codes(imported(settings, write_manifest(source, lines)))
    assert refused["manifest.jsonl:1"] == ["XDSRepositoryMetadataError"]
    assert set(refused["manifest.jsonl:2"]) == {"XDSRegistryMetadataError"}


def test_a_document_of_no_time_at_all(settings: Settings, tmp_path: Path) -> None:
    manifest = json.dumps({"documents": [{"path": "scan.pdf"}], "patientId": PATIENT}).encode()
    archive = zipped(tmp_path / "z.zip", {"manifest.jsonl": manifest, "scan.pdf": b"%PDF"})
    octets = archive.read_bytes()
    second = octets.rindex(b"PK\x01\x02")
    archive.write_bytes(octets[: second + 14] + b"\0\0" + octets[second + 16 :])
    summary = imported(settings, archive)
    assert codes(summary) == {"manifest.jsonl:1": ["XDSMissingDocument"]}
    assert "no proper time" in remarks(summary)[0]["findings"][0]["problem"]
