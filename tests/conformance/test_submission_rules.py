"""ITI-42: how the objects of a submission hang together, row by row (ITI TF-2 3.42.4.1.3, ITI TF-3 4.2.2)."""

# ruff: noqa: E501 - a table: one row, one line

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance.node import FAILURE, SUCCESS, Node
from tests.conformance.world import RPLC, World, held, member, related, submission
from tests.support.metadata import (
    APND,
    DEPRECATED,
    ON_DEMAND,
    OTHER_PATIENT,
    SIGNS,
    SNAPSHOT,
    XFRM,
    XFRM_RPLC,
    association,
    classification,
    document_entry,
    folder,
    new_uuid,
    original,
    submission_set,
    submit_objects,
)
from tests.support.updates import SUBMIT_ASSOCIATION, UPDATE_STATUS

METADATA = (FAILURE, "XDSRegistryMetadataError")
UNRESOLVED = (FAILURE, "UnresolvedReferenceException")
BOTH = (FAILURE, "UnresolvedReferenceException", "XDSRegistryMetadataError")
OUTDATED = (FAILURE, "XDSRegistryDeprecatedDocumentError")
PATIENTS = (FAILURE, "XDSPatientIdDoesNotMatch")
TAKEN = (FAILURE, "XDSDuplicateUniqueIdInRegistry")
TWICE = (FAILURE, "XDSRegistryDuplicateUniqueIdInMessage")
DONE = (SUCCESS,)

SET = "SubmissionSet01"
DOCUMENT = "Document01"
REASON = ("1", "1.3.6.1.4.1.19376.1.2.6.1", "amendment")


def reason(owner: str = "Relation") -> str:
    return classification(owner, "abd807a3-4432-4053-87b4-fd82c643d1f3", REASON)


Row = tuple[str, Callable[[World], bytes], tuple[str, ...]]

