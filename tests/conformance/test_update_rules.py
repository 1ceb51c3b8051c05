"""ITI-57 and ITI-92, row by row: what is an update, and the code for what is none (ITI TF-2 3.57, 3.92)."""

# ruff: noqa: E501 - a table: one row, one line

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.node import FAILURE, SUCCESS, Node, Outcome
from tests.support.metadata import (
    APND,
    APPROVED,
    CODES,
    DEPRECATED,
    HAS_MEMBER,
    ON_DEMAND,
    OTHER_PATIENT,
    RPLC,
    SIGNS,
    XFRM,
    association,
    classification,
    document_entry,
    folder,
    new_oid,
    new_uuid,
    original,
    submission_set,
    submit_objects,
)
from tests.support.updates import (
    SET,
    UPDATE_STATUS,
    entry_version,
    folder_version,
    membership,
    put_into,
    status_change,
    submitted,
    update,
)

SNAPSHOT = "urn:ihe:iti:2010:AssociationType:IsSnapshotOf"
OFFLINE = "urn:ihe:iti:2010:DocumentAvailability:Offline"
REASON = ("1", "1.3.6.1.4.1.19376.1.2.6.1", "amendment")


@dataclass
class Stage:
    """One patient's objects for one row, by entryUUID.

    ``entry`` is in ``folder``, which ``member`` says; ``related`` appends to it, which ``link`` says. ``bare``,
    and ``empty``, a folder, are connected to nothing but their SubmissionSet.
    """

    node: Node
    entry: str = field(default_factory=new_uuid)
    related: str = field(default_factory=new_uuid)
    bare: str = field(default_factory=new_uuid)
    folder: str = field(default_factory=new_uuid)
    empty: str = field(default_factory=new_uuid)
    member: str = field(default_factory=new_uuid)
    link: str = field(default_factory=new_uuid)
    set: str = field(default_factory=new_uuid)
    original: str = field(default_factory=new_uuid)
    foreign: str = field(default_factory=new_uuid)
    uid: str = field(default_factory=new_oid)
    bare_uid: str = field(default_factory=new_oid)
    folder_uid: str = field(default_factory=new_oid)
    empty_uid: str = field(default_factory=new_oid)
    set_uid: str = field(default_factory=new_oid)

    def __post_init__(self) -> None:
        self.must(
            self.node.register(
                submit_objects(
                    submission_set(self.set, unique_id=self.set_uid),
                    document_entry(self.entry, unique_id=self.uid),
                    document_entry(self.related),
                    document_entry(self.bare, unique_id=self.bare_uid),
                    folder(self.folder, unique_id=self.folder_uid),
                    folder(self.empty, unique_id=self.empty_uid),
                    association(self.set, self.entry, status="Original", id=self.original),
                    *(original(each, self.set) for each in (self.related, self.bare)),
                    *(association(self.set, each) for each in (self.folder, self.empty, self.member)),
                    association(self.folder, self.entry, id=self.member),
                    association(self.related, self.entry, APND, id=self.link),
                )
            )
        )
        foreign = document_entry(self.foreign, patient_id=OTHER_PATIENT)
        self.must(self.node.register(update(foreign, original(self.foreign), patient_id=OTHER_PATIENT)))

    @staticmethod
    def must(outcome: Outcome) -> None:
        """Expect success."""
        assert outcome.short == (SUCCESS,), outcome.texts

    def after(self, *objects: str) -> Any:
        """The stage after another update."""
        self.must(self.node.update(update(*objects)))
        return self

    def version(self, **options: Any) -> str:
        """A new version of ``entry``."""
        return entry_version(self.entry, self.uid, **options)

    def bare_version(self, **options: Any) -> str:
        """A new version of ``bare``."""
        return entry_version(self.bare, self.bare_uid, **options)

    def folder_version(self, **options: Any) -> str:
        """A new version of ``folder``."""
        return folder_version(self.folder, self.folder_uid, **options)


