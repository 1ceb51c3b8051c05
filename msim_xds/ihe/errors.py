"""Error codes that this server sends, with the transactions in which each is allowed (ITI TF-3 4.2.4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from msim_xds.ihe.names import Severity


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One row: the bare code, when it is raised, and where it may appear.

    ``context`` names the fixed codeContext where the framework prescribes one (ITI TF-3 Table 4.2.4.1-2);
    the explanation then travels in ``location``.
    """

    code: str
    meaning: str
    transactions: tuple[str, ...]
    severity: Severity = Severity.ERROR
    context: str = ""


_SUBMIT = ("ITI-41", "ITI-42", "ITI-61", "ITI-57", "ITI-92")
_UPDATE = ("ITI-57", "ITI-92")
_GATEWAY_QUERY = ("ITI-38", "ITI-18 gateway")
_GATEWAY_RETRIEVE = ("ITI-39", "ITI-43 gateway")
_REGISTRY = ("ITI-42", "ITI-18", "ITI-51", "ITI-57", "ITI-61", "ITI-62", "ITI-92", *_GATEWAY_QUERY)
_REPOSITORY = ("ITI-41", "ITI-43", "ITI-86", *_GATEWAY_RETRIEVE)
_QUERY = ("ITI-18", "ITI-51", *_GATEWAY_QUERY)
_RETRIEVE = ("ITI-43", *_GATEWAY_RETRIEVE)