ROWS: list[Row] = [
    # --- what a submission consists of
    ("one document", lambda w: submission(document_entry(), original()), DONE),
    ("two documents", lambda w: submission(document_entry("a"), document_entry("b"), original("a"), original("b")), DONE),
    ("no SubmissionSet", lambda w: submit_objects(document_entry(), original()), BOTH),
    ("two SubmissionSets", lambda w: submission(submission_set("Set02"), document_entry(), original()), METADATA),
    ("nothing but a SubmissionSet", lambda w: submission(), METADATA),
    ("a document outside the SubmissionSet", lambda w: submission(document_entry()), METADATA),
    ("a document twice in the SubmissionSet", lambda w: submission(document_entry(), original(), original()), METADATA),
    ("SubmissionSetStatus missing", lambda w: submission(document_entry(), association(SET, DOCUMENT)), METADATA),
    ("SubmissionSetStatus Reference on a new document", lambda w: submission(document_entry(), association(SET, DOCUMENT, status="Reference")), METADATA),
    ("the same id twice", lambda w: submission(document_entry(), document_entry(), original()), METADATA),
    ("an id of the registry", lambda w: submission(document_entry(w.approved), original(w.approved)), METADATA),
    ("an id of the registry in capitals", lambda w: submission(document_entry("urn:uuid:" + w.approved[9:].upper()), original("urn:uuid:" + w.approved[9:].upper())), METADATA),
    ("references differ from ids in case only", lambda w: submission(document_entry("urn:uuid:ABCDEF00-0000-4000-8000-00000000000A"), original("urn:uuid:abcdef00-0000-4000-8000-00000000000a")), DONE),
    # --- reference to registered documents
    ("reference", lambda w: submission(association(SET, w.approved, status="Reference")), DONE),
    ("reference to another patient's document", lambda w: submission(association(SET, w.foreign, status="Reference")), DONE),
    ("reference and a new document", lambda w: submission(document_entry(), original(), association(SET, w.approved, status="Reference")), DONE),
    ("Original on a registered document", lambda w: submission(association(SET, w.approved, status="Original")), METADATA),
    ("reference to nothing", lambda w: submission(association(SET, new_uuid(), status="Reference")), UNRESOLVED),
    ("reference to a folder", lambda w: submission(association(SET, w.folder, status="Reference")), METADATA),
    ("reference to a SubmissionSet", lambda w: submission(association(SET, w.set, status="Reference")), METADATA),
    # --- folders
    ("empty folder", lambda w: submission(folder(), held()), DONE),
    ("folder outside the SubmissionSet", lambda w: submission(folder()), METADATA),
    ("folder with a SubmissionSetStatus", lambda w: submission(folder(), association(SET, "Folder01", status="Original")), METADATA),
    ("new folder with a new document", lambda w: submission(folder(), document_entry(), held(), original(), member("Folder01", DOCUMENT)), DONE),
    ("new document into a registered folder", lambda w: submission(document_entry(), original(), member(w.folder, DOCUMENT)), DONE),
    ("registered document into a registered folder", lambda w: submission(member(w.folder, w.transform)), DONE),
    ("registered document into a new folder", lambda w: submission(folder(), held(), member("Folder01", w.approved)), DONE),
    ("registered document into a new folder, referenced as well", lambda w: submission(folder(), held(), member("Folder01", w.approved), association(SET, w.approved, status="Reference")), DONE),
    ("membership that the SubmissionSet does not hold", lambda w: submission(folder(), document_entry(), held(), original(), association("Folder01", DOCUMENT)), METADATA),
    ("outdated document into a folder", lambda w: submission(member(w.folder, w.outdated)), OUTDATED),
    ("another patient's document into a folder", lambda w: submission(member(w.folder, w.foreign)), PATIENTS),
    ("document into another patient's folder", lambda w: submission(document_entry(), original(), member(w.foreign_folder, DOCUMENT)), PATIENTS),
    ("document into no folder", lambda w: submission(document_entry(), original(), member(new_uuid(), DOCUMENT)), UNRESOLVED),
    ("nothing into a folder", lambda w: submission(member(w.folder, new_uuid())), UNRESOLVED),
    ("folder into a folder", lambda w: submission(folder("a"), folder("b"), held("a"), held("b"), member("a", "b")), METADATA),
    ("registered folder into a folder", lambda w: submission(folder("a"), held("a"), member("a", w.folder)), METADATA),
    ("document into a document", lambda w: submission(document_entry(), original(), member(w.approved, DOCUMENT)), METADATA),
    ("reason code on a membership", lambda w: submission(document_entry(), association(SET, DOCUMENT, id="Relation", status="Original", extra=reason())), METADATA),
    # --- patients
    ("the document is of another patient", lambda w: submission(document_entry(patient_id=OTHER_PATIENT), original()), PATIENTS),
    ("the folder is of another patient", lambda w: submission(folder(patient_id=OTHER_PATIENT), document_entry(), held(), original()), PATIENTS),
    # --- relationships
    ("XFRM", lambda w: related(XFRM, w.approved), DONE),
    ("APND", lambda w: related(APND, w.approved), DONE),
    ("signs", lambda w: related(SIGNS, w.approved), DONE),
    ("reason code", lambda w: submission(document_entry(), original(), association(DOCUMENT, w.approved, APND, id="Relation", extra=reason())), DONE),
    ("two reason codes", lambda w: submission(document_entry(), original(), association(DOCUMENT, w.approved, APND, id="Relation", extra=reason() * 2)), METADATA),
    *((f"{kind[-5:]} of an outdated document", lambda w, kind=kind: related(kind, w.outdated), OUTDATED) for kind in (RPLC, APND, XFRM, XFRM_RPLC, SIGNS)),
    *((f"{kind[-5:]} of nothing", lambda w, kind=kind: related(kind, new_uuid()), UNRESOLVED) for kind in (RPLC, APND, XFRM, XFRM_RPLC, SIGNS, SNAPSHOT)),
    *((f"{kind[-5:]} of a symbolic id outside", lambda w, kind=kind: related(kind, "Elsewhere"), UNRESOLVED) for kind in (RPLC, APND, XFRM, XFRM_RPLC, SIGNS)),
    *((f"{kind[-5:]} of another patient's document", lambda w, kind=kind: related(kind, w.foreign), PATIENTS) for kind in (RPLC, APND, XFRM, XFRM_RPLC, SIGNS)),
    *((f"{kind[-5:]} of a folder", lambda w, kind=kind: related(kind, w.folder), METADATA) for kind in (RPLC, APND, XFRM, XFRM_RPLC, SIGNS)),
    *(
        (f"{kind[-5:]} of a document of the same submission", lambda w, kind=kind: related(kind, "b", document_entry("b"), original("b")), expected)
        for kind, expected in ((RPLC, UNRESOLVED), (XFRM_RPLC, UNRESOLVED), (APND, DONE), (XFRM, DONE), (SIGNS, DONE))
    ),
    ("RPLC whose source is registered", lambda w: submission(document_entry(), original(), association(w.transform, w.approved, RPLC)), UNRESOLVED),
    ("RPLC whose source is the folder", lambda w: submission(folder(), held(), association("Folder01", w.approved, RPLC)), METADATA),
    ("RPLC held by the SubmissionSet", lambda w: submission(document_entry(), original(), association(DOCUMENT, w.approved, XFRM, id="Relation"), association(SET, "Relation")), METADATA),
    ("RPLC with a SubmissionSetStatus", lambda w: submission(document_entry(), original(), association(DOCUMENT, w.approved, XFRM, status="Original")), METADATA),
    ("APND to a transform", lambda w: related(APND, w.transform), METADATA),
    ("XFRM of a transform", lambda w: related(XFRM, w.transform), DONE),
    ("IsSnapshotOf of a stable document", lambda w: related(SNAPSHOT, w.approved), METADATA),
    ("association type of the days before URNs", lambda w: related("RPLC", w.approved), METADATA),
    ("unknown association type", lambda w: related("urn:ihe:iti:2007:AssociationType:APND_TXFM", w.approved), METADATA),
    ("the SubmissionSet as a target", lambda w: submission(document_entry(), original(), association(DOCUMENT, SET, APND)), METADATA),
    ("a member of a registered SubmissionSet", lambda w: submission(document_entry(), original(), association(w.set, DOCUMENT)), METADATA),
    # --- what belongs to other transactions
    ("UpdateAvailabilityStatus", lambda w: submission(association(SET, w.approved, UPDATE_STATUS, slots={"OriginalStatus": "urn:oasis:names:tc:ebxml-regrep:StatusType:Approved", "NewStatus": DEPRECATED})), METADATA),
    (
        "SubmitAssociation",
        lambda w: submission(association(SET, "Relation", SUBMIT_ASSOCIATION), association(w.transform, w.approved, APND, id="Relation")),
        BOTH,
    ),
    ("PreviousVersion", lambda w: submission(document_entry(), association(SET, DOCUMENT, status="Original", slots={"PreviousVersion": "1"})), METADATA),
    ("logicalID of another object", lambda w: submission(document_entry(attributes=f' lid="{w.approved}"'), original()), METADATA),
    ("logicalID equal to the id", lambda w: submission(document_entry(attributes=' lid="Document01"'), original()), DONE),
    ("on-demand", lambda w: submission(document_entry(object_type=ON_DEMAND), original()), METADATA),
    ("unknown objectType", lambda w: submission(document_entry(object_type="urn:uuid:00000000-0000-4000-8000-000000000000"), original()), METADATA),
    ("another object of ebRIM", lambda w: submission(document_entry(), original(), '<rim:Organization id="o"/>'), METADATA),
    ("ObjectRefs", lambda w: submission(document_entry(), original(), '<rim:ObjectRef id="urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd"/>'), DONE),
    # --- uniqueIds
    ("SubmissionSet.uniqueId of a SubmissionSet", lambda w: submit_objects(submission_set(unique_id=w.set_unique_id), document_entry(), original()), TAKEN),
    ("SubmissionSet.uniqueId of a document", lambda w: submit_objects(submission_set(unique_id=w.unique_id), document_entry(), original()), TAKEN),
    ("Folder.uniqueId of a folder", lambda w: submission(folder(unique_id=w.folder_unique_id), held()), TAKEN),
    ("DocumentEntry.uniqueId again, same document", lambda w: submission(document_entry(unique_id=w.unique_id, content=b"approved"), original()), DONE),
    ("DocumentEntry.uniqueId again, other octets", lambda w: submission(document_entry(unique_id=w.unique_id, content=b"replaced"), original()), (FAILURE, "XDSNonIdenticalHash")),
    ("DocumentEntry.uniqueId again, other size", lambda w: submission(document_entry(unique_id=w.unique_id, content=b"longer than it was"), original()), (FAILURE, "XDSNonIdenticalHash", "XDSNonIdenticalSize")),
    ("DocumentEntry.uniqueId of a folder", lambda w: submission(document_entry(unique_id=w.folder_unique_id), original()), METADATA),
    ("one uniqueId on two documents", lambda w: submission(document_entry("a", unique_id="1.2.3.4"), document_entry("b", unique_id="1.2.3.4"), original("a"), original("b")), TWICE),
    ("one uniqueId on document and SubmissionSet", lambda w: submit_objects(submission_set(unique_id="1.2.3.5"), document_entry(unique_id="1.2.3.5"), original()), TWICE),
]  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    path: Path = tmp_path_factory.mktemp("world")
    return World(Node(path))


@pytest.mark.parametrize(("message", "expected"), [pytest.param(m, e, id=n) for n, m, e in ROWS])
def test_answer(world: World, message: Callable[[World], bytes], expected: tuple[str, ...]) -> None:
    before = world.node.everything().kinds
    outcome = world.node.register(message(world))
    assert outcome.short == expected, outcome.texts
    if outcome.status == FAILURE:
        assert world.node.everything().kinds == before
