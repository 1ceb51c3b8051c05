"""Update Document Set and Restricted Update Document Set (ITI TF-2 3.57, 3.92): all of a request, or nothing.

An update never changes what was kept. It adds versions and marks the ones before; history stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from msim_xds.database.engine import Database, allocate
from msim_xds.findings import Finding, Refused, errors
from msim_xds.ihe.names import AssociationType, ResponseStatus
from msim_xds.ihe.transactions import ITI_57, ITI_92, Transaction
from msim_xds.ihe.updates import ENTRIES
from msim_xds.metadata import ebrim
from msim_xds.metadata.ebrim import Reading
from msim_xds.metadata.model import Association, Submission
from msim_xds.metadata.rules import Rules
from msim_xds.registry import disclosure, holdings, patients, records, store_rules, versions
from msim_xds.registry.admission import Admission
from msim_xds.registry.announcement import Announce
from msim_xds.registry.concerned import submitted
from msim_xds.registry.drafts import AssociationDraft, Draft, Drafter, ObjectDraft
from msim_xds.registry.fragment_codec import FragmentCodec
from msim_xds.registry.holdings import Held, Identity
from msim_xds.registry.races import told_to_the_sender
from msim_xds.registry.stored import stored_association, stored_entry
from msim_xds.registry.update_plan import Copy, Facts, Plan, plan
from msim_xds.registry.versions import Latest
from msim_xds.security.systems.rights import check_submission
from msim_xds.settings import Settings
from msim_xds.wire.answers import registry_response
from msim_xds.wire.exchange import Answer, Request
from msim_xds.wire.view import View

_APND: Final = AssociationType.APND


class Updates:
    """Updates metadata; safe to share between threads.

    Args:
        codec: packs and unpacks the fragments.
        rules: what metadata must keep to.
        settings: the policy on patients, and the homeCommunityId.
        clock: the time of day, UTC.
        new_uuid: makes ``urn:uuid:`` ids.
        announce: is told of what is changed, in its transaction; None tells nobody.
    """

    def __init__(
        self,
        codec: FragmentCodec,
        rules: Rules,
        settings: Settings,
        clock: Callable[[], datetime],
        new_uuid: Callable[[], str],
        announce: Announce | None = None,
    ) -> None:
        self._codec = codec
        self._drafter = Drafter(codec, rules, clock, new_uuid)
        self._admission = Admission(settings)
        self._home = settings.registry.home_community_id or None
        self._new_uuid = new_uuid
        self._announce = announce

    def draft(self, reading: Reading, transaction: Transaction) -> Draft:
        """Do everything that can be done before a write transaction begins."""
        return self._drafter.draft(reading, transaction)

    def update(
        self, connection: Connection, draft: Draft, transaction: Transaction, owned: View | None = None
    ) -> tuple[Finding, ...]:
        """Carry out an update. A retry of one that was carried out already changes nothing.

        Args:
            connection: of a write transaction, which the caller rolls back on an exception.
            draft: the request.
            transaction: ITI-57 or ITI-92.
            owned: what the sender may change; None is everything.

        Returns:
            Warnings.

        Raises:
            Refused: with every finding.
        """
        refused = bool(errors(draft.findings))
        _lock_patients(connection, draft)
        patient = self._admission.lock(connection, draft.patient, add=not refused)
        identities = _identities(connection, draft, refused=refused)
        if not refused and _is_retry(draft, identities):
            return draft.findings
        found = [*draft.findings, *self._admission.findings(draft.patient, patient, draft.set_place)]
        if owned is not None:
            found += _not_owned(connection, draft, transaction, owned)
        if patient is None or (owned is not None and errors(found)):
            raise Refused(found)
        # What is read from here on stays true until the end.
        facts = self._facts(connection, draft, transaction, patient.active_id)
        changes, broken = plan(draft, transaction, facts, self._home)
        sets = Submission(draft.submission.submission_sets)
        found += store_rules.used_ids(draft.submission, draft.places, facts.held)
        found += store_rules.used_unique_ids(sets, draft.places, identities)
        found += broken
        if errors(found):
            raise Refused(found)
        self._write(connection, draft, facts, changes)
        if self._announce is not None:
            self._announce(connection, draft, ITI_57)
        return draft.findings

    def _facts(
        self, connection: Connection, draft: Draft, transaction: Transaction, patient_id: int
    ) -> Facts:
        """Ask the registry for what it holds of the request."""
        operations = draft.operations
        held, latest = _read(connection, draft)
        links = versions.links(connection, [change.target for change in operations.statuses])
        named = {held[end].id for new in operations.associations for end in _ends(new.link) if end in held}
        named |= {end for link in links.values() for end in (link.source, link.target)}
        appended = {
            held[new.link.target].id
            for new in operations.associations
            if new.link.type == _APND and new.link.target in held
        }
        before = {
            lid: stored_entry(self._codec.unpack, each.kind, each.dictionary_id, each.fragment)
            for lid, each in latest.items()
            if transaction.name == ITI_92.name and each.kind in ENTRIES
        }
        connections = versions.connections(connection, {each.id for each in latest.values()})
        objects = {each.id for each in held.values()}
        objects |= {end.id for each in connections for end in (each.source, each.target)}
        return Facts(
            patient_id,
            _patients(connection, draft),
            held,
            latest,
            before,
            connections,
            versions.outdated(connection, objects),
            links,
            versions.pairs(connection, named),
            holdings.transforms(connection, appended),
        )

    def _write(self, connection: Connection, draft: Draft, facts: Facts, changes: Plan) -> None:
        """Write all but the SubmissionSet's uniqueId, which is claimed; all checks have passed."""
        links = (*draft.associations, *self._drafter.associations(self._added(draft, changes)))
        ids = allocate(connection, len(draft.objects) + len(links))
        things = list(zip(ids, _inheriting(draft.objects, changes.homes, facts.latest), strict=False))
        numbered: list[tuple[int, AssociationDraft]] = list(zip(ids[len(things) :], links, strict=True))
        keys = {uuid: held.id for uuid, held in facts.held.items()}
        keys |= {end.entry_uuid: end.id for copy in changes.copies for end in copy.original[-2:]}
        keys |= {thing.columns.row["entry_uuid"]: key for key, thing in things}
        keys |= {link.association.entry_uuid: key for key, link in numbered}
        rows = records.Rows()
        rows.add_objects(facts.patient_id, things)
        rows.add_associations(facts.patient_id, numbered, keys)
        records.supersede(connection, changes.superseded)
        with told_to_the_sender():
            rows.insert(connection)
        for status in sorted(set(changes.statuses.values())):
            chosen = [keys[uuid] for uuid, new in changes.statuses.items() if new == status]
            records.set_status(connection, chosen, status)
        for entry in changes.restated:
            records.restate(connection, entry)
        records.touch_folders(connection, changes.grown, draft.last_update_time)

    def _added(self, draft: Draft, changes: Plan) -> Iterator[Association]:
        """Associations that the request does not spell out."""
        for copy in changes.copies:
            yield self._copied(copy)
        (submission_set,) = draft.submission.submission_sets
        for member in changes.members:
            yield Association(
                entry_uuid=self._new_uuid(),
                type=AssociationType.HAS_MEMBER,
                source=submission_set.entry_uuid,
                target=member,
            )

    def _copied(self, copy: Copy) -> Association:
        original = copy.original
        link = stored_association(self._codec.unpack, original.dictionary_id, original.fragment)
        return replace(
            link, entry_uuid=self._new_uuid(), source=copy.source, target=copy.target, home=original.home
        )


