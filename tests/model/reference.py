"""The stored queries as a few lines over plain objects: what the SQL must mean (ITI TF-2 3.18.4.1.2.3.7).

Nothing of the product's search is used. Times are compared as strings, patterns as regular expressions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msim_xds.metadata.model import Association, Code, DocumentEntry, Folder, MetadataObject, SubmissionSet

HAS_MEMBER = "urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember"
STABLE = "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1"
ONLINE = "urn:ihe:iti:2010:DocumentAvailability:Online"
APPROVED, DEPRECATED = (
    f"urn:oasis:names:tc:ebxml-regrep:StatusType:{name}" for name in ("Approved", "Deprecated")
)
Groups = Sequence[Sequence[str]]
Parameters = Mapping[str, Groups]

DE, SS, FD = "$XDSDocumentEntry", "$XDSSubmissionSet", "$XDSFolder"
_ENTRY = DocumentEntry, f"{DE}PatientId", f"{DE}Status"
_FOLDER = Folder, f"{FD}PatientId", f"{FD}Status"
#: Object, its patient parameter, its status parameter.
FIND: dict[str, tuple[type, str, str]] = {
    "FindDocuments": _ENTRY,
    "FindDocumentsByReferenceId": _ENTRY,
    "FindDocumentsExclude": _ENTRY,
    "FindSubmissionSets": (SubmissionSet, f"{SS}PatientId", f"{SS}Status"),
    "FindFolders": _FOLDER,
    "FindDocumentsForMultiplePatients": _ENTRY,
    "FindFoldersForMultiplePatients": _FOLDER,
    "FindDocumentsByReferenceIdForMultiplePatients": _ENTRY,
}
#: Queries whose LeafClass answers are of one patient.
SINGLE_PATIENT = {
    "GetDocuments",
    "GetFolders",
    "GetDocumentsAndAssociations",
    "GetSubmissionSets",
    "GetSubmissionSetAndContents",
    "GetFolderAndContents",
}


def like(pattern: str, text: str) -> bool:
    """SQL LIKE without an escape character."""
    parts = {"%": ".*", "_": "."}
    expression = "".join(parts.get(c, re.escape(c)) for c in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def not_before(start: str, value: str | None) -> bool:
    """From is inclusive; the longer string is cut. An absent time excludes nothing."""
    return value is None or value[: len(start)] >= start[: len(value)]


def before(end: str, value: str | None) -> bool:
    """To is exclusive at equal precision; otherwise it lasts until the end of the shorter period."""
    if value is None:
        return True
    return value < end if len(value) == len(end) else value[: len(end)] <= end[: len(value)]


def until(end: str, value: str | None) -> bool:
    """To of a time that the registry sets is inclusive."""
    return value == end or before(end, value)


def coded(*codes: Code | None) -> Callable[[str], bool]:
    return lambda wanted: wanted in [f"{code.code}^^{code.scheme}" for code in codes if code is not None]


def person(thing: DocumentEntry | SubmissionSet) -> Callable[[str], bool]:
    return lambda wanted: any(like(wanted, author.person) for author in thing.authors if author.person)


def tests_of(thing: MetadataObject) -> Mapping[str, Callable[[str], bool]]:
    """By parameter: whether one value of it matches the object."""
    if isinstance(thing, Folder):
        return {
            f"{FD}CodeList": coded(*thing.codes),
            f"{FD}LastUpdateTimeFrom": lambda v: not_before(v, thing.last_update_time),
            f"{FD}LastUpdateTimeTo": lambda v: until(v, thing.last_update_time),
        }
    if isinstance(thing, SubmissionSet):
        return {
            f"{SS}SourceId": lambda v: v == thing.source_id,
            f"{SS}SubmissionTimeFrom": lambda v: not_before(v, thing.submission_time),
            f"{SS}SubmissionTimeTo": lambda v: before(v, thing.submission_time),
            f"{SS}AuthorPerson": person(thing),
            f"{SS}ContentType": coded(thing.content_type_code),
        }
    return {
        f"{DE}ClassCode": coded(thing.class_code),
        f"{DE}TypeCode": coded(thing.type_code),
        f"{DE}FormatCode": coded(thing.format_code),
        f"{DE}EventCodeList": coded(*thing.event_codes),
        f"{DE}ConfidentialityCode": coded(*thing.confidentiality_codes),
        f"{DE}AuthorPerson": person(thing),
        f"{DE}ReferenceIdList": lambda v: any(like(v, value) for value in thing.reference_ids),
        f"{DE}DocumentAvailability": lambda v: v == (thing.document_availability or ONLINE),
        f"{DE}CreationTimeFrom": lambda v: not_before(v, thing.creation_time),
        f"{DE}CreationTimeTo": lambda v: before(v, thing.creation_time),
        f"{DE}ServiceStartTimeFrom": lambda v: not_before(v, thing.service_start_time),
        f"{DE}ServiceStopTimeTo": lambda v: before(v, thing.service_stop_time),
    }


@dataclass
class Model:
    """What a registry holds.

    Attributes:
        patients: everybody whom it has met.
        objects: as they were submitted.
        statuses: as they are shown, of objects and associations.
        superseded: objects that have a later version.
        versions: of objects, where it is not the first.
        links: associations.
        merged: survivor of each patient that was merged.
    """

    patients: list[str]
    objects: dict[str, MetadataObject] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    superseded: set[str] = field(default_factory=set)
    versions: dict[str, int] = field(default_factory=dict)
    links: list[Association] = field(default_factory=list)
    merged: dict[str, str] = field(default_factory=dict)

    def owner(self, uuid: str) -> str:
        """The patient whom an object belongs to after all merges."""
        patient = self.objects[uuid].patient_id or ""
        while patient in self.merged:
            patient = self.merged[patient]
        return patient

    def is_known(self, uuid: str, query: Parameters) -> bool:
        """Level 1 knows the latest versions only."""
        return at_level_2(query) or uuid not in self.superseded

    def in_force(self, query: Parameters) -> list[Association]:
        """The associations that count: level 1 knows the Approved ones, level 2 all, or those asked for."""
        wanted: Collection[str] = {APPROVED}
        if at_level_2(query):
            wanted = query.get("$XDSAssociationStatus", [[APPROVED, DEPRECATED]])[0]
        return [a for a in self.links if self.statuses[a.entry_uuid] in wanted]

    def passes(self, uuid: str, query: Parameters) -> bool:
        """Whether an object passes the parameters about its kind, without patient and status."""
        thing, tests = self.objects[uuid], tests_of(self.objects[uuid])
        types = query.get(f"{DE}Type", [[STABLE]])[0]
        if isinstance(thing, DocumentEntry) and thing.object_type not in types:
            return False
        return all(
            any(tests[stem](value) for value in group) == (stem == name)
            for name, groups in query.items()
            if (stem := name.removesuffix("Exclude")) in tests
            for group in groups
        )

    def find(
        self, kind: type, patients: Collection[str] | None, status: Collection[str], query: Parameters
    ) -> set[str]:
        """Objects of these patients, or of all; ids that were merged are nobody's any more."""
        return {
            uuid
            for uuid, thing in self.objects.items()
            if isinstance(thing, kind)
            and (patients is None or self.owner(uuid) in patients)
            and self.statuses[uuid] in status
            and self.is_known(uuid, query)
            and self.passes(uuid, query)
        }

    def named(self, kind: Any, stem: str, query: Parameters) -> set[str]:
        """Objects that the query names; by entryUUID of whatever version."""
        attributes = {"EntryUUID": "entry_uuid", "UniqueId": "unique_id", "LogicalID": "logical_id"}
        ((suffix, attribute),) = ((s, a) for s, a in attributes.items() if stem + s in query)
        return {
            uuid
            for uuid, thing in self.objects.items()
            if isinstance(thing, kind)
            and getattr(thing, attribute) in query[stem + suffix][0]
            and (suffix != "UniqueId" or self.is_known(uuid, query))
        }

    def members(self, kind: type, holders: Collection[str], query: Parameters) -> set[str]:
        targets = {a.target for a in self.in_force(query) if a.type == HAS_MEMBER and a.source in holders}
        return {
            target
            for target in targets
            if isinstance(self.objects.get(target), kind)
            and self.is_known(target, query)
            and self.passes(target, query)
        }

    def between(self, sources: Iterable[str], targets: Iterable[str], query: Parameters) -> set[str]:
        pairs = set(sources), set(targets)
        return {
            a.entry_uuid
            for a in self.in_force(query)
            if a.type == HAS_MEMBER and a.source in pairs[0] and a.target in pairs[1]
        }

    def touching(self, ends: set[str], query: Parameters) -> set[str]:
        """Associations of these; with an older version at the other end only at level 2."""
        unknown = set() if at_level_2(query) else self.superseded - ends
        return {
            a.entry_uuid
            for a in self.in_force(query)
            if {a.source, a.target} & ends and not {a.source, a.target} & unknown
        }

    def answer(self, name: str, query: Parameters) -> set[str]:
        """Ids of everything that the answer holds."""
        if name in FIND:
            kind, patient, status = FIND[name]
            return self.find(kind, query.get(patient, [None])[0], query[status][0], query)
        answer: Callable[[Parameters], set[str]] = getattr(self, f"_{name}")
        return answer(query)

    def is_refused(self, name: str, ids: Iterable[str]) -> bool:
        """Whether LeafClass would mix patients."""
        return name in SINGLE_PATIENT and len({self.owner(uuid) for uuid in ids if uuid in self.objects}) > 1

    def _GetAll(self, query: Parameters) -> set[str]:
        kinds = {DocumentEntry: DE, SubmissionSet: SS, Folder: FD}
        (patients,) = query["$patientId"]
        found: set[str] = set()
        for kind, stem in kinds.items():
            found |= self.find(kind, patients, query[f"{stem}Status"][0], query)
        return found | self.touching(found, query)

    def _GetDocuments(self, query: Parameters) -> set[str]:
        return self.named(DocumentEntry, DE, query)

    def _GetFolders(self, query: Parameters) -> set[str]:
        return self.named(Folder, FD, query)

    def _GetAssociations(self, query: Parameters) -> set[str]:
        return self.touching(set(query["$uuid"][0]), query)

    def _GetDocumentsAndAssociations(self, query: Parameters) -> set[str]:
        entries = self.named(DocumentEntry, DE, query)
        return entries | self.touching(entries, query)

    def _GetSubmissionSets(self, query: Parameters) -> set[str]:
        given = {u for u in query["$uuid"][0] if isinstance(self.objects.get(u), DocumentEntry | Folder)}
        sets = {u for u, thing in self.objects.items() if isinstance(thing, SubmissionSet)}
        links = self.between(sets, given, query)
        return links | {a.source for a in self.links if a.entry_uuid in links}

    def _GetFolderAndContents(self, query: Parameters) -> set[str]:
        folders = self.named(Folder, FD, query)
        entries = self.members(DocumentEntry, folders, query)
        return folders | entries | self.between(folders, entries, query)

    def _GetSubmissionSetAndContents(self, query: Parameters) -> set[str]:
        sets = self.named(SubmissionSet, SS, query)
        entries, folders = (self.members(kind, sets, query) for kind in (DocumentEntry, Folder))
        own = {a.target for a in self.in_force(query) if a.type == HAS_MEMBER and a.source in sets}
        inner = self.between(folders, entries, query) & own
        members = entries | folders | inner
        return sets | members | self.between(sets, members, query)

    def _GetFoldersForDocument(self, query: Parameters) -> set[str]:
        links = self.between(self.objects, self.named(DocumentEntry, DE, query), query)
        holders = {a.source for a in self.links if a.entry_uuid in links}
        return {u for u in holders if isinstance(self.objects[u], Folder) and self.is_known(u, query)}

    def _GetRelatedDocuments(self, query: Parameters) -> set[str]:
        documents = {u for u in self.named(DocumentEntry, DE, query) if self.passes(u, query)}
        known = documents | {
            uuid
            for uuid, thing in self.objects.items()
            if isinstance(thing, DocumentEntry) and self.is_known(uuid, query) and self.passes(uuid, query)
        }
        found: set[str] = set()
        for a in self.in_force(query):
            ends = {a.source, a.target}
            if ends & documents and ends <= known and a.type in query["$AssociationTypes"][0]:
                found |= {a.entry_uuid, *ends}
        return found


def at_level_2(query: Parameters) -> bool:
    """$MetadataLevel is 1 when it is absent."""
    return query.get("$MetadataLevel") == [["2"]]
