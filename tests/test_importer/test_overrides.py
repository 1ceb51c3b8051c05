"""importer.overrides: what a manifest line says goes before the metadata, with relations and history."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from msim_xds.settings import Settings
from tests.support.metadata import (
    APPROVED,
    DEPRECATED,
    HAS_MEMBER,
    OTHER_PATIENT,
    RPLC,
    association,
    document_entry,
    folder,
    new_oid,
    new_uuid,
    original,
    submission_set,
    submit_objects,
)
from tests.test_cli.documents import cda, patient
from tests.test_importer.archives import (
    RIM,
    codes,
    counts,
    entries,
    everything,
    imported,
    is_sound,
    pair,
    put,
    remarks,
    slot,
    unique_id,
    version,
    versions,
    write_manifest,
)


def test_a_line_goes_before_the_metadata(settings: Settings, source: Path) -> None:
    metadata, document = pair(b"<a/>")
    put(source, "m.xml", metadata)
    put(source, "d.xml", document)
    entry, batch, shelf = new_uuid(), new_uuid(), new_uuid()
    own, set_id, folder_id = new_oid(), new_oid(), new_oid()
    line: dict[str, Any] = {
        "metadata": "m.xml",
        "patientId": OTHER_PATIENT,
        "submissionSet": {
            "entryUUID": batch,
            "uniqueId": set_id,
            "submissionTime": "20090102",
            "title": "Stara wysyłka",
            "contentTypeCode": "11502-2^^2.16.840.1.113883.6.1^^Laboratory report",
        },
        "folders": [
            {
                "entryUUID": shelf,
                "uniqueId": folder_id,
                "title": "Teczka",
                "codeList": ["00.20^^2.16.840.1.113883.3.4424.11.1.32"],
            }
        ],
        "documents": [
            {
                "path": "d.xml",
                "entryUUID": entry,
                "uniqueId": own,
                "creationTime": "20090101",
                "serviceStartTime": "2008",
                "title": "Stara karta",
                "comments": "z archiwum",
                "mimeType": "application/xml",
                "languageCode": "pl",
                "referenceIdList": ["7^^^&1.2.3&ISO^urn:ihe:iti:xds:2013:order"],
                "folders": [shelf],
            }
        ],
    }
    summary = imported(settings, write_manifest(source, [line]))
    assert counts(summary) == (1, 0, 0), remarks(summary)
    found = everything(settings, OTHER_PATIENT)
    assert [unique_id(found[each]) for each in (entry, batch, shelf)] == [own, set_id, folder_id]
    assert slot(found[entry], "creationTime") == "20090101"
    assert slot(found[entry], "serviceStartTime") == "2008"
    assert slot(found[entry], "languageCode") == "pl"
    assert slot(found[entry], "hash") == hashlib.sha1(document).hexdigest()
    assert slot(found[batch], "submissionTime") == "20090102"
    texts = {
        each.tag.rpartition("}")[2]: each[0].get("value")
        for each in found[entry]
        if each.tag in (f"{RIM}Name", f"{RIM}Description")
    }
    assert texts == {"Name": "Stara karta", "Description": "z archiwum"}
    members = {
        (each.get("sourceObject"), each.get("targetObject"))
        for each in found.values()
        if each.get("associationType") == HAS_MEMBER
    }
    assert {(batch, entry), (batch, shelf), (shelf, entry)} <= members
    assert len(members) == 4
    assert entries(settings) == {}
    assert counts(imported(settings, source / "manifest.jsonl", again=True)) == (0, 1, 0)


def test_several_documents_by_their_headers(settings: Settings, source: Path) -> None:
    who = patient()
    paths = [cda(source, who, name) for name in ("A", "B")]
    line = {"documents": [{"path": each.name, "title": "Nowy tytuł"} for each in paths]}
    summary = imported(settings, write_manifest(source, [line]))
    assert counts(summary) == (1, 0, 0), remarks(summary)
    found = everything(settings, who).values()
    assert sorted(each.tag.rpartition("}")[2] for each in found) == [
        "Association",
        "Association",
        "ExtrinsicObject",
        "ExtrinsicObject",
        "RegistryPackage",
    ]


def test_a_chain_of_replacements_with_its_status(settings: Settings, source: Path) -> None:
    first, second, third, fourth = versions(source, 4)
    lines = [
        version(0, availabilityStatus="Deprecated"),
        version(1, availabilityStatus="Deprecated", replaces=[first]),
        version(2, availabilityStatus="Approved", replaces=[second]),
        # The second has its replacement already; and what is no history needs an Approved one.
        version(3, availabilityStatus="Approved", replaces=[second]),
        version(3, replaces=[first]),
        version(3, replaces=["1.2.3.4.5"]),
        version(3, appends=[third]),
    ]
    summary = imported(settings, write_manifest(source, lines))
    assert counts(summary) == (4, 0, 3), remarks(summary)
    assert codes(summary) == {
        "manifest.jsonl:4": ["XDSRegistryDeprecatedDocumentError"],
        "manifest.jsonl:5": ["XDSRegistryDeprecatedDocumentError"],
        "manifest.jsonl:6": ["UnresolvedReferenceException"],
    }
    status = {first: "Deprecated", second: "Deprecated", third: "Approved", fourth: "Approved"}
    assert entries(settings) == status
    found = everything(settings)
    names = {
        each.get("id"): unique_id(each) for each in found.values() if each.tag == f"{RIM}ExtrinsicObject"
    }
    replaced = {
        (names[each.get("sourceObject")], names[each.get("targetObject")])
        for each in found.values()
        if each.get("associationType") == RPLC
    }
    assert replaced == {(second, first), (third, second)}
    assert is_sound(settings).is_sound
    again = imported(settings, source, again=True)
    assert counts(again) == (0, 4, 3)


def test_history_of_the_metadata_themselves(settings: Settings, source: Path) -> None:
    old, new = new_uuid(), new_uuid()
    deprecated = document_entry(old, content=b"old", attributes=f' status="{DEPRECATED}"')
    put(source, "a.xml", submit_objects(submission_set(submission_time="2010"), deprecated, original(old)))
    replacement = document_entry(new, content=b"new", attributes=f' status="{APPROVED}"')
    objects = (
        submission_set(submission_time="2011"),
        replacement,
        original(new),
        association(new, old, RPLC),
    )
    put(source, "b.xml", submit_objects(*objects))
    for name, content in ((old, b"old"), (new, b"new")):
        put(source, f"{name.removeprefix('urn:uuid:')}.xml", content)
    summary = imported(settings, source, history=True)
    assert counts(summary) == (2, 0, 0), remarks(summary)
    status = {name: thing.get("status") for name, thing in everything(settings).items()}
    assert (status[old], status[new]) == (DEPRECATED, APPROVED)


def test_without_history_what_is_submitted_is_approved(settings: Settings, source: Path) -> None:
    put(source, "a.xml", pair(b"old", attributes=f' status="{DEPRECATED}"')[0])
    put(source, "Document01", b"old")
    imported(settings, source)
    assert list(entries(settings).values()) == ["Approved"]


def test_relations_by_entry_uuid_and_folders_that_are_there(settings: Settings, source: Path) -> None:
    shelf, first = new_uuid(), new_uuid()
    objects = (
        submission_set(),
        folder(shelf),
        document_entry(first, content=b"0"),
        original(first),
        association("SubmissionSet01", shelf),
    )
    put(source, "0.xml", submit_objects(*objects))
    put(source, "0.doc", b"0")
    put(source, "1.xml", pair(b"1")[0])
    put(source, "1.doc", b"1")
    lines = [version(0), version(1, transforms=[first], folders=[shelf])]
    summary = imported(settings, write_manifest(source, lines))
    assert counts(summary) == (2, 0, 0), remarks(summary)