class UpdateService:
    """Handles ITI-57 and ITI-92."""

    def __init__(self, database: Database, updates: Updates, settings: Settings) -> None:
        self._database = database
        self._updates = updates
        self._limits = settings.limits

    def update_document_set(self, request: Request) -> Answer:
        """Carry out an update; the answer carries warnings. Raises Refused, and then nothing has changed."""
        reading = ebrim.read(request.body, self._limits)
        request.concerns = submitted(reading.submission, with_home=request.transaction.name == ITI_92.name)
        check_submission(request, reading)
        draft = self._updates.draft(reading, request.transaction)
        with self._database.write() as connection:
            warnings = self._updates.update(connection, draft, request.transaction, request.owned)
            request.record(connection, warnings)
        status = ResponseStatus.SUCCESS
        return Answer([registry_response(status, warnings)], status, warnings)


def _read(connection: Connection, draft: Draft) -> tuple[dict[str, Held], dict[str, Latest]]:
    """The objects that the request names, and the latest versions of those that it updates."""
    lids = {version.thing.logical_id for version in draft.operations.versions if version.thing.logical_id}
    latest = versions.latest(connection, lids)
    return holdings.objects(connection, draft.mentioned), latest


def _not_owned(
    connection: Connection, draft: Draft, transaction: Transaction, owned: View
) -> Iterator[Finding]:
    """A finding for each object of others that the request changes or relates to."""
    held, latest = _read(connection, draft)
    named = {uuid: each.id for uuid, each in held.items()}
    named |= {each.entry_uuid: each.id for each in latest.values()}
    foreign = disclosure.foreign(connection, owned, set(named.values()))
    for uuid in sorted(uuid for uuid, key in named.items() if key in foreign):
        yield disclosure.not_owned(transaction, draft.places.get(uuid, draft.set_place), uuid)


