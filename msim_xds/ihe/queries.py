"""The stored queries of ITI-18 and ITI-51, one row each (ITI TF-2 3.18.4.1.2.3.7, 3.51.4.1.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from msim_xds.ihe.names import ObjectKind


class Match(Enum):
    """How a parameter's values select objects."""

    EQUAL = auto()  # string equality
    CODE = auto()  # 'code^^scheme', code and scheme equal
    LIKE = auto()  # SQL LIKE over the stored XCN, any author
    TIME_FROM = auto()  # lower bound of a DTM range
    TIME_TO = auto()  # upper bound of a DTM range, exclusive at equal precision
    TIME_UNTIL = auto()  # the same, inclusive, for times of the registry's clock: 'now' holds this second
    STATUS = auto()  # availabilityStatus URNs
    OBJECT_TYPE = auto()  # stable / on-demand; absent means stable only
    REFERENCE = auto()  # SQL LIKE over the whole CXi
    AVAILABILITY = auto()  # documentAvailability URNs; absent attribute means Online
    ASSOCIATION_TYPE = auto()  # association type URNs
    ASSOCIATION_STATUS = auto()  # availabilityStatus URNs of associations
    LOGICAL_ID = auto()  # every version of a logical object
    LEVEL = auto()  # $MetadataLevel


TIMES: Final = frozenset({Match.TIME_FROM, Match.TIME_TO, Match.TIME_UNTIL})


class Result(Enum):
    """What a query returns, and so which search answers it."""

    FIND = auto()  # objects of one kind for a patient
    ALL = auto()  # everything of a patient
    OBJECTS = auto()  # the named objects
    ASSOCIATIONS = auto()  # associations touching the named objects
    DOCUMENTS_AND_ASSOCIATIONS = auto()
    SETS_OF = auto()  # SubmissionSets containing the named objects
    SET_CONTENTS = auto()
    FOLDER_CONTENTS = auto()
    FOLDERS_OF = auto()  # Folders containing the document
    RELATED = auto()


