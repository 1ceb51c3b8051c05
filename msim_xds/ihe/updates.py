"""Metadata update as tables: operations with their triggers, and what each broken rule is answered with.

Source: ITI TF-2 3.57.4.1.3 (Update Document Set), 3.92.4.1.3 (Restricted Update Document Set).

The framework's text, its test kit and other implementations do not agree on every code. ``RULES`` is the one
place where a choice is made: the text first, then the kit's simulator, and what the kit's test plans demand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from msim_xds.ihe.names import AssociationType, ObjectKind, Status
from msim_xds.ihe.transactions import ITI_57, ITI_92

_COMMON: Final = "ITI TF-2 3.57.4.1.3.1"
_ANNOTATION: Final = "ITI TF-2 3.57.4.1.3.1.3"
_OPERATIONS: Final = "ITI TF-2 3.57.4.1.3.3"
_RESTRICTED: Final = "ITI TF-2 3.92.4.1.3"

_UPDATE: Final = "XDSMetadataUpdateError"
_OPERATION: Final = "XDSMetadataUpdateOperationError"
_VERSION: Final = "XDSMetadataVersionError"
_PATIENT: Final = "XDSPatientIDReconciliationError"
_IDENTIFIER: Final = "XDSMetadataIdentifierError"
_INVALID: Final = "XDSInvalidRequestException"
_MEMBER: Final = "XDSMetadataAnnotationError"
_TYPE: Final = "XDSObjectTypeError"
_FIXED: Final = "UnmodifiableMetadataError"
_METADATA: Final = "XDSRegistryMetadataError"
_UNRESOLVED: Final = "UnresolvedReferenceException"

#: Transactions that update.
UPDATES: Final = frozenset({ITI_57.name, ITI_92.name})


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of an update, and how a request that breaks it is answered.

    Attributes:
        problem: what is wrong.
        allowed: what would be right.
        update: the code in ITI-57; empty where the rule does not hold there.
        restricted: the code in ITI-92; likewise.
        section: where ITI-57 says so.
    """

    problem: str
    allowed: str
    update: str
    restricted: str
    section: str = _COMMON

    def code(self, transaction: str) -> str:
        """The error code in a transaction; empty where the rule does not hold."""
        return self.restricted if transaction == ITI_92.name else self.update

    def source(self, transaction: str) -> str:
        """Where the transaction says so."""
        return _RESTRICTED if transaction == ITI_92.name else self.section


# --- the request as a whole ---------------------------------------------------------------------
NOTHING: Final = Rule("asks for no update", "at least one operation", _OPERATION, _INVALID)
#: In ITI-92 also Folders: the kit calls that an invalid request, others an XDSObjectTypeError.
LEFT_OVER: Final = Rule(
    "belongs to no operation of this transaction", "operations only", _OPERATION, _INVALID
)
TWICE: Final = Rule(
    "two operations change the same object", "one operation for each object", _OPERATION, _OPERATION
)
NOT_FROM_SET: Final = Rule(
    "does not come from the SubmissionSet",
    "the request's SubmissionSet as sourceObject",
    _OPERATION,
    _INVALID,
)
#: ITI-92 names no exception of its own for this one.
UNRESOLVED: Final = Rule(
    "refers to an object that is neither in the request nor in the registry",
    "the entryUUID of a registered object, or an id in this request",
    _UNRESOLVED,
    "",
)

# --- a new version, as the request says it ------------------------------------------------------
NO_MEMBERSHIP: Final = Rule(
    "is no member of the SubmissionSet", "one HasMember from the SubmissionSet", _UPDATE, _MEMBER
)
SEVERAL_MEMBERSHIPS: Final = Rule(
    "is a member of the SubmissionSet repeatedly", "one HasMember from the SubmissionSet", _OPERATION, _MEMBER
)
NO_LOGICAL_ID: Final = Rule(
    "has no lid, and so is the first version of an object",
    "the logicalID of the object to update; first versions come by ITI-42",
    _UPDATE,
    _INVALID,
)
FIRST_VERSION: Final = Rule(
    "has its own id for lid, and so is the first version of an object",
    "the logicalID of the object to update, and an id of its own",
    _UPDATE,
    _INVALID,
)
SYMBOLIC_LOGICAL_ID: Final = Rule(
    "lid is symbolic", "the logicalID of a registered object, a UUID", _UPDATE, _UPDATE
)
NO_PREVIOUS_VERSION: Final = Rule(
    "slot is missing", "a slot PreviousVersion, the version that is updated", _UPDATE, _MEMBER, _ANNOTATION
)
#: Extra, missing and invalid slots of the HasMember alike.
ANNOTATION: Final = Rule("slot is wrong here", "", _OPERATION, _MEMBER, _ANNOTATION)
PROPAGATION_ONLY: Final = Rule(
    "associations always go on to the new version", "AssociationPropagation yes, or no such slot", "", _MEMBER
)

