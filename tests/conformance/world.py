"""What a registry holds before the rows of a table are sent to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.conformance.node import SUCCESS, Node
from tests.support.metadata import (
    APND,
    HAS_MEMBER,
    OTHER_PATIENT,
    PATIENT,
    RPLC,
    SIGNS,
    SNAPSHOT,
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
from tests.support.updates import SUBMIT_ASSOCIATION, UPDATE_STATUS


def submission(*objects: str, patient: str = PATIENT) -> bytes:
    """A SubmissionSet and more objects."""
    return submit_objects(submission_set(patient_id=patient), *objects)


def related(kind: str, target: str, *more: str, patient: str = PATIENT, entry: str = "Document01") -> bytes:
    """A new entry in a relationship to a target."""
    return submission(
        document_entry(entry, patient_id=patient),
        original(entry),
        association(entry, target, kind),
        *more,
        patient=patient,
    )


def member(folder_id: str, document: str, id: str = "Member01") -> str:
    """A HasMember from a folder to an entry, and the SubmissionSet's to it."""
    return association(folder_id, document, id=id) + association("SubmissionSet01", id)


def held(folder_id: str = "Folder01") -> str:
    """The SubmissionSet's HasMember to a new folder."""
    return association("SubmissionSet01", folder_id)


@dataclass
class World:
    """Registered objects by their entryUUID, of one patient unless it says otherwise.

    ``approved`` is in ``folder``; ``outdated`` has been replaced; ``transform`` is one of ``approved``.
    """

    node: Node
    approved: str = field(default_factory=new_uuid)
    outdated: str = field(default_factory=new_uuid)
    transform: str = field(default_factory=new_uuid)
    folder: str = field(default_factory=new_uuid)
    foreign: str = field(default_factory=new_uuid)
    foreign_folder: str = field(default_factory=new_uuid)
    set: str = field(default_factory=new_uuid)
    unique_id: str = field(default_factory=new_oid)
    set_unique_id: str = field(default_factory=new_oid)
    folder_unique_id: str = field(default_factory=new_oid)

    def __post_init__(self) -> None:
        for message in (
            submit_objects(
                submission_set(self.set, unique_id=self.set_unique_id),
                document_entry(self.approved, unique_id=self.unique_id, content=b"approved"),
                document_entry(self.outdated),
                folder(self.folder, unique_id=self.folder_unique_id),
                original(self.approved, self.set),
                original(self.outdated, self.set),
                association(self.set, self.folder),
                association(self.folder, self.approved, id="FM"),
                association(self.set, "FM"),
            ),
            related(RPLC, self.outdated),
            related(XFRM, self.approved, entry=self.transform),
            submission(
                document_entry(self.foreign, patient_id=OTHER_PATIENT),
                folder(self.foreign_folder, patient_id=OTHER_PATIENT),
                original(self.foreign),
                held(self.foreign_folder),
                patient=OTHER_PATIENT,
            ),
        ):
            outcome = self.node.register(message)
            assert outcome.short == (SUCCESS,), outcome.texts


__all__ = [
    "APND",
    "HAS_MEMBER",
    "RPLC",
    "SIGNS",
    "SNAPSHOT",
    "SUBMIT_ASSOCIATION",
    "UPDATE_STATUS",
    "XFRM",
    "XFRM_RPLC",
    "World",
    "held",
    "member",
    "related",
    "submission",
]
