"""Registration of a submission: judged against the registry, then kept as a whole or not at all.

Source: ITI TF-2 3.42.4.1.3, ITI TF-3 4.2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from msim_xds.database.engine import allocate
from msim_xds.findings import Finding, Refused, errors
from msim_xds.ihe.names import AssociationType
from msim_xds.ihe.transactions import ITI_42, Transaction
from msim_xds.metadata.digest import submission_digest
from msim_xds.metadata.ebrim import Reading
from msim_xds.metadata.rules import Rules
from msim_xds.metadata.signature_slots import PENDING, lifted
from msim_xds.registry import holdings, pending_signatures, records, signature_results, store_rules
from msim_xds.registry.admission import Admission
from msim_xds.registry.announcement import Announce
from msim_xds.registry.drafts import Draft, Drafter, ObjectDraft
from msim_xds.registry.fragment_codec import FragmentCodec
from msim_xds.registry.history import as_they_were
from msim_xds.registry.holdings import Held, Identity
from msim_xds.registry.lifecycle import consequences
from msim_xds.registry.patients import Patient
from msim_xds.registry.pending_signatures import Waiting
from msim_xds.registry.races import told_to_the_sender
from msim_xds.registry.reach import Reach, within
from msim_xds.registry.records import Rows
from msim_xds.registry.store_rules import REPLACING, Facts
from msim_xds.settings import Settings


@dataclass(frozen=True, slots=True)
class Known:
    """What the registry says of a submission at first glance.

    Attributes:
        patient: whom it names.
        held: what it mentions, by entryUUID.
        identities: first use of its uniqueIds.
        findings: what its sender may not do with what it mentions.
    """

    patient: Patient | None
    held: Mapping[str, Held]
    identities: Mapping[str, Identity]
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What an accepted submission does to the registry, but for its uniqueIds.

    Attributes:
        rows: what it adds.
        outdated: keys of entries that become Deprecated.
        grown: keys of Folders that gain an entry.
        moment: their new lastUpdateTime.
    """

    rows: Rows
    outdated: Collection[int]
    grown: Collection[int]
    moment: str


