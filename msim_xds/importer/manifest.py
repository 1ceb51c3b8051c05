"""Lines of a manifest, one submission each (docs/import.md). Keys are named as XDS attributes are."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError
from pydantic.alias_generators import to_camel

from msim_xds.findings import Finding, Refused
from msim_xds.importer.publication import code_from_text
from msim_xds.metadata.model import Code

_INVALID: Final = "XDSRepositoryMetadataError"
_ALIASES: Final = {
    "entry_uuid": "entryUUID",
    "event_codes": "eventCodeList",
    "reference_ids": "referenceIdList",
    "codes": "codeList",
    "confidentiality_codes": "confidentialityCode",
}


def _attribute_name(field: str) -> str:
    return _ALIASES.get(field) or to_camel(field)


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=_attribute_name, validate_by_name=False, strict=True
    )


def _coded(value: object) -> Code:
    if not isinstance(value, str):
        raise ValueError("expected CODE^^SCHEME^^NAME")
    return code_from_text(value)


_Code = Annotated[Code, PlainValidator(_coded)]
_Strings = Annotated[tuple[str, ...], Field(strict=False)]
_Codes = Annotated[tuple[_Code, ...], Field(strict=False)]


class DocumentLine(_Part):
    """A document: where it is, and what is to stand in its DocumentEntry instead of what stands there.

    Attributes:
        path: of the file.
        id: of its DocumentEntry in the metadata; not needed where they have one only.
        availability_status: what it is in the archive; saying it makes the line history.
        replaces: entryUUIDs or uniqueIds of what is registered already; likewise ``appends``, ``transforms``.
        folders: entryUUIDs of folders, of this line or registered already.
    """

    path: str
    id: str | None = None
    entry_uuid: str | None = None
    unique_id: str | None = None
    creation_time: str | None = None
    service_start_time: str | None = None
    service_stop_time: str | None = None
    title: str | None = None
    comments: str | None = None
    mime_type: str | None = None
    language_code: str | None = None
    source_patient_id: str | None = None
    legal_authenticator: str | None = None
    class_code: _Code | None = None
    type_code: _Code | None = None
    format_code: _Code | None = None
    healthcare_facility_type_code: _Code | None = None
    practice_setting_code: _Code | None = None
    confidentiality_codes: _Codes = ()
    event_codes: _Codes = ()
    reference_ids: _Strings = ()
    availability_status: Literal["Approved", "Deprecated"] | None = None
    replaces: _Strings = ()
    appends: _Strings = ()
    transforms: _Strings = ()
    folders: _Strings = ()


class SetLine(_Part):
    """The SubmissionSet."""

    entry_uuid: str | None = None
    unique_id: str | None = None
    source_id: str | None = None
    submission_time: str | None = None
    title: str | None = None
    content_type_code: _Code | None = None


class FolderLine(_Part):
    """A folder that the submission makes."""

    entry_uuid: str
    unique_id: str
    title: str
    codes: _Codes


class Line(_Part):
    """One submission.

    Attributes:
        metadata: file with a SubmitObjectsRequest; without one each document's header speaks.
        documents: at least one, unless the metadata have no entries.
        patient_id: of everything in it.
        submission_set: its attributes.
        folders: new ones.
        history: keep availabilityStatus as it stands in the metadata, and let relations name documents that
            are Deprecated.
    """

    metadata: str | None = None
    documents: Annotated[tuple[DocumentLine, ...], Field(strict=False)] = ()
    patient_id: str | None = None
    submission_set: SetLine = SetLine()
    folders: Annotated[tuple[FolderLine, ...], Field(strict=False)] = ()
    history: bool = False

    @property
    def is_history(self) -> bool:
        """Whether it tells of the past."""
        return self.history or any(each.availability_status for each in self.documents)

    @property
    def changes_metadata(self) -> bool:
        """Whether anything in it goes before what the metadata say."""
        return bool(self.model_fields_set - {"metadata", "documents", "history"}) or any(
            each.model_fields_set - {"path", "id"} for each in self.documents
        )


def parse_line(text: bytes) -> Line:
    """A line of a manifest.

    Raises:
        Refused: it is no JSON, or says what no line can say; a finding for each mistake.
    """
    try:
        line = Line.model_validate_json(text)
    except ValidationError as error:
        raise Refused([_mistake(each["loc"], each["msg"]) for each in error.errors()]) from None
    if line.metadata is None and not line.documents:
        raise Refused([Finding(_INVALID, "has neither metadata nor documents", "manifest line")])
    return line


def _mistake(where: tuple[str | int, ...], problem: str) -> Finding:
    return Finding(_INVALID, problem, "manifest line", ".".join(map(str, where)), source="docs/import.md")
