"""Rules that depend on what the registry holds (ITI TF-2 3.42.4.1.3, ITI TF-3 4.1.9, 4.2.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from msim_xds.findings import Finding
from msim_xds.ihe.names import AssociationType, ObjectKind
from msim_xds.metadata.model import Association, DocumentEntry, Folder, Submission, SubmissionSet
from msim_xds.registry.columns import APPROVED
from msim_xds.registry.holdings import Held, Identity

_REGISTER: Final = "ITI TF-2 3.42.4.1.3.3"
_UNIQUE: Final = "ITI TF-2 3.42.4.1.3.3.1"
_ON_DEMAND: Final = "ITI TF-2 3.61.4.1.3"
_RELATIONS: Final = "ITI TF-3 4.2.2.2"

_ENTRIES: Final = frozenset({ObjectKind.STABLE_DOCUMENT_ENTRY, ObjectKind.ON_DEMAND_DOCUMENT_ENTRY})
REPLACING: Final = frozenset({AssociationType.RPLC, AssociationType.XFRM_RPLC})

_KIND_NAMES: Final = {
    ObjectKind.STABLE_DOCUMENT_ENTRY: "a stable DocumentEntry",
    ObjectKind.ON_DEMAND_DOCUMENT_ENTRY: "an on-demand DocumentEntry",
    ObjectKind.SUBMISSION_SET: "a SubmissionSet",
    ObjectKind.FOLDER: "a Folder",
    ObjectKind.ASSOCIATION: "an Association",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the registry holds of a submission.

    Attributes:
        patient_id: the patient's key; None for a patient not met before.
        held: stored objects by entryUUID: those referred to, and those with an id that the sender gave.
        identities: first use of the submission's uniqueIds.
        transforms: keys of those held entries that are transforms.
    """

    patient_id: int | None
    held: Mapping[str, Held]
    identities: Mapping[str, Identity]
    transforms: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class _End:
    """What an association may name at one end when the object is not part of the submission."""

    kinds: frozenset[ObjectKind]
    allowed: str
    same_patient: bool = True


_FOLDER_END: Final = _End(frozenset({ObjectKind.FOLDER}), "a Folder, or an object of this submission")
_ENTRY_END: Final = _End(_ENTRIES, "a DocumentEntry")
_REFERENCE_END: Final = _End(_ENTRIES, "a DocumentEntry", same_patient=False)
_ON_DEMAND_END: Final = _End(frozenset({ObjectKind.ON_DEMAND_DOCUMENT_ENTRY}), "an on-demand DocumentEntry")


def findings(submission: Submission, places: Mapping[str, str], facts: Facts) -> list[Finding]:
    """Everything that the registry's contents have against a submission.

    Args:
        submission: with UUIDs for ids.
        places: by entryUUID, how findings name the object (with the id that the sender gave).
        facts: what the registry holds.
    """
    return [
        *used_ids(submission, places, facts.held),
        *_used_logical_ids(submission, places, facts.held),
        *used_unique_ids(submission, places, facts.identities),
        *_ends(submission, places, facts),
        *_appended_transforms(submission, places, facts),
        *_replaced_twice(submission, places),
    ]


def used_unique_ids(
    submission: Submission, places: Mapping[str, str], identities: Mapping[str, Identity]
) -> Iterator[Finding]:
    """Every uniqueId that something else has, or that an entry with other octets has."""
    packages: tuple[SubmissionSet | Folder, ...] = (*submission.submission_sets, *submission.folders)
    for package in packages:
        if package.unique_id is not None and package.unique_id in identities:
            yield Finding(
                "XDSDuplicateUniqueIdInRegistry",
                "this uniqueId is already used by another object of the registry",
                places[package.entry_uuid],
                "uniqueId",
                package.unique_id,
                source=_UNIQUE,
                context=package.unique_id,
            )
    for entry in submission.entries:
        if entry.unique_id is not None and entry.unique_id in identities:
            yield from _other_use(entry, places[entry.entry_uuid], identities[entry.unique_id])


def _other_use(entry: DocumentEntry, place: str, first: Identity) -> Iterator[Finding]:
    """What the first use of an entry's uniqueId has against the entry."""
    unique_id = entry.unique_id or ""
    if first.kind is not entry.kind:  # also of the other kind of entry: ITI-43 could not tell them apart
        yield Finding(
            "XDSRegistryMetadataError",
            f"this uniqueId is already used by {_KIND_NAMES[first.kind]}",
            place,
            "uniqueId",
            unique_id,
            "a uniqueId of the document's own",
            _UNIQUE if entry.kind is ObjectKind.STABLE_DOCUMENT_ENTRY else _ON_DEMAND,
        )
        return
    size = entry.size and (entry.size.lstrip("0") or "0")
    for code, attribute, seen, known in (
        ("XDSNonIdenticalHash", "hash", entry.hash and entry.hash.lower(), first.hash),
        ("XDSNonIdenticalSize", "size", size, None if first.size is None else str(first.size)),
    ):
        if seen and known and seen != known:
            yield Finding(
                code,
                "another document is registered under this uniqueId",
                place,
                attribute,
                seen,
                known,
                _UNIQUE,
                context=unique_id,
            )