class Registration:
    """Registers submissions; safe to share between threads.

    Args:
        codec: packs the fragments.
        rules: what a submission must keep to.
        settings: ``patients.policy`` decides on patients that the registry has not met.
        clock: the time of day, UTC.
        new_uuid: makes ``urn:uuid:`` ids.
        announce: is told of what is registered, in its transaction; None tells nobody.
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
        self._drafter = Drafter(codec, rules, clock, new_uuid)
        self.admission = Admission(settings)
        self._new_uuid = new_uuid
        self._clock = clock
        self._announce = announce

    def draft(self, reading: Reading, transaction: Transaction) -> Draft:
        """Do everything that can be done before a write transaction begins."""
        return self._drafter.draft(reading, transaction)

    def knows(self, connection: Connection, reading: Reading) -> bool:
        """Whether this very submission is registered already, so that it would be a retry."""
        sent, _ = lifted(reading.submission)
        unique_ids = {each.unique_id for each in sent.submission_sets if each.unique_id}
        first = holdings.identities(connection, unique_ids) if len(unique_ids) == 1 else {}
        digest = submission_digest(sent)
        return any(each.submission_digest == digest for each in first.values())

    def register(self, connection: Connection, draft: Draft, reach: Reach | None = None) -> bool:
        """Register a submission. A retry of one that is registered already changes nothing.

        Args:
            connection: of a write transaction, which the caller rolls back on an exception.
            draft: the submission; its findings are the warnings.
            reach: what it may refer to and replace; None is everything.

        Returns:
            False where this very submission was registered already.

        Raises:
            Refused: with every finding.
        """
        refused = bool(errors(draft.findings))
        patient = self.admission.lock(connection, draft.patient, add=not refused)
        identities = _identities(connection, draft, refused=refused)
        known = Known(patient, holdings.objects(connection, draft.mentioned), identities)
        if reach is not None:
            held, beyond = within(connection, reach, draft, known.held)
            known = replace(known, held=held, findings=beyond)
        change = self.change(connection, draft, known, lambda count: allocate(connection, count))
        if change is None:
            return False
        with told_to_the_sender():
            change.rows.insert(connection)
        records.deprecate(connection, change.outdated)
        records.touch_folders(connection, change.grown, change.moment)
        if self._announce is not None:
            self._announce(connection, draft, ITI_42)
        return True

    def change(
        self, connection: Connection, draft: Draft, known: Known, allocated: Callable[[int], Sequence[int]]
    ) -> Change | None:
        """What follows from a submission, for the caller to carry out; None if it is registered already.

        Args:
            connection: of the write transaction in which ``known`` was learnt.
            draft: the submission.
            known: what the registry says of it.
            allocated: gives so many fresh ids, ascending.

        Raises:
            Refused: with every finding.
        """
        if not errors(draft.findings) and _is_retry(draft, known.identities):
            return None
        facts = _facts(connection, draft, known)
        found = [
            *draft.findings,
            *self.admission.findings(draft.patient, known.patient, draft.set_place),
            *store_rules.findings(draft.submission, draft.places, facts),
            *known.findings,
        ]
        if facts.patient_id is None or errors(found):
            raise Refused(found)
        return self._change(connection, draft, facts, facts.patient_id, allocated)

    def _change(
        self,
        connection: Connection,
        draft: Draft,
        facts: Facts,
        patient_id: int,
        allocated: Callable[[int], Sequence[int]],
    ) -> Change:
        """What follows from a submission that has passed all checks."""
        follows = consequences(connection, draft.submission, facts, self._new_uuid)
        links = (*draft.associations, *self._drafter.associations(follows.memberships))
        ids = allocated(len(draft.objects) + len(links))
        things = list(zip(ids, draft.objects, strict=False))
        numbered = list(zip(ids[len(things) :], links, strict=True))
        keys = {uuid: held.id for uuid, held in facts.held.items()}
        keys.update(follows.grown)
        keys.update((thing.columns.row["entry_uuid"], key) for key, thing in things)
        keys.update((link.association.entry_uuid, key) for key, link in numbered)
        rows = Rows()
        if draft.signatures:
            self._add_signatures(connection, draft, things, rows)
        rows.add_objects(patient_id, things)
        rows.add_associations(patient_id, numbered, keys)
        return Change(rows, follows.outdated, follows.grown.values(), draft.last_update_time)

    def _add_signatures(
        self, connection: Connection, draft: Draft, things: Iterable[tuple[int, ObjectDraft]], rows: Rows
    ) -> None:
        """Keep what the documents' signatures came to, or that they wait, and have entries show it."""
        moment, batch = self._clock(), draft.submission.submission_sets[0].unique_id or ""
        numbered = [(key, thing.columns.row) for key, thing in things]
        signed = [(key, row) for key, row in numbered if row["entry_uuid"] in draft.signatures]
        known = []
        for key, row in signed:
            result = draft.signatures[row["entry_uuid"]]
            if result == PENDING:
                row["signature_id"] = key
                waiting = Waiting(key, row["unique_id"], row["format_code"], batch)
                rows.waiting.append(pending_signatures.row(moment, waiting))
            else:
                known.append((row, result))
        results = [(row["unique_id"], result) for row, result in known]
        keys = signature_results.add(connection, moment, results) if results else ()
        for (row, _), key in zip(known, keys, strict=True):
            row["signature_id"] = key


def _identities(connection: Connection, draft: Draft, *, refused: bool) -> dict[str, Identity]:
    """First use of those uniqueIds of the submission that are not new; the new ones are claimed for it.

    To claim first settles races between patients: whoever comes second finds what the first one has written.
    """
    if refused:
        taken = {thing.unique_id for thing in draft.things if thing.unique_id}
    else:
        taken = records.claim_unique_ids(connection, draft.things, draft.digest)
    return holdings.identities(connection, taken)


def _facts(connection: Connection, draft: Draft, known: Known) -> Facts:
    """What is known of a submission, and what the registry holds of its relations."""
    submission = draft.submission
    held = known.held
    if draft.is_history:
        targets = {link.target for link in submission.associations if link.type in REPLACING}
        held = as_they_were(connection, held, targets)
    appended = {
        held[link.target].id
        for link in submission.associations
        if link.type == AssociationType.APND and link.target in held
    }
    transforms = holdings.transforms(connection, appended)
    patient_id = None if known.patient is None else known.patient.id
    return Facts(patient_id, held, known.identities, frozenset(transforms))


def _is_retry(draft: Draft, identities: Mapping[str, Identity]) -> bool:
    """Whether the registry has this very submission already."""
    first = identities.get(draft.submission.submission_sets[0].unique_id or "")
    return first is not None and first.submission_digest == draft.digest
