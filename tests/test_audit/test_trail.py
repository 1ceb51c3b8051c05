"""What a server records of each transaction, by the framework's tables."""

from __future__ import annotations

import gc
import threading
from base64 import b64decode

import pytest
from lxml import etree
from sqlalchemy import text

from msim_xds.wire.exchange import Request
from tests.conformance.node import MULTIPLE_PATIENTS_ACTION
from tests.support import queries
from tests.support.atna import details
from tests.support.hl7v3 import ADD, AUTHORITY, MERGE, REVISE, ii, patient_message, replacement
from tests.support.metadata import (
    APPROVED,
    PATIENT,
    REPOSITORY,
    SUBMISSION_SET,
    document_entry,
    new_oid,
    on_demand_entry,
    original,
    single_document,
    submission_set,
    submit_objects,
)
from tests.support.paths import REGISTRY
from tests.support.paths import REPOSITORY as REPOSITORY_PATH
from tests.support.updates import status_change, update
from tests.test_audit.conftest import Audited
from tests.test_registry.removing import remove_objects
from tests.test_repository.messages import retrieve, wanted
from tests.test_repository.removing import remove_documents

OTHER = "Inny<'>^^^&1.2.3&ISO"
REMOVE_METADATA = "urn:ihe:iti:2010:DeleteDocumentSet"
REMOVE_DOCUMENTS = "urn:ihe:iti:2017:RemoveDocuments"
RETRIEVE = "urn:ihe:iti:2007:RetrieveDocumentSet"
ENTRY = "urn:uuid:11111111-2222-4333-8444-555555555555"


def submission(unique_id: str, set_id: str, *, patient: str = PATIENT, entry: str = "Document01") -> bytes:
    return submit_objects(
        submission_set(unique_id=set_id, patient_id=patient),
        document_entry(entry, unique_id=unique_id, patient_id=patient),
        original(entry),
    )


def test_iti_41_and_42_name_patient_and_submission_set(audited: Audited) -> None:
    set_id = new_oid()
    audited.provide(submission(new_oid(), set_id), {"Document01": b"hello"})
    (record,) = audited.new()
    assert record.short == ("110107", "ITI-41", "C", "0")
    assert record.patients == [PATIENT]
    assert record.ids(SUBMISSION_SET) == [set_id]  # not the entryUUID
    (thing,) = record.objects(SUBMISSION_SET)
    assert (thing.get("ParticipantObjectTypeCode"), thing.get("ParticipantObjectTypeCodeRole")) == ("2", "20")
    source, destination = record.participants
    assert (source["roles"], destination["roles"]) == ("110153", "110152")
    assert source["UserID"] == "http://www.w3.org/2005/08/addressing/anonymous"
    assert (source["NetworkAccessPointID"], source["NetworkAccessPointTypeCode"]) == ("192.0.2.7", "2")
    assert destination["UserID"] == f"http://127.0.0.1:8080{REPOSITORY_PATH}"
    assert destination["UserIsRequestor"] == "false"
    assert destination["AlternativeUserID"].isdigit()
    audit_source = record.root.find("AuditSourceIdentification")
    assert audit_source is not None
    assert (audit_source.get("AuditSourceID"), audit_source.get("AuditEnterpriseSiteID")) == (
        "rejestr",
        "1.2.3",
    )
    set_id = new_oid()
    audited.register(submission(new_oid(), set_id))
    (record,) = audited.new()
    assert (record.short, record.ids(SUBMISSION_SET)) == (("110107", "ITI-42", "C", "0"), [set_id])


def test_a_refused_submission_is_recorded_with_what_was_read(audited: Audited) -> None:
    set_id = new_oid()
    broken = submit_objects(submission_set(unique_id=set_id, source_id=None), document_entry(), original())
    assert audited.register(broken).status == "Failure"
    (record,) = audited.new()
    assert record.short == ("110107", "ITI-42", "C", "8")
    assert (record.patients, record.ids(SUBMISSION_SET)) == ([PATIENT], [set_id])
    assert "sourceId" in (record.description or "")


def test_iti_61(audited: Audited) -> None:
    audited.register_on_demand(submit_objects(submission_set(), on_demand_entry(), original()))
    (record,) = audited.new()
    assert record.short[:3] == ("110107", "ITI-61", "C")


def test_iti_18_carries_the_query_not_the_answer(audited: Audited) -> None:
    query = queries.find_documents()
    audited.ask(query)
    (record,) = audited.new()
    assert record.short == ("110112", "ITI-18", "E", "0")
    assert record.patients == [PATIENT]
    (thing,) = record.objects("ITI-18")
    assert thing.get("ParticipantObjectID") == f"urn:uuid:{queries.IDS['FindDocuments']}"
    assert details(thing) == {"QueryEncoding": "UTF-8"}
    sent = b64decode(thing.findtext("ParticipantObjectQuery") or "")
    assert b"AdhocQueryRequest" in sent[:60]
    assert PATIENT.replace("&", "&amp;").encode() in sent
    assert record.participants[1]["UserID"].endswith(REGISTRY)