DONE = (SUCCESS,)
UPDATE = (FAILURE, "XDSMetadataUpdateError")
OPERATION = (FAILURE, "XDSMetadataUpdateOperationError")
VERSION = (FAILURE, "XDSMetadataVersionError")
PATIENTS = (FAILURE, "XDSPatientIDReconciliationError")
MIXED = (FAILURE, "XDSPatientIdDoesNotMatch")
METADATA = (FAILURE, "XDSRegistryMetadataError")
UNRESOLVED = (FAILURE, "UnresolvedReferenceException")
TAKEN = (FAILURE, "XDSDuplicateUniqueIdInRegistry")
BOTH = (FAILURE, "XDSMetadataUpdateOperationError", "XDSRegistryMetadataError")
TWICE = (FAILURE, "XDSMetadataUpdateOperationError", "XDSRegistryDuplicateUniqueIdInMessage")
ANNOTATION = (FAILURE, "XDSMetadataAnnotationError")
INVALID = (FAILURE, "XDSInvalidRequestException")
IDENTIFIER = (FAILURE, "XDSMetadataIdentifierError")
FIXED = (FAILURE, "UnmodifiableMetadataError")
TYPE = (FAILURE, "UnmodifiableMetadataError", "XDSObjectTypeError")

Builder = Callable[[Stage], bytes]

