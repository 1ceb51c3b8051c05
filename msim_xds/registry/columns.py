"""From the metadata model to the columns that stored queries search, and the numbers kept in them."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from msim_xds.database.schema import registry_object
from msim_xds.ihe.names import AssociationType, Status
from msim_xds.metadata.institution import institution
from msim_xds.metadata.model import Code, DocumentEntry, Folder, MetadataObject, SubmissionSet
from msim_xds.metadata.period import period

#: availabilityStatus as stored.
STATUS: Final = {Status.APPROVED: 1, Status.DEPRECATED: 2}
APPROVED: Final = STATUS[Status.APPROVED]
DEPRECATED: Final = STATUS[Status.DEPRECATED]
#: Deprecated too, since a later version of the same logical object exists (ITI TF-2 3.57).
SUPERSEDED: Final = 3
#: availabilityStatus by what is stored.
STATUS_OF: Final = {number: status for status, number in STATUS.items()} | {SUPERSEDED: Status.DEPRECATED}

#: Association types as stored. Numbers are for ever; the two that only ITI-57 knows are never stored.
ASSOCIATION_TYPE: Final = {
    AssociationType.HAS_MEMBER: 1,
    AssociationType.RPLC: 2,
    AssociationType.APND: 3,
    AssociationType.XFRM: 4,
    AssociationType.XFRM_RPLC: 5,
    AssociationType.SIGNS: 6,
    AssociationType.IS_SNAPSHOT_OF: 7,
}

#: ``object_code.attribute`` by field of the model.
CODE_ATTRIBUTE: Final = {"confidentiality_codes": 1, "event_codes": 2, "codes": 3}
#: The same for the authors' institutions of entries, which access decisions ask for.
INSTITUTION: Final = 4

#: documentAvailability where the entry says nothing (ITI TF-3 4.2.3.2.30).
ONLINE: Final = "urn:ihe:iti:2010:DocumentAvailability:Online"

_SINGLE_CODES: Final = (
    "class_code",
    "type_code",
    "format_code",
    "healthcare_facility_type_code",
    "practice_setting_code",
)
_EMPTY_ROW: Final[dict[str, Any]] = dict.fromkeys(column.name for column in registry_object.columns)
_UNDECOMPOSED: Final = str.maketrans({"ł": "l", "đ": "d", "ø": "o", "ħ": "h"})


@dataclass(frozen=True, slots=True)
class Columns:
    """One object's search columns, without the ids and the fragment that registration adds.

    Attributes:
        row: of registry_object, every column present.
        codes: (attribute number, ``code^^scheme``) of object_code, and institutions by their ids.
        persons: authorPerson of each author that has one, NFC.
        references: values of referenceIdList.
    """

    row: dict[str, Any]
    codes: frozenset[tuple[int, str]]
    persons: tuple[str, ...]
    references: frozenset[str]


def columns_of(thing: MetadataObject, zone: ZoneInfo | None) -> Columns:
    """The search columns of an object whose metadata keeps the rules.

    Args:
        thing: entry, set or folder with UUIDs for ids, with its lastUpdateTime set and, where it is not the
            first, its version.
        zone: the zone in which its source gives times; None is UTC.
    """
    row = dict(_EMPTY_ROW)
    row.update(
        kind=int(thing.kind),
        status=APPROVED,
        entry_uuid=thing.entry_uuid,
        logical_id=thing.logical_id or thing.entry_uuid,
        version=int(thing.version or 1),
        unique_id=thing.unique_id,
        home=thing.home,
    )
    if isinstance(thing, DocumentEntry):
        return _entry_columns(thing, row, zone)
    if isinstance(thing, SubmissionSet):
        _put_time(row, "time", thing.submission_time, zone)
        row.update(source_id=thing.source_id, content_type_code=_code(thing.content_type_code))
        return Columns(row, frozenset(), _persons(thing), frozenset())
    _put_time(row, "time", thing.last_update_time, None)
    row.update(last_update_time=thing.last_update_time)
    return Columns(row, _codes(thing, "codes"), (), frozenset())


def code_text(code: str, scheme: str) -> str:
    """A code as columns and query parameters spell it, NFC (ITI TF-2 3.18.4.1.2.3.4)."""
    return unicodedata.normalize("NFC", f"{code}^^{scheme}")


def fold(text: str) -> str:
    """``text`` without case and diacritics, for searches that ignore both."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(c for c in plain if not unicodedata.combining(c)).translate(_UNDECOMPOSED)


def _entry_columns(entry: DocumentEntry, row: dict[str, Any], zone: ZoneInfo | None) -> Columns:
    _put_time(row, "time", entry.creation_time, zone)
    _put_time(row, "start", entry.service_start_time, zone)
    _put_time(row, "stop", entry.service_stop_time, zone)
    for name in _SINGLE_CODES:
        row[name] = _code(getattr(entry, name))
    row.update(
        document_availability=entry.document_availability or ONLINE,
        repository_unique_id=entry.repository_unique_id,
        hash=entry.hash and entry.hash.lower(),
        size=entry.size and int(entry.size),
    )
    codes = _codes(entry, "confidentiality_codes") | _codes(entry, "event_codes") | _institutions(entry)
    return Columns(row, codes, _persons(entry), frozenset(_nfc(value) for value in entry.reference_ids))


def _put_time(row: dict[str, Any], stem: str, dtm: str | None, zone: ZoneInfo | None) -> None:
    if dtm is not None:
        bounds = period(dtm, zone)
        row[f"{stem}_low"], row[f"{stem}_high"] = bounds.low, bounds.high


def _code(code: Code | None) -> str | None:
    return None if code is None else code_text(code.code, code.scheme)


def _codes(thing: DocumentEntry | Folder, field: str) -> frozenset[tuple[int, str]]:
    number = CODE_ATTRIBUTE[field]
    return frozenset((number, code_text(code.code, code.scheme)) for code in getattr(thing, field))


def _institutions(entry: DocumentEntry) -> frozenset[tuple[int, str]]:
    return frozenset((INSTITUTION, institution(each)) for by in entry.authors for each in by.institutions)


def _persons(thing: DocumentEntry | SubmissionSet) -> tuple[str, ...]:
    return tuple(_nfc(author.person) for author in thing.authors if author.person)


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