def test_requests_that_are_recorded_are_let_go_of_without_the_collector(audited: Audited) -> None:
    audited.ask(queries.find_documents())
    gc.collect()
    gc.disable()
    try:
        audited.ask(queries.find_documents())
        assert not [each for each in gc.get_objects() if isinstance(each, Request)]
    finally:
        gc.enable()


def test_a_refused_query_is_recorded_as_it_came(audited: Audited) -> None:
    audited.ask(queries.find_documents().replace(b"14d4debf", b"00000000"))
    (record,) = audited.new()
    assert record.short == ("110112", "ITI-18", "E", "8")
    assert record.patients == []
    assert record.ids("ITI-18") == ["urn:uuid:00000000-8f97-4251-9a74-a90016b0af0d"]


def test_iti_51_makes_a_record_for_each_patient(audited: Audited) -> None:
    query = queries.request(
        "FindDocumentsForMultiplePatients",
        [
            ("$XDSDocumentEntryPatientId", queries.many(PATIENT, OTHER)),
            ("$XDSDocumentEntryStatus", queries.many(APPROVED)),
        ],
    )
    audited.ask(query, MULTIPLE_PATIENTS_ACTION)
    records = audited.new()
    assert [each.patients for each in records] == [[PATIENT], [OTHER]]
    assert {each.short for each in records} == {("110112", "ITI-51", "E", "0")}


def test_iti_43_has_the_repository_as_source_and_two_records_for_a_partial_answer(audited: Audited) -> None:
    here, missing = new_oid(), "1.2.3.4.5.6"
    audited.provide(submission(here, new_oid()), {"Document01": b"hello"})
    audited.new()
    audited.retrieve(here, missing)
    done, failed = audited.new()
    assert (done.short, failed.short) == (
        ("110106", "ITI-43", "R", "0"),
        ("110106", "ITI-43", "R", "8"),
    )
    assert (done.ids("9"), failed.ids("9")) == ([here], [missing])
    assert (done.patients, failed.patients) == ([PATIENT], [])
    assert details(done.objects("9")[0]) == {"Repository Unique Id": REPOSITORY}
    source, destination = done.participants
    assert (source["UserID"], source["roles"]) == (f"http://127.0.0.1:8080{REPOSITORY_PATH}", "110153")
    assert (destination["NetworkAccessPointID"], destination["roles"]) == ("192.0.2.7", "110152")
    for each in (done, failed):  # no octet of the document, neither plain nor as base64
        assert not {b"hello", b"aGVsbG8"} & set(etree.tostring(each.root).split(b'"'))


def test_iti_43_of_several_patients_makes_several_records(audited: Audited) -> None:
    mine, others = new_oid(), new_oid()
    audited.provide(submission(mine, new_oid()), {"Document01": b"hello"})
    audited.provide(submission(others, new_oid(), patient=OTHER), {"Document01": b"hello"})
    audited.new()
    payload = retrieve(wanted(REPOSITORY, mine, "urn:oid:1.2"), wanted(REPOSITORY, others))
    audited._send(REPOSITORY_PATH, RETRIEVE, payload, [])
    first, second = audited.new()
    assert (first.patients, first.ids("9")) == ([PATIENT], [mine])
    assert (second.patients, second.ids("9")) == ([OTHER], [others])
    assert details(first.objects("9")[0])["ihe:homeCommunityID"] == "urn:oid:1.2"


def test_a_malformed_retrieval_is_recorded(audited: Audited) -> None:
    audited._send(REPOSITORY_PATH, RETRIEVE, retrieve(), [])
    (record,) = audited.new()
    assert (record.short, record.ids("9")) == (("110106", "ITI-43", "R", "8"), [])


def test_iti_57_and_92(audited: Audited) -> None:
    audited.register(submission(new_oid(), new_oid(), entry=ENTRY))
    audited.new()
    set_id = new_oid()
    audited.update(update(status_change(ENTRY), set_unique_id=set_id))
    audited.update_restricted(update(status_change(ENTRY), set_unique_id=new_oid()))
    done, refused = audited.new()
    assert (done.short, done.patients, done.ids(SUBMISSION_SET)) == (
        ("110107", "ITI-57", "U", "0"),
        [PATIENT],
        [set_id],
    )
    assert refused.short == ("110107", "ITI-92", "U", "8")


