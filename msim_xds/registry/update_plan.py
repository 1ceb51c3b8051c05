"""What an update changes, judged against what the registry holds; nothing is read or written here.

Source: ITI TF-2 3.57.4.1.3.1, 3.57.4.1.3.3, 3.92.4.1.3.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, NamedTuple

from msim_xds.findings import Finding
from msim_xds.ihe import updates as ihe
from msim_xds.ihe.names import AssociationType, ObjectKind
from msim_xds.ihe.transactions import Transaction
from msim_xds.ihe.updates import ENTRIES, Rule
from msim_xds.metadata.model import Association, DocumentEntry, Folder
from msim_xds.metadata.update_rules import NewVersion, StatusChange, refusal
from msim_xds.registry.columns import APPROVED, ASSOCIATION_TYPE, DEPRECATED, STATUS, STATUS_OF, SUPERSEDED
from msim_xds.registry.drafts import Draft
from msim_xds.registry.holdings import Held
from msim_xds.registry.versions import Connected, End, Latest, Link

_FOLDER: Final = frozenset({ObjectKind.FOLDER})
_STABLE: Final = frozenset({ObjectKind.STABLE_DOCUMENT_ENTRY})
_ON_DEMAND: Final = frozenset({ObjectKind.ON_DEMAND_DOCUMENT_ENTRY})
_LINK: Final = frozenset({ObjectKind.ASSOCIATION})
_HAS_MEMBER: Final = AssociationType.HAS_MEMBER
#: What a submitted Association may have at its ends; every other relationship is between DocumentEntries.
_ENDS: Final = {
    _HAS_MEMBER: (_FOLDER, ENTRIES, "a Folder", "a DocumentEntry"),
    AssociationType.IS_SNAPSHOT_OF: (_STABLE, _ON_DEMAND, "a stable entry", "an on-demand entry"),
}
_RELATED: Final = (ENTRIES, ENTRIES, "a DocumentEntry", "a DocumentEntry")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the registry holds of an update.

    Attributes:
        patient_id: key of the SubmissionSet's patient, merges resolved.
        patients: by CX, the key of the patient who bears it, merges resolved.
        held: stored objects and Associations by entryUUID: those named, and those with an id of the request.
        latest: latest versions by logicalID.
        before: the same entries as they were submitted, where the transaction compares attributes.
        connections: Approved Associations of the versions that get a successor.
        outdated: keys of those among all these that have a later version; their status does not always say
            so, since a link change of patients leaves them Deprecated.
        links: those of ``held`` that are Associations, by entryUUID.
        pairs: type, source and target of Approved Associations between objects that the request names.
        transforms: keys of named entries that are transforms of others.
    """

    patient_id: int
    patients: Mapping[str, int]
    held: Mapping[str, Held]
    latest: Mapping[str, Latest]
    before: Mapping[str, DocumentEntry] = field(default_factory=dict)
    connections: Sequence[Connected] = ()
    outdated: Collection[int] = frozenset()
    links: Mapping[str, Link] = field(default_factory=dict)
    pairs: Collection[tuple[int, int, int]] = frozenset()
    transforms: Collection[int] = frozenset()


class Copy(NamedTuple):
    """An Association that goes on to new versions, by the entryUUIDs of its ends."""

    original: Connected
    source: str
    target: str


@dataclass(slots=True)
class Plan:
    """The changes.

    Attributes:
        superseded: keys of the versions that get a successor.
        homes: homeCommunityId of new versions that say none, by entryUUID.
        restated: entries whose hash or size differ from the version before.
        copies: Associations that go on.
        members: entryUUIDs of the new Folder memberships, which the SubmissionSet records.
        statuses: by entryUUID, what is not Approved from now on, or is so again.
        grown: keys of Folders whose content changes.
    """

    superseded: list[int] = field(default_factory=list)
    homes: dict[str, str] = field(default_factory=dict)
    restated: list[DocumentEntry] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    grown: set[int] = field(default_factory=set)


