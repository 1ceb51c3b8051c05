"""Makes metadata of a document: from what the caller wishes, else from its CDA header, else from defaults.

The defaults are codes of the shipped table. They let any file be tried; a real source sends its own.
"""

from __future__ import annotations

import mimetypes
import re
import socket
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, Protocol

from msim_xds.ihe.names import STABLE_OBJECT_TYPE, AssociationType
from msim_xds.metadata import cda
from msim_xds.metadata.model import (
    Association,
    Code,
    DocumentEntry,
    LocalizedString,
    Submission,
    SubmissionSet,
)
from msim_xds.wire.safexml import MalformedXml, parse

#: Larger files are documents of other kinds, or need options.
HEADER_BYTES: Final = 64 << 20
_BODY: Final = re.compile(rb"<((?:[\w.-]+:)?)component[\s/>]")  # the first thing after the header
_LOINC: Final = "2.16.840.1.113883.6.1"
_P1_CLASS: Final = "2.16.840.1.113883.3.4424.11.1.32"
_TITLE_OCTETS: Final = 128  # ITI TF-3 4.2.3.2.24
_OLD_EXTENSION: Final = 16  # characters after OID^, in uniqueIds by IHE's letter


def _code(code: str, scheme: str, display: str, lang: str | None = "pl-PL") -> Code:
    return Code(code, scheme, (LocalizedString(display, lang, "UTF-8"),))


_CLASSES: Final = {
    code: _code(code, _P1_CLASS, display)
    for code, display in {
        "00.20": "Karta informacyjna leczenia szpitalnego",
        "00.60": "Protokół operacyjny",
        "02.11": "Skierowanie na konsultację",
        "05.00": "Konsultacja lekarska",
        "06.00": "Opis badania diagnostycznego",
        "06.10": "Wynik badania laboratoryjnego",
    }.items()
}
#: classCode of documents without one, by their LOINC typeCode.
_CLASS_OF_TYPE: Final = {
    "11490-0": "00.20",
    "11502-2": "06.10",
    "11504-8": "00.60",
    "18748-4": "06.00",
    "18842-5": "00.20",
    "34105-7": "00.20",
    "57113-1": "02.11",
    "70004-7": "06.00",
}
_CLASS: Final = _CLASSES["05.00"]
_TYPE: Final = _code("11503-0", _LOINC, "Medical records", "en-US")
_FORMAT: Final = _code(
    "urn:ihe:iti:xds:2017:mimeTypeSufficient", "1.3.6.1.4.1.19376.1.2.3", "mimeType Sufficient", "en-US"
)
_CONFIDENTIALITY: Final = _code("N", "2.16.840.1.113883.5.25", "normal", "en-US")
_FACILITY: Final = _code("4500", "2.16.840.1.113883.3.4424.11.2.4", "Oddział chirurgiczny ogólny")
_PRACTICE: Final = _code("05", "Dziedzina medyczna", "Chirurgia ogólna")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What options ask for; None and empty leave it to the document or the defaults.

    ``profile`` pl sends uniqueIds and formatCode of Polish documents as PIK HL7 CDA has them, ihe makes both
    fit IHE's letter. ``keep_id`` never changes a uniqueId.
    """

    profile: Literal["ihe", "pl"] = "ihe"
    patient_id: str | None = None
    source_id: str | None = None
    title: str | None = None
    mime_type: str | None = None
    language: str | None = None
    keep_id: bool = False
    codes: Mapping[str, Code] = field(default_factory=dict)


class Ids(Protocol):
    """Where the ids and times of a submission come from that nobody gave."""

    def uuid(self, role: str) -> str:
        """A ``urn:uuid:``; ``role`` tells apart what one submission needs."""

    def oid(self, role: str) -> str:
        """An OID below 2.25."""

    def time(self) -> str:
        """A DTM."""


@dataclass(frozen=True, slots=True)
class Publication:
    """One file ready to submit.

    Attributes:
        path: the file.
        entry: its DocumentEntry.
        source_id: sourceId of the SubmissionSet.
        ids: where further ids come from.
        replaces: uniqueIds that the document says it replaces.
        notes: what a person should know, such as a changed uniqueId.
    """

    path: Path
    entry: DocumentEntry
    source_id: str
    ids: Ids
    replaces: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def with_fresh_id(self) -> Publication:
        """The same under a uniqueId that nothing else has."""
        fresh = self.ids.oid("another document")
        note = f"uniqueId {self.entry.unique_id} belongs to another document; registered as {fresh}"
        return replace(self, entry=replace(self.entry, unique_id=fresh), notes=(*self.notes, note))

    def submission(self, replaced: str | None = None) -> Submission:
        """The metadata to send; ``replaced`` is the entryUUID of the document that this one replaces."""
        relations = () if replaced is None else ((self.entry.entry_uuid, AssociationType.RPLC, replaced),)
        batch = submission_set((self.entry,), self.source_id, self.ids)
        return assemble(batch, (self.entry,), relations, self.ids)


def submission_set(entries: Sequence[DocumentEntry], source_id: str, ids: Ids) -> SubmissionSet:
    """A SubmissionSet for entries that come without one; what it says is the first one's."""
    first = entries[0]
    return SubmissionSet(
        entry_uuid=ids.uuid("set"),
        title=first.title,
        authors=first.authors,
        content_type_code=first.type_code,
        patient_id=first.patient_id,
        source_id=source_id,
        unique_id=ids.oid("set"),
        submission_time=ids.time(),
    )


