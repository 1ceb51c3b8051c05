"""Makes of a manifest line what ITI-41 would have brought: a SubmitObjectsRequest and staged documents."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, Literal

from msim_xds.findings import Finding, Refused, errors
from msim_xds.ihe.names import LCM, AssociationType, ObjectKind
from msim_xds.importer.manifest import DocumentLine, Line
from msim_xds.importer.overrides import Wanted, changed
from msim_xds.importer.publication import (
    HEADER_BYTES,
    Examined,
    NoPatient,
    Publication,
    Wishes,
    assemble,
    header_of,
    publication,
    submission_set,
)
from msim_xds.importer.trees import Tree, Unreadable, read
from msim_xds.metadata import ebrim, fragments
from msim_xds.metadata.ebrim import Reading
from msim_xds.metadata.model import Association, DocumentEntry, Submission
from msim_xds.settings import LimitSettings
from msim_xds.wire.exchange import StagedPart, Stager
from msim_xds.wire.safexml import MalformedXml, parse

if TYPE_CHECKING:
    from lxml.etree import _Element

_SUBMIT_OBJECTS: Final = f"{{{LCM}}}SubmitObjectsRequest"
_INVALID: Final = "XDSRepositoryMetadataError"
_MISSING: Final = "XDSMissingDocument"
_PAGE: Final = "docs/import.md"
#: Ids that an archive does not give are made from what it does give, the same at every import of it.
_NAMESPACE: Final = uuid.UUID("6f1d3a5e-7c29-4d0b-9e5e-0f3b8f1f6a11")
_FOLDERS: Final = 64


@dataclass(frozen=True, slots=True)
class Options:
    """What holds for everything in an import where nothing nearer says otherwise.

    Attributes:
        profile: by which codes of CDA documents are taken.
        patient_id: of documents without a manifest line that names one.
        source_id: sourceId of SubmissionSets that are made here.
        history: every submission tells of the past.
    """

    profile: Literal["ihe", "pl"] = "ihe"
    patient_id: str | None = None
    source_id: str | None = None
    history: bool = False


@dataclass(frozen=True, slots=True)
class DerivedIds:
    """Ids made from ``seed``, and ``moment``, a DTM."""

    seed: str
    moment: str

    def uuid(self, role: str) -> str:
        """The same at every call."""
        return f"urn:uuid:{uuid.uuid5(_NAMESPACE, f'{self.seed} {role}')}"

    def oid(self, role: str) -> str:
        """The same at every call."""
        return f"2.25.{uuid.uuid5(_NAMESPACE, f'{self.seed} {role}').int}"

    def time(self) -> str:
        """The moment."""
        return self.moment


@dataclass(slots=True)
class Composed:
    """A submission in the making.

    Attributes:
        staged: every document staged so far, for the caller to commit or discard.
        parts: they by the id of their entry.
        reading: the submission, once it is complete.
        wanted: relations that need the registry's word.
        notes: what a person should know.
    """

    staged: list[StagedPart] = field(default_factory=list)
    parts: dict[str, StagedPart] = field(default_factory=dict)
    reading: Reading | None = None
    wanted: tuple[Wanted, ...] = ()
    notes: tuple[str, ...] = ()


class Composer:
    """Reads what lines name out of a tree."""

    def __init__(self, tree: Tree, stager: Stager, limits: LimitSettings, options: Options) -> None:
        self._tree = tree
        self._stager = stager
        self._limits = limits
        self._options = options
        self._siblings = lru_cache(_FOLDERS)(lambda folder: _by_stem(tree.names_in(folder)))

    def compose(self, line: Line, composed: Composed) -> None:
        """Fill ``composed``. Raises Refused; what it staged by then is in ``composed``."""
        if line.metadata is None:
            self._of_headers(line, composed)
        else:
            self._of_metadata(line, line.metadata, composed)

    def with_relations(self, composed: Composed, found: Mapping[str, str]) -> tuple[Reading, list[str]]:
        """The submission with its relations, and notes on those that it goes without.

        Args:
            composed: what ``compose`` has made.
            found: entryUUIDs of registered documents by their uniqueId.

        Raises:
            Refused: a relation that the line asks for names no registered document.
        """
        reading = _complete(composed)
        absent = [each for each in composed.wanted if each.unique_id not in found]
        if missing := [_unresolved(each) for each in absent if each.required]:
            raise Refused(missing)
        sent = reading.submission
        ids = DerivedIds(sent.submission_sets[0].unique_id or "", "")
        links = tuple(
            Association(
                entry_uuid=ids.uuid(f"{each.source} {each.type} {found[each.unique_id]}"),
                type=each.type,
                source=each.source,
                target=found[each.unique_id],
            )
            for each in composed.wanted
            if each.unique_id in found
        )
        whole = Submission(sent.submission_sets, sent.entries, sent.folders, (*sent.associations, *links))
        return self._read_again(whole), [
            f"says that it replaces {each.unique_id}, which is not registered" for each in absent
        ]

    # --- with metadata ------------------------------------------------------------------------------

    def _of_metadata(self, line: Line, name: str, composed: Composed) -> None:
        reading = ebrim.read(self._metadata(name), self._limits)
        sent = reading.submission
        stable = [each for each in sent.entries if each.kind is ObjectKind.STABLE_DOCUMENT_ENTRY]
        if line.documents:
            paths, documents = _paired(line.documents, sent.entries)
        else:
            paths, documents = {each.entry_uuid: self._located(name, each, stable) for each in stable}, {}
        for entry, path in paths.items():
            composed.parts[entry], _ = self._stage(path, composed, with_head=False)
        if line.changes_metadata:
            if errors(reading.findings) or len(sent.submission_sets) != 1:
                raise Refused(reading.findings or [_bad_metadata(name, "needs exactly one SubmissionSet")])
            over = changed(sent, line, documents, DerivedIds(sent.submission_sets[0].unique_id or name, ""))
            composed.parts = over.renamed(composed.parts)
            composed.wanted = over.wanted
            reading = replace(self._read_again(over.submission), lenient=reading.lenient)
        composed.reading = reading

    def _metadata(self, name: str) -> _Element:
        """The SubmitObjectsRequest in a file: the root, or somewhere inside."""
        try:
            root = parse(read(self._tree, name, self._limits.root_part_bytes))
        except (Unreadable, MalformedXml) as error:
            raise Refused([_bad_metadata(name, str(error))]) from None
        found = next(root.iter(_SUBMIT_OBJECTS), None)
        if found is None:
            raise Refused([_bad_metadata(name, "holds no lcm:SubmitObjectsRequest")])
        return found

    def _located(self, metadata: str, entry: DocumentEntry, stable: Sequence[DocumentEntry]) -> str:
        """The file of an entry: named as its URI, id or uniqueId, the only entry's also as the metadata."""
        path = PurePosixPath(metadata)
        folder = "" if path.parent == PurePosixPath(".") else f"{path.parent}"
        siblings = self._siblings(folder)
        wishes = ["".join(entry.uri), entry.entry_uuid, entry.entry_uuid.removeprefix("urn:uuid:")]
        wishes += [entry.unique_id or "", *([path.stem] if len(stable) == 1 else [])]
        for wish in wishes:
            fitting = [name for name in siblings.get(wish, ()) if name != path.name]
            if len(fitting) == 1:
                return f"{folder}/{fitting[0]}".lstrip("/")
        raise Refused(
            [
                Finding(
                    _MISSING,
                    "no file beside the metadata is named as this entry's URI, id or uniqueId",
                    entry.place,
                    allowed="such a name, with any suffix",
                    source=_PAGE,
                )
            ]
        )

    # --- without metadata ---------------------------------------------------------------------------

    def _of_headers(self, line: Line, composed: Composed) -> None:
        publications: list[Publication] = []
        seeds: list[str] = []
        for document in line.documents:
            part, head = self._stage(document.path, composed, with_head=True)
            examined = Examined(part.sha1, part.size, header_of(head))
            patient = line.patient_id or self._options.patient_id
            seeds.append(f"{part.sha256} {patient} {document.unique_id}")
            ids = DerivedIds(seeds[-1], self._moment(document, examined))
            publications.append(self._published(document, examined, patient, line, ids))
            composed.parts[publications[-1].entry.entry_uuid] = part
        ids = DerivedIds(" ".join(seeds), publications[0].entry.creation_time or "")
        entries = [each.entry for each in publications]
        batch = submission_set(entries, publications[0].source_id, ids)
        documents = {each.entry_uuid: d for each, d in zip(entries, line.documents, strict=False)}
        over = changed(assemble(batch, entries, (), ids), line, documents, ids)
        composed.parts = over.renamed(composed.parts)
        composed.wanted = (*over.wanted, *_said_to_replace(publications, line.documents, over.names))
        composed.notes = tuple(note for each in publications for note in each.notes)
        composed.reading = self._read_again(over.submission)

    def _published(
        self, document: DocumentLine, found: Examined, patient: str | None, line: Line, ids: DerivedIds
    ) -> Publication:
        wishes = Wishes(
            profile=self._options.profile,
            patient_id=patient,
            source_id=line.submission_set.source_id or self._options.source_id,
            keep_id=True,
        )
        try:
            return publication(Path(document.path), found, wishes, ids)
        except NoPatient as error:
            finding = Finding(_INVALID, str(error), f"Document {document.path}", "patientId", source=_PAGE)
            raise Refused([finding]) from None

    def _moment(self, document: DocumentLine, found: Examined) -> str:
        """What the document says of its time, else the manifest, else the file."""
        if found.header is not None and found.header.creation_time:
            return found.header.creation_time
        return document.creation_time or _dtm(self._modified(document.path))

    def _modified(self, path: str) -> datetime:
        try:
            return self._tree.modified(path)
        except Unreadable as error:
            raise Refused([_missing(path, error)]) from None

    # --- both ---------------------------------------------------------------------------------------

    def _stage(self, path: str, composed: Composed, *, with_head: bool) -> tuple[StagedPart, bytes]:
        """Take a document in, and keep the octets that may hold a header."""
        sink = self._stager.stage()
        head = bytearray()
        size = 0
        try:
            for chunk in self._tree.chunks(path, self._limits.document_bytes):
                sink.write(chunk)
                size += len(chunk)
                if with_head and size <= HEADER_BYTES:
                    head += chunk
        except Unreadable as error:
            sink.discard()
            raise Refused([_missing(path, error)]) from None
        except BaseException:
            sink.discard()
            raise
        part = sink.finish()
        composed.staged.append(part)
        return part, bytes(head) if size <= HEADER_BYTES else b""

    def _read_again(self, submission: Submission) -> Reading:
        """As it would have been read, had it come so: judged by the same rules as any other."""
        return ebrim.read(parse(fragments.submit_objects(submission)), self._limits)