#: Rows for both transactions: what ITI-57 answers, and what ITI-92.
VERSIONS: list[tuple[str, Builder, tuple[str, ...], tuple[str, ...]]] = [
    # --- what a new version is
    ("new version", lambda w: update(w.version()), DONE, DONE),
    ("two objects", lambda w: update(w.version(), w.bare_version(id="b")), DONE, DONE),
    ("the id is a UUID", lambda w: update(w.version(id=new_uuid())), DONE, DONE),
    ("the second update", lambda w: update(w.after(w.version()) and w.version(previous="2")), DONE, DONE),
    ("a submitted version is ignored", lambda w: update(w.version(extra='<rim:VersionInfo versionName="17"/>')), DONE, DONE),
    ("lid in capitals", lambda w: update(entry_version("urn:uuid:" + w.entry[9:].upper(), w.uid)), DONE, DONE),
    ("AssociationPropagation yes", lambda w: update(w.version(propagation="yes")), DONE, DONE),
    ("extra metadata on the HasMember", lambda w: update(document_entry(unique_id=w.uid, attributes=f' lid="{w.entry}"'), membership(slots={"urn:pl:note": "x"})), DONE, DONE),
    ("nothing but a SubmissionSet", lambda w: update(), OPERATION, INVALID),
    ("no SubmissionSet", lambda w: submit_objects(w.version()), (FAILURE, "XDSMetadataUpdateError", "XDSMetadataUpdateOperationError", "XDSRegistryMetadataError"), (FAILURE, "XDSInvalidRequestException", "XDSMetadataAnnotationError", "XDSRegistryMetadataError")),
    ("two SubmissionSets", lambda w: update(submission_set("Set02"), w.version()), METADATA, METADATA),
    ("SubmissionSet.uniqueId used before", lambda w: update(w.version(), set_unique_id=w.set_uid), TAKEN, TAKEN),
    ("an id of the registry", lambda w: update(w.version(id=w.bare)), METADATA, METADATA),
    # --- rules of the new version
    ("no HasMember", lambda w: update(document_entry(unique_id=w.uid, attributes=f' lid="{w.entry}"')), UPDATE, ANNOTATION),
    ("two HasMembers", lambda w: update(w.version(), membership()), OPERATION, ANNOTATION),
    ("no lid", lambda w: update(document_entry(unique_id=w.uid), membership()), UPDATE, INVALID),
    ("an initial version", lambda w: update(document_entry(), original()), UPDATE, (FAILURE, "XDSInvalidRequestException", "XDSMetadataAnnotationError")),
    ("lid equal to the id", lambda w: update(entry_version("Document01", w.uid)), UPDATE, INVALID),
    ("lid equal to the id, a UUID", lambda w: update(entry_version(w.entry, w.uid, id=w.entry)), (FAILURE, "XDSMetadataUpdateError", "XDSRegistryMetadataError"), (FAILURE, "XDSInvalidRequestException", "XDSRegistryMetadataError")),
    ("symbolic lid", lambda w: update(entry_version("Entry01", w.uid)), UPDATE, UPDATE),
    ("lid unknown", lambda w: update(entry_version(new_uuid(), w.uid)), VERSION, VERSION),
    ("lid of a second version", lambda w: update(entry_version(w.after(w.version(id=(later := new_uuid()))) and later, w.uid, previous="2")), VERSION, VERSION),
    ("PreviousVersion missing", lambda w: update(w.version(previous=None)), UPDATE, ANNOTATION),
    ("PreviousVersion is no number", lambda w: update(w.version(previous="one")), OPERATION, ANNOTATION),
    ("PreviousVersion in quotes", lambda w: update(w.version(previous="'1'")), OPERATION, ANNOTATION),
    ("PreviousVersion zero", lambda w: update(w.version(previous="0")), OPERATION, ANNOTATION),
    ("PreviousVersion twice", lambda w: update(document_entry(unique_id=w.uid, attributes=f' lid="{w.entry}"'), membership(previous=None, slots={"PreviousVersion": ["1", "1"]})), OPERATION, ANNOTATION),
    ("PreviousVersion to come", lambda w: update(w.version(previous="2")), VERSION, VERSION),
    ("PreviousVersion past", lambda w: update(w.after(w.version()) and w.version()), VERSION, VERSION),
    ("PreviousVersion absurd", lambda w: update(w.version(previous="999999999")), VERSION, VERSION),
    ("SubmissionSetStatus missing", lambda w: update(document_entry(unique_id=w.uid, attributes=f' lid="{w.entry}"'), membership(status=None)), OPERATION, ANNOTATION),
    ("SubmissionSetStatus Reference", lambda w: update(document_entry(unique_id=w.uid, attributes=f' lid="{w.entry}"'), membership(status="Reference")), OPERATION, ANNOTATION),
    ("AssociationPropagation maybe", lambda w: update(w.version(propagation="maybe")), OPERATION, ANNOTATION),
    ("AssociationPropagation no", lambda w: update(w.version(propagation="no")), DONE, ANNOTATION),
    ("another operation's slot", lambda w: update(document_entry(unique_id=w.uid, attributes=f' lid="{w.entry}"'), membership(slots={"OriginalStatus": APPROVED})), OPERATION, ANNOTATION),
    ("an unknown slot", lambda w: update(document_entry(unique_id=w.uid, attributes=f' lid="{w.entry}"'), membership(slots={"Unknown": "1"})), BOTH, (FAILURE, "XDSMetadataAnnotationError", "XDSRegistryMetadataError")),
    ("uniqueId changed", lambda w: update(entry_version(w.entry, new_oid())), UPDATE, IDENTIFIER),
    ("objectType changed", lambda w: update(w.version(object_type=ON_DEMAND, content=None, slots={"creationTime": None})), UPDATE, TYPE),
    ("a Folder's lid", lambda w: update(entry_version(w.folder, w.folder_uid)), UPDATE, (FAILURE, "XDSObjectTypeError")),
    ("a SubmissionSet's lid", lambda w: update(entry_version(w.set, w.set_uid)), UPDATE, (FAILURE, "XDSObjectTypeError")),
    ("an attribute missing", lambda w: update(w.version(codes={"classCode": None})), METADATA, METADATA),
    ("a malformed attribute", lambda w: update(w.version(slots={"creationTime": "yesterday"})), METADATA, METADATA),
    ("two updates of one object", lambda w: update(w.version(), w.version(id="b")), TWICE, TWICE),
    ("two updates, the second of another uniqueId", lambda w: update(w.version(), entry_version(w.entry, new_oid(), id="b")), (FAILURE, "XDSMetadataUpdateError", "XDSMetadataUpdateOperationError"), (FAILURE, "XDSMetadataIdentifierError", "XDSMetadataUpdateOperationError")),
    ("the latest version Deprecated", lambda w: update(w.after(status_change(w.entry)) and w.version()), UPDATE, DONE),
    ("another patient in the entry alone", lambda w: update(w.version(patient_id=OTHER_PATIENT)), MIXED, (FAILURE, "XDSPatientIDReconciliationError", "XDSPatientIdDoesNotMatch")),
    ("patientId changed while connected", lambda w: update(w.version(patient_id=OTHER_PATIENT), patient_id=OTHER_PATIENT), PATIENTS, PATIENTS),
    ("patientId changed, connected to nothing", lambda w: update(w.bare_version(patient_id=OTHER_PATIENT), patient_id=OTHER_PATIENT), DONE, PATIENTS),
    # --- attributes that only ITI-57 changes
    ("sourcePatientId changed", lambda w: update(w.version(slots={"sourcePatientId": "7^^^&1.2.3&ISO"})), DONE, FIXED),
    ("repositoryUniqueId changed", lambda w: update(w.version(repository="1.2.3.4")), DONE, FIXED),
    ("documentAvailability changed", lambda w: update(w.version(slots={"documentAvailability": OFFLINE})), DONE, FIXED),
    ("documentAvailability said as it is", lambda w: update(w.version(slots={"documentAvailability": "urn:ihe:iti:2010:DocumentAvailability:Online"})), DONE, DONE),
    ("availabilityStatus changed", lambda w: update(w.version(attributes=f' status="{DEPRECATED}"')), DONE, FIXED),
    ("availabilityStatus said as it is", lambda w: update(w.version(attributes=f' status="{APPROVED}"')), DONE, DONE),
    ("homeCommunityId changed", lambda w: update(w.version(attributes=' home="urn:oid:1.2.3"')), DONE, FIXED),
    ("hash and size changed", lambda w: update(w.version(content=b"assembled later")), DONE, DONE),
    # --- what is left over
    ("a Folder without update", lambda w: update(w.version(), folder(), association(SET, "Folder01")), UPDATE, INVALID),
    ("a relationship", lambda w: update(w.version(), association("Document01", w.bare, APND)), OPERATION, INVALID),
    ("a Reference", lambda w: update(w.version(), association(SET, w.bare, status="Reference")), OPERATION, INVALID),
    ("a membership in a Folder", lambda w: update(w.version(), association(w.empty, "Document01", id="m"), association(SET, "m")), OPERATION, INVALID),
    ("an unknown associationType", lambda w: update(w.version(), association(SET, w.bare, "urn:oid:1.2.3")), BOTH, (FAILURE, "XDSInvalidRequestException", "XDSRegistryMetadataError")),
]  # fmt: skip

