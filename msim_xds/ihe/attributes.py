"""The attribute table: what DocumentEntry, SubmissionSet and Folder consist of (ITI TF-3 4.2.3, Table 4.3.1-3).

One row drives reading, writing, cardinality and format findings, search columns and documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Owner(Enum):
    """Whose attribute it is."""

    DOCUMENT_ENTRY = "DocumentEntry"
    SUBMISSION_SET = "SubmissionSet"
    FOLDER = "Folder"


class Where(Enum):
    """Place of an attribute in ebRIM (ITI TF-3 4.2.3.1)."""

    CODE = "Classification with nodeRepresentation and codingScheme"
    AUTHOR = "Classification with author slots"
    IDENTIFIER = "ExternalIdentifier"
    SLOT = "Slot"
    XML = "XML attribute"
    NAME = "Name"
    DESCRIPTION = "Description"
    VERSION = "VersionInfo"


class Use(Enum):
    """Optionality in one transaction (ITI TF-3 Table 4.3.1-3)."""

    REQUIRED = "R"
    IF_KNOWN = "R2"
    OPTIONAL = "O"
    PROHIBITED = "X"


R, R2, O, X = Use.REQUIRED, Use.IF_KNOWN, Use.OPTIONAL, Use.PROHIBITED  # noqa: E741  # the framework's letter


@dataclass(frozen=True, slots=True)
class Attribute:
    """One row of the table.

    Attributes:
        owner: the object.
        name: the framework's name, ``typeCode``.
        field: the field of the dataclass in ``metadata.model``, ``type_code``.
        where: place in ebRIM.
        key: scheme UUID, slot name or XML attribute name.
        datatype: name of the value check in ``metadata.datatypes``.
        most: how many values at most; None is unbounded.
        source: optionality for the sender of ITI-41.
        registry: optionality for the sender of ITI-42.
        on_demand: optionality in an on-demand DocumentEntry, and in what is submitted with it by ITI-61.
        section: where the framework defines it.
    """

    owner: Owner
    name: str
    field: str
    where: Where
    key: str
    datatype: str
    most: int | None
    source: Use
    registry: Use
    on_demand: Use
    section: str


def _uuid(tail: str) -> str:
    return "urn:uuid:" + tail


_DE, _SS, _FD = Owner.DOCUMENT_ENTRY, Owner.SUBMISSION_SET, Owner.FOLDER
_E, _S, _F = "ITI TF-3 4.2.3.2", "ITI TF-3 4.2.3.3", "ITI TF-3 4.2.3.4"

# fmt: off
DOCUMENT_ENTRY: Final = (
    Attribute(_DE, "author", "authors", Where.AUTHOR, _uuid("93606bcf-9494-43ec-9b4e-a7748d1a838d"), "author", None, R2, R2, R2, f"{_E}.1"),
    Attribute(_DE, "availabilityStatus", "status", Where.XML, "status", "set_by_registry", 1, O, O, O, f"{_E}.2"),
    Attribute(_DE, "classCode", "class_code", Where.CODE, _uuid("41a5887f-8865-4c09-adf7-e362475b143a"), "code", 1, R, R, R, f"{_E}.3"),
    Attribute(_DE, "comments", "comments", Where.DESCRIPTION, "Description", "text", 1, O, O, O, f"{_E}.4"),
    Attribute(_DE, "confidentialityCode", "confidentiality_codes", Where.CODE, _uuid("f4f85eac-e6cb-4883-b524-f2705394840f"), "code", None, R, R, R, f"{_E}.5"),
    Attribute(_DE, "creationTime", "creation_time", Where.SLOT, "creationTime", "dtm", 1, R, R, X, f"{_E}.6"),
    Attribute(_DE, "documentAvailability", "document_availability", Where.SLOT, "documentAvailability", "document_availability", 1, O, O, O, f"{_E}.30"),
    Attribute(_DE, "entryUUID", "entry_uuid", Where.XML, "id", "entry_uuid", 1, R, R, R, f"{_E}.7"),
    Attribute(_DE, "eventCodeList", "event_codes", Where.CODE, _uuid("2c6b8cb7-8b2a-4051-b291-b1ae6a575ef4"), "code", None, O, O, O, f"{_E}.8"),
    Attribute(_DE, "formatCode", "format_code", Where.CODE, _uuid("a09d5840-386c-46f2-b5ad-9c3699a4309d"), "code", 1, R, R, R, f"{_E}.9"),
    Attribute(_DE, "hash", "hash", Where.SLOT, "hash", "sha1", 1, O, R, X, f"{_E}.10"),
    Attribute(_DE, "healthcareFacilityTypeCode", "healthcare_facility_type_code", Where.CODE, _uuid("f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1"), "code", 1, R, R, R, f"{_E}.11"),
    Attribute(_DE, "homeCommunityId", "home", Where.XML, "home", "home_community_id", 1, O, O, O, f"{_E}.12"),
    Attribute(_DE, "languageCode", "language_code", Where.SLOT, "languageCode", "language", 1, R, R, R, f"{_E}.13"),
    Attribute(_DE, "legalAuthenticator", "legal_authenticator", Where.SLOT, "legalAuthenticator", "xcn", 1, O, O, O, f"{_E}.14"),
    Attribute(_DE, "logicalID", "logical_id", Where.XML, "lid", "logical_id", 1, O, O, O, f"{_E}.31"),
    Attribute(_DE, "mimeType", "mime_type", Where.XML, "mimeType", "mime_type", 1, R, R, R, f"{_E}.15"),
    Attribute(_DE, "objectType", "object_type", Where.XML, "objectType", "object_type", 1, R, R, R, f"{_E}.29"),
    Attribute(_DE, "patientId", "patient_id", Where.IDENTIFIER, _uuid("58a6f841-87b3-4a3e-92fd-a8ffeff98427"), "cx", 1, R, R, R, f"{_E}.16"),
    Attribute(_DE, "practiceSettingCode", "practice_setting_code", Where.CODE, _uuid("cccf5598-8b07-4b77-a05e-ae952c785ead"), "code", 1, R, R, R, f"{_E}.17"),
    Attribute(_DE, "referenceIdList", "reference_ids", Where.SLOT, "urn:ihe:iti:xds:2013:referenceIdList", "cxi", None, O, O, O, f"{_E}.28"),
    Attribute(_DE, "repositoryUniqueId", "repository_unique_id", Where.SLOT, "repositoryUniqueId", "oid", 1, O, R, R, f"{_E}.18"),
    Attribute(_DE, "serviceStartTime", "service_start_time", Where.SLOT, "serviceStartTime", "dtm", 1, R2, R2, O, f"{_E}.19"),
    Attribute(_DE, "serviceStopTime", "service_stop_time", Where.SLOT, "serviceStopTime", "dtm", 1, R2, R2, O, f"{_E}.20"),
    Attribute(_DE, "size", "size", Where.SLOT, "size", "size", 1, O, R, X, f"{_E}.21"),
    Attribute(_DE, "sourcePatientId", "source_patient_id", Where.SLOT, "sourcePatientId", "cx", 1, R, R, R, f"{_E}.22"),
    Attribute(_DE, "sourcePatientInfo", "source_patient_info", Where.SLOT, "sourcePatientInfo", "source_patient_info", None, O, O, O, f"{_E}.23"),
    Attribute(_DE, "title", "title", Where.NAME, "Name", "title_128", 1, O, O, O, f"{_E}.24"),
    Attribute(_DE, "typeCode", "type_code", Where.CODE, _uuid("f0306f51-975f-434e-a61c-c59651d33983"), "code", 1, R, R, R, f"{_E}.25"),
    Attribute(_DE, "uniqueId", "unique_id", Where.IDENTIFIER, _uuid("2e82c1f6-a085-4c72-9da3-8640a32e42ab"), "identifier", 1, R, R, R, f"{_E}.26"),
    Attribute(_DE, "URI", "uri", Where.SLOT, "URI", "uri", None, O, O, O, f"{_E}.27"),
    Attribute(_DE, "version", "version", Where.VERSION, "versionName", "version", 1, O, O, O, f"{_E}.32"),
)

SUBMISSION_SET: Final = (
    Attribute(_SS, "author", "authors", Where.AUTHOR, _uuid("a7058bb9-b4e4-4307-ba5b-e3f0ab85e12d"), "author", None, R2, R2, R2, f"{_S}.1"),
    Attribute(_SS, "availabilityStatus", "status", Where.XML, "status", "set_by_registry", 1, O, O, O, f"{_S}.2"),
    Attribute(_SS, "comments", "comments", Where.DESCRIPTION, "Description", "text", 1, O, O, O, f"{_S}.3"),
    Attribute(_SS, "contentTypeCode", "content_type_code", Where.CODE, _uuid("aa543740-bdda-424e-8c96-df4873be8500"), "code", 1, R, R, R, f"{_S}.4"),
    Attribute(_SS, "entryUUID", "entry_uuid", Where.XML, "id", "entry_uuid", 1, R, R, R, f"{_S}.5"),
    Attribute(_SS, "homeCommunityId", "home", Where.XML, "home", "home_community_id", 1, O, O, O, f"{_S}.6"),
    Attribute(_SS, "intendedRecipient", "intended_recipients", Where.SLOT, "intendedRecipient", "recipient", None, O, O, O, f"{_S}.7"),
    Attribute(_SS, "patientId", "patient_id", Where.IDENTIFIER, _uuid("6b5aea1a-874d-4603-a4bc-96a0a7b38446"), "cx", 1, R, R, R, f"{_S}.8"),
    Attribute(_SS, "sourceId", "source_id", Where.IDENTIFIER, _uuid("554ac39e-e3fe-47fe-b233-965d2a147832"), "oid", 1, R, R, R, f"{_S}.9"),
    Attribute(_SS, "submissionTime", "submission_time", Where.SLOT, "submissionTime", "dtm", 1, R, R, R, f"{_S}.10"),
    Attribute(_SS, "title", "title", Where.NAME, "Name", "title_256", 1, O, O, O, f"{_S}.11"),
    Attribute(_SS, "uniqueId", "unique_id", Where.IDENTIFIER, _uuid("96fdda7c-d067-4183-912e-bf5ee74998a8"), "set_identifier", 1, R, R, R, f"{_S}.12"),
    Attribute(_SS, "logicalID", "logical_id", Where.XML, "lid", "logical_id", 1, O, O, O, _S),
    Attribute(_SS, "version", "version", Where.VERSION, "versionName", "version", 1, O, O, O, _S),
)

FOLDER: Final = (
    Attribute(_FD, "availabilityStatus", "status", Where.XML, "status", "set_by_registry", 1, O, O, O, f"{_F}.1"),
    Attribute(_FD, "codeList", "codes", Where.CODE, _uuid("1ba97051-7806-41a8-a48b-8fce7af683c5"), "code", None, R, R, R, f"{_F}.2"),
    Attribute(_FD, "comments", "comments", Where.DESCRIPTION, "Description", "text", 1, O, O, O, f"{_F}.3"),
    Attribute(_FD, "entryUUID", "entry_uuid", Where.XML, "id", "entry_uuid", 1, R, R, R, f"{_F}.4"),
    Attribute(_FD, "homeCommunityId", "home", Where.XML, "home", "home_community_id", 1, O, O, O, f"{_F}.5"),
    Attribute(_FD, "lastUpdateTime", "last_update_time", Where.SLOT, "lastUpdateTime", "set_by_registry", 1, O, O, O, f"{_F}.6"),
    Attribute(_FD, "patientId", "patient_id", Where.IDENTIFIER, _uuid("f64ffdf0-4b97-4e06-b79f-a52b38ec2f8a"), "cx", 1, R, R, R, f"{_F}.7"),
    Attribute(_FD, "title", "title", Where.NAME, "Name", "title_256", 1, R, R, R, f"{_F}.8"),
    Attribute(_FD, "uniqueId", "unique_id", Where.IDENTIFIER, _uuid("75df8f67-9973-4fbe-a900-df66cefecc5a"), "set_identifier", 1, R, R, R, f"{_F}.9"),
    Attribute(_FD, "logicalID", "logical_id", Where.XML, "lid", "logical_id", 1, O, O, O, _F),
    Attribute(_FD, "version", "version", Where.VERSION, "versionName", "version", 1, O, O, O, _F),
)
# fmt: on

ATTRIBUTES: Final = {
    Owner.DOCUMENT_ENTRY: DOCUMENT_ENTRY,
    Owner.SUBMISSION_SET: SUBMISSION_SET,
    Owner.FOLDER: FOLDER,
}

#: Slots inside an author Classification: name, field, data type, most values (ITI TF-3 4.2.3.1.4).
AUTHOR_SLOTS: Final = (
    ("authorPerson", "person", "xcn", 1),
    ("authorInstitution", "institutions", "xon", None),
    ("authorRole", "roles", "text", None),
    ("authorSpecialty", "specialties", "text", None),
    ("authorTelecommunication", "telecommunications", "xtn", None),
)