def assemble(
    batch: SubmissionSet,
    entries: Sequence[DocumentEntry],
    relations: Iterable[tuple[str, str, str]],
    ids: Ids,
) -> Submission:
    """Entries as members of their set, with ``relations`` (source, type, target)."""
    associations = [
        Association(
            entry_uuid=ids.uuid(f"member {number}"),
            type=AssociationType.HAS_MEMBER,
            source=batch.entry_uuid,
            target=entry.entry_uuid,
            submission_set_status=("Original",),
        )
        for number, entry in enumerate(entries)
    ]
    associations += (
        Association(entry_uuid=ids.uuid(f"relation {number}"), type=kind, source=source, target=target)
        for number, (source, kind, target) in enumerate(relations)
    )
    return Submission((batch,), tuple(entries), (), tuple(associations))


class NoPatient(ValueError):
    """Nothing says whose a document is."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What the octets of a document say: SHA-1 in hex, their number, and the header where it is CDA."""

    sha1: str
    size: int
    header: cda.CdaHeader | None


def publication(path: Path, found: Examined, wishes: Wishes, ids: Ids) -> Publication:
    """Settle a document's metadata.

    Args:
        path: its file; the name gives what nothing else does.
        found: what is in it.
        wishes: what goes before that.
        ids: gives what is in neither.

    Raises:
        NoPatient: nothing says whose it is.
    """
    header = found.header or cda.CdaHeader()
    patient = wishes.patient_id or next(iter(header.patient_ids), None)
    if patient is None:
        raise NoPatient("nothing in the file says whose it is")
    sent = _sendable(header.unique_id, wishes) if header.unique_id else ids.oid("document")
    title = (wishes.title or header.title or path.name).encode("utf-8", "replace")[:_TITLE_OCTETS]
    entry = DocumentEntry(
        entry_uuid=ids.uuid("entry"),
        object_type=STABLE_OBJECT_TYPE,
        mime_type=wishes.mime_type or ("text/xml" if found.header else _mime_type(path)),
        patient_id=patient,
        source_patient_id=header.patient_ids[-1] if header.patient_ids else patient,
        source_patient_info=header.patient_info,
        title=(LocalizedString(title.decode("utf-8", "ignore"), "pl-PL", "UTF-8"),),
        language_code=wishes.language or header.language_code or "pl-PL",
        hash=found.sha1,
        size=str(found.size),
        unique_id=sent,
        creation_time=header.creation_time or ids.time(),
        service_start_time=header.service_start_time,
        service_stop_time=header.service_stop_time,
        authors=header.authors,
        legal_authenticator=header.legal_authenticator,
    )
    return Publication(
        path,
        _coded(entry, header, wishes),
        wishes.source_id or f"2.25.{uuid.uuid5(uuid.NAMESPACE_DNS, socket.gethostname()).int}",
        ids,
        tuple(_sendable(parent, wishes) for parent in header.replaces),
        tuple(_notes(header, sent)) if found.header else (),
    )


def _notes(header: cda.CdaHeader, sent: str) -> Iterator[str]:
    if header.unique_id is None:
        yield f"the document has no id of its own; registered as {sent}"
    elif header.unique_id != sent:
        yield f"its id {header.unique_id} is not of IHE's form; registered as {sent} (or give --profile pl)"


def _sendable(own: str, wishes: Wishes) -> str:
    """A document's id, or by IHE's letter an OID that is made from it and the same each time."""
    extension = own.partition("^")[2]
    proper = len(extension) <= _OLD_EXTENSION and own.isascii() and own.isprintable() and " " not in own
    if proper or wishes.keep_id or wishes.profile == "pl":
        return own
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, own).int}"


def _coded(entry: DocumentEntry, header: cda.CdaHeader, wishes: Wishes) -> DocumentEntry:
    """The entry with its codes: option, else document, else default."""

    def pick(option: str, own: Code | None, default: Code) -> Code:
        return wishes.codes.get(option) or own or default

    type_code = pick("type", header.type_code, _TYPE)
    own_format = header.format_code if wishes.profile == "pl" else None
    facility = pick("facility", header.healthcare_facility_type_code, _FACILITY)
    return replace(
        entry,
        type_code=type_code,
        class_code=pick("class", header.class_code, _class_of(type_code)),
        format_code=pick("format", own_format, _FORMAT),
        confidentiality_codes=(pick("confidentiality", header.confidentiality_code, _CONFIDENTIALITY),),
        healthcare_facility_type_code=facility,
        practice_setting_code=pick("practice", None, _PRACTICE),
    )


def _class_of(type_code: Code) -> Code:
    known = _CLASS_OF_TYPE.get(type_code.code) if type_code.scheme == _LOINC else None
    return _CLASSES[known] if known else _CLASS


def header_of(document: bytes) -> cda.CdaHeader | None:
    """The header of a CDA document, None of anything else.

    Usually it is parsed without the body, whose embedded files may be larger than the parser accepts.
    """
    attempts = [document]
    if body := _BODY.search(document):
        attempts.insert(0, document[: body.start()] + b"</%sClinicalDocument>" % body[1])
    for attempt in attempts:
        with suppress(MalformedXml, cda.NotCda):
            return cda.read(parse(attempt))
    return None


def _mime_type(path: Path) -> str:
    if path.suffix.lower() == ".xml":
        return "text/xml"
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def code_from_text(value: str) -> Code:
    """``CODE^^SCHEME`` or ``CODE^^SCHEME^^NAME``. Raises ValueError."""
    code, scheme, display = (*value.split("^^", 2), "", "")[:3]
    if not code or not scheme:
        raise ValueError(f"{value}: expected CODE^^SCHEME or CODE^^SCHEME^^NAME")
    return Code(code, scheme, (LocalizedString(display or code),))
