"""A submission made ready for the store: everything that can be done before the transaction begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from msim_xds.findings import Finding, errors
from msim_xds.ihe.transactions import ITI_41, ITI_42, ITI_61, Transaction
from msim_xds.ihe.updates import UPDATES
from msim_xds.metadata import fragments, signature_slots
from msim_xds.metadata.digest import submission_digest
from msim_xds.metadata.ebrim import Reading
from msim_xds.metadata.model import Association, Folder, MetadataObject, RegistryObject, Submission
from msim_xds.metadata.resolve import resolve
from msim_xds.metadata.rules import Rules, source_of, without_extra_metadata
from msim_xds.metadata.rules import findings as judge
from msim_xds.metadata.signature_slots import SignatureResult
from msim_xds.metadata.update_rules import Operations, recognise
from msim_xds.metadata.values import is_urn, looks_like_uuid
from msim_xds.registry.columns import Columns, columns_of
from msim_xds.registry.fragment_codec import FragmentCodec

NO_UPDATE: Final = Operations()
_FROM_SENDERS: Final = frozenset({ITI_41.name, ITI_61.name})


@dataclass(frozen=True, slots=True)
class ObjectDraft:
    """An entry, set or folder: its columns, and its fragment packed."""

    columns: Columns
    dictionary_id: int
    fragment: bytes


@dataclass(frozen=True, slots=True)
class AssociationDraft:
    """An association, and its fragment packed."""

    association: Association
    dictionary_id: int
    fragment: bytes


@dataclass(frozen=True, slots=True)
class Draft:
    """A submission on its way into the store.

    Attributes:
        submission: with UUIDs for ids.
        places: by entryUUID, how findings name the object.
        mentioned: ids that the registry may know: those that the sender chose, and those outside.
        digest: recognises a retry.
        findings: what is wrong with it as far as the store need not be asked.
        last_update_time: DTM of folders that change with it.
        objects: its sets, entries and folders; empty when a finding refuses the submission.
        associations: those that are kept; likewise.
        operations: what it asks for, if it is an update.
        is_history: it is an old archive's (see ``registry.history``).
        signatures: what the repository found of its documents' signatures, by entryUUID.
    """

    submission: Submission
    places: Mapping[str, str]
    mentioned: frozenset[str]
    digest: bytes
    findings: tuple[Finding, ...]
    last_update_time: str
    objects: tuple[ObjectDraft, ...] = ()
    associations: tuple[AssociationDraft, ...] = ()
    operations: Operations = NO_UPDATE
    is_history: bool = False
    signatures: Mapping[str, SignatureResult] = field(default_factory=dict)

    @property
    def things(self) -> tuple[MetadataObject, ...]:
        """Sets, entries and folders: all that has a uniqueId."""
        return self.submission.things()

    @property
    def patient(self) -> str:
        """CX of the patient; empty where the submission does not name exactly one SubmissionSet with one."""
        sets = self.submission.submission_sets
        return (sets[0].patient_id or "").strip() if len(sets) == 1 else ""

    @property
    def refers_outside(self) -> bool:
        """Whether an Association has an end that is not part of the submission."""
        own = {thing.entry_uuid for thing in self.submission.objects()}
        return any(not own.issuperset((link.source, link.target)) for link in self.submission.associations)

    @property
    def set_place(self) -> str:
        """How findings name the SubmissionSet."""
        sets = self.submission.submission_sets
        return self.places[sets[0].entry_uuid] if sets else "SubmitObjectsRequest"


class Drafter:
    """Judges, resolves and packs submissions; safe to share between threads."""

    def __init__(
        self,
        codec: FragmentCodec,
        rules: Rules,
        clock: Callable[[], datetime],
        new_uuid: Callable[[], str],
    ) -> None:
        self._codec = codec
        self._rules = rules
        self._clock = clock
        self._new_uuid = new_uuid

    def draft(self, reading: Reading, transaction: Transaction) -> Draft:
        """The submission ready for the store, with every finding that needs no store."""
        found = judge(reading, transaction, self._rules)
        sent, told = signature_slots.lifted(reading.submission)
        given, warnings = without_extra_metadata(sent, self._rules)
        if sent is not reading.submission and transaction.name in _FROM_SENDERS:
            warnings += signature_slots.not_kept(reading.submission)
        signatures = told if transaction.name == ITI_42.name else reading.signatures
        resolved = resolve(given, self._new_uuid)
        pairs = list(zip(given.objects(), resolved.objects(), strict=True))
        now = self._clock().strftime("%Y%m%d%H%M%S")
        refused = bool(errors(found))
        operations, lasting = NO_UPDATE, resolved.associations
        if transaction.name in UPDATES:
            operations = recognise(resolved, transaction, self._rules.tolerances(source_of(given)))
            lasting = operations.lasting
        return Draft(
            resolved,
            {thing.entry_uuid: sent.place for sent, thing in pairs},
            _mentioned(pairs),
            submission_digest(sent),
            (*found, *warnings),
            now,
            () if refused else self._objects(resolved, now, operations),
            () if refused else self.associations(lasting),
            operations,
            signatures=_by_uuid(signatures, pairs) if signatures else {},
        )

    def associations(self, links: Iterable[Association]) -> tuple[AssociationDraft, ...]:
        """Associations ready for the store."""
        return tuple(AssociationDraft(link, *self._codec.pack(fragments.write(link))) for link in links)

    def _objects(self, submission: Submission, now: str, operations: Operations) -> tuple[ObjectDraft, ...]:
        source = submission.submission_sets[0].source_id
        zone = self._rules.zone_for(source)
        keep_lid = self._rules.tolerances(source).versioned_submission
        previous = {version.thing.entry_uuid: version.previous for version in operations.versions}
        kept = (
            _as_kept(thing, now, previous.get(thing.entry_uuid), keep_lid=keep_lid)
            for thing in submission.things()
        )
        return tuple(
            ObjectDraft(columns_of(thing, zone), *self._codec.pack(fragments.write(thing))) for thing in kept
        )


def _as_kept(thing: MetadataObject, now: str, previous: int | None, *, keep_lid: bool) -> MetadataObject:
    """With what the registry sets (ITI TF-3 4.2.3.2.31, 4.2.3.2.32, 4.2.3.4.6).

    Without logicalID and version, an object is the first version of itself: so columns and fragment say then.
    """
    lid = thing.logical_id
    kept, version = None, None
    if previous is not None:
        kept, version = lid, str(previous + 1)
    elif keep_lid and lid is not None and is_urn(lid):
        kept = lid
    if isinstance(thing, Folder):
        return replace(thing, logical_id=kept, version=version, last_update_time=now)
    if lid == kept and thing.version == version:
        return thing
    return replace(thing, logical_id=kept, version=version)


def _by_uuid(
    signatures: Mapping[str, SignatureResult], pairs: Iterable[tuple[RegistryObject, RegistryObject]]
) -> dict[str, SignatureResult]:
    return {
        thing.entry_uuid: signatures[given.entry_uuid]
        for given, thing in pairs
        if given.entry_uuid in signatures
    }


def _mentioned(pairs: Iterable[tuple[RegistryObject, RegistryObject]]) -> frozenset[str]:
    """Ids of objects and of what they name, without the ids that were made for symbolic ones just now.

    A logicalID may be the id of an object's first version.
    """
    fresh: set[str] = set()
    ids: set[str] = set()
    for sent, thing in pairs:
        (ids if looks_like_uuid(sent.entry_uuid) else fresh).add(thing.entry_uuid)
        if isinstance(thing, Association):
            ids.update((thing.source, thing.target))
        elif thing.logical_id:
            ids.add(thing.logical_id)
    return frozenset(ids - fresh)