ROWS: list[tuple[str, Builder, tuple[str, ...]]] = [
    # --- Folders
    ("new version of a Folder", lambda w: update(w.folder_version()), DONE),
    ("Folder, with SubmissionSetStatus", lambda w: update(w.folder_version(status="Original")), DONE),
    ("Folder, with another SubmissionSetStatus", lambda w: update(w.folder_version(status="Reference")), OPERATION),
    ("Folder, no lid", lambda w: update(folder(unique_id=w.folder_uid), membership("Folder01", status=None)), UPDATE),
    ("Folder, no PreviousVersion", lambda w: update(w.folder_version(previous=None)), UPDATE),
    ("Folder, wrong PreviousVersion", lambda w: update(w.folder_version(previous="3")), VERSION),
    ("Folder, lid unknown", lambda w: update(folder_version(new_uuid(), w.folder_uid)), UPDATE),
    ("Folder, lid of an entry", lambda w: update(folder_version(w.entry, w.uid)), UPDATE),
    ("Folder, uniqueId changed", lambda w: update(folder_version(w.folder, new_oid())), UPDATE),
    ("Folder, an attribute missing", lambda w: update(w.folder_version(codes=())), METADATA),
    ("Folder, no propagation", lambda w: update(w.folder_version(propagation="no")), DONE),
    ("Folder and its entry", lambda w: update(w.folder_version(), w.version()), DONE),
    ("empty Folder to another patient", lambda w: update(folder_version(w.empty, w.empty_uid, patient_id=OTHER_PATIENT), patient_id=OTHER_PATIENT), DONE),
    ("Folder to another patient", lambda w: update(w.folder_version(patient_id=OTHER_PATIENT), patient_id=OTHER_PATIENT), PATIENTS),
    ("Folder to another patient, its content left behind", lambda w: update(w.folder_version(patient_id=OTHER_PATIENT, propagation="no"), patient_id=OTHER_PATIENT), DONE),
    ("Deprecated Folder", lambda w: update(w.after(status_change(w.folder)) and w.folder_version()), UPDATE),
    # --- availabilityStatus
    ("entry to Deprecated", lambda w: update(status_change(w.entry)), DONE),
    ("and back", lambda w: update(w.after(status_change(w.entry)) and status_change(w.entry, DEPRECATED, APPROVED)), DONE),
    ("Folder to Deprecated", lambda w: update(status_change(w.folder)), DONE),
    ("relationship to Deprecated", lambda w: update(status_change(w.link)), DONE),
    ("and back again", lambda w: update(w.after(status_change(w.link)) and status_change(w.link, DEPRECATED, APPROVED)), DONE),
    ("Folder membership to Deprecated", lambda w: update(status_change(w.member)), DONE),
    ("SubmissionSet", lambda w: update(status_change(w.set)), UPDATE),
    ("the request's own SubmissionSet", lambda w: update(status_change(SET)), UPDATE),
    ("membership of a SubmissionSet", lambda w: update(status_change(w.original)), UPDATE),
    ("OriginalStatus missing", lambda w: update(status_change(w.entry, original=None)), OPERATION),
    ("NewStatus missing", lambda w: update(status_change(w.entry, new=None)), OPERATION),
    ("both missing", lambda w: update(association(SET, w.entry, UPDATE_STATUS)), OPERATION),
    ("OriginalStatus invalid", lambda w: update(status_change(w.entry, "Approved")), OPERATION),
    ("NewStatus invalid", lambda w: update(status_change(w.entry, new="urn:oasis:names:tc:ebxml-regrep:StatusType:Submitted")), OPERATION),
    ("NewStatus twice", lambda w: update(status_change(w.entry, new=None, slots={"NewStatus": [DEPRECATED, APPROVED]})), OPERATION),
    ("an extra slot", lambda w: update(status_change(w.entry, slots={"PreviousVersion": "1"})), OPERATION),
    ("extra metadata on the trigger", lambda w: update(status_change(w.entry, slots={"urn:pl:note": "x"})), OPERATION),
    ("SubmissionSetStatus on the trigger", lambda w: update(status_change(w.entry, slots={"SubmissionSetStatus": "Original"})), OPERATION),
    ("both equal", lambda w: update(status_change(w.entry, APPROVED, APPROVED)), OPERATION),
    ("OriginalStatus wrong", lambda w: update(status_change(w.entry, DEPRECATED, APPROVED)), UPDATE),
    ("Deprecated already", lambda w: update(w.after(status_change(w.entry)) and status_change(w.entry)), UPDATE),
    ("an older version", lambda w: update(w.after(w.version()) and status_change(w.entry)), UPDATE),
    ("an older version, to Approved", lambda w: update(w.after(w.version()) and status_change(w.entry, DEPRECATED, APPROVED)), UPDATE),
    ("unknown target", lambda w: update(status_change(new_uuid())), UNRESOLVED),
    ("symbolic target", lambda w: update(status_change("Document77")), UNRESOLVED),
    ("another patient's entry", lambda w: update(status_change(w.foreign)), PATIENTS),
    ("not from the SubmissionSet", lambda w: update(status_change(w.entry, source=w.folder)), OPERATION),
    ("two changes of one status", lambda w: update(status_change(w.entry), status_change(w.entry)), OPERATION),
    # --- submitted Associations
    ("APND", lambda w: update(submitted(w.bare, w.entry)), DONE),
    ("signs", lambda w: update(submitted(w.bare, w.entry, SIGNS)), DONE),
    ("Folder membership", lambda w: update(put_into(w.folder, w.bare)), DONE),
    ("with a reason", lambda w: update(submitted(w.bare, w.entry, id="r", extra=classification("r", "abd807a3-4432-4053-87b4-fd82c643d1f3", REASON))), DONE),
    ("with two reasons", lambda w: update(submitted(w.bare, w.entry, id="r", extra=2 * classification("r", "abd807a3-4432-4053-87b4-fd82c643d1f3", REASON))), METADATA),
    ("a Folder membership with a reason", lambda w: update(submitted(w.folder, w.bare, HAS_MEMBER, id="r", extra=classification("r", "abd807a3-4432-4053-87b4-fd82c643d1f3", REASON))), METADATA),
    ("with extra metadata", lambda w: update(submitted(w.bare, w.entry, slots={"urn:pl:note": "x"})), DONE),
    ("with another operation's slot", lambda w: update(submitted(w.bare, w.entry, slots={"NewStatus": DEPRECATED})), OPERATION),
    ("with SubmissionSetStatus", lambda w: update(submitted(w.bare, w.entry, status="Original")), OPERATION),
    ("unknown associationType", lambda w: update(submitted(w.bare, w.entry, "urn:ihe:iti:2007:AssociationType:APND_TXFM")), METADATA),
    ("associationType of another operation", lambda w: update(association(SET, "r", "urn:ihe:iti:2010:AssociationType:SubmitAssociation"), status_change(w.entry).replace("<rim:Association id=", '<rim:Association id="r" name=', 1)), OPERATION),
    ("no Association at all", lambda w: update(association(SET, new_uuid(), "urn:ihe:iti:2010:AssociationType:SubmitAssociation")), OPERATION),
    ("an Association of the registry", lambda w: update(association(SET, w.link, "urn:ihe:iti:2010:AssociationType:SubmitAssociation")), OPERATION),
    ("submitted twice", lambda w: update(submitted(w.bare, w.entry, id="r"), association(SET, "r", "urn:ihe:iti:2010:AssociationType:SubmitAssociation")), OPERATION),
    ("submitted by a Folder", lambda w: update(association(w.folder, "r", "urn:ihe:iti:2010:AssociationType:SubmitAssociation"), association(w.bare, w.entry, APND, id="r")), OPERATION),
    ("exists already", lambda w: update(submitted(w.related, w.entry)), UPDATE),
    ("Folder membership exists already", lambda w: update(put_into(w.folder, w.entry)), UPDATE),
    ("existed, is Deprecated", lambda w: update(w.after(status_change(w.link)) and submitted(w.related, w.entry)), DONE),
    ("the former one Approved again", lambda w: update(w.after(status_change(w.link)).after(submitted(w.related, w.entry)) and status_change(w.link, DEPRECATED, APPROVED)), UPDATE),
    ("the same twice", lambda w: update(submitted(w.bare, w.entry), submitted(w.bare, w.entry)), UPDATE),
    ("the other way round", lambda w: update(submitted(w.entry, w.related)), DONE),
    ("another type", lambda w: update(submitted(w.related, w.entry, SIGNS)), DONE),
    ("unknown source", lambda w: update(submitted(new_uuid(), w.entry)), UNRESOLVED),
    ("unknown target of it", lambda w: update(submitted(w.entry, new_uuid())), UNRESOLVED),
    ("symbolic ends", lambda w: update(submitted("a", "b")), UNRESOLVED),
    ("an end in the request that is no version", lambda w: update(submitted(SET, w.entry)), METADATA),
    ("a SubmissionSet at an end", lambda w: update(submitted(w.entry, w.set)), UPDATE),
    ("a SubmissionSet's membership", lambda w: update(submitted(w.set, w.entry, HAS_MEMBER)), UPDATE),
    ("a Folder at the end of a relationship", lambda w: update(submitted(w.folder, w.entry)), METADATA),
    ("an entry as a Folder", lambda w: update(put_into(w.entry, w.bare)), METADATA),
    ("a Folder in a Folder", lambda w: update(put_into(w.folder, w.empty)), METADATA),
    ("an Association at an end", lambda w: update(submitted(w.entry, w.link)), METADATA),
    ("IsSnapshotOf a stable entry", lambda w: update(submitted(w.bare, w.entry, SNAPSHOT)), METADATA),
    ("APND to a transform", lambda w: update(w.after(submitted(w.bare, w.entry, XFRM)) and submitted(w.related, w.bare)), METADATA),
    ("Deprecated source", lambda w: update(w.after(status_change(w.bare)) and submitted(w.bare, w.entry)), UPDATE),
    ("Deprecated target", lambda w: update(w.after(status_change(w.bare)) and submitted(w.entry, w.bare)), UPDATE),
    ("an older version at an end", lambda w: update(w.after(w.bare_version()) and submitted(w.entry, w.bare)), UPDATE),
    ("across patients", lambda w: update(submitted(w.entry, w.foreign)), PATIENTS),
    ("across patients, the other way", lambda w: update(submitted(w.foreign, w.entry)), PATIENTS),
    ("of another patient altogether", lambda w: update(submitted(w.bare, w.entry), patient_id=OTHER_PATIENT), PATIENTS),
    # --- operations together
    ("new version, which is Deprecated", lambda w: update(w.version(), status_change("Document01")), DONE),
    ("new Folder version, which is Deprecated", lambda w: update(w.folder_version(), status_change("Folder01")), DONE),
    ("new version, to Approved", lambda w: update(w.version(), status_change("Document01", DEPRECATED, APPROVED)), UPDATE),
    ("new version, from Approved to Approved", lambda w: update(w.version(), status_change("Document01", APPROVED, APPROVED)), UPDATE),
    ("new Folder version, to Approved", lambda w: update(w.folder_version(), status_change("Folder01", DEPRECATED, APPROVED)), UPDATE),
    ("new version, from a wrong status", lambda w: update(w.version(), status_change("Document01", "Approved")), OPERATION),
    ("new version, and status of the old one", lambda w: update(w.version(), status_change(w.entry)), UPDATE),
    ("submitted, then Deprecated", lambda w: update(submitted(w.bare, w.entry, id="r"), status_change("r")), DONE),
    ("submitted, then Approved", lambda w: update(submitted(w.bare, w.entry, id="r"), status_change("r", DEPRECATED, APPROVED)), UPDATE),
    ("status of a request's membership", lambda w: update(document_entry(unique_id=w.uid, attributes=f' lid="{w.entry}"'), association(SET, "Document01", status="Original", slots={"PreviousVersion": "1"}, id="m"), status_change("m")), UPDATE),
    ("new version with propagation, and an Association of it", lambda w: update(w.version(), submitted(w.bare, "Document01")), OPERATION),
    ("new version with propagation, and an Association of the old one", lambda w: update(w.version(), submitted(w.bare, w.entry)), OPERATION),
    ("new version without propagation, and an Association of it", lambda w: update(w.version(propagation="no"), submitted(w.bare, "Document01")), DONE),
    ("new version without propagation, and an Association of the old one", lambda w: update(w.version(propagation="no"), submitted(w.bare, w.entry)), UPDATE),
    ("new version without propagation, into its Folder", lambda w: update(w.version(propagation="no"), put_into(w.folder, "Document01")), DONE),
    ("new Folder version without propagation, and its content", lambda w: update(w.folder_version(propagation="no"), put_into("Folder01", w.entry)), DONE),
    ("entry Approved, then related", lambda w: update(w.after(status_change(w.bare)) and status_change(w.bare, DEPRECATED, APPROVED), submitted(w.entry, w.bare)), DONE),
    ("entry Deprecated, then related", lambda w: update(status_change(w.bare), submitted(w.entry, w.bare)), UPDATE),
    ("replaced after an update", lambda w: update(w.after(w.version(id=(v2 := new_uuid()))) and submitted(w.bare, v2, RPLC)), DONE),
    ("everything at once", lambda w: update(w.version(), w.folder_version(), status_change(w.related), submitted(w.bare, w.bare, SIGNS), status_change(w.link)), DONE),
    # --- the same message by ITI-42 and ITI-92
    ("codes of the domain are judged", lambda w: update(w.version(codes={"classCode": (CODES["classCode"][0], "Ł", "x")})), METADATA),
]  # fmt: skip