ENTRIES: Final = (ObjectKind.STABLE_DOCUMENT_ENTRY, ObjectKind.ON_DEMAND_DOCUMENT_ENTRY)
SETS: Final = (ObjectKind.SUBMISSION_SET,)
FOLDERS: Final = (ObjectKind.FOLDER,)


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter.

    ``attribute`` is the attribute's field that it matches, ``kinds`` the objects it restricts. ``many``
    allows a list (OR), ``repeat`` several slots of that name (AND between the slots). ``level`` is the
    $MetadataLevel from which on it exists; ``negated`` selects the objects that do not match.
    """

    name: str
    attribute: str
    match: Match
    required: bool = False
    many: bool = False
    repeat: bool = False
    kinds: tuple[ObjectKind, ...] = ENTRIES
    level: int = 1
    negated: bool = False


@dataclass(frozen=True, slots=True)
class StoredQuery:
    """One stored query: id, parameters, what comes back.

    ``identifiers`` are parameters of which exactly one must be given, ``any_of`` those of which at least one
    must, ``exclusive`` groups of which at most one may. ``single_patient`` asks that a LeafClass answer holds
    one patient only (XDSResultNotSinglePatient). ``preview`` rows are not Final Text yet.
    """

    name: str
    id: str
    result: Result
    kinds: tuple[ObjectKind, ...]
    params: tuple[Param, ...]
    identifiers: tuple[str, ...] = ()
    single_patient: bool = False
    any_of: tuple[str, ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()
    transaction: str = "ITI-18"
    preview: bool = False
    section: str = "ITI TF-2 3.18.4.1.2.3.7"


_DE = "$XDSDocumentEntry"
_FORMAT = Param(f"{_DE}FormatCode", "format_code", Match.CODE, many=True)
_CONFIDENTIALITY = Param(
    f"{_DE}ConfidentialityCode", "confidentiality_codes", Match.CODE, many=True, repeat=True
)
_TYPE = Param(f"{_DE}Type", "object_type", Match.OBJECT_TYPE, many=True)
_LEVEL = Param("$MetadataLevel", "", Match.LEVEL)
_FILTERS = (_FORMAT, _CONFIDENTIALITY, _TYPE, _LEVEL)
_ASSOCIATION_STATUS = Param(
    "$XDSAssociationStatus",
    "status",
    Match.ASSOCIATION_STATUS,
    many=True,
    kinds=(ObjectKind.ASSOCIATION,),
    level=2,
)


def _patient(name: str, kinds: tuple[ObjectKind, ...]) -> Param:
    return Param(name, "patient_id", Match.EQUAL, required=True, kinds=kinds)


def _for_multiple_patients(params: tuple[Param, ...]) -> tuple[Param, ...]:
    """The same parameters; the patient is optional, and may be several (ITI TF-2 3.51.4.1.2)."""
    return tuple(replace(p, required=False, many=True) if p.attribute == "patient_id" else p for p in params)


def _status(name: str, kinds: tuple[ObjectKind, ...]) -> Param:
    return Param(name, "status", Match.STATUS, required=True, many=True, kinds=kinds)


def _range(
    stem: str, attribute: str, kinds: tuple[ObjectKind, ...], to: Match = Match.TIME_TO
) -> tuple[Param, Param]:
    return (
        Param(f"{stem}From", attribute, Match.TIME_FROM, kinds=kinds),
        Param(f"{stem}To", attribute, to, kinds=kinds),
    )


def _ids(
    stem: str, kinds: tuple[ObjectKind, ...], *, many: bool, versions: bool = False
) -> tuple[tuple[Param, ...], tuple[str, ...]]:
    """EntryUUID and UniqueId alternatives, for ``versions`` LogicalID too; and their names."""
    params = [
        Param(f"{stem}EntryUUID", "entry_uuid", Match.EQUAL, many=many, kinds=kinds),
        Param(f"{stem}UniqueId", "unique_id", Match.EQUAL, many=many, kinds=kinds),
    ]
    if versions:
        params.append(
            Param(f"{stem}LogicalID", "logical_id", Match.LOGICAL_ID, many=many, kinds=kinds, level=2)
        )
    return tuple(params), tuple(param.name for param in params)


def _uuids(*kinds: ObjectKind) -> Param:
    return Param("$uuid", "entry_uuid", Match.EQUAL, required=True, many=True, kinds=kinds)


_VERSIONS, _VERSION_NAMES = _ids(_DE, ENTRIES, many=True, versions=True)
_DOCUMENTS, _DOCUMENT_NAMES = _ids(_DE, ENTRIES, many=True)
_DOCUMENT, _ = _ids(_DE, ENTRIES, many=False)
_FOLDER_VERSIONS, _FOLDER_VERSION_NAMES = _ids("$XDSFolder", FOLDERS, many=True, versions=True)
_FOLDER, _FOLDER_NAMES = _ids("$XDSFolder", FOLDERS, many=False)
_SET, _SET_NAMES = _ids("$XDSSubmissionSet", SETS, many=False)

_FIND_DOCUMENTS = (
    _patient(f"{_DE}PatientId", ENTRIES),
    _status(f"{_DE}Status", ENTRIES),
    Param(f"{_DE}ClassCode", "class_code", Match.CODE, many=True),
    Param(f"{_DE}TypeCode", "type_code", Match.CODE, many=True),
    Param(f"{_DE}PracticeSettingCode", "practice_setting_code", Match.CODE, many=True),
    *_range(f"{_DE}CreationTime", "creation_time", ENTRIES),
    *_range(f"{_DE}ServiceStartTime", "service_start_time", ENTRIES),
    *_range(f"{_DE}ServiceStopTime", "service_stop_time", ENTRIES),
    Param(f"{_DE}HealthcareFacilityTypeCode", "healthcare_facility_type_code", Match.CODE, many=True),
    Param(f"{_DE}EventCodeList", "event_codes", Match.CODE, many=True, repeat=True),
    _CONFIDENTIALITY,
    Param(f"{_DE}AuthorPerson", "authors", Match.LIKE, many=True),
    _FORMAT,
    _TYPE,
    Param(f"{_DE}DocumentAvailability", "document_availability", Match.AVAILABILITY, many=True),
    _LEVEL,
)
_REFERENCE_IDS = Param(
    f"{_DE}ReferenceIdList", "reference_ids", Match.REFERENCE, required=True, many=True, repeat=True
)
_FIND_FOLDERS = (
    _patient("$XDSFolderPatientId", FOLDERS),
    _status("$XDSFolderStatus", FOLDERS),
    *_range("$XDSFolderLastUpdateTime", "last_update_time", FOLDERS, Match.TIME_UNTIL),
    Param("$XDSFolderCodeList", "codes", Match.CODE, many=True, repeat=True, kinds=FOLDERS),
    _LEVEL,
)
#: What CP-ITI-1323 adds to FindDocuments: each filter by a list can be turned round. Several slots of one
#: such parameter would be ambiguous, so there is one.
_EXCLUDING = tuple(
    replace(param, name=f"{param.name}Exclude", repeat=False, negated=True)
    for param in _FIND_DOCUMENTS
    if param.many and param.match in (Match.CODE, Match.LIKE, Match.AVAILABILITY)
)
_MULTIPLE: Final = "ITI TF-2 3.51.4.1.2"

_ROWS: Final = (
    StoredQuery(
        "FindDocuments",
        "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d",
        Result.FIND,
        ENTRIES,
        _FIND_DOCUMENTS,
    ),
    StoredQuery(
        "FindSubmissionSets",
        "urn:uuid:f26abbcb-ac74-4422-8a30-edb644bbc1a9",
        Result.FIND,
        SETS,
        (
            _patient("$XDSSubmissionSetPatientId", SETS),
            _status("$XDSSubmissionSetStatus", SETS),
            Param("$XDSSubmissionSetSourceId", "source_id", Match.EQUAL, many=True, kinds=SETS),
            *_range("$XDSSubmissionSetSubmissionTime", "submission_time", SETS),
            Param("$XDSSubmissionSetAuthorPerson", "authors", Match.LIKE, kinds=SETS),
            Param("$XDSSubmissionSetContentType", "content_type_code", Match.CODE, many=True, kinds=SETS),
        ),
    ),
    StoredQuery(
        "FindFolders",
        "urn:uuid:958f3006-baad-4929-a4de-ff1114824431",
        Result.FIND,
        FOLDERS,
        _FIND_FOLDERS,
    ),
    StoredQuery(
        "GetAll",
        "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3",
        Result.ALL,
        (*ENTRIES, *SETS, *FOLDERS),
        (
            _patient("$patientId", (*ENTRIES, *SETS, *FOLDERS)),
            _status(f"{_DE}Status", ENTRIES),
            _status("$XDSSubmissionSetStatus", SETS),
            _status("$XDSFolderStatus", FOLDERS),
            *_FILTERS,
            _ASSOCIATION_STATUS,
        ),
    ),
    StoredQuery(
        "GetDocuments",
        "urn:uuid:5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4",
        Result.OBJECTS,
        ENTRIES,
        (*_VERSIONS, _LEVEL),
        _VERSION_NAMES,
        single_patient=True,
    ),
    StoredQuery(
        "GetFolders",
        "urn:uuid:5737b14c-8a1a-4539-b659-e03a34a5e1e4",
        Result.OBJECTS,
        FOLDERS,
        (*_FOLDER_VERSIONS, _LEVEL),
        _FOLDER_VERSION_NAMES,
        single_patient=True,
    ),
    StoredQuery(
        "GetAssociations",
        "urn:uuid:a7ae438b-4bc2-4642-93e9-be891f7bb155",
        Result.ASSOCIATIONS,
        (ObjectKind.ASSOCIATION,),
        (_uuids(*ObjectKind), _LEVEL, _ASSOCIATION_STATUS),
    ),
    StoredQuery(
        "GetDocumentsAndAssociations",
        "urn:uuid:bab9529a-4a10-40b3-a01f-f68a615d247a",
        Result.DOCUMENTS_AND_ASSOCIATIONS,
        ENTRIES,
        (*_DOCUMENTS, _LEVEL, _ASSOCIATION_STATUS),
        _DOCUMENT_NAMES,
        single_patient=True,
    ),
    StoredQuery(
        "GetSubmissionSets",
        "urn:uuid:51224314-5390-4169-9b91-b1980040715a",
        Result.SETS_OF,
        SETS,
        (_uuids(*ENTRIES, *FOLDERS), _LEVEL),
        single_patient=True,
    ),
    StoredQuery(
        "GetSubmissionSetAndContents",
        "urn:uuid:e8e3cb2c-e39c-46b9-99e4-c12f57260b83",
        Result.SET_CONTENTS,
        SETS,
        (*_SET, *_FILTERS),
        _SET_NAMES,
        single_patient=True,
    ),
    StoredQuery(
        "GetFolderAndContents",
        "urn:uuid:b909a503-523d-4517-8acf-8e5834dfc4c7",
        Result.FOLDER_CONTENTS,
        FOLDERS,
        (*_FOLDER, *_FILTERS, _ASSOCIATION_STATUS),
        _FOLDER_NAMES,
        single_patient=True,
    ),
    StoredQuery(
        "GetFoldersForDocument",
        "urn:uuid:10cae35a-c7f9-4cf5-b61e-fc3278ffb578",
        Result.FOLDERS_OF,
        FOLDERS,
        (*_DOCUMENT, _LEVEL, _ASSOCIATION_STATUS),
        _DOCUMENT_NAMES,
    ),
    StoredQuery(
        "GetRelatedDocuments",
        "urn:uuid:d90e5407-b356-4d91-a89f-873917b4b0e6",
        Result.RELATED,
        ENTRIES,
        (
            *_DOCUMENT,
            Param(
                "$AssociationTypes",
                "association_type",
                Match.ASSOCIATION_TYPE,
                required=True,
                many=True,
                kinds=(ObjectKind.ASSOCIATION,),
            ),
            _TYPE,
            _LEVEL,
            _ASSOCIATION_STATUS,
        ),
        _DOCUMENT_NAMES,
    ),
    StoredQuery(
        "FindDocumentsByReferenceId",
        "urn:uuid:12941a89-e02e-4be5-967c-ce4bfc8fe492",
        Result.FIND,
        ENTRIES,
        (*_FIND_DOCUMENTS, _REFERENCE_IDS),
    ),
    StoredQuery(
        "FindDocumentsExclude",
        "urn:uuid:4308b1df-36de-4bef-8e2e-ba91f593c435",
        Result.FIND,
        ENTRIES,
        (*_FIND_DOCUMENTS, *_EXCLUDING),
        exclusive=tuple((param.name.removesuffix("Exclude"), param.name) for param in _EXCLUDING),
        preview=True,
        section="CP-ITI-1323",
    ),
    StoredQuery(
        "FindDocumentsForMultiplePatients",
        "urn:uuid:3d1bdb10-39a2-11de-89c2-2f44d94eaa9f",
        Result.FIND,
        ENTRIES,
        _for_multiple_patients(_FIND_DOCUMENTS),
        any_of=(
            f"{_DE}PatientId",
            f"{_DE}ClassCode",
            f"{_DE}EventCodeList",
            f"{_DE}HealthcareFacilityTypeCode",
        ),
        transaction="ITI-51",
        section=_MULTIPLE,
    ),
    StoredQuery(
        "FindFoldersForMultiplePatients",
        "urn:uuid:50d3f5ac-39a2-11de-a1ca-b366239e58df",
        Result.FIND,
        FOLDERS,
        _for_multiple_patients(_FIND_FOLDERS),
        any_of=("$XDSFolderPatientId", "$XDSFolderCodeList"),
        transaction="ITI-51",
        section=_MULTIPLE,
    ),
    StoredQuery(
        "FindDocumentsByReferenceIdForMultiplePatients",
        "urn:uuid:1191642d-86c4-42d8-b784-f95445f9f0d5",
        Result.FIND,
        ENTRIES,
        _for_multiple_patients((*_FIND_DOCUMENTS, _REFERENCE_IDS)),
        transaction="ITI-51",
        section=_MULTIPLE,
    ),
)

QUERIES: Final = {row.id: row for row in _ROWS}


def offered(transaction: str, *, preview: bool) -> Mapping[str, StoredQuery]:
    """The queries of a transaction by id, those that are not Final Text yet only with ``preview``."""
    return {row.id: row for row in _ROWS if row.transaction == transaction and (preview or not row.preview)}
