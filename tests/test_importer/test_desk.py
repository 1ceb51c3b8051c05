"""importer.desk with composing and overrides: what is registered of an archive, and what is refused."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from msim_xds.app import open_node, open_services
from msim_xds.importer.desk import Desk, Order, Overtaken
from msim_xds.importer.plan import make_plan
from msim_xds.importer.progress import Progress
from msim_xds.importer.running import Summary, begin
from msim_xds.repository import scrub
from msim_xds.repository.index import StoredDocument
from msim_xds.settings import LimitSettings, PatientSettings, RegistrySettings, Settings
from tests.support.metadata import (
    APPROVED,
    DEPRECATED,
    HAS_MEMBER,
    OTHER_PATIENT,
    PATIENT,
    REPOSITORY,
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
from tests.test_cli.documents import OID, cda, patient
from tests.test_importer.archives import (
    RIM,
    answer,
    codes,
    counts,
    entries,
    everything,
    imported,
    pair,
    remarks,
    settings_of,
    slot,
    unique_id,
    write_manifest,
    zipped,
)
from tests.test_repository.messages import retrieve, wanted


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return settings_of(tmp_path / "data", database_url)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    return path


def put(source: Path, name: str, content: bytes) -> None:
    (source / name).parent.mkdir(parents=True, exist_ok=True)
    (source / name).write_bytes(content)


def is_sound(settings: Settings) -> scrub.Report:
    node = open_node(settings)
    try:
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        report = scrub.check(node.store, node.index, node.database, REPOSITORY, tomorrow)
    finally:
        node.close()
    assert report.is_sound, report.problems
    return report


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


# --- manifests --------------------------------------------------------------------------------------


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


def versions(source: Path, count: int) -> list[str]:
    """So many documents in files of their number; their uniqueIds."""
    names = [new_oid() for _ in range(count)]
    for number, name in enumerate(names):
        put(source, f"{number}.xml", pair(b"<v>%d</v>" % number, name)[0])
        put(source, f"{number}.doc", b"<v>%d</v>" % number)
    return names


def version(number: int, **document: Any) -> dict[str, Any]:
    return {"metadata": f"{number}.xml", "documents": [{"path": f"{number}.doc", **document}]}


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


# --- crashes and others -----------------------------------------------------------------------------


def desk_of(settings: Settings, source: Path) -> Desk:
    services = open_services(settings)
    order = Order(source, settings.data / "report.jsonl")
    begin(services, order, make_plan(source), again=False)
    return Desk(services, order)


def test_a_batch_that_was_registered_meanwhile_is_passed_over(settings: Settings, source: Path) -> None:
    versions(source, 3)
    path = write_manifest(source, [version(each) for each in range(3)])
    desk = desk_of(settings, path)
    tasks = list(make_plan(path).tasks(0))
    prepared = desk.prepare(tasks)
    desk.register(desk.prepare(tasks[:2]))
    progress = desk.register(prepared)
    assert (progress.position, progress.imported, progress.present) == (3, 3, 0)
    assert len(entries(settings)) == 3


def test_a_batch_out_of_order_is_not_registered(settings: Settings, source: Path) -> None:
    versions(source, 2)
    path = write_manifest(source, [version(each) for each in range(2)])
    desk = desk_of(settings, path)
    with pytest.raises(Overtaken):
        desk.register(desk.prepare(list(make_plan(path).tasks(1))))
    with pytest.raises(ValueError, match="empty"):
        desk.register([])
    assert entries(settings) == {}


def test_a_transaction_that_fails_keeps_nothing_and_is_tried_again(
    settings: Settings, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions(source, 3)
    path = write_manifest(
        source, [*(version(each) for each in range(2)), {"metadata": "none.xml"}, version(2)]
    )
    desk = desk_of(settings, path)
    failing = [TimeoutError("busy"), TimeoutError("busy")]
    save = desk._journal.save

    def save_later(*arguments: Any) -> None:
        if failing:
            raise failing.pop()
        save(*arguments)

    monkeypatch.setattr(desk._journal, "save", save_later)
    monkeypatch.setattr("msim_xds.importer.desk._FIRST_PAUSE_S", 0.0)
    progress = desk.register(desk.prepare(list(make_plan(path).tasks(0))))
    assert (progress.imported, progress.refused) == (3, 1)
    assert len(entries(settings)) == 3
    assert len(Path(progress.report).read_text().splitlines()) == 1

    monkeypatch.setattr(desk._journal, "lock", lambda connection: (_ for _ in ()).throw(TimeoutError("busy")))
    with pytest.raises(TimeoutError, match="busy"):
        desk.register(desk.prepare(list(make_plan(path).tasks(0))))


def test_many_objects_are_several_transactions(
    settings: Settings, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions(source, 5)
    path = write_manifest(source, [version(each) for each in range(5)])
    desk = desk_of(settings, path)
    positions = []
    save = desk._journal.save

    def noted(connection: Any, progress: Progress) -> None:
        positions.append(progress.position)
        save(connection, progress)

    monkeypatch.setattr(desk._journal, "save", noted)
    monkeypatch.setattr("msim_xds.importer.desk._MOST_OBJECTS", 6)  # a set, an entry and their association: 3
    desk.register(desk.prepare(list(make_plan(path).tasks(0))))
    assert positions == [2, 4, 5]


def test_a_batch_with_very_many_objects_is_prepared_in_pieces(
    settings: Settings, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions(source, 5)
    path = write_manifest(source, [version(each) for each in range(5)])
    desk = desk_of(settings, path)
    monkeypatch.setattr("msim_xds.importer.desk._MOST_PREPARED", 4)
    tasks = list(make_plan(path).tasks(0))
    prepared = desk.prepare(tasks)
    assert len(prepared) == 2
    assert desk.complete(tasks, prepared).imported == 5
    assert len(entries(settings)) == 5


def test_a_store_without_room_leaves_nothing(
    settings: Settings, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions(source, 2)
    path = write_manifest(source, [version(0), version(1)])
    desk = desk_of(settings, path)
    monkeypatch.setattr(
        type(desk._services.store), "commit", lambda *_: (_ for _ in ()).throw(OSError("full"))
    )
    with pytest.raises(OSError, match="full"):
        desk.prepare(list(make_plan(path).tasks(0)))
    monkeypatch.undo()
    assert is_sound(settings).counts == {}


def test_a_spool_without_room_leaves_nothing(
    settings: Settings, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions(source, 2)
    desk = desk_of(settings, path := write_manifest(source, [version(0), version(1)]))
    stage = desk._services.store.stage
    sinks: list[Any] = []

    def full_at_the_second() -> Any:
        sinks.append(stage())
        if len(sinks) == 2:
            monkeypatch.setattr(type(sinks[1]), "write", lambda *_: (_ for _ in ()).throw(OSError("full")))
        return sinks[-1]

    monkeypatch.setattr(type(desk._services.store), "stage", lambda _: full_at_the_second())
    with pytest.raises(OSError, match="full"):
        desk.prepare(list(make_plan(path).tasks(0)))
    monkeypatch.undo()
    assert is_sound(settings).counts == {}


def test_a_document_of_no_time_at_all(settings: Settings, tmp_path: Path) -> None:
    manifest = json.dumps({"documents": [{"path": "scan.pdf"}], "patientId": PATIENT}).encode()
    archive = zipped(tmp_path / "z.zip", {"manifest.jsonl": manifest, "scan.pdf": b"%PDF"})
    octets = archive.read_bytes()
    second = octets.rindex(b"PK\x01\x02")
    archive.write_bytes(octets[: second + 14] + b"\0\0" + octets[second + 16 :])
    summary = imported(settings, archive)
    assert codes(summary) == {"manifest.jsonl:1": ["XDSMissingDocument"]}
    assert "no proper time" in remarks(summary)[0]["findings"][0]["problem"]


def test_an_orphan_that_is_just_removed_refuses_its_submission_only(settings: Settings, source: Path) -> None:
    names = versions(source, 3)
    path = write_manifest(source, [version(each) for each in range(3)])
    desk = desk_of(settings, path)
    prepared = desk.prepare(list(make_plan(path).tasks(0)))
    desk._services.store.delete(hashlib.sha256(b"<v>1</v>").hexdigest())
    progress = desk.register(prepared)
    assert (progress.imported, progress.refused) == (2, 1)
    assert codes(Summary(progress, 3, 0, 0)) == {"manifest.jsonl:2": ["XDSRepositoryBusy"]}
    assert entries(settings) == {names[0]: "Approved", names[2]: "Approved"}
    assert is_sound(settings).documents == 2


def test_a_document_that_the_index_has_with_other_octets_refuses_its_submission_only(
    settings: Settings, source: Path
) -> None:
    names = versions(source, 3)
    path = write_manifest(source, [version(each) for each in range(3)])
    desk = desk_of(settings, path)
    prepared = desk.prepare(list(make_plan(path).tasks(0)))
    (part,) = prepared[2].composed.parts.values()
    other = StoredDocument(names[1], part.sha256, part.sha1, part.xxh3, part.size, "text/xml")
    with desk._services.database.write() as connection:  # as left behind by a registry elsewhere
        desk._services.index.add(connection, [other], registered=False)
    progress = desk.register(prepared)
    assert (progress.imported, progress.refused) == (2, 1)
    assert codes(Summary(progress, 3, 0, 0)) == {"manifest.jsonl:2": ["XDSNonIdenticalHash"]}
    assert entries(settings) == {names[0]: "Approved", names[2]: "Approved"}


def test_documents_in_an_object_store(s3_settings: Settings, source: Path) -> None:
    names = versions(source, 20)
    path = write_manifest(source, [version(each) for each in range(20)])
    summary = imported(s3_settings, path)
    assert counts(summary) == (20, 0, 0), remarks(summary)
    report = is_sound(s3_settings)
    assert (report.documents, report.counts) == (20, {})
    node = open_node(s3_settings)
    found = answer(node, retrieve(*(wanted(REPOSITORY, name) for name in names)), retrieve=True).documents
    assert [b"".join(each.chunks) for each in found] == [b"<v>%d</v>" % each for each in range(20)]
    node.close()


def test_a_registry_elsewhere_cannot_be_imported_into(tmp_path: Path, source: Path) -> None:
    settings = settings_of(tmp_path / "data", registry=RegistrySettings(url="http://127.0.0.1:1/"))
    with pytest.raises(ValueError, match=r"registry\.url"):
        imported(settings, source)
