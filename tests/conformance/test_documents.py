"""ITI-41 and ITI-43: documents with their metadata, row by row (ITI TF-2 3.41.4.1.3, 3.43.4.1.3)."""

# ruff: noqa: E501 - tables: one row, one line

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.conformance.node import FAILURE, PARTIAL, SUCCESS, Node
from tests.conformance.world import RPLC, held, member, related, submission
from tests.support.metadata import (
    APND,
    APPROVED,
    OTHER_PATIENT,
    PATIENT,
    RIM,
    XFRM,
    XFRM_RPLC,
    association,
    document_entry,
    folder,
    new_oid,
    new_uuid,
    original,
    submission_set,
    submit_objects,
)
from tests.support.queries import many, one

TEXT = "zażółć gęślą jaźń\r\n".encode() + bytes(range(256))
METADATA = (FAILURE, "XDSRepositoryMetadataError")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Node:
    path: Path = tmp_path_factory.mktemp("node")
    return Node(path)


def bare(id: str = "Document01", **options: object) -> str:
    """A DocumentEntry as a source sends it: without what the repository adds."""
    return document_entry(id, content=None, repository=None, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("as_mtom", [True, False])
@pytest.mark.parametrize("mime_type", ["text/plain", "application/pdf", "text/goofy"])
def test_what_came_goes_out(server: Node, as_mtom: bool, mime_type: str) -> None:
    unique_id = new_oid()
    message = submission(bare(unique_id=unique_id, mime_type=mime_type), original())
    assert server.provide(message, {"Document01": TEXT}, as_mtom=as_mtom).short == (SUCCESS,)
    answer = server.retrieve(unique_id)
    assert answer.short == (SUCCESS,)
    assert answer.documents == {unique_id: (mime_type, TEXT)}
    found = server.get("GetDocuments", ("$XDSDocumentEntryUniqueId", many(unique_id))).objects[0]
    values = {
        slot.get("name"): [each.text for each in slot.iter(f"{{{RIM}}}Value")]
        for slot in found.iterchildren(f"{{{RIM}}}Slot")
    }
    assert values["hash"] == [hashlib.sha1(TEXT).hexdigest()]
    assert values["size"] == [str(len(TEXT))]
    assert values["repositoryUniqueId"] == ["2.16.840.1.113883.3.4424.2.7.99999.24.1"]
    assert found.get("mimeType") == mime_type


@pytest.mark.parametrize(
    ("message", "documents", "expected"),
    [
        pytest.param(submission(bare(), original()), {}, (FAILURE, "XDSMissingDocument"), id="no document"),
        pytest.param(
            submission(folder(), held()),
            {"Document01": b"x"},
            (FAILURE, "XDSMissingDocumentMetadata"),
            id="no entry",
        ),
        pytest.param(
            submission(bare(), original()),
            {"Document1": b"x"},
            (FAILURE, "XDSMissingDocument", "XDSMissingDocumentMetadata"),
            id="other id",
        ),
        pytest.param(
            submission(bare(slots={"hash": "0" * 40}), original()), {"Document01": b"x"}, METADATA, id="wrong hash"
        ),
        pytest.param(
            submission(bare(slots={"size": "2"}), original()), {"Document01": b"x"}, METADATA, id="wrong size"
        ),
        pytest.param(
            submission(bare(slots={"hash": hashlib.sha1(b"x").hexdigest().upper(), "size": "1"}), original()),
            {"Document01": b"x"},
            (SUCCESS,),
            id="hash in capitals",
        ),
        pytest.param(
            submission(bare(slots={"hash": "", "size": ""}), original()), {"Document01": b"x"}, (SUCCESS,), id="empty slots"
        ),
        pytest.param(
            submission(document_entry(content=b"x", repository="1.2.3"), original()),
            {"Document01": b"x"},
            (SUCCESS,),
            id="another repository's id",
        ),
        pytest.param(submission(bare(), original()), {"Document01": b""}, (SUCCESS,), id="empty document"),
        pytest.param(submission(folder(), held()), {}, (SUCCESS,), id="folder alone"),
        pytest.param(submission(bare(unique_id=None), original()), {"Document01": b"x"}, METADATA, id="no uniqueId"),
        pytest.param(submission(bare(mime_type=None), original()), {"Document01": b"x"}, METADATA, id="no mimeType"),
        pytest.param(
            submission(bare(codes={"classCode": None}), original()),
            {"Document01": b"x"},
            (FAILURE, "XDSRegistryMetadataError"),
            id="no classCode",
        ),
        pytest.param(
            submission(bare(patient_id=OTHER_PATIENT), original()),
            {"Document01": b"x"},
            (FAILURE, "XDSPatientIdDoesNotMatch"),
            id="another patient",
        ),
        pytest.param(
            submission(bare("a", unique_id="1.2.7"), bare("b", unique_id="1.2.7"), original("a"), original("b")),
            {"a": b"x", "b": b"x"},
            (FAILURE, "XDSRepositoryDuplicateUniqueIdInMessage"),
            id="one uniqueId twice",
        ),
        pytest.param(
            submission(
                bare("a"), bare("b"), original("a"), original("b"), association("a", "b", APND), folder(), held(),
                member("Folder01", "a"),
            ),
            {"a": b"x", "b": b"x"},
            (SUCCESS,),
            id="two documents and a folder",
        ),
        pytest.param(
            submission(bare(), original(), association("Document01", new_uuid(), RPLC)),
            {"Document01": b"x"},
            (FAILURE, "UnresolvedReferenceException"),
            id="replaces nothing",
        ),
    ],
)  # fmt: skip
def test_answer(server: Node, message: bytes, documents: dict[str, bytes], expected: tuple[str, ...]) -> None:
    before = server.everything().kinds
    outcome = server.provide(message, documents)
    assert outcome.short == expected, outcome.texts
    assert (server.everything().kinds == before) == (outcome.status == FAILURE)


def test_nothing_is_kept_of_a_refused_submission(server: Node) -> None:
    unique_id = new_oid()
    entries = (bare("a", unique_id=unique_id), bare("b", codes={"typeCode": None}))
    message = submission(*entries, original("a"), original("b"))
    assert server.provide(message, {"a": TEXT, "b": TEXT}).status == FAILURE
    assert server.get("GetDocuments", ("$XDSDocumentEntryUniqueId", many(unique_id))).objects == []
    assert server.retrieve(unique_id).short == (FAILURE, "XDSDocumentUniqueIdError")


def test_other_octets_under_a_known_unique_id(server: Node) -> None:
    unique_id = new_oid()
    message = submission(bare(unique_id=unique_id), original())
    assert server.provide(message, {"Document01": b"one"}).short == (SUCCESS,)
    again = submission(bare(unique_id=unique_id), original())
    assert server.provide(again, {"Document01": b"two"}).short == (FAILURE, "XDSNonIdenticalHash")
    assert server.provide(again, {"Document01": b"one"}).short == (SUCCESS,)
    assert len(server.get("GetDocuments", ("$XDSDocumentEntryUniqueId", many(unique_id))).objects) == 2
    assert server.retrieve(unique_id).documents[unique_id][1] == b"one"


def test_a_retry_changes_nothing(server: Node) -> None:
    message = submission(bare(), original())
    assert server.provide(message, {"Document01": b"again"}).short == (SUCCESS,)
    before = server.everything().kinds
    assert server.provide(message, {"Document01": b"again"}).short == (SUCCESS,)
    assert server.everything().kinds == before


def test_retrieving(server: Node) -> None:
    first, second = new_oid(), new_oid()
    message = submission(
        bare("a", unique_id=first), bare("b", unique_id=second), original("a"), original("b")
    )
    assert server.provide(message, {"a": b"1", "b": b"2"}).short == (SUCCESS,)
    both = server.retrieve(second, first)
    assert both.short == (SUCCESS,)
    assert {name: data for name, (_, data) in both.documents.items()} == {first: b"1", second: b"2"}
    some = server.retrieve(first, "1.2.3")
    assert some.short == (PARTIAL, "XDSDocumentUniqueIdError")
    assert set(some.documents) == {first}
    assert [each.get("location") for each in some.reports("Error")] == ["1.2.3"]
    assert server.retrieve(first, repository="1.2.3").short == (FAILURE, "XDSUnknownRepositoryId")


def test_outdated_documents_are_delivered(server: Node) -> None:
    entry, unique_id = new_uuid(), new_oid()
    first = submission(bare(entry, unique_id=unique_id), original(entry))
    assert server.provide(first, {entry: b"old"}).short == (SUCCESS,)
    second = submission(bare(), original(), association("Document01", entry, RPLC))
    assert server.provide(second, {"Document01": b"new"}).short == (SUCCESS,)
    assert server.statuses(entry) == ["Deprecated"]
    twice = server.retrieve(unique_id, unique_id)
    assert twice.short == (SUCCESS,)
    assert [data for _, data in twice.response.parts()[1:]] == [b"old"] * 2


def test_replacement_with_all_that_hangs_on_it(server: Node) -> None:
    """RPLC deprecates appendices and transforms, of all generations; folders take the new document in."""
    first, appended, transformed, deep, second = (new_uuid() for _ in range(5))
    folder_id = new_uuid()
    unique_id = new_oid()
    documents = submission(
        document_entry(first, unique_id=unique_id),
        folder(folder_id),
        original(first),
        held(folder_id),
        member(folder_id, first),
    )
    for message in (
        documents,
        related(APND, first, entry=appended),
        related(XFRM, first, entry=transformed),
        related(XFRM, appended, entry=deep),
    ):
        assert server.register(message).short == (SUCCESS,)
    assert server.statuses(first, appended, transformed, deep) == ["Approved"] * 4
    assert server.register(related(XFRM_RPLC, first, entry=second)).short == (SUCCESS,)
    assert server.statuses(first, appended, transformed, deep, second) == ["Deprecated"] * 4 + ["Approved"]
    content = server.get("GetFolderAndContents", ("$XDSFolderEntryUUID", one(folder_id)))
    assert content.kinds == {"Association": 2, "ExtrinsicObject": 2, "RegistryPackage": 1}
    sets = server.get("GetSubmissionSets", ("$uuid", many(second)))
    (set_id,) = (each.get("id", "") for each in sets.of("RegistryPackage"))
    whole = server.get("GetSubmissionSetAndContents", ("$XDSSubmissionSetEntryUUID", one(set_id)))
    assert whole.kinds == {"Association": 1, "ExtrinsicObject": 1, "RegistryPackage": 1}
    touching = server.get("GetAssociations", ("$uuid", many(set_id)))
    assert touching.kinds == {"Association": 2}  # the document, and its new place in the folder


def test_one_document_replaces_two(server: Node) -> None:
    first, second = new_uuid(), new_uuid()
    for entry in (first, second):
        assert server.register(submission(document_entry(entry), original(entry))).short == (SUCCESS,)
    assert server.register(related(RPLC, first, association("Document01", second, RPLC))).short == (SUCCESS,)
    assert server.statuses(first, second) == ["Deprecated", "Deprecated"]


def test_what_the_registry_sets(server: Node) -> None:
    """Ids become UUIDs, everything is Approved, folders carry the time of the registry (ITI TF-3 4.2.3)."""
    unique_id = new_oid()
    message = submit_objects(
        submission_set("s", unique_id=unique_id, attributes=' status="x"'),
        document_entry("d", attributes=' status="x" lid="d"'),
        folder("f"),
        original("d", "s"),
        association("s", "f"),
        association("f", "d", id="m"),
        association("s", "m"),
    )
    assert server.register(message).short == (SUCCESS,)
    found = server.get("GetSubmissionSetAndContents", ("$XDSSubmissionSetUniqueId", one(unique_id)))
    assert found.kinds == {"Association": 4, "ExtrinsicObject": 1, "RegistryPackage": 2}
    for each in found.objects:
        assert each.get("id", "").startswith("urn:uuid:")
        assert each.get("status") == APPROVED
    assert len(set(found.ids)) == 7
    ids = set(found.ids)
    for link in found.of("Association"):
        assert {link.get("sourceObject"), link.get("targetObject")} <= ids
    for part in found.root.iter(f"{{{RIM}}}Classification", f"{{{RIM}}}ExternalIdentifier"):
        assert part.get("objectType", "").startswith(
            "urn:oasis:names:tc:ebxml-regrep:ObjectType:RegistryObject:"
        )
        assert part.get("id", "").startswith("urn:uuid:")
        owner = part.getparent()
        assert owner is not None
        assert owner.get("id") in (part.get("classifiedObject"), part.get("registryObject"))
    assert [slot.get("name") for slot in found.root.iter(f"{{{RIM}}}Slot")].count("lastUpdateTime") == 1


def test_extra_metadata_comes_back(server: Node) -> None:
    unique_id = new_oid()
    slots = {"urn:example:a": ["1", "2"]}
    message = submit_objects(
        submission_set(slots=slots, unique_id=unique_id),
        document_entry(slots=slots),
        association("SubmissionSet01", "Document01", status="Original", slots=slots),
    )
    outcome = server.register(message)
    assert outcome.short == (SUCCESS,)
    assert not any("urn:example:a" in text for text in outcome.warnings)
    found = server.get("GetSubmissionSetAndContents", ("$XDSSubmissionSetUniqueId", one(unique_id)))
    values = [
        [value.text for value in slot.iter(f"{{{RIM}}}Value")]
        for slot in found.root.iter(f"{{{RIM}}}Slot")
        if slot.get("name") == "urn:example:a"
    ]
    assert values == [["1", "2"]] * 3


def test_extra_metadata_that_is_dropped_is_said(tmp_path: Path) -> None:
    server = Node(tmp_path, validation={"extra_metadata": "drop"})
    outcome = server.register(submission(document_entry(slots={"urn:example:a": "1"}), original()))
    assert outcome.short == (SUCCESS,)
    assert [each.get("errorCode") for each in outcome.reports("Warning")] == ["XDSExtraMetadataNotSaved"]


def test_a_patient_that_must_be_known(tmp_path: Path) -> None:
    server = Node(tmp_path, patients={"policy": "known"})
    outcome = server.provide(submission(bare(), original()), {"Document01": b"x"})
    assert outcome.short == (FAILURE, "XDSUnknownPatientId")
    assert [each.get("codeContext") for each in outcome.reports("Error")] == [PATIENT]


def test_codes_that_must_be_known(tmp_path: Path) -> None:
    server = Node(tmp_path, codes={"policy": "reject"})
    wrong = {"typeCode": ("18842-5", "1.2.3", "Discharge summary")}
    assert server.register(submission(document_entry(), original())).short == (SUCCESS,)
    outcome = server.register(submission(document_entry(codes=wrong), original()))
    assert outcome.short == (FAILURE, "XDSRegistryMetadataError")