def test_iti_62(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> None:
    audited = Audited(tmp_path_factory.mktemp("data"), database_url, update={"retention_years": 0})
    audited.register(submission(new_oid(), new_oid(), entry=ENTRY))
    (link,) = audited.get("GetAssociations", ("$uuid", queries.many(ENTRY))).of("Association")
    audited.new()
    audited._send(REGISTRY, REMOVE_METADATA, remove_objects(ENTRY), None)
    everything = (ENTRY, link.get("id", ""), link.get("sourceObject", ""))
    audited._send(REGISTRY, REMOVE_METADATA, remove_objects(*everything), None)
    refused, done = audited.new()
    assert (refused.short, done.short) == (("110110", "ITI-62", "D", "8"), ("110110", "ITI-62", "D", "0"))
    kind = "urn:ihe:iti:2017:ObjectRef"
    assert refused.ids(kind) == [ENTRY]
    assert sorted(done.ids(kind)) == sorted(everything)
    assert done.patients == [PATIENT]
    assert {each.get("ParticipantObjectDataLifeCycle") for each in done.objects(kind)} == {"15"}
    audited.close()


def test_iti_86(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> None:
    audited = Audited(tmp_path_factory.mktemp("data"), database_url, update={"retention_years": 0})
    unique_id = new_oid()
    audited.provide(submission(unique_id, new_oid()), {"Document01": b"hello"})
    audited.new()
    for _ in range(2):
        payload = remove_documents(wanted(REPOSITORY, unique_id))
        audited._send(REPOSITORY_PATH, REMOVE_DOCUMENTS, payload, None)
    done, refused = audited.new()
    assert (done.short, refused.short) == (("110110", "ITI-86", "D", "0"), ("110110", "ITI-86", "D", "8"))
    for record in (done, refused):
        assert (record.patients, record.ids("9")) == ([PATIENT], [unique_id])
        (thing,) = record.objects("9")
        assert thing.get("ParticipantObjectDataLifeCycle") == "15"
        assert details(thing) == {"Repository Unique Id": REPOSITORY}
    audited.close()


def test_iti_44(audited: Audited) -> None:
    def send(kind: str, message: str) -> None:
        audited._send(f"{REGISTRY}/patients", f"urn:hl7-org:v3:{kind}", message.encode(), None)

    new, old = ii(AUTHORITY, "1"), ii(AUTHORITY, "2")
    send(ADD, patient_message(new))
    send(REVISE, patient_message(old, kind=REVISE))
    added, revised = audited.new()
    assert (added.short, revised.short) == (("110110", "ITI-44", "C", "0"), ("110110", "ITI-44", "U", "0"))
    assert added.patients == [f"1^^^&{AUTHORITY}&ISO"]
    assert details(added.objects("2")[0]) == {"II": "1.2.3.4.5^MSG1"}
    for _ in range(2):  # the second is refused
        send(MERGE, patient_message(new, kind=MERGE, more=replacement(old)))
    records = audited.new()
    assert [(each.short[2:], each.patients) for each in records] == [
        (("D", "0"), [f"2^^^&{AUTHORITY}&ISO"]),
        (("U", "0"), [f"1^^^&{AUTHORITY}&ISO"]),
        (("D", "8"), [f"2^^^&{AUTHORITY}&ISO"]),
        (("U", "8"), [f"1^^^&{AUTHORITY}&ISO"]),
    ]


def test_a_change_without_its_record_is_not_made(audited: Audited) -> None:
    with audited.database.write() as connection:
        connection.execute(text("ALTER TABLE audit_record RENAME TO away"))
    outcome = audited.register(single_document())
    assert outcome.short == ("Failure", "XDSRegistryError")
    with audited.database.write() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO audit_record"))
        assert connection.execute(text("SELECT count(*) FROM registry_object")).scalar_one() == 0


def test_a_read_is_not_answered_without_its_record(audited: Audited) -> None:
    with audited.database.write() as connection:
        connection.execute(text("ALTER TABLE audit_record RENAME TO away"))
    assert audited.ask(queries.find_documents()).short == ("Failure", "XDSRegistryError")


def test_nothing_is_recorded_unless_it_is_wanted(
    tmp_path_factory: pytest.TempPathFactory, database_url: str
) -> None:
    data = tmp_path_factory.mktemp("data")
    silent = Audited(data, database_url, audit={})
    silent.register(single_document())
    silent.ask(queries.find_documents())
    assert silent.new() == []
    assert not (data / "audit.key").exists()
    silent.close()


def test_a_server_that_is_mounted_elsewhere_leaves_no_thread_behind(
    tmp_path_factory: pytest.TempPathFactory, database_url: str
) -> None:
    before = set(threading.enumerate())
    audited = Audited(tmp_path_factory.mktemp("data"), database_url)
    audited.ask(queries.find_documents())
    assert len(audited.new()) == 1
    audited.close()
    assert set(threading.enumerate()) <= before
