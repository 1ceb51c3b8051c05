"""Judges how the objects of a submission hang together (ITI TF-3 4.1, 4.2.2; ITI TF-2 3.42.4.1.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from msim_xds.findings import Finding
from msim_xds.ihe.names import (
    ON_DEMAND_OBJECT_TYPE,
    STABLE_OBJECT_TYPE,
    AssociationType,
    ObjectKind,
    Severity,
)
from msim_xds.metadata.layout import UPDATE_SLOTS
from msim_xds.metadata.model import (
    Association,
    DocumentEntry,
    Folder,
    RegistryObject,
    Submission,
    SubmissionSet,
)
from msim_xds.metadata.values import id_key, is_uuid, looks_like_uuid
from msim_xds.settings import Tolerances

METADATA_ERROR: Final = "XDSRegistryMetadataError"
UNRESOLVED: Final = "UnresolvedReferenceException"

HAS_MEMBER: Final = AssociationType.HAS_MEMBER
ORIGINAL: Final = ("Original",)
REFERENCE: Final = ("Reference",)
RELATIONSHIPS: Final = frozenset(
    {
        AssociationType.RPLC,
        AssociationType.APND,
        AssociationType.XFRM,
        AssociationType.XFRM_RPLC,
        AssociationType.SIGNS,
        AssociationType.IS_SNAPSHOT_OF,
    }
)
_TARGET_REGISTERED: Final = frozenset(
    {AssociationType.RPLC, AssociationType.XFRM_RPLC, AssociationType.IS_SNAPSHOT_OF}
)
_UPDATES: Final = frozenset({AssociationType.UPDATE_AVAILABILITY_STATUS, AssociationType.SUBMIT_ASSOCIATION})
_STABLE: Final = ObjectKind.STABLE_DOCUMENT_ENTRY
_MEMBERS: Final = "ITI TF-3 4.2.2.1"
_RELATIONS: Final = "ITI TF-3 4.2.2.2"
_SUBMISSION: Final = "ITI TF-2 3.42.4.1.3"


#: By the kind of DocumentEntry that a transaction registers, what is said of one of the other kind.
_WRONG_KIND: Final = {
    _STABLE: (
        "is not stable",
        f"{STABLE_OBJECT_TYPE} (stable); on-demand entries are registered by ITI-61",
        "ITI TF-2 3.42.4.1.3",
    ),
    ObjectKind.ON_DEMAND_DOCUMENT_ENTRY: (
        "is not on-demand",
        f"{ON_DEMAND_OBJECT_TYPE} (on-demand); stable entries are registered by ITI-42",
        "ITI TF-2 3.61.4.1.2",
    ),
}


def findings(
    submission: Submission,
    tolerances: Tolerances,
    registers: ObjectKind = _STABLE,
    unlisted: Severity | None = Severity.ERROR,
) -> Iterator[Finding]:
    """Everything wrong with the structure of ``submission`` that can be said without a store.

    Args:
        submission: as read.
        tolerances: which rules are lifted.
        registers: the kind of DocumentEntry that the transaction takes.
        unlisted: what it is that a Folder, or its HasMember, is in no SubmissionSet; None for nothing.
    """
    structure = _Structure(submission, tolerances, registers)
    yield from structure.whole()
    yield from structure.objects()
    for association in submission.associations:
        yield from structure.association(association)
    yield from structure.memberships(unlisted)


def whole(submission: Submission) -> Iterator[Finding]:
    """One SubmissionSet, one patient, no uniqueId twice: what holds for every transaction that submits."""
    count = len(submission.submission_sets)
    if count != 1:
        yield Finding(
            METADATA_ERROR,
            "has no SubmissionSet" if not count else "has several SubmissionSets",
            "SubmitObjectsRequest",
            seen=str(count),
            allowed="exactly one",
            source=_SUBMISSION,
        )
    yield from _patients(submission)
    yield from _unique_ids(submission)


def _patients(submission: Submission) -> Iterator[Finding]:
    known = [obj for obj in submission.things() if obj.patient_id]
    for obj in known[1:]:
        if obj.patient_id != known[0].patient_id:
            yield Finding(
                "XDSPatientIdDoesNotMatch",
                f"belongs to another patient than {known[0].place}",
                obj.place,
                "patientId",
                obj.patient_id,
                "one patient in a submission",
                _SUBMISSION,
            )


def _unique_ids(submission: Submission) -> Iterator[Finding]:
    counts = Counter(obj.unique_id for obj in submission.things() if obj.unique_id)
    for unique_id, count in counts.items():
        if count > 1:
            yield Finding(
                "XDSRegistryDuplicateUniqueIdInMessage",
                f"the same uniqueId stands on {count} objects",
                "SubmitObjectsRequest",
                "uniqueId",
                unique_id,
                "a uniqueId of its own for each object",
                _SUBMISSION,
                context=unique_id,
            )


class _Structure:
    """The objects of one submission by id."""

    def __init__(self, submission: Submission, tolerances: Tolerances, registers: ObjectKind) -> None:
        self._submission = submission
        self._tolerances = tolerances
        self._registers = registers
        self._by_id: dict[str, RegistryObject] = {
            id_key(obj.entry_uuid): obj for obj in submission.objects() if obj.entry_uuid
        }

    def _object(self, reference: str) -> RegistryObject | None:
        return self._by_id.get(id_key(reference))

    # --- the submission as a whole ------------------------------------------------------------------

    def whole(self) -> Iterator[Finding]:
        """What holds for every transaction, and some content."""
        yield from whole(self._submission)
        if not any(self._is_content(each) for each in self._submission.objects()):
            yield Finding(
                METADATA_ERROR,
                "submits nothing",
                "SubmitObjectsRequest",
                allowed="a DocumentEntry, a Folder, or a HasMember to a registered DocumentEntry",
                source=_SUBMISSION,
            )

    def _is_content(self, obj: RegistryObject) -> bool:
        if isinstance(obj, Association):
            return obj.type == HAS_MEMBER and (
                obj.submission_set_status == REFERENCE or self._is_folder_member(obj)
            )
        return not isinstance(obj, SubmissionSet)

    # --- single objects -----------------------------------------------------------------------------

    def objects(self) -> Iterator[Finding]:
        """Nothing that only other transactions may submit."""
        for obj in self._submission.things():
            lid = obj.logical_id
            if lid and id_key(lid) != id_key(obj.entry_uuid) and not self._tolerances.versioned_submission:
                yield _update(obj, "logicalID", "differs from the id", lid)
        for entry in self._submission.entries:
            if entry.kind is not self._registers:
                problem, allowed, source = _WRONG_KIND[self._registers]
                yield Finding(
                    METADATA_ERROR, problem, entry.place, "objectType", entry.object_type, allowed, source
                )

    # --- associations -------------------------------------------------------------------------------

    def association(self, obj: Association) -> Iterator[Finding]:
        """Both ends of ``obj``, by its type."""
        if obj.type in _UPDATES:
            yield _update(obj, "associationType", "asks for a metadata update", obj.type)
            return
        for slot in obj.slots:
            if slot.name in UPDATE_SLOTS:
                yield _update(obj, slot.name, "asks for a metadata update", ", ".join(slot.values))
        if obj.type == HAS_MEMBER:
            yield from self._dangling(obj, "sourceObject", obj.source)
            yield from self._dangling(obj, "targetObject", obj.target)
            yield from self._member(obj)
        elif obj.type in RELATIONSHIPS:
            yield from self._relationship(obj)

    def _dangling(self, obj: Association, attribute: str, reference: str) -> Iterator[Finding]:
        """A reference to the outside must be a UUID."""
        outside = looks_like_uuid if self._tolerances.lookalike_ids else is_uuid
        if self._object(reference) is None and not outside(reference):
            yield Finding(
                UNRESOLVED,
                "refers to nothing in the submission and is no UUID",
                obj.place,
                attribute,
                reference,
                "an id in this submission, or the entryUUID of a registered object",
                "ITI TF-3 4.2.3.2.7",
            )

    def _relationship(self, obj: Association) -> Iterator[Finding]:
        source, target = self._object(obj.source), self._object(obj.target)
        if source is None:
            yield _refused(obj, "sourceObject", "is not in the submission", obj.source, UNRESOLVED)
        elif not isinstance(source, DocumentEntry):
            yield _refused(obj, "sourceObject", "is no DocumentEntry", obj.source)
        elif obj.type == AssociationType.IS_SNAPSHOT_OF and source.kind is not _STABLE:
            yield _refused(obj, "sourceObject", "is on-demand, and so no snapshot", obj.source)
        if target is None:
            yield from self._dangling(obj, "targetObject", obj.target)
        elif obj.type in _TARGET_REGISTERED:
            problem = "is in this submission, but must be registered already"
            yield _refused(obj, "targetObject", problem, obj.target, UNRESOLVED)
        elif not isinstance(target, DocumentEntry):
            yield _refused(obj, "targetObject", "is no DocumentEntry", obj.target)
        if obj.submission_set_status:
            yield _status(obj, "is only for members of a SubmissionSet", "no slot")
        if len(obj.documentation) > 1:
            yield _refused(obj, "associationDocumentation", "occurs more than once", None)

    # --- HasMember ----------------------------------------------------------------------------------

    def _member(self, obj: Association) -> Iterator[Finding]:
        if obj.documentation:
            yield _refused(obj, "associationDocumentation", "is only for relationships", None)
        source, target = self._object(obj.source), self._object(obj.target)
        if isinstance(target, SubmissionSet):
            yield _refused(obj, "targetObject", "is a SubmissionSet, which is never a member", obj.target)
        elif isinstance(source, SubmissionSet):
            yield from self._set_member(obj, target)
        elif source is None or isinstance(source, Folder):
            yield from self._folder_member(obj, target)
        else:
            yield _refused(obj, "sourceObject", "cannot have members", obj.source)

    def _set_member(self, obj: Association, target: RegistryObject | None) -> Iterator[Finding]:
        """SubmissionSet to DocumentEntry, Folder, or the HasMember between those."""
        status = obj.submission_set_status
        if isinstance(target, DocumentEntry):
            if status != ORIGINAL:
                yield _status(obj, "is wrong for an entry of this submission", ORIGINAL[0])
        elif target is None:
            if status != REFERENCE:
                yield _status(obj, "is wrong for an object outside this submission", REFERENCE[0])
        elif status:
            yield _status(obj, "is only for DocumentEntries", "no slot")
        elif isinstance(target, Association) and not self._is_folder_member(target):
            problem = "is an association that no SubmissionSet may contain"
            yield _refused(obj, "targetObject", problem, obj.target)

    def _folder_member(self, obj: Association, target: RegistryObject | None) -> Iterator[Finding]:
        """Folder to DocumentEntry, each here or registered."""
        if obj.submission_set_status:
            yield _status(obj, "is only for members of the SubmissionSet of this submission", "no slot")
        if target is not None and not isinstance(target, DocumentEntry):
            yield _refused(
                obj, "targetObject", "is no DocumentEntry, and so no member of a Folder", obj.target
            )

    def _is_folder_member(self, obj: Association) -> bool:
        """Whether ``obj`` puts a document into a folder: HasMember from anything but a SubmissionSet."""
        source, target = self._object(obj.source), self._object(obj.target)
        return (
            obj.type == HAS_MEMBER
            and (source is None or isinstance(source, Folder))
            and (target is None or isinstance(target, DocumentEntry))
        )

    def memberships(self, unlisted: Severity | None) -> Iterator[Finding]:
        """Every new object is exactly once a member of the SubmissionSet."""
        members = Counter(
            id_key(each.target)
            for each in self._submission.associations
            if each.type == HAS_MEMBER and isinstance(self._object(each.source), SubmissionSet)
        )
        new: list[RegistryObject] = [*self._submission.entries, *self._submission.folders]
        new += (each for each in self._submission.associations if self._is_folder_member(each))
        for obj in new:
            count = members[id_key(obj.entry_uuid)]
            is_unlisted = not count and not isinstance(obj, DocumentEntry)
            severity = unlisted if is_unlisted else Severity.ERROR
            if count != 1 and severity is not None:
                yield Finding(
                    METADATA_ERROR,
                    "is in no SubmissionSet" if not count else "is a member of its SubmissionSet repeatedly",
                    obj.place,
                    "HasMember",
                    seen=str(count),
                    allowed="one HasMember from the SubmissionSet",
                    source=_MEMBERS,
                    severity=severity,
                )


def _refused(
    obj: Association, attribute: str, problem: str, seen: str | None, code: str = METADATA_ERROR
) -> Finding:
    source = _MEMBERS if obj.type == HAS_MEMBER else _RELATIONS
    return Finding(code, problem, obj.place, attribute, seen, source=source)


def _status(obj: Association, problem: str, allowed: str) -> Finding:
    seen = ", ".join(obj.submission_set_status) or None
    return Finding(METADATA_ERROR, problem, obj.place, "SubmissionSetStatus", seen, allowed, _MEMBERS)


def _update(obj: RegistryObject, attribute: str, problem: str, seen: str) -> Finding:
    allowed = "a first version; updates are ITI-57"
    return Finding(METADATA_ERROR, problem, obj.place, attribute, seen, allowed, "ITI TF-2 3.42.4.1.3.4")
