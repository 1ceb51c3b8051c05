"""Operations of an update are recognised by their triggers, and nothing else is one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from msim_xds.ihe.errors import ERRORS
from msim_xds.ihe.names import STABLE_OBJECT_TYPE, AssociationType, Status
from msim_xds.ihe.transactions import ITI_57, ITI_92, Transaction
from msim_xds.metadata import update_rules
from msim_xds.metadata.model import Association, Code, DocumentEntry, Folder, Slot, Submission, SubmissionSet
from msim_xds.metadata.update_rules import Operations
from msim_xds.settings import Tolerances

LID = "urn:uuid:6d0f6c1a-2d5b-4a57-8a0b-1b1f0d6a9e02"
FOLDER_LID = "urn:uuid:6d0f6c1a-2d5b-4a57-8a0b-1b1f0d6a9e03"
HELD = "urn:uuid:6d0f6c1a-2d5b-4a57-8a0b-1b1f0d6a9e04"
UPDATE, OPERATION = "XDSMetadataUpdateError", "XDSMetadataUpdateOperationError"
SET = SubmissionSet(entry_uuid="Set", patient_id="p", unique_id="1.1")
ENTRY = DocumentEntry(
    entry_uuid="Doc", logical_id=LID, patient_id="p", unique_id="1.2", object_type=STABLE_OBJECT_TYPE
)
FOLDER = Folder(entry_uuid="Fol", logical_id=FOLDER_LID, patient_id="p", unique_id="1.3")


def link(
    source: str, target: str, type: str = AssociationType.HAS_MEMBER, id: str = "", **slots: Any
) -> Association:
    """An Association; ``SubmissionSetStatus`` and other slots by their names."""
    status = slots.pop("SubmissionSetStatus", None)
    return Association(
        entry_uuid=id or f"{source}-{target}",
        type=type,
        source=source,
        target=target,
        submission_set_status=(status,) if status else (),
        slots=tuple(Slot(name, (value,)) for name, value in slots.items()),
    )


MEMBER = link("Set", "Doc", SubmissionSetStatus="Original", PreviousVersion="1")
FOLDER_MEMBER = link("Set", "Fol", PreviousVersion=" 7 ", AssociationPropagation="no")
CHANGE = link(
    "Set",
    HELD,
    AssociationType.UPDATE_AVAILABILITY_STATUS,
    OriginalStatus=Status.APPROVED,
    NewStatus=Status.DEPRECATED,
)
SUBMIT = link("Set", "Rel", AssociationType.SUBMIT_ASSOCIATION)
RELATION = link(HELD, LID, AssociationType.APND, "Rel")
WHOLE = Submission((SET,), (ENTRY,), (FOLDER,), (MEMBER, FOLDER_MEMBER, CHANGE, SUBMIT, RELATION))
ONE = Submission((SET,), (ENTRY,), (), (MEMBER,))


def found(
    submission: Submission, transaction: Transaction = ITI_57, **tolerances: bool
) -> list[tuple[str, str]]:
    """Code and attribute of every finding."""
    findings = update_rules.findings(submission, transaction, Tolerances(**tolerances))
    for each in findings:
        assert transaction.name in ERRORS[each.code].transactions
        assert each.source
        assert each.place
    return [(each.code, each.attribute) for each in findings]


def operations(submission: Submission, transaction: Transaction = ITI_57) -> Operations:
    return update_rules.recognise(submission, transaction, Tolerances())


def with_links(*links: Association, submission: Submission = ONE) -> Submission:
    return replace(submission, associations=(*submission.associations, *links))


def test_every_operation() -> None:
    assert found(WHOLE) == []
    recognised = operations(WHOLE)
    assert [(each.thing, each.previous, each.propagates) for each in recognised.versions] == [
        (ENTRY, 1, True),
        (FOLDER, 7, False),
    ]
    (change,) = recognised.statuses
    assert (change.target, change.original, change.new) == (HELD, Status.APPROVED, Status.DEPRECATED)
    assert [each.link for each in recognised.associations] == [RELATION]
    assert recognised.lasting == (MEMBER, FOLDER_MEMBER, RELATION)


def test_a_restricted_update_knows_versions_of_entries_only() -> None:
    assert found(ONE, ITI_92) == []
    assert found(WHOLE, ITI_92) == [
        ("XDSInvalidRequestException", ""),
        *[("XDSInvalidRequestException", "associationType")] * 3,
    ]
    recognised = operations(WHOLE, ITI_92)
    assert [each.thing for each in recognised.versions] == [ENTRY]
    assert recognised == Operations(recognised.versions)


def test_ids_are_compared_without_regard_to_case() -> None:
    upper = LID.upper().replace("URN:UUID", "urn:uuid")
    entry = replace(ENTRY, entry_uuid=upper.replace("6D0F", "6D0E"))
    member = replace(MEMBER, target=entry.entry_uuid.lower())
    assert found(replace(ONE, entries=(entry,), associations=(member,))) == []
    same = replace(ENTRY, entry_uuid=upper)
    wrong = replace(ONE, entries=(same,), associations=(replace(MEMBER, target=LID),))
    assert found(wrong) == [(UPDATE, "logicalID")]


@pytest.mark.parametrize(
    ("lid", "tolerated"), [("urn:oid:1.2.3", True), ("Symbol", False), ("urn:uuid:no-uuid", True)]
)
def test_logical_ids_of_the_senders_own(lid: str, tolerated: bool) -> None:
    submission = replace(ONE, entries=(replace(ENTRY, logical_id=lid),))
    wrong = [(UPDATE, "logicalID")]
    assert found(submission) == wrong
    assert found(submission, versioned_submission=True) == ([] if tolerated else wrong)


def test_a_wrong_version_is_not_recognised() -> None:
    for member in (
        replace(MEMBER, slots=()),
        replace(MEMBER, submission_set_status=("Original", "Original")),
        replace(MEMBER, slots=(Slot("PreviousVersion", ()),)),
    ):
        submission = replace(ONE, associations=(member,))
        assert len(found(submission)) == 1
        assert operations(submission) == Operations()


@pytest.mark.parametrize(
    ("submission", "expected", "restricted"),
    [
        (
            with_links(replace(MEMBER, entry_uuid="m2")),
            (OPERATION, "HasMember"),
            "XDSMetadataAnnotationError",
        ),
        (
            replace(ONE, entries=(replace(ENTRY, logical_id=None),)),
            (UPDATE, "logicalID"),
            "XDSInvalidRequestException",
        ),
        (
            replace(ONE, associations=(replace(MEMBER, slots=(*MEMBER.slots, Slot("NewStatus", ("x",)))),)),
            (OPERATION, "NewStatus"),
            "XDSMetadataAnnotationError",
        ),
    ],
)
def test_codes_by_transaction(submission: Submission, expected: tuple[str, str], restricted: str) -> None:
    assert found(submission) == [expected]
    assert found(submission, ITI_92) == [(restricted, expected[1])]


def test_propagation_is_not_for_a_restricted_update_to_refuse() -> None:
    alone = replace(MEMBER, slots=(*MEMBER.slots, Slot("AssociationPropagation", ("no",))))
    submission = replace(ONE, associations=(alone,))
    assert found(submission) == []
    assert found(submission, ITI_92) == [("XDSMetadataAnnotationError", "AssociationPropagation")]


@pytest.mark.parametrize(
    ("slots", "attributes"),
    [
        ((), ["OriginalStatus", "NewStatus"]),
        ((Slot("OriginalStatus", (Status.APPROVED,)),), ["NewStatus"]),
        ((Slot("OriginalStatus", (Status.APPROVED,)), Slot("NewStatus", (Status.APPROVED,))), ["NewStatus"]),
        ((*CHANGE.slots, Slot("urn:pl:note", ("x",))), ["urn:pl:note"]),
        ((CHANGE.slots[0], Slot("NewStatus", ("Deprecated",))), ["NewStatus"]),
    ],
)
def test_slots_of_a_change_of_status(slots: tuple[Slot, ...], attributes: list[str]) -> None:
    submission = with_links(replace(CHANGE, slots=slots))
    assert found(submission) == [(OPERATION, attribute) for attribute in attributes]
    assert operations(submission).statuses == ()


def test_triggers_come_from_the_set() -> None:
    submission = with_links(replace(CHANGE, source=HELD))
    assert found(submission) == [(OPERATION, "sourceObject")]
    assert operations(submission).statuses == ()


def test_findings_name_the_object_as_it_was_sent() -> None:
    (finding,) = update_rules.findings(replace(ONE, associations=()), ITI_57, Tolerances())
    assert (finding.code, finding.context, finding.place) == (UPDATE, "Doc", "DocumentEntry Doc")
    (finding,) = update_rules.findings(with_links(link("Doc", HELD)), ITI_92, Tolerances())
    assert (finding.context, finding.code_context) == ("", finding.text())


def test_contradictions() -> None:
    again = replace(ENTRY, entry_uuid="Again", unique_id="1.9")
    twice = replace(
        ONE, entries=(ENTRY, again), associations=(MEMBER, replace(MEMBER, entry_uuid="m2", target="Again"))
    )
    assert found(twice) == [(OPERATION, "logicalID")] * 2
    changes = with_links(CHANGE, replace(CHANGE, entry_uuid="c2"))
    assert found(changes) == [(OPERATION, "targetObject")] * 2
    assert len(operations(changes).statuses) == 1
    links = with_links(SUBMIT, replace(SUBMIT, entry_uuid="s2"), RELATION)
    assert found(links) == [(OPERATION, "targetObject")] * 2
    assert len(operations(links).associations) == 1
    both = with_links(SUBMIT, replace(RELATION, source="Doc"))
    assert found(both) == [(OPERATION, "sourceObject")]
    alone = replace(MEMBER, slots=(*MEMBER.slots, Slot("AssociationPropagation", ("no",))))
    assert found(replace(both, associations=(alone, *both.associations[1:]))) == []


def test_what_is_new_is_approved_anyway() -> None:
    approve = (Slot("OriginalStatus", (Status.DEPRECATED,)), Slot("NewStatus", (Status.APPROVED,)))
    for target in ("Doc", "Rel"):
        submission = with_links(SUBMIT, RELATION, replace(CHANGE, target=target, slots=approve))
        assert found(submission) == [(UPDATE, "NewStatus")]
    assert found(with_links(replace(CHANGE, slots=approve))) == []


def test_submitted_associations() -> None:
    code = Code("1", "1.2.3")
    wrong: dict[str, tuple[Association, list[tuple[str, str]]]] = {
        "unknown type": (replace(RELATION, type="urn:oid:1.2"), []),  # the rules of attributes say so
        "a trigger": (
            replace(RELATION, type=AssociationType.SUBMIT_ASSOCIATION),
            [(OPERATION, "targetObject"), (OPERATION, "sourceObject"), (OPERATION, "targetObject")],
        ),
        "SubmissionSetStatus": (
            replace(RELATION, submission_set_status=("Original",)),
            [(OPERATION, "SubmissionSetStatus")],
        ),
        "a slot": (replace(RELATION, slots=(Slot("NewStatus", ("x",)),)), [(OPERATION, "NewStatus")]),
        "two reasons": (
            replace(RELATION, documentation=(code, code)),
            [("XDSRegistryMetadataError", "associationDocumentation")],
        ),
    }
    for relation, expected in wrong.values():
        submission = with_links(SUBMIT, relation)
        assert found(submission) == expected
        assert operations(submission).associations == ()
    right = replace(RELATION, documentation=(code,), slots=(Slot("urn:pl:note", ("x",)),))
    assert found(with_links(SUBMIT, right)) == []


def test_the_request_as_a_whole() -> None:
    assert found(Submission((SET,))) == [(OPERATION, "")]
    assert found(Submission((SET,)), ITI_92) == [("XDSInvalidRequestException", "")]
    assert ("XDSRegistryMetadataError", "") in found(replace(ONE, submission_sets=()))
    moved = replace(ONE, entries=(replace(ENTRY, patient_id="q"),))
    assert found(moved) == [("XDSPatientIdDoesNotMatch", "patientId")]
