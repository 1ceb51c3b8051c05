"""What a manifest line says, laid over a submission."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from msim_xds.ihe.names import AssociationType, Status
from msim_xds.importer.manifest import DocumentLine, FolderLine, Line
from msim_xds.importer.publication import Ids
from msim_xds.metadata.model import (
    Association,
    DocumentEntry,
    Folder,
    InternationalString,
    LocalizedString,
    Submission,
    SubmissionSet,
)
from msim_xds.wire.exchange import StagedPart

_STATUS: Final = {"Approved": str(Status.APPROVED), "Deprecated": str(Status.DEPRECATED)}
_TEXTS: Final = frozenset({"title", "comments"})
_ENTRY_FIELDS: Final = frozenset(DocumentEntry.__dataclass_fields__)
_SET_FIELDS: Final = frozenset(SubmissionSet.__dataclass_fields__)
#: Relations by the key that asks for them.
RELATIONS: Final = {
    "replaces": AssociationType.RPLC,
    "appends": AssociationType.APND,
    "transforms": AssociationType.XFRM,
}


class Wanted(NamedTuple):
    """A relation to a document that is known by its uniqueId.

    Attributes:
        source: id of the new entry.
        type: of the association.
        unique_id: of the other document.
        required: the submission is refused without it.
    """

    source: str
    type: AssociationType
    unique_id: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Changed:
    """A submission as the line has it, relations that need the registry's word, and new ids by old ones."""

    submission: Submission
    wanted: tuple[Wanted, ...]
    names: Mapping[str, str]

    def renamed(self, parts: Mapping[str, StagedPart]) -> dict[str, StagedPart]:
        """Documents by the new id of their entry; what belongs to none keeps its name."""
        return {self.names.get(entry, entry): part for entry, part in parts.items()}


def changed(sent: Submission, line: Line, documents: Mapping[str, DocumentLine], ids: Ids) -> Changed:
    """``sent`` with what ``line`` says in place of what it says.

    Args:
        sent: the submission, with one SubmissionSet.
        line: the manifest's.
        documents: its documents by the id of their entry in ``sent``.
        ids: names the associations that it adds.
    """
    (batch,) = sent.submission_sets
    batch = replace(batch, **_values(line.submission_set, _SET_FIELDS))
    entries = [_entry(entry, documents.get(entry.entry_uuid)) for entry in sent.entries]
    folders = [*sent.folders, *(_folder(each, batch) for each in line.folders)]
    if line.patient_id is not None:
        owner: Any = {"patient_id": line.patient_id}
        batch = replace(batch, **owner)
        entries = [replace(entry, **owner) for entry in entries]
        folders = [replace(folder, **owner) for folder in folders]
    names = {old.entry_uuid: new.entry_uuid for old, new in zip(sent.entries, entries, strict=True)}
    names[sent.submission_sets[0].entry_uuid] = batch.entry_uuid
    links = [_renamed(link, names) for link in sent.associations]
    links += _Links(ids, batch.entry_uuid).of(line, {names[old]: each for old, each in documents.items()})
    wanted = tuple(
        Wanted(names[old], kind, name)
        for old, each in documents.items()
        for key, kind in RELATIONS.items()
        for name in getattr(each, key)
        if not _is_uuid(name)
    )
    submission = Submission((batch,), tuple(entries), tuple(folders), tuple(links))
    return Changed(submission, wanted, names)


class _Links:
    """Makes the associations that a line asks for."""

    def __init__(self, ids: Ids, batch: str) -> None:
        self._ids = ids
        self._batch = batch
        self._count = 0

    def of(self, line: Line, documents: Mapping[str, DocumentLine]) -> Iterator[Association]:
        """Folders as members of the set, entries of folders, relations to what is known by its entryUUID."""
        for folder in line.folders:
            yield self._link(self._batch, AssociationType.HAS_MEMBER, folder.entry_uuid)
        for entry, document in documents.items():
            for name in document.folders:
                member = self._link(name, AssociationType.HAS_MEMBER, entry)
                yield member
                yield self._link(self._batch, AssociationType.HAS_MEMBER, member.entry_uuid)
            for key, kind in RELATIONS.items():
                for name in filter(_is_uuid, getattr(document, key)):
                    yield self._link(entry, kind, name)

    def _link(self, source: str, kind: AssociationType, target: str) -> Association:
        self._count += 1
        name = self._ids.uuid(f"manifest link {self._count}")
        return Association(entry_uuid=name, type=kind, source=source, target=target)


def _is_uuid(name: str) -> bool:
    return name.startswith("urn:uuid:")


def _values(part: DocumentLine | Any, fields: frozenset[str]) -> dict[str, Any]:  # noqa: ANN401  # or SetLine
    """The attributes that ``part`` gives, as fields of the model."""
    given = {name: getattr(part, name) for name in part.model_fields_set & fields}
    return {
        name: _text(value) if name in _TEXTS else value for name, value in given.items() if value is not None
    }


def _entry(entry: DocumentEntry, document: DocumentLine | None) -> DocumentEntry:
    if document is None:
        return entry
    values = _values(document, _ENTRY_FIELDS)
    if document.availability_status is not None:
        values["status"] = _STATUS[document.availability_status]
    return replace(entry, **values) if values else entry


def _folder(line: FolderLine, batch: SubmissionSet) -> Folder:
    return Folder(
        entry_uuid=line.entry_uuid,
        unique_id=line.unique_id,
        title=_text(line.title),
        codes=line.codes,
        patient_id=batch.patient_id,
    )


def _text(value: str) -> InternationalString:
    return (LocalizedString(value, None, "UTF-8"),)


def _renamed(link: Association, names: Mapping[str, str]) -> Association:
    return replace(
        link, source=names.get(link.source, link.source), target=names.get(link.target, link.target)
    )