def _lock_patients(connection: Connection, draft: Draft) -> None:
    """Lock every patient whose objects the request concerns, so that other writers wait for its end.

    In the order of their ids, as a merge does it. Whose objects they are may change while this waits, as when
    two patients are being merged.
    """
    locked: set[str] = set()
    while True:
        held, latest = _read(connection, draft)
        keys = {each.patient_id for each in held.values()} | {each.patient_id for each in latest.values()}
        concerned = {*patients.names(connection, keys).values()}
        if draft.patient:
            concerned.add(draft.patient)
        if concerned <= locked:
            return
        for cx in sorted(concerned - locked):
            patients.lock(connection, cx)
        locked |= concerned


def _identities(connection: Connection, draft: Draft, *, refused: bool) -> dict[str, Identity]:
    """First use of the SubmissionSet's uniqueId where it is not new; a new one is claimed."""
    sets = draft.submission.submission_sets
    taken: Collection[str] = {each.unique_id for each in sets if each.unique_id}
    if not refused:
        taken = records.claim_unique_ids(connection, sets, draft.digest)
    return holdings.identities(connection, taken)


def _is_retry(draft: Draft, identities: Mapping[str, Identity]) -> bool:
    return any(first.submission_digest == draft.digest for first in identities.values())


def _patients(connection: Connection, draft: Draft) -> dict[str, int]:
    """Who bears each patientId of the request now, by CX: after a merge it is the survivor."""
    ids = {(thing.patient_id or "").strip() for thing in draft.things} - {""}
    found = {cx: patients.find(connection, cx) for cx in ids}
    return {cx: each.active_id for cx, each in found.items() if each is not None}


def _inheriting(
    drafts: tuple[ObjectDraft, ...], homes: Mapping[str, str], latest: Mapping[str, Latest]
) -> Iterator[ObjectDraft]:
    """The objects with what they have from the version before.

    That is the homeCommunityId where they say none, and, of the same document, what its signatures came to.
    """
    for draft in drafts:
        row = draft.columns.row
        before = latest.get(row["logical_id"])
        inherited: dict[str, object] = {}
        if (home := homes.get(row["entry_uuid"])) is not None:
            inherited["home"] = home
        if before is not None and before.signature_id is not None and before.hash == row["hash"]:
            inherited["signature_id"] = before.signature_id
        yield replace(draft, columns=replace(draft.columns, row=row | inherited)) if inherited else draft


def _ends(link: Association) -> tuple[str, str]:
    return link.source, link.target