# --- a new version, as the registry sees it -----------------------------------------------------
UNKNOWN_ENTRY: Final = Rule(
    "the registry has no such DocumentEntry", "the logicalID of a registered one", _VERSION, _VERSION
)
UNKNOWN_FOLDER: Final = Rule(
    "the registry has no such Folder", "the logicalID of a registered one", _UPDATE, ""
)
OLD_VERSION: Final = Rule("is not the latest version", "", _VERSION, _VERSION, _ANNOTATION)
#: ITI-92 updates a Deprecated object too, and its new version stays Deprecated (CP-ITI-1190).
NOT_APPROVED: Final = Rule(
    "the latest version is Deprecated", "an object whose latest version is Approved", _UPDATE, "", _OPERATIONS
)
OTHER_UNIQUE_ID: Final = Rule("differs from the version before", "", _UPDATE, _IDENTIFIER, _OPERATIONS)
#: For ITI-92 the kit's plan asks for UnmodifiableMetadataError, its simulator for this; both are sent.
OTHER_OBJECT_TYPE: Final = Rule(
    "is another kind of object than the version before", "the same objectType", _UPDATE, _TYPE, _OPERATIONS
)
OTHER_PATIENT: Final = Rule(
    "differs from the version before", "the same patientId", "", _PATIENT, _OPERATIONS
)
CONNECTED: Final = Rule(
    "changes while the object is connected to others of the former patient",
    "an object without connections, AssociationPropagation no, or the others' move in the same request",
    _PATIENT,
    "",
    f"{_OPERATIONS}.3.7",
)
UNMODIFIABLE: Final = Rule("differs from the version before", "", "", _FIXED)

# --- availabilityStatus -------------------------------------------------------------------------
STATUS_SLOTS: Final = Rule("slot is wrong here", "", _OPERATION, "", _OPERATIONS)
SAME_STATUS: Final = Rule(
    "OriginalStatus and NewStatus are equal",
    "Approved and Deprecated, either way",
    _OPERATION,
    "",
    _OPERATIONS,
)
APPROVED_ANYWAY: Final = Rule(
    "asks for Approved on an object that this request adds", "no such operation", _UPDATE, "", _OPERATIONS
)
NO_STATUS_TO_CHANGE: Final = Rule(
    "is neither a DocumentEntry, nor a Folder, nor an Association between those",
    "an object whose availabilityStatus can change",
    _UPDATE,
    "",
)
NOT_LATEST: Final = Rule("is not the latest version of its object", "the latest", _UPDATE, "", _OPERATIONS)
OTHER_STATUS: Final = Rule("is not the object's present status", "", _UPDATE, "", _OPERATIONS)
FOREIGN: Final = Rule(
    "belongs to another patient than the SubmissionSet", "an object of the same patient", _PATIENT, ""
)

# --- submitted Associations ---------------------------------------------------------------------
NO_NEW_ASSOCIATION: Final = Rule(
    "is no Association of this request that relates DocumentEntries or puts one into a Folder",
    "a new HasMember from a Folder, or a relationship",
    _OPERATION,
    "",
    _OPERATIONS,
)
SET_AS_END: Final = Rule(
    "is a SubmissionSet, which never changes", "a DocumentEntry, or a Folder", _UPDATE, "", _OPERATIONS
)
WRONG_END: Final = Rule("is no object that this Association may name", "", _METADATA, "", _OPERATIONS)
END_OUT_OF_USE: Final = Rule(
    "is not Approved, or not the latest version", "an Approved object", _UPDATE, "", _OPERATIONS
)
ACROSS_PATIENTS: Final = Rule(
    "is an object of another patient than the SubmissionSet",
    "objects of one patient",
    _PATIENT,
    "",
    _OPERATIONS,
)
DUPLICATE: Final = Rule(
    "these objects have an Approved Association of this type already",
    "no second one",
    _UPDATE,
    "",
    _OPERATIONS,
)
PROPAGATED_TOO: Final = Rule(
    "names an object whose Associations go on to its new version in this request",
    "AssociationPropagation no, or a request of its own",
    _OPERATION,
    "",
    _OPERATIONS,
)

