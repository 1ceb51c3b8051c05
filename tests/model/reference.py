"""The stored queries as a few lines over plain objects: what the SQL must mean (ITI TF-2 3.18.4.1.2.3.7).

Nothing of the product's search is used. Times are compared as strings, patterns as regular expressions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msim_xds.metadata.model import Association, Code, DocumentEntry, Folder, MetadataObject, SubmissionSet

HAS_MEMBER = "urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember"
STABLE = "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1"
ONLINE = "urn:ihe:iti:2010:DocumentAvailability:Online"
Groups = Sequence[Sequence[str]]
Parameters = Mapping[str, Groups]

DE, SS, FD = "$XDSDocumentEntry", "$XDSSubmissionSet", "$XDSFolder"
#: Object, its patient parameter, its status parameter.
FIND = {
    "FindDocuments": (DocumentEntry, f"{DE}PatientId", f"{DE}Status"),
    "FindDocumentsByReferenceId": (DocumentEntry, f"{DE}PatientId", f"{DE}Status"),
    "FindSubmissionSets": (SubmissionSet, f"{SS}PatientId", f"{SS}Status"),
    "FindFolders": (Folder, f"{FD}PatientId", f"{FD}Status"),
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
    """What one patient's registry holds."""

    patient: str
    objects: dict[str, MetadataObject] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    links: list[Association] = field(default_factory=list)

    def passes(self, uuid: str, query: Parameters) -> bool:
        """Whether an object passes the parameters about its kind, without patient and status."""
        thing, tests = self.objects[uuid], tests_of(self.objects[uuid])
        types = query.get(f"{DE}Type", [[STABLE]])[0]
        if isinstance(thing, DocumentEntry) and thing.object_type not in types:
            return False
        return all(
            any(tests[name](value) for value in group)
            for name, groups in query.items()
            if name in tests
            for group in groups
        )

    def find(self, kind: type, status: Sequence[str], query: Parameters) -> set[str]:
        return {
            uuid
            for uuid, thing in self.objects.items()
            if isinstance(thing, kind) and self.statuses[uuid] in status and self.passes(uuid, query)
        }

    def members(self, kind: type, holder: str, query: Parameters) -> set[str]:
        targets = {a.target for a in self.links if a.type == HAS_MEMBER and a.source == holder}
        return {t for t in targets if isinstance(self.objects.get(t), kind) and self.passes(t, query)}

    def between(self, sources: Iterable[str], targets: Iterable[str]) -> set[str]:
        pairs = set(sources), set(targets)
        return {
            a.entry_uuid
            for a in self.links
            if a.type == HAS_MEMBER and a.source in pairs[0] and a.target in pairs[1]
        }

    def answer(self, name: str, query: Parameters) -> set[str]:
        """Ids of everything that the answer holds."""
        if name in FIND:
            kind, patient, status = FIND[name]
            return self.find(kind, query[status][0], query) if query[patient] == [[self.patient]] else set()
        answer: Callable[[Parameters], set[str]] = getattr(self, f"_{name}")
        return answer(query)

    def _GetAll(self, query: Parameters) -> set[str]:
        kinds = {DocumentEntry: DE, SubmissionSet: SS, Folder: FD}
        found = {u for kind, stem in kinds.items() for u in self.find(kind, query[f"{stem}Status"][0], query)}
        return found | {a.entry_uuid for a in self.links if {a.source, a.target} & found}

    def _GetSubmissionSets(self, query: Parameters) -> set[str]:
        given = {u for u in query["$uuid"][0] if isinstance(self.objects.get(u), DocumentEntry | Folder)}
        sets = {u for u, thing in self.objects.items() if isinstance(thing, SubmissionSet)}
        links = self.between(sets, given)
        return links | {a.source for a in self.links if a.entry_uuid in links}

    def _GetFolderAndContents(self, query: Parameters) -> set[str]:
        ((folder,),) = query[f"{FD}EntryUUID"]
        entries = self.members(DocumentEntry, folder, query)
        return {folder} | entries | self.between([folder], entries)

    def _GetSubmissionSetAndContents(self, query: Parameters) -> set[str]:
        ((holder,),) = query[f"{SS}EntryUUID"]
        entries, folders = (self.members(kind, holder, query) for kind in (DocumentEntry, Folder))
        own = {a.target for a in self.links if a.type == HAS_MEMBER and a.source == holder}
        inner = self.between(folders, entries) & own
        return {holder} | entries | folders | inner | self.between([holder], entries | folders | inner)

    def _GetRelatedDocuments(self, query: Parameters) -> set[str]:
        ((document,),) = query[f"{DE}EntryUUID"]
        found: set[str] = set()
        for a in self.links:
            ends = {a.source, a.target}
            entries = all(
                isinstance(self.objects.get(e), DocumentEntry) and self.passes(e, query) for e in ends
            )
            if document in ends and entries and a.type in query["$AssociationTypes"][0]:
                found |= {a.entry_uuid, *ends}
        return found