@dataclass
class Theatre:
    """A server, and its database to look into."""

    node: Node
    database: sqlite3.Connection

    def picture(self) -> list[tuple[Any, ...]]:
        """What every request that is accepted changes."""
        return [
            self.database.execute(f"SELECT count(*), sum(status) FROM {table}").fetchone() for table in TABLES
        ]

    def judge(self, send: Callable[[bytes], Outcome], message: Builder, expected: tuple[str, ...]) -> None:
        """Send a message to a fresh stage; one that is refused leaves nothing behind."""
        octets = message(Stage(self.node))
        before = self.picture()
        outcome = send(octets)
        assert outcome.short == expected, outcome.texts
        assert (self.picture() == before) == (outcome.status == FAILURE)


TABLES = ("registry_object", "association")


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    path: Path = tmp_path_factory.mktemp("updates")
    node = Node(path)
    database = sqlite3.connect(path / "msim.db")
    yield Theatre(node, database)
    database.close()


@pytest.mark.parametrize(("message", "expected"), [pytest.param(m, e, id=n) for n, m, e, _ in VERSIONS])
def test_update(theatre: Theatre, message: Builder, expected: tuple[str, ...]) -> None:
    theatre.judge(theatre.node.update, message, expected)


@pytest.mark.parametrize(("message", "expected"), [pytest.param(m, e, id=n) for n, m, _, e in VERSIONS])
def test_restricted_update(theatre: Theatre, message: Builder, expected: tuple[str, ...]) -> None:
    theatre.judge(theatre.node.update_restricted, message, expected)


@pytest.mark.parametrize(("message", "expected"), [pytest.param(m, e, id=n) for n, m, e in ROWS])
def test_operations(theatre: Theatre, message: Builder, expected: tuple[str, ...]) -> None:
    theatre.judge(theatre.node.update, message, expected)
