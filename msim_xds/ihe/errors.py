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


_SUBMIT = ("ITI-41", "ITI-42")


_ROWS: Final = (
    ErrorCode(
        "UnresolvedReferenceException",
        "A referenced id is neither in the submission nor in the registry.",
        _SUBMIT,
    ),
    ErrorCode(
        "XDSDocumentUniqueIdError", "This repository holds no document with this uniqueId.", ("ITI-43",)
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
    ErrorCode(
        "XDSRegistryBusy", "The registry has too much to do; try again later.", ("ITI-41", "ITI-42", "ITI-18")
    ),
    ErrorCode(
        "XDSRepositoryBusy", "The repository has too much to do; try again later.", ("ITI-41", "ITI-43")
    ),
    ErrorCode(
        "XDSRegistryError", "The registry could not carry out the request.", ("ITI-41", "ITI-42", "ITI-18")
    ),
    ErrorCode("XDSRepositoryError", "The repository could not carry out the request.", ("ITI-41", "ITI-43")),
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
        ("ITI-41", "ITI-42", "ITI-18"),
    ),
    ErrorCode(
        "XDSRepositoryOutOfResources",
        "The repository has run out of a resource, such as disk space.",
        ("ITI-41", "ITI-43"),
    ),
    ErrorCode(
        "XDSResultNotSinglePatient",
        "A LeafClass answer to a query by id would mix patients; ask for ObjectRef or narrow the ids.",
        ("ITI-18",),
    ),
    ErrorCode(
        "XDSStoredQueryMissingParam",
        "A required query parameter is absent.",
        ("ITI-18",),
        context="the parameter's name",
    ),
    ErrorCode(
        "XDSStoredQueryParamNumber",
        "Parameters that exclude each other were sent together, or a single-valued one has several values.",
        ("ITI-18",),
        context="the parameter's name",
    ),
    ErrorCode("XDSTooManyResults", "The result exceeds the limit; narrow the query.", ("ITI-18", "ITI-43")),
    ErrorCode(
        "XDSUnknownPatientId",
        "The patient id is not known to this registry.",
        ("ITI-41", "ITI-42", "ITI-18"),
        context="the patient id",
    ),
    ErrorCode("XDSUnknownRepositoryId", "The RepositoryUniqueId is not this repository's.", ("ITI-43",)),
    ErrorCode(
        "XDSUnknownStoredQuery", "The AdhocQuery id is not a stored query of this transaction.", ("ITI-18",)
    ),
)

ERRORS: Final = {row.code: row for row in _ROWS}