DOCUMENTATION: Final = Rule(
    "has more codes than its type may have", "one code on a relationship, none on a HasMember", _METADATA, ""
)
APPENDED_TRANSFORM: Final = Rule(
    "is a transform of another document, to which nothing is appended", "the original document", _METADATA, ""
)

#: Every rule by its name.
RULES: Final = {name: value for name, value in list(globals().items()) if isinstance(value, Rule)}

_STATUSES: Final = frozenset(Status)


@dataclass(frozen=True, slots=True)
class SlotRow:
    """A slot of a trigger: its values, of which it has one, or None for a version number."""

    name: str
    values: frozenset[str] | None
    missing: Rule | None


@dataclass(frozen=True, slots=True)
class Operation:
    """What a request may ask for.

    Attributes:
        title: the framework's name of it.
        trigger: the type of the Association that asks for it.
        target: the kinds of object that it changes.
        slots: the trigger's slots; no others.
        wrong: the rule that a wrong slot breaks.
        transactions: where it is known.
    """

    title: str
    trigger: AssociationType
    target: frozenset[ObjectKind]
    slots: tuple[SlotRow, ...]
    wrong: Rule
    transactions: frozenset[str]


ENTRIES: Final = frozenset({ObjectKind.STABLE_DOCUMENT_ENTRY, ObjectKind.ON_DEMAND_DOCUMENT_ENTRY})
_FOLDER: Final = frozenset({ObjectKind.FOLDER})
_LINK: Final = frozenset({ObjectKind.ASSOCIATION})

PREVIOUS_VERSION: Final = "PreviousVersion"
SUBMISSION_SET_STATUS: Final = "SubmissionSetStatus"
PROPAGATION: Final = "AssociationPropagation"
ORIGINAL_STATUS: Final = "OriginalStatus"
NEW_STATUS: Final = "NewStatus"
_ORIGINAL: Final = frozenset({"Original"})

UPDATE_ENTRY: Final = Operation(
    "Update DocumentEntry Metadata",
    AssociationType.HAS_MEMBER,
    ENTRIES,
    (
        SlotRow(PREVIOUS_VERSION, None, NO_PREVIOUS_VERSION),
        SlotRow(SUBMISSION_SET_STATUS, _ORIGINAL, ANNOTATION),
        SlotRow(PROPAGATION, frozenset({"yes", "no"}), None),
    ),
    ANNOTATION,
    UPDATES,
)
UPDATE_FOLDER: Final = Operation(
    "Update Folder Metadata",
    AssociationType.HAS_MEMBER,
    _FOLDER,
    (
        SlotRow(PREVIOUS_VERSION, None, NO_PREVIOUS_VERSION),
        SlotRow(SUBMISSION_SET_STATUS, _ORIGINAL, None),  # senders disagree whether it belongs there
        SlotRow(PROPAGATION, frozenset({"yes", "no"}), None),
    ),
    ANNOTATION,
    frozenset({ITI_57.name}),
)
UPDATE_STATUS: Final = Operation(
    "Update availabilityStatus",
    AssociationType.UPDATE_AVAILABILITY_STATUS,
    ENTRIES | _FOLDER | _LINK,
    (SlotRow(ORIGINAL_STATUS, _STATUSES, STATUS_SLOTS), SlotRow(NEW_STATUS, _STATUSES, STATUS_SLOTS)),
    STATUS_SLOTS,
    frozenset({ITI_57.name}),
)
SUBMIT_ASSOCIATION: Final = Operation(
    "Submit Associations",
    AssociationType.SUBMIT_ASSOCIATION,
    _LINK,
    (),
    STATUS_SLOTS,
    frozenset({ITI_57.name}),
)

#: What ITI-92 never changes besides what identifies the object: attribute, field, and its value where absent.
UNMODIFIABLE_ATTRIBUTES: Final = (
    ("objectType", "object_type", None),
    ("sourcePatientId", "source_patient_id", None),
    ("repositoryUniqueId", "repository_unique_id", None),
    ("documentAvailability", "document_availability", "urn:ihe:iti:2010:DocumentAvailability:Online"),
)