class _Object(NamedTuple):
    """An object as the operations so far leave it; ``key`` None for one of the request's own."""

    kind: ObjectKind
    patient_id: int
    status: int
    key: int | None = None


def plan(
    draft: Draft, transaction: Transaction, facts: Facts, home: str | None
) -> tuple[Plan, list[Finding]]:
    """What the request changes, and everything that the registry's contents have against it.

    Args:
        draft: the request.
        transaction: ITI-57 or ITI-92.
        facts: what the registry holds.
        home: homeCommunityId of objects that were submitted without.
    """
    planner = _Planner(draft, transaction, facts, home)
    planner.run()
    return planner.plan, planner.findings


class _Planner:
    """Carries out the operations of one request on a picture of the objects concerned."""

    def __init__(self, draft: Draft, transaction: Transaction, facts: Facts, home: str | None) -> None:
        self._draft = draft
        self._transaction = transaction
        self._facts = facts
        self._home = home
        self._objects = {
            uuid: _Object(
                held.kind, held.patient_id, SUPERSEDED if held.id in facts.outdated else held.status, held.id
            )
            for uuid, held in facts.held.items()
        }
        new: tuple[DocumentEntry | Folder, ...] = (*draft.submission.entries, *draft.submission.folders)
        self._objects |= {thing.entry_uuid: _Object(thing.kind, facts.patient_id, APPROVED) for thing in new}
        self._heirs: dict[int, NewVersion] = {}
        self._stuck: set[str] = set()
        self._pairs: set[tuple[str, str, str]] = set()
        self.plan = Plan()
        self.findings: list[Finding] = []

    def run(self) -> None:
        """Every operation, each kind after the ones that it may build on (ITI TF-2 3.57.4.1.3.1)."""
        for version in self._draft.operations.versions:
            self._version(version)
        for connected in self._facts.connections:
            self._go_on(connected)
        self._statuses(ENTRIES)
        for new in self._draft.operations.associations:
            self._associate(new.link)
        self._statuses(_LINK)
        self._statuses(_FOLDER)
        self._lost_targets()

    def _note(
        self, rule: Rule, uuid: str, attribute: str, seen: str | None = None, allowed: str = ""
    ) -> None:
        """Note a broken rule, if it is one of this transaction's."""
        if rule.code(self._transaction.name):
            place = self._draft.places[uuid]
            self.findings.append(refusal(rule, self._transaction, place, attribute, seen, allowed))

    # --- new versions -------------------------------------------------------------------------------

    def _version(self, version: NewVersion) -> None:
        thing, uuid = version.thing, version.thing.entry_uuid
        lid = thing.logical_id or ""
        latest = self._facts.latest.get(lid)
        if latest is None:
            rule = ihe.UNKNOWN_FOLDER if isinstance(thing, Folder) else ihe.UNKNOWN_ENTRY
            self._note(rule, uuid, "logicalID", lid)
            return
        self._compare(version, latest)
        status = APPROVED if latest.status == APPROVED else DEPRECATED
        self._objects[uuid] = _Object(thing.kind, self._facts.patient_id, status)
        self._objects[latest.entry_uuid] = _Object(latest.kind, latest.patient_id, SUPERSEDED, latest.id)
        self._heirs[latest.id] = version
        self.plan.superseded.append(latest.id)
        if status != APPROVED:
            self.plan.statuses[uuid] = status
        if thing.home is None and latest.home is not None:
            self.plan.homes[uuid] = latest.home
        if isinstance(thing, DocumentEntry) and _is_restated(thing, latest):
            self.plan.restated.append(thing)

    def _compare(self, version: NewVersion, latest: Latest) -> None:
        """What the version before has against a new one."""
        thing, uuid = version.thing, version.thing.entry_uuid
        if thing.kind is not latest.kind:
            self._note(ihe.OTHER_OBJECT_TYPE, uuid, "objectType", thing.kind.name, latest.kind.name)
        if version.previous != latest.version:
            seen, allowed = str(version.previous), str(latest.version)
            self._note(ihe.OLD_VERSION, uuid, ihe.PREVIOUS_VERSION, seen, allowed)
        if latest.status != APPROVED:
            self._note(ihe.NOT_APPROVED, uuid, "availabilityStatus")
        if thing.unique_id != latest.unique_id:
            self._note(ihe.OTHER_UNIQUE_ID, uuid, "uniqueId", thing.unique_id, latest.unique_id)
        if self._facts.patients.get((thing.patient_id or "").strip()) != latest.patient_id:
            self._note(ihe.OTHER_PATIENT, uuid, "patientId", thing.patient_id)
        before = self._facts.before.get(latest.logical_id)
        if isinstance(thing, DocumentEntry) and before is not None:
            self._fixed(thing, before, latest)

    def _fixed(self, thing: DocumentEntry, before: DocumentEntry, latest: Latest) -> None:
        """Attributes that ITI-92 never changes."""
        for attribute, name, default in ihe.UNMODIFIABLE_ATTRIBUTES:
            value = attrgetter(name)
            seen, kept = value(thing) or default, value(before) or default
            if seen != kept:
                self._note(ihe.UNMODIFIABLE, thing.entry_uuid, attribute, seen, kept or "none")
        for attribute, seen, kept in (
            ("availabilityStatus", thing.status, STATUS_OF[latest.status]),
            ("homeCommunityId", thing.home, latest.home or self._home),
        ):
            if seen and seen != kept:
                self._note(ihe.UNMODIFIABLE, thing.entry_uuid, attribute, seen, kept or "none")

    def _go_on(self, connected: Connected) -> None:
        """Copy an Association of an old version to the new one, or of two old ones to both new ones."""
        ends = [self._successor(end) for end in (connected.source, connected.target)]
        (source, source_patient), (target, target_patient) = ends
        if source is None or target is None:
            return
        if source_patient != target_patient:
            for end, uuid in ((connected.source, source), (connected.target, target)):
                if end.id in self._heirs and uuid not in self._stuck:
                    self._stuck.add(uuid)
                    self._note(ihe.CONNECTED, uuid, "patientId", connected.source.entry_uuid)
            return
        self.plan.copies.append(Copy(connected, source, target))
        if connected.source.kind is ObjectKind.FOLDER and connected.source.id not in self._heirs:
            self.plan.grown.add(connected.source.id)

    def _successor(self, end: End) -> tuple[str | None, int]:
        """Who stands at an end from now on, and whose it is; None where an old version has no successor."""
        heir = self._heirs.get(end.id)
        if heir is not None:
            return heir.thing.entry_uuid if heir.propagates else None, self._facts.patient_id
        return None if end.id in self._facts.outdated else end.entry_uuid, end.patient_id

    # --- submitted Associations ---------------------------------------------------------------------

    def _associate(self, link: Association) -> None:
        before = len(self.findings)
        type_ = AssociationType(link.type)
        sources, targets, a_source, a_target = _ENDS.get(type_, _RELATED)
        source = self._end(link, "sourceObject", link.source, sources, a_source)
        target = self._end(link, "targetObject", link.target, targets, a_target)
        uuid = link.entry_uuid
        if type_ is AssociationType.APND and target is not None and target.key in self._facts.transforms:
            self._note(ihe.APPENDED_TRANSFORM, uuid, "targetObject", link.target)
        if source is None or target is None or len(self.findings) > before:
            return
        pair = (link.type, link.source, link.target)
        if pair in self._pairs or self._is_paired(ASSOCIATION_TYPE[type_], source.key, target.key):
            self._note(ihe.DUPLICATE, uuid, "targetObject", link.target)
        self._pairs.add(pair)
        self._objects[uuid] = _Object(ObjectKind.ASSOCIATION, self._facts.patient_id, APPROVED)
        if type_ is _HAS_MEMBER:
            self.plan.members.append(uuid)
            if source.key is not None:
                self.plan.grown.add(source.key)

    def _end(
        self, link: Association, attribute: str, end: str, kinds: Collection[ObjectKind], allowed: str
    ) -> _Object | None:
        """An end of a submitted Association; None, with a finding, where it may not be that."""
        found = self._objects.get(end)
        heir = None if found is None or found.key is None else self._heirs.get(found.key)
        if found is None:
            rule = ihe.WRONG_END if end in self._draft.places else ihe.UNRESOLVED
        elif found.kind is ObjectKind.SUBMISSION_SET:
            rule = ihe.SET_AS_END
        elif found.kind not in kinds:
            rule = ihe.WRONG_END
        elif heir is not None and heir.propagates:
            rule = ihe.PROPAGATED_TOO
        elif found.status != APPROVED:
            rule = ihe.END_OUT_OF_USE
        elif found.patient_id != self._facts.patient_id:
            rule = ihe.ACROSS_PATIENTS
        else:
            return found
        self._note(rule, link.entry_uuid, attribute, end, allowed if rule is ihe.WRONG_END else "")
        return None

    def _is_paired(self, type_: int, source: int | None, target: int | None) -> bool:
        return source is not None and target is not None and (type_, source, target) in self._facts.pairs

    # --- availabilityStatus -------------------------------------------------------------------------

    def _statuses(self, kinds: Collection[ObjectKind]) -> None:
        for change in self._draft.operations.statuses:
            found = self._objects.get(change.target)
            if found is not None and found.kind in kinds:
                self._status(change, found)

    def _status(self, change: StatusChange, found: _Object) -> None:
        trigger, link = change.trigger.entry_uuid, self._facts.links.get(change.target)
        before = len(self.findings)
        if link is not None and link.source_kind is ObjectKind.SUBMISSION_SET:
            self._note(ihe.NO_STATUS_TO_CHANGE, trigger, "targetObject", change.target)
        if found.patient_id != self._facts.patient_id:
            self._note(ihe.FOREIGN, trigger, "targetObject", change.target)
        if found.status == SUPERSEDED:
            self._note(ihe.NOT_LATEST, trigger, "targetObject", change.target)
        elif found.status != STATUS[change.original]:
            self._note(
                ihe.OTHER_STATUS, trigger, ihe.ORIGINAL_STATUS, change.original, STATUS_OF[found.status]
            )
        status = STATUS[change.new]
        if link is not None and status == APPROVED and self._is_paired(link.type, link.source, link.target):
            self._note(ihe.DUPLICATE, trigger, "targetObject", change.target)
        if len(self.findings) > before:
            return
        self._objects[change.target] = found._replace(status=status)
        self.plan.statuses[change.target] = status
        if link is not None and link.source_kind is ObjectKind.FOLDER:
            self.plan.grown.add(link.source)

    def _lost_targets(self) -> None:
        """Changes of status whose target is nothing that has one of its own."""
        for change in self._draft.operations.statuses:
            found = self._objects.get(change.target)
            if found is None and change.target not in self._draft.places:
                self._note(ihe.UNRESOLVED, change.trigger.entry_uuid, "targetObject", change.target)
            elif found is None or found.kind is ObjectKind.SUBMISSION_SET:
                self._note(ihe.NO_STATUS_TO_CHANGE, change.trigger.entry_uuid, "targetObject", change.target)


def _is_restated(entry: DocumentEntry, latest: Latest) -> bool:
    """Whether the entry has other octets than the version before, as far as hash and size tell."""
    size = None if entry.size is None or not entry.size.isdigit() else int(entry.size)
    return ((entry.hash or "").lower() or None, size) != (latest.hash, latest.size)