def used_ids(
    submission: Submission, places: Mapping[str, str], held: Mapping[str, Held]
) -> Iterator[Finding]:
    """Every id of the submission that something in the registry has."""
    for thing in submission.objects():
        known = held.get(thing.entry_uuid)
        if known is not None:
            yield Finding(
                "XDSRegistryMetadataError",
                f"this id already belongs to {_KIND_NAMES[known.kind]} of the registry",
                places[thing.entry_uuid],
                "entryUUID",
                thing.entry_uuid,
                "a new UUID, or a symbolic id",
                "ITI TF-3 4.2.3.2.7",
            )


def _used_logical_ids(
    submission: Submission, places: Mapping[str, str], held: Mapping[str, Held]
) -> Iterator[Finding]:
    """Every logicalID that is the entryUUID of something else, which is the first version of that object."""
    first_versions = held.keys() | {thing.entry_uuid for thing in submission.things()}
    for thing in submission.things():
        lid = thing.logical_id
        if lid and lid != thing.entry_uuid and lid in first_versions:
            yield Finding(
                "XDSRegistryMetadataError",
                "this logicalID belongs to another object, of which this is not the first version",
                places[thing.entry_uuid],
                "logicalID",
                lid,
                "a logicalID of the object's own; later versions come by ITI-57",
                "ITI TF-3 4.2.3.2.31",
            )


def _ends(submission: Submission, places: Mapping[str, str], facts: Facts) -> Iterator[Finding]:
    """Ends of associations that lie outside the submission."""
    kinds = {thing.entry_uuid: thing.kind for thing in submission.objects()}
    for link in submission.associations:
        place = places[link.entry_uuid]
        if link.source not in kinds and link.type == AssociationType.HAS_MEMBER:
            yield from _end(place, "sourceObject", link.source, _FOLDER_END, facts)
        if link.target not in kinds:
            source = kinds.get(link.source) or (
                facts.held[link.source].kind if link.source in facts.held else None
            )
            yield from _end(place, "targetObject", link.target, _target_end(link, source), facts)


def _target_end(link: Association, source: ObjectKind | None) -> _End:
    if link.type == AssociationType.HAS_MEMBER and source is ObjectKind.SUBMISSION_SET:
        return _REFERENCE_END
    if link.type == AssociationType.IS_SNAPSHOT_OF:
        return _ON_DEMAND_END
    return _ENTRY_END


def _end(place: str, attribute: str, uuid: str, end: _End, facts: Facts) -> Iterator[Finding]:
    held = facts.held.get(uuid)
    if held is None:
        yield Finding(
            "UnresolvedReferenceException",
            "refers to an object that is neither in the submission nor in the registry",
            place,
            attribute,
            uuid,
            end.allowed,
            _REGISTER,
        )
    elif held.kind not in end.kinds:
        yield Finding(
            "XDSRegistryMetadataError",
            f"refers to {_KIND_NAMES[held.kind]} of the registry",
            place,
            attribute,
            uuid,
            end.allowed,
            _RELATIONS,
        )
    else:
        if held.status != APPROVED:
            yield Finding(
                "XDSRegistryDeprecatedDocumentError",
                "refers to an object that is Deprecated",
                place,
                attribute,
                uuid,
                "an object with availabilityStatus Approved",
                _REGISTER,
            )
        if end.same_patient and held.patient_id != facts.patient_id:
            yield Finding(
                "XDSPatientIdDoesNotMatch",
                "refers to an object of another patient",
                place,
                attribute,
                uuid,
                "an object with the patientId of the submission",
                _REGISTER,
            )


def _appended_transforms(
    submission: Submission, places: Mapping[str, str], facts: Facts
) -> Iterator[Finding]:
    """Appendices of a transform; one that has replaced its original stands in its place, so may have some."""
    new = {link.source for link in submission.associations if link.type == AssociationType.XFRM}
    for link in submission.associations:
        if link.type != AssociationType.APND:
            continue
        held = facts.held.get(link.target)
        if link.target in new or (held is not None and held.id in facts.transforms):
            yield Finding(
                "XDSRegistryMetadataError",
                "appends to a document that is a transform of another",
                places[link.entry_uuid],
                "targetObject",
                link.target,
                "the original document",
                "ITI TF-3 4.2.2.2.2",
            )


def _replaced_twice(submission: Submission, places: Mapping[str, str]) -> Iterator[Finding]:
    replaced: set[str] = set()
    for link in submission.associations:
        if link.type not in REPLACING:
            continue
        if link.target in replaced:
            yield Finding(
                "XDSRegistryDeprecatedDocumentError",
                "replaces a document that another Association of this submission replaces already",
                places[link.entry_uuid],
                "targetObject",
                link.target,
                "one replacement of a document",
                _REGISTER,
            )
        replaced.add(link.target)
