"""How the objects of a submission must hang together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from msim_xds.ihe.errors import ERRORS
from msim_xds.ihe.names import ON_DEMAND_OBJECT_TYPE, STABLE_OBJECT_TYPE, AssociationType, ObjectKind
from msim_xds.metadata import structure
from msim_xds.metadata.model import Association, Code, DocumentEntry, Folder, Slot, Submission, SubmissionSet
from msim_xds.settings import Tolerances

METADATA = "XDSRegistryMetadataError"
UNRESOLVED = "UnresolvedReferenceException"
REGISTERED = "urn:uuid:6d0f6c1a-2d5b-4a57-8a0b-1b1f0d6a9e02"
HAS_MEMBER = AssociationType.HAS_MEMBER
SET = SubmissionSet(entry_uuid="Set", patient_id="p", unique_id="1.1")
DOCUMENT = DocumentEntry(entry_uuid="Doc", patient_id="p", unique_id="1.2", object_type=STABLE_OBJECT_TYPE)
FOLDER = Folder(entry_uuid="Fol", patient_id="p", unique_id="1.3")


def link(
    source: str, target: str, type: str = HAS_MEMBER, status: str = "", id: str = "", **fields: Any
) -> Association:
    statuses = (status,) if status else ()
    name = id or f"{source}-{target}"
    return Association(
        entry_uuid=name, type=type, source=source, target=target, submission_set_status=statuses, **fields
    )


ORIGINAL = link("Set", "Doc", status="Original")
SET_FOLDER = link("Set", "Fol")
FOLDER_DOCUMENT = link("Fol", "Doc")
SET_MEMBER = link("Set", "Fol-Doc")
FULL = Submission((SET,), (DOCUMENT,), (FOLDER,), (ORIGINAL, SET_FOLDER, FOLDER_DOCUMENT, SET_MEMBER))
ONE = Submission((SET,), (DOCUMENT,), (), (ORIGINAL,))


def found(submission: Submission, **tolerances: bool) -> list[tuple[str, str]]:
    """Code and attribute of every finding."""
    findings = list(structure.findings(submission, Tolerances(**tolerances)))
    assert all(each.code in ERRORS and each.source and each.place and each.is_error for each in findings)
    return [(each.code, each.attribute) for each in findings]


def with_links(*links: Association, submission: Submission = ONE) -> Submission:
    return replace(submission, associations=(*submission.associations, *links))


RIGHT = {
    "one document": ONE,
    "document in a new folder": FULL,
    "new folder alone": Submission((SET,), (), (FOLDER,), (SET_FOLDER,)),
    "document into a registered folder": with_links(link(REGISTERED, "Doc", id="m"), link("Set", "m")),
    "registered document into a new folder": Submission(
        (SET,), (), (FOLDER,), (SET_FOLDER, link("Fol", REGISTERED, id="m"), link("Set", "m"))
    ),
    "registered document into a registered folder": Submission(
        (SET,), (), (), (link(REGISTERED, REGISTERED, id="m"), link("Set", "m"))
    ),
    "registered document by reference": Submission(
        (SET,), (), (), (link("Set", REGISTERED, status="Reference"),)
    ),
    "replacement": with_links(link("Doc", REGISTERED, AssociationType.RPLC)),
    "documented replacement": with_links(
        link("Doc", REGISTERED, AssociationType.RPLC, documentation=(Code("c", "s"),))
    ),
    "signature of a new document": with_links(link("Doc", "Doc", AssociationType.SIGNS)),
    "snapshot": with_links(link("Doc", REGISTERED, AssociationType.IS_SNAPSHOT_OF)),
    "two replaced at once": with_links(
        link("Doc", REGISTERED, AssociationType.RPLC, id="a"),
        link("Doc", REGISTERED.replace("02", "03"), AssociationType.RPLC, id="b"),
    ),
    "lid that is the id": replace(ONE, entries=(replace(DOCUMENT, logical_id="Doc"),)),
}
WRONG: dict[str, tuple[Submission, list[tuple[str, str]]]] = {
    "no set": (Submission((), (), (FOLDER,), ()), [(METADATA, ""), (METADATA, "HasMember")]),
    "two sets": (
        replace(ONE, submission_sets=(SET, SubmissionSet(entry_uuid="Other"))),
        [(METADATA, "")],
    ),
    "nothing": (Submission((SET,)), [(METADATA, "")]),
    "only a relationship": (
        Submission((SET,), (), (), (link(REGISTERED, REGISTERED, AssociationType.APND),)),
        [(METADATA, ""), (UNRESOLVED, "sourceObject")],
    ),
    "another patient's document": (
        replace(ONE, entries=(replace(DOCUMENT, patient_id="q"),)),
        [("XDSPatientIdDoesNotMatch", "patientId")],
    ),
    "another patient's folder": (
        replace(FULL, folders=(replace(FOLDER, patient_id="q"),)),
        [("XDSPatientIdDoesNotMatch", "patientId")],
    ),
    "one uniqueId twice": (
        replace(FULL, folders=(replace(FOLDER, unique_id="1.2"),)),
        [("XDSRegistryDuplicateUniqueIdInMessage", "uniqueId")],
    ),
    "document in no set": (replace(ONE, associations=()), [(METADATA, "HasMember")]),
    "document twice in its set": (
        with_links(replace(ORIGINAL, entry_uuid="again")),
        [(METADATA, "HasMember")],
    ),
    "folder in no set": (
        replace(FULL, associations=(ORIGINAL, FOLDER_DOCUMENT, SET_MEMBER)),
        [(METADATA, "HasMember")],
    ),
    "membership in no set": (
        replace(FULL, associations=(ORIGINAL, SET_FOLDER, FOLDER_DOCUMENT)),
        [(METADATA, "HasMember")],
    ),
    "new document without status": (
        replace(ONE, associations=(link("Set", "Doc"),)),
        [(METADATA, "SubmissionSetStatus")],
    ),
    "new document by reference": (
        replace(ONE, associations=(link("Set", "Doc", status="Reference"),)),
        [(METADATA, "SubmissionSetStatus")],
    ),
    "registered document as original": (
        with_links(link("Set", REGISTERED, status="Original")),
        [(METADATA, "SubmissionSetStatus")],
    ),
    "registered object without status": (
        with_links(link("Set", REGISTERED)),
        [(METADATA, "SubmissionSetStatus")],
    ),
    "folder with status": (
        replace(
            FULL, associations=(ORIGINAL, link("Set", "Fol", status="Original"), FOLDER_DOCUMENT, SET_MEMBER)
        ),
        [(METADATA, "SubmissionSetStatus")],
    ),
    "folder's member with status": (
        replace(
            FULL,
            associations=(
                ORIGINAL,
                SET_FOLDER,
                replace(FOLDER_DOCUMENT, submission_set_status=("x",)),
                SET_MEMBER,
            ),
        ),
        [(METADATA, "SubmissionSetStatus")],
    ),
    "relationship with status": (
        with_links(link("Doc", REGISTERED, AssociationType.APND, status="Original")),
        [(METADATA, "SubmissionSetStatus")],
    ),
    "relationship as a member": (
        with_links(link("Doc", REGISTERED, AssociationType.RPLC, id="r"), link("Set", "r")),
        [(METADATA, "targetObject")],
    ),
    "set as a member": (with_links(link("Set", "Set", id="s")), [(METADATA, "targetObject")]),
    "folder in a folder": (
        with_links(link("Fol", "Fol", id="f"), submission=FULL),
        [(METADATA, "targetObject")],
    ),
    "document with members": (with_links(link("Doc", "Doc", id="d")), [(METADATA, "sourceObject")]),
    "documented membership": (
        replace(ONE, associations=(replace(ORIGINAL, documentation=(Code("c", "s"),)),)),
        [(METADATA, "associationDocumentation")],
    ),
    "twice documented": (
        with_links(link("Doc", REGISTERED, AssociationType.RPLC, documentation=(Code("c", "s"),) * 2)),
        [(METADATA, "associationDocumentation")],
    ),
    "unknown symbolic target": (
        with_links(link("Set", "Nowhere", status="Reference")),
        [(UNRESOLVED, "targetObject")],
    ),
    "unknown symbolic source": (
        with_links(link("Nowhere", "Doc", id="m"), link("Set", "m")),
        [(UNRESOLVED, "sourceObject")],
    ),
    "replacement of a symbolic id": (
        with_links(link("Doc", "Nowhere", AssociationType.RPLC)),
        [(UNRESOLVED, "targetObject")],
    ),
    "look-alike target": (
        with_links(link("Doc", REGISTERED + "-x", AssociationType.RPLC)),
        [(UNRESOLVED, "targetObject")],
    ),
    "replacement by a registered document": (
        with_links(link(REGISTERED, REGISTERED, AssociationType.RPLC)),
        [(UNRESOLVED, "sourceObject")],
    ),
    "replacement by a set": (
        with_links(link("Set", REGISTERED, AssociationType.RPLC)),
        [(METADATA, "sourceObject")],
    ),
    "append to a set": (with_links(link("Doc", "Set", AssociationType.APND)), [(METADATA, "targetObject")]),
    "on-demand": (
        replace(ONE, entries=(replace(DOCUMENT, object_type=ON_DEMAND_OBJECT_TYPE),)),
        [(METADATA, "objectType")],
    ),
    "other lid": (
        replace(ONE, entries=(replace(DOCUMENT, logical_id=REGISTERED),)),
        [(METADATA, "logicalID")],
    ),
    "previous version": (
        replace(ONE, associations=(replace(ORIGINAL, slots=(Slot("PreviousVersion", ("1",)),)),)),
        [(METADATA, "PreviousVersion")],
    ),
    "status update": (
        with_links(link("Set", REGISTERED, AssociationType.UPDATE_AVAILABILITY_STATUS)),
        [(METADATA, "associationType")],
    ),
    "submitted association": (
        with_links(link("Set", "Set-Doc", AssociationType.SUBMIT_ASSOCIATION)),
        [(METADATA, "associationType")],
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_submissions(name: str) -> None:
    assert found(RIGHT[name]) == []


@pytest.mark.parametrize("name", WRONG)
def test_wrong_submissions(name: str) -> None:
    submission, expected = WRONG[name]
    assert found(submission) == expected


@pytest.mark.parametrize("type", ["RPLC", "XFRM_RPLC", "IS_SNAPSHOT_OF"])
def test_a_target_that_must_be_registered_already(type: str) -> None:
    inside = with_links(link("Doc", "Doc", AssociationType[type]))
    assert found(inside) == [(UNRESOLVED, "targetObject")]


@pytest.mark.parametrize("type", ["APND", "XFRM", "SIGNS"])
def test_a_target_that_may_be_new(type: str) -> None:
    assert found(with_links(link("Doc", "Doc", AssociationType[type]))) == []


class TestOnDemandEntries:
    """ITI-61 takes on-demand entries and no others (ITI TF-2 3.61.4.1.2)."""

    ENTRY = replace(DOCUMENT, object_type=ON_DEMAND_OBJECT_TYPE)

    def found(self, *links: Association, entries: tuple[DocumentEntry, ...] = (ENTRY,)) -> list[str]:
        submission = Submission((SET,), entries, (), (ORIGINAL, *links))
        kind = ObjectKind.ON_DEMAND_DOCUMENT_ENTRY
        findings = list(structure.findings(submission, Tolerances(), kind))
        assert {each.code for each in findings} <= {METADATA}
        return [each.attribute for each in findings]

    def test_are_taken(self) -> None:
        assert self.found() == []
        assert self.found(link("Doc", REGISTERED, AssociationType.RPLC)) == []

    def test_stable_ones_are_refused(self) -> None:
        assert self.found(entries=(DOCUMENT,)) == ["objectType"]
        assert self.found(entries=(replace(DOCUMENT, object_type=None),)) == ["objectType"]

    def test_are_no_snapshots(self) -> None:
        assert self.found(link("Doc", REGISTERED, AssociationType.IS_SNAPSHOT_OF)) == ["sourceObject"]


def test_uuids_are_compared_without_regard_to_case() -> None:
    entry = replace(DOCUMENT, entry_uuid=REGISTERED)
    upper = REGISTERED.upper().replace("URN:UUID", "urn:uuid")
    assert found(Submission((SET,), (entry,), (), (link("Set", upper, status="Original"),))) == []


def test_tolerances_lift_their_rules() -> None:
    lookalike, _ = WRONG["look-alike target"]
    assert found(lookalike, lookalike_ids=True) == []
    other_lid, _ = WRONG["other lid"]
    assert found(other_lid, versioned_submission=True) == []


def test_the_framework_prescribes_the_context_of_a_duplicate() -> None:
    submission, _ = WRONG["one uniqueId twice"]
    (finding,) = structure.findings(submission, Tolerances())
    assert finding.code_context == "1.2"