_ROWS: Final = (
    ErrorCode(
        "UnresolvedReferenceException",
        "A referenced id is neither in the submission nor in the registry.",
        (*_SUBMIT, "ITI-62"),
    ),
    ErrorCode(
        "XDSDocumentUniqueIdError",
        "This repository holds no document with this uniqueId.",
        (*_RETRIEVE, "ITI-86"),
    ),
    ErrorCode(
        "XDSDuplicateUniqueIdInRegistry",
        "The uniqueId of a SubmissionSet or Folder is already used by another object.",
        _SUBMIT,
        context="the uniqueId",
    ),
    ErrorCode(
        "XDSExtraMetadataNotSaved",
        "Extra metadata was accepted but not stored.",
        _SUBMIT,
        Severity.WARNING,
        context="what was not saved",
    ),
    ErrorCode(
        "XDSMissingHomeCommunityId",
        "A query by ids, a document or an object lacks the homeCommunityId that says whose it is.",
        (*_GATEWAY_QUERY, *_GATEWAY_RETRIEVE),
    ),
    ErrorCode(
        "XDSUnavailableCommunity",
        "A community gives no usable answer; its name and the reason stand in codeContext.",
        ("ITI-18 gateway", "ITI-43 gateway"),
    ),
    ErrorCode(
        "XDSUnknownCommunity",
        "The homeCommunityId is none of those that are answered for here.",
        (*_GATEWAY_QUERY, *_GATEWAY_RETRIEVE),
    ),
    ErrorCode("XDSMissingDocument", "A DocumentEntry came without its Document.", ("ITI-41",)),
    ErrorCode("XDSMissingDocumentMetadata", "A Document came without its DocumentEntry.", ("ITI-41",)),
    ErrorCode(
        "XDSNonIdenticalHash",
        "The uniqueId exists already with another hash.",
        _SUBMIT,
        context="the uniqueId",
    ),
    ErrorCode(
        "XDSNonIdenticalSize",
        "The uniqueId exists already with another size.",
        _SUBMIT,
        context="the uniqueId",
    ),
    ErrorCode(
        "XDSPatientIdDoesNotMatch",
        "patientIds inside the submission differ, or differ from a related object.",
        _SUBMIT,
    ),
    ErrorCode(
        "XDSRegistryDeprecatedDocumentError",
        "An association points to an object that is not Approved.",
        _SUBMIT,
    ),
    ErrorCode(
        "XDSRegistryDuplicateUniqueIdInMessage",
        "One uniqueId occurs twice in the message.",
        _SUBMIT,
        context="the uniqueId",
    ),
    ErrorCode(
        "XDSRepositoryDuplicateUniqueIdInMessage",
        "One uniqueId occurs twice in the message (found by the Repository).",
        ("ITI-41",),
        context="the uniqueId",
    ),
    ErrorCode("XDSRegistryBusy", "The registry has too much to do; try again later.", ("ITI-41", *_REGISTRY)),
    ErrorCode("XDSRepositoryBusy", "The repository has too much to do; try again later.", _REPOSITORY),
    ErrorCode("XDSRegistryError", "The registry could not carry out the request.", ("ITI-41", *_REGISTRY)),
    ErrorCode("XDSRepositoryError", "The repository could not carry out the request.", _REPOSITORY),
    ErrorCode(
        "XDSRegistryMetadataError", "The metadata breaks a rule of the framework or of this domain.", _SUBMIT
    ),
    ErrorCode(
        "XDSRepositoryMetadataError",
        "The metadata breaks a rule (found by the Repository), such as a wrong hash or size.",
        ("ITI-41",),
    ),
    ErrorCode("XDSRegistryNotAvailable", "The Repository cannot reach the Registry.", ("ITI-41",)),
    ErrorCode(
        "XDSRegistryOutOfResources",
        "The registry has run out of a resource, such as disk space.",
        ("ITI-41", *_REGISTRY),
    ),
    ErrorCode(
        "XDSRepositoryOutOfResources",
        "The repository has run out of a resource, such as disk space.",
        _REPOSITORY,
    ),
    ErrorCode(
        "XDSResultNotSinglePatient",
        "A LeafClass answer to a query by id would mix patients; ask for ObjectRef or narrow the ids.",
        _QUERY,
    ),
    ErrorCode(
        "XDSStoredQueryMissingParam",
        "A required query parameter is absent.",
        _QUERY,
        context="the parameter's name",
    ),
    ErrorCode(
        "XDSStoredQueryParamNumber",
        "Parameters that exclude each other were sent together, or a single-valued one has several values.",
        _QUERY,
        context="the parameter's name",
    ),
    ErrorCode("XDSTooManyResults", "The result exceeds the limit; narrow the query.", (*_QUERY, *_RETRIEVE)),
    ErrorCode(
        "XDSUnknownPatientId",
        "The patient id is not known to this registry.",
        ("ITI-41", *_REGISTRY),
        context="the patient id",
    ),
    ErrorCode(
        "XDSUnknownRepositoryId", "The RepositoryUniqueId is not this repository's.", (*_RETRIEVE, "ITI-86")
    ),
    ErrorCode(
        "XDSUnknownStoredQuery", "The AdhocQuery id is not a stored query of this transaction.", _QUERY
    ),
    ErrorCode(
        "XDSMetadataUpdateError",
        "The update cannot be made: the object is not updatable, or has the requested status already.",
        _UPDATE,
        context="the id of the object",
    ),
    ErrorCode(
        "XDSPatientIDReconciliationError",
        "The update would connect objects of different patients, or move one that is still connected.",
        _UPDATE,
        context="the id of the object",
    ),
    ErrorCode(
        "XDSMetadataUpdateOperationError",
        "The requested update cannot be understood, or operations contradict each other.",
        _UPDATE,
        context="the id of the object",
    ),
    ErrorCode(
        "XDSMetadataVersionError",
        "PreviousVersion is not the latest version, or there is no such logical object.",
        _UPDATE,
        context="the id of the object",
    ),
    ErrorCode(
        "XDSMetadataAnnotationError",
        "The HasMember of an updated object lacks its annotation, or has a wrong one.",
        ("ITI-92",),
        context="the id of the object",
    ),
    ErrorCode(
        "XDSMetadataIdentifierError",
        "The uniqueId or logicalID differs from that of the object to update.",
        ("ITI-92",),
        context="the id of the object",
    ),
    ErrorCode(
        "XDSObjectTypeError", "The objectType changed, or the object is no DocumentEntry.", ("ITI-92",)
    ),
    ErrorCode("XDSInvalidRequestException", "The request is no restricted update.", ("ITI-92",)),
    ErrorCode(
        "UnmodifiableMetadataError", "An attribute changed that this transaction may not change.", ("ITI-92",)
    ),
    ErrorCode("LocalPolicyRestrictionError", "This domain's policy forbids the update.", ("ITI-92",)),
    ErrorCode(
        "ReferencesExistException",
        "An Association that stays would refer to a removed object.",
        ("ITI-62",),
    ),
    ErrorCode(
        "XDSUnreferencedObjectException",
        "An object that stays would be left without the Association that must hold it.",
        ("ITI-62",),
    ),
    ErrorCode(
        "XDSRemoveDocumentsError",
        "The document is here but cannot be removed.",
        ("ITI-86",),
        context="the uniqueId",
    ),
)

ERRORS: Final = {row.code: row for row in _ROWS}
