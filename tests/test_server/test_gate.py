"""Hospital A cannot read or change what is restricted to hospital B, by no transaction and no query."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from msim_xds.app import open_node
from msim_xds.ihe.queries import QUERIES
from msim_xds.registry import emergencies
from msim_xds.security.access.reader import SAMPLE, UnusablePolicy
from msim_xds.server.pipeline import Pipeline
from msim_xds.settings import Settings
from msim_xds.wire.exchange import Answer, System, SystemKind
from tests.support import metadata
from tests.support.metadata import APPROVED, HAS_MEMBER, RPLC, on_demand_entry, original, submission_set
from tests.support.queries import ALL_IDS, many, one, request
from tests.support.updates import entry_version, update
from tests.test_repository.messages import inline, provide, wanted
from tests.test_repository.removing import remove_documents
from tests.test_server.exchange_world import (
    ADMINISTRATOR,
    BOOK_A,
    BOOK_B,
    LEVEL,
    NURSE_A,
    NURSE_B,
    ROWS,
    SUMMARY,
    Sent,
    World,
    caller,
    emergency,
    fetch,
    get_all,
    ids,
    institution,
    world,
)

RIM = "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"
CODE = "00.20^^2.16.840.1.113883.3.4424.11.1.32"
KIND = "urn:ihe:iti:2007:AssociationType"
DE, SS, FD = "$XDSDocumentEntry", "$XDSSubmissionSet", "$XDSFolder"


@pytest.fixture(scope="module")
def exchange(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(module_database_url, tmp_path_factory.mktemp("node"), search={"preview": True}) as ready:
        yield ready


@pytest.fixture
def sent(exchange: World) -> Sent:
    return exchange.fill(f"{uuid.uuid4().int}^^^&1.2.3&ISO")


def queries(sent: Sent) -> dict[str, list[tuple[str, str]]]:
    """Of every stored query parameters that lead to what is hidden."""
    status = many(APPROVED)
    entries = [(f"{DE}PatientId", one(sent.patient)), (f"{DE}Status", status)]
    folders = [(f"{FD}PatientId", one(sent.patient)), (f"{FD}Status", status)]
    reference = (f"{DE}ReferenceIdList", many("%"))
    hidden = many(*(sent.uuids[name] for name in ("restricted", "appended", "folder", "set")))
    multiple = [(f"{DE}PatientId", many(sent.patient)), (f"{DE}Status", status)]
    return {
        "FindDocuments": entries,
        "FindDocumentsExclude": entries,
        "FindSubmissionSets": [(f"{SS}PatientId", one(sent.patient)), (f"{SS}Status", status)],
        "FindFolders": folders,
        "GetAll": [
            ("$patientId", one(sent.patient)),
            *((f"{stem}Status", status) for stem in (DE, SS, FD)),
        ],
        "GetDocuments": [(f"{DE}UniqueId", many(sent.restricted, sent.appended, sent.open))],
        "GetFolders": [(f"{FD}EntryUUID", many(sent.uuids["folder"]))],
        "GetAssociations": [("$uuid", hidden)],
        "GetDocumentsAndAssociations": [(f"{DE}UniqueId", many(sent.restricted))],
        "GetSubmissionSets": [("$uuid", hidden)],
        "GetSubmissionSetAndContents": [(f"{SS}EntryUUID", one(sent.uuids["set"]))],
        "GetFolderAndContents": [(f"{FD}UniqueId", one(sent.folder))],
        "GetFoldersForDocument": [(f"{DE}UniqueId", one(sent.restricted))],
        "GetRelatedDocuments": [
            (f"{DE}EntryUUID", one(sent.uuids["restricted"])),
            ("$AssociationTypes", many("urn:ihe:iti:2007:AssociationType:APND")),
        ],
        "FindDocumentsByReferenceId": [*entries, reference],
        "FindDocumentsForMultiplePatients": multiple,
        "FindFoldersForMultiplePatients": [(f"{FD}PatientId", many(sent.patient)), (f"{FD}Status", status)],
        "FindDocumentsByReferenceIdForMultiplePatients": [*multiple, reference],
    }


def test_every_query_is_asked(sent: Sent) -> None:
    assert queries(sent).keys() == ALL_IDS.keys() == {row.name for row in QUERIES.values()}


@pytest.mark.parametrize("returns", ["LeafClass", "ObjectRef"])
def test_no_query_shows_what_is_hidden(exchange: World, sent: Sent, returns: str) -> None:
    hidden = exchange.hidden(sent)
    assert {sent.uuids[name] for name in ("restricted", "appended", "folder", "set")} <= hidden
    assert sent.uuids["open"] not in hidden
    for name, slots in queries(sent).items():
        transaction = "ITI-51" if "Multiple" in name else "ITI-18"
        body = request(name, slots, returns=returns)
        seen = exchange.done(transaction, body, NURSE_A)
        assert hidden.isdisjoint(ids(seen)), name
        text = b"".join(seen.payload).decode()
        assert not any(f'"{each}"' in text for each in (*hidden, sent.restricted, sent.appended)), name
        if "Reference" not in name:
            assert not hidden.isdisjoint(ids(exchange.done(transaction, body, NURSE_B))), name
        assert ids(exchange.done(transaction, body, None)) == [], name


def test_counts_say_nothing(sent: Sent, module_database_url: str, tmp_path: Path) -> None:
    """XDSTooManyResults is about what the caller sees."""
    limits = {"query_results": 2}
    with world(module_database_url, tmp_path, limits=limits) as small:
        body = request("FindDocuments", queries(sent)["FindDocuments"])
        assert len(ids(small.done("ITI-18", body, NURSE_A))) == 1
        assert small.refused("ITI-18", body, NURSE_B) == ["XDSTooManyResults"]


def test_retrieval_of_the_hidden_is_as_of_the_unknown(exchange: World, sent: Sent) -> None:
    unknown = metadata.new_oid()
    answer = exchange.ask("ITI-43", fetch(sent.open, sent.restricted, unknown), NURSE_A)
    assert answer.status.endswith(":PartialSuccess")
    assert len(answer.documents) == 1
    refused, missing = answer.findings
    assert refused.code == "XDSDocumentUniqueIdError"
    assert refused.text().replace(sent.restricted, "x") == missing.text().replace(unknown, "x")
    assert len(exchange.done("ITI-43", fetch(sent.open, sent.restricted), NURSE_B).documents) == 2
    assert exchange.refused("ITI-43", fetch(sent.open), None) == ["XDSDocumentUniqueIdError"]


def test_registering_a_document_once_more_opens_nothing(exchange: World, sent: Sent) -> None:
    """Its uniqueId with an own author and a lower level, beside the entry that restricts it."""
    other = f"{uuid.uuid4().int}^^^&1.2.3&ISO"
    exchange.provide(
        submission_set(patient_id=other),
        metadata.document_entry(unique_id=sent.restricted, patient_id=other),
        original(),
        book=BOOK_A,
    )
    assert exchange.refused("ITI-43", fetch(sent.restricted), NURSE_A) == ["XDSDocumentUniqueIdError"]


def test_the_patient_summary_lists_what_its_reader_sees(exchange: World, sent: Sent) -> None:
    unique_id = metadata.new_oid()
    codes = {"typeCode": SUMMARY, "confidentialityCode": ("R", LEVEL, "restricted")}  # so it may list such
    entry = on_demand_entry(unique_id=unique_id, patient_id=sent.patient, codes=codes)
    body = metadata.submit_objects(submission_set(patient_id=sent.patient), entry, original())
    exchange.done("ITI-61", body, None)
    texts = []
    for who, system in ((NURSE_A, None), (None, ADMINISTRATOR)):
        (document,) = exchange.done("ITI-43", fetch(unique_id), who, system).documents
        texts.append(b"".join(document.chunks).decode())
    assert all(f">{sent.open}<" in text for text in texts)
    assert [f">{sent.restricted}<" in text for text in texts] == [False, True]
    assert exchange.refused("ITI-43", fetch(unique_id), NURSE_B) == ["XDSDocumentUniqueIdError"]
    assert exchange.refused("ITI-43", fetch(unique_id), None) == ["XDSDocumentUniqueIdError"]


def removal(*uuids: str) -> bytes:
    """lcm:RemoveObjectsRequest."""
    references = "".join(f'<rim:ObjectRef id="{each}"/>' for each in uuids)
    return (
        f'<lcm:RemoveObjectsRequest xmlns:lcm="{metadata.LCM}" xmlns:rim="{RIM}">'
        f"<rim:ObjectRefList>{references}</rim:ObjectRefList></lcm:RemoveObjectsRequest>"
    ).encode()


def removed(*unique_ids: str) -> bytes:
    """ITI-86 of these documents."""
    return remove_documents(*(wanted(metadata.REPOSITORY, each) for each in unique_ids))


def test_only_the_owner_changes(exchange: World, sent: Sent) -> None:
    def change(name: str) -> bytes:
        uuid_, unique_id = sent.uuids[name], getattr(sent, name)
        version = entry_version(uuid_, unique_id, patient_id=sent.patient, title="Nowy tytuł")
        return update(version, patient_id=sent.patient)

    assert exchange.refused("ITI-57", change("open"), NURSE_A) == ["XDSRegistryError"]
    assert exchange.refused("ITI-57", change("restricted"), NURSE_A) == ["XDSRegistryError"]
    assert exchange.refused("ITI-92", change("open"), NURSE_A) == ["LocalPolicyRestrictionError"]
    assert exchange.refused("ITI-57", change("open"), None) == ["XDSRegistryError"]
    exchange.done("ITI-57", change("open").replace(BOOK_A.encode(), b"000000999902"), NURSE_B)


def test_only_the_owner_removes(exchange: World, sent: Sent) -> None:
    seen, secret = sent.uuids["open"], sent.uuids["restricted"]
    assert exchange.refused("ITI-62", removal(seen), NURSE_A) == ["XDSRegistryError"]
    assert exchange.refused("ITI-62", removal(secret), NURSE_A) == ["UnresolvedReferenceException"]
    assert exchange.refused("ITI-86", removed(sent.open), NURSE_A) == ["XDSRepositoryError"]
    assert exchange.refused("ITI-86", removed(sent.restricted), NURSE_A) == ["XDSDocumentUniqueIdError"]
    everything = exchange.hidden(sent)
    exchange.done("ITI-86", removed(sent.restricted), NURSE_B)
    exchange.done("ITI-62", removal(*everything), None, ADMINISTRATOR)


def submission(sent: Sent, kind: str, target: str) -> bytes:
    """A new document by hospital A, related to what is there."""
    batch, mine = metadata.new_uuid(), metadata.new_uuid()
    ends = (mine, target) if kind != HAS_MEMBER else (batch, target)
    slots = {"SubmissionSetStatus": "Reference"} if kind == HAS_MEMBER else {}
    return metadata.submit_objects(
        submission_set(batch, patient_id=sent.patient),
        metadata.document_entry(mine, patient_id=sent.patient),
        original(mine, batch),
        metadata.association(*ends, kind, slots=slots),
    )


FOREIGN, UNKNOWN = "belongs to another institution", "UnresolvedReferenceException"
TO_WHAT_IS_THERE = [
    (RPLC, "open", FOREIGN),
    (f"{KIND}:XFRM_RPLC", "open", FOREIGN),
    (f"{KIND}:APND", "open", None),
    (f"{KIND}:XFRM", "open", None),
    (HAS_MEMBER, "open", None),
    (RPLC, "restricted", UNKNOWN),
    (f"{KIND}:XFRM_RPLC", "restricted", UNKNOWN),
    (f"{KIND}:APND", "restricted", UNKNOWN),
    (f"{KIND}:XFRM", "restricted", UNKNOWN),
    (f"{KIND}:signs", "restricted", UNKNOWN),
    (HAS_MEMBER, "restricted", UNKNOWN),
]


@pytest.mark.parametrize("transaction", ["ITI-41", "ITI-42"])
@pytest.mark.parametrize(("kind", "name", "problem"), TO_WHAT_IS_THERE)
def test_what_a_submission_may_relate_to(
    exchange: World, sent: Sent, transaction: str, kind: str, name: str, problem: str | None
) -> None:
    def body(target: str) -> bytes:
        objects = submission(sent, kind, target)
        if transaction == "ITI-42":
            return objects
        mine = re.search(rb'<rim:ExtrinsicObject id="([^"]+)"', objects)
        assert mine is not None
        return provide(objects, inline(mine[1].decode(), b"hello"))

    target = sent.uuids[name]
    before = ids(exchange.done("ITI-18", get_all(sent.patient), None, ADMINISTRATOR))
    if problem is None:
        exchange.done(transaction, body(target), NURSE_A)
        return
    answer = exchange.ask(transaction, body(target), NURSE_A)
    (finding,) = answer.findings
    if problem == FOREIGN:
        assert problem in finding.text()
        assert finding.code == ROWS[transaction].failure
    else:
        missing = metadata.new_uuid()
        (unknown,) = exchange.ask(transaction, body(missing), NURSE_A).findings
        assert finding.code == unknown.code == UNKNOWN
        assert without_ids(finding.text()) == without_ids(unknown.text())
    assert ids(exchange.done("ITI-18", get_all(sent.patient), None, ADMINISTRATOR)) == before
    for who, system in ((NURSE_B, None), (None, ADMINISTRATOR)):
        if kind != f"{KIND}:signs" and (system is None or kind not in (RPLC, f"{KIND}:XFRM_RPLC")):
            exchange.done(transaction, body(target), who, system)


def without_ids(text: str) -> str:
    return re.sub(r"urn:uuid:[0-9a-f-]{36}", "x", text)


def test_the_id_of_a_hidden_object_is_taken(exchange: World, sent: Sent) -> None:
    batch = metadata.new_uuid()
    body = metadata.submit_objects(
        submission_set(batch, patient_id=sent.patient),
        metadata.document_entry(sent.uuids["restricted"], patient_id=sent.patient),
        original(sent.uuids["restricted"], batch),
    )
    assert exchange.refused("ITI-42", body, NURSE_A) == ["XDSRegistryMetadataError"]


def test_a_system_without_a_user_replaces_the_documents_of_its_institutions(
    exchange: World, sent: Sent
) -> None:
    """Also those that no rule would show it."""
    hospital = System("his", SystemKind.HOSPITAL, institutions=frozenset([institution(BOOK_B)]))
    other = replace(hospital, institutions=frozenset([institution(BOOK_A)]))

    def body(name: str) -> bytes:
        objects = submission(sent, RPLC, sent.uuids[name])
        return objects.replace(BOOK_A.encode(), BOOK_B.encode())

    for name in ("open", "restricted"):
        answer = exchange.ask("ITI-42", body(name), None, other)
        assert answer.status.endswith(":Failure")
        exchange.done("ITI-42", body(name), None, hospital)


def test_an_on_demand_entry_of_others_is_not_replaced(exchange: World, sent: Sent) -> None:
    def entry(**options: object) -> str:
        codes = {"typeCode": SUMMARY}
        return on_demand_entry(patient_id=sent.patient, codes=codes, **options)  # type: ignore[arg-type]

    def body(*objects: str) -> bytes:
        return metadata.submit_objects(submission_set(patient_id=sent.patient), *objects, original())

    uuid_ = metadata.new_uuid()
    first = metadata.submit_objects(
        submission_set(patient_id=sent.patient), entry(id=uuid_), original(uuid_)
    ).replace(BOOK_A.encode(), BOOK_B.encode())
    exchange.done("ITI-61", first, None)
    again = body(entry(), metadata.association("Document01", uuid_, RPLC))
    assert exchange.refused("ITI-61", again, NURSE_A) == ["XDSRegistryError"]
    exchange.done("ITI-61", body(entry(), metadata.association("Document01", uuid_, RPLC)), NURSE_B)


def test_emergencies_need_role_and_reason(exchange: World, sent: Sent) -> None:
    body = request("FindDocuments", queries(sent)["FindDocuments"], returns="ObjectRef")
    assert exchange.refused("ITI-18", body, emergency(reason="")) == ["XDSRegistryError"]
    assert exchange.refused("ITI-18", body, emergency(role="nurse")) == ["XDSRegistryError"]
    assert exchange.refused("ITI-43", fetch(sent.restricted), emergency(reason=" ")) == ["XDSRepositoryError"]
    assert sent.uuids["restricted"] in ids(exchange.done("ITI-18", body, emergency()))
    assert exchange.done("ITI-43", fetch(sent.restricted), emergency()).documents
    with exchange.node.database.read() as connection:
        kept = [each.emergency for each in emergencies.listed(connection, all_of_them=True)]
    of_patient = [each for each in kept if each.patient == sent.patient]
    assert [(each.transaction, each.documents) for each in of_patient] == [("ITI-18", 0), ("ITI-43", 1)]
    assert {(each.reason, each.purposes) for each in of_patient} == {("unconscious", "BTG")}


def test_emergencies_are_in_the_audit_trail(sent: Sent, module_database_url: str, tmp_path: Path) -> None:
    with world(module_database_url, tmp_path, audit={"enabled": True}) as audited:
        trail = audited.node.trail
        assert trail is not None
        audited.pipeline = Pipeline(audited.node.handlers(), 100, trail)
        body = request("GetDocuments", queries(sent)["GetDocuments"])  # whose patient the answer tells
        audited.done("ITI-18", body, emergency(reason="bleeding"))
        texts = [kept.entry.message.decode() for kept in trail.outbox.of_patient(sent.patient)]
    (alert,) = [text for text in texts if "110127" in text]
    assert "110113" in alert


def test_every_transaction_is_judged_or_known_not_to_be(exchange: World) -> None:
    """A new one that reads or changes documents must not pass by."""
    gate = exchange.node.gate
    assert gate is not None

    def handler(request: object) -> Answer:
        return Answer([])

    judged = {
        name for name, guarded in gate.before(dict.fromkeys(ROWS, handler)).items() if guarded is not handler
    }
    about_patients = {name for name in ROWS if name.startswith(("ITI-44", "ITI-55"))}
    assert ROWS.keys() - judged == about_patients


def test_named_roles_see_what_is_restricted(exchange: World, sent: Sent) -> None:
    assert exchange.done("ITI-43", fetch(sent.restricted), caller(BOOK_A, "medical doctor")).documents


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"registry": {"url": "http://localhost/"}}, "needs the registry in this process"),
        ({"on_demand": {"persist": True}}, "on_demand.persist must be off"),
    ],
)
def test_settings_that_do_not_go_together(tmp_path: Path, settings: dict[str, object], problem: str) -> None:
    with pytest.raises(UnusablePolicy, match=problem):
        open_node(Settings(data=tmp_path, access={"policy": SAMPLE}, **settings))  # type: ignore[arg-type]