def _complete(composed: Composed) -> Reading:
    if composed.reading is None:
        raise RuntimeError("the submission is not complete")
    return composed.reading


def _paired(
    lines: Sequence[DocumentLine], entries: Sequence[DocumentEntry]
) -> tuple[dict[str, str], dict[str, DocumentLine]]:
    """Paths and lines by the id of their entry. Raises Refused where a line does not say which."""
    paths: dict[str, str] = {}
    documents: dict[str, DocumentLine] = {}
    for line in lines:
        name = line.id or (entries[0].entry_uuid if len(entries) == len(lines) == 1 else None)
        if name is None or name in paths:
            problem = "is named twice" if name else "is missing: the metadata or the line have several"
            raise Refused([Finding(_INVALID, problem, f"Document {line.path}", "id", name, source=_PAGE)])
        paths[name], documents[name] = line.path, line
    known = {each.entry_uuid for each in entries}
    return paths, {name: line for name, line in documents.items() if name in known}


def _said_to_replace(
    publications: Sequence[Publication], lines: Sequence[DocumentLine], names: Mapping[str, str]
) -> list[Wanted]:
    """What CDA headers say; a line's own word goes before, and a parent that is not there is left out."""
    return [
        Wanted(names[each.entry.entry_uuid], AssociationType.RPLC, parent, required=False)
        for each, line in zip(publications, lines, strict=True)
        if not line.replaces
        for parent in each.replaces
    ]


def _by_stem(names: Sequence[str]) -> dict[str, list[str]]:
    """File names by themselves and by what stands in front of their last suffix."""
    found: dict[str, list[str]] = {}
    for name in names:
        for key in {name, PurePosixPath(name).stem}:
            found.setdefault(key, []).append(name)
    return found


def _dtm(moment: datetime) -> str:
    return moment.strftime("%Y%m%d%H%M%S")


def _bad_metadata(name: str, problem: str) -> Finding:
    return Finding(_INVALID, problem, name, source=_PAGE)


def _missing(path: str, error: Unreadable) -> Finding:
    return Finding(_MISSING, str(error), f"Document {path}", source=_PAGE)


def _unresolved(wanted: Wanted) -> Finding:
    return Finding(
        "UnresolvedReferenceException",
        "names a document that is not registered",
        f"DocumentEntry {wanted.source}",
        wanted.type.rpartition(":")[2],
        wanted.unique_id,
        "a uniqueId of the registry, or of an earlier submission of this import",
        _PAGE,
    )
