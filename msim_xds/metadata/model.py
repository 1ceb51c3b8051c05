"""Submissions as frozen dataclasses, their small parts as tuples (ITI TF-3 4.1, 4.2.3).

Field names are those of ``ihe.attributes``. A value that the sender left out is None or an empty tuple.
Strings are the sender's own text; nothing is normalised here, so that what was submitted can be returned
unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from msim_xds.ihe.names import ON_DEMAND_OBJECT_TYPE, STABLE_OBJECT_TYPE, ObjectKind


class LocalizedString(NamedTuple):
    """One text in one language; ``lang`` and ``charset`` None where the sender gave none."""

    value: str
    lang: str | None = None
    charset: str | None = None


InternationalString = tuple[LocalizedString, ...]


class Slot(NamedTuple):
    """A rim:Slot: extra metadata, or an attribute on its way."""

    name: str
    values: tuple[str, ...]
    slot_type: str | None = None


class Code(NamedTuple):
    """A coded value: code, coding scheme, display names, and extra slots of the Classification."""

    code: str
    scheme: str
    display: InternationalString = ()
    extra: tuple[Slot, ...] = ()


class Author(NamedTuple):
    """One author; person is XCN, institutions XON, telecommunications XTN (ITI TF-3 4.2.3.1.4)."""

    person: str | None = None
    institutions: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    specialties: tuple[str, ...] = ()
    telecommunications: tuple[str, ...] = ()
    extra: tuple[Slot, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentEntry:
    """XDSDocumentEntry (ITI TF-3 4.2.3.2)."""

    entry_uuid: str
    object_type: str | None = None
    mime_type: str | None = None
    status: str | None = None
    home: str | None = None
    logical_id: str | None = None
    version: str | None = None
    title: InternationalString = ()
    comments: InternationalString = ()
    authors: tuple[Author, ...] = ()
    class_code: Code | None = None
    type_code: Code | None = None
    format_code: Code | None = None
    healthcare_facility_type_code: Code | None = None
    practice_setting_code: Code | None = None
    confidentiality_codes: tuple[Code, ...] = ()
    event_codes: tuple[Code, ...] = ()
    patient_id: str | None = None
    unique_id: str | None = None
    creation_time: str | None = None
    service_start_time: str | None = None
    service_stop_time: str | None = None
    language_code: str | None = None
    hash: str | None = None
    size: str | None = None
    repository_unique_id: str | None = None
    source_patient_id: str | None = None
    source_patient_info: tuple[str, ...] = ()
    legal_authenticator: str | None = None
    reference_ids: tuple[str, ...] = ()
    uri: tuple[str, ...] = ()
    document_availability: str | None = None
    extra: tuple[Slot, ...] = ()

    @property
    def kind(self) -> ObjectKind:
        """Stable or on-demand, by objectType; stable where it is neither (a finding says so)."""
        on_demand = self.object_type == ON_DEMAND_OBJECT_TYPE
        return ObjectKind.ON_DEMAND_DOCUMENT_ENTRY if on_demand else ObjectKind.STABLE_DOCUMENT_ENTRY

    @property
    def is_stable(self) -> bool:
        """Whether objectType says stable."""
        return self.object_type == STABLE_OBJECT_TYPE

    @property
    def place(self) -> str:
        """How findings name this object."""
        return f"DocumentEntry {self.entry_uuid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionSet:
    """XDSSubmissionSet (ITI TF-3 4.2.3.3)."""

    entry_uuid: str
    status: str | None = None
    home: str | None = None
    logical_id: str | None = None
    version: str | None = None
    title: InternationalString = ()
    comments: InternationalString = ()
    authors: tuple[Author, ...] = ()
    content_type_code: Code | None = None
    patient_id: str | None = None
    source_id: str | None = None
    unique_id: str | None = None
    submission_time: str | None = None
    intended_recipients: tuple[str, ...] = ()
    extra: tuple[Slot, ...] = ()

    @property
    def kind(self) -> ObjectKind:
        """Always SUBMISSION_SET."""
        return ObjectKind.SUBMISSION_SET

    @property
    def place(self) -> str:
        """How findings name this object."""
        return f"SubmissionSet {self.entry_uuid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """XDSFolder (ITI TF-3 4.2.3.4)."""

    entry_uuid: str
    status: str | None = None
    home: str | None = None
    logical_id: str | None = None
    version: str | None = None
    title: InternationalString = ()
    comments: InternationalString = ()
    codes: tuple[Code, ...] = ()
    patient_id: str | None = None
    unique_id: str | None = None
    last_update_time: str | None = None
    extra: tuple[Slot, ...] = ()

    @property
    def kind(self) -> ObjectKind:
        """Always FOLDER."""
        return ObjectKind.FOLDER

    @property
    def place(self) -> str:
        """How findings name this object."""
        return f"Folder {self.entry_uuid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Association:
    """An Association; ``type`` is the full URN (ITI TF-3 4.2.2).

    ``submission_set_status`` holds the values of the SubmissionSetStatus slot as sent, ``documentation`` the
    optional reason code, ``slots`` every other slot.
    """

    entry_uuid: str
    type: str
    source: str
    target: str
    status: str | None = None
    home: str | None = None
    object_type: str | None = None
    submission_set_status: tuple[str, ...] = ()
    documentation: tuple[Code, ...] = ()
    name: InternationalString = ()
    comments: InternationalString = ()
    slots: tuple[Slot, ...] = ()

    @property
    def kind(self) -> ObjectKind:
        """Always ASSOCIATION."""
        return ObjectKind.ASSOCIATION

    @property
    def place(self) -> str:
        """How findings name this object."""
        return f"Association {self.entry_uuid}"


RegistryObject = DocumentEntry | SubmissionSet | Folder | Association
MetadataObject = DocumentEntry | SubmissionSet | Folder


@dataclass(frozen=True, slots=True)
class Submission:
    """The objects of one SubmitObjectsRequest in the order received; normally exactly one SubmissionSet."""

    submission_sets: tuple[SubmissionSet, ...] = ()
    entries: tuple[DocumentEntry, ...] = ()
    folders: tuple[Folder, ...] = ()
    associations: tuple[Association, ...] = ()

    def things(self) -> tuple[MetadataObject, ...]:
        """All that has a uniqueId: every object but the Associations, SubmissionSets first."""
        return (*self.submission_sets, *self.entries, *self.folders)

    def objects(self) -> tuple[RegistryObject, ...]:
        """Every object, SubmissionSets first."""
        return (*self.submission_sets, *self.entries, *self.folders, *self.associations)
