"""Registration of a submission: judged against the registry, then kept as a whole or not at all.

Source: ITI TF-2 3.42.4.1.3, ITI TF-3 4.2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from sqlalchemy import Connection

from msim_xds.database.engine import allocate
from msim_xds.findings import Finding, Refused, errors
from msim_xds.ihe.names import AssociationType
from msim_xds.ihe.transactions import Transaction
from msim_xds.metadata.digest import submission_digest
from msim_xds.metadata.ebrim import Reading
from msim_xds.metadata.rules import Rules
from msim_xds.metadata.signature_slots import lifted
from msim_xds.registry import holdings, records, signature_results, store_rules
from msim_xds.registry.admission import Admission
from msim_xds.registry.drafts import Draft, Drafter
from msim_xds.registry.fragment_codec import FragmentCodec
from msim_xds.registry.history import as_they_were
from msim_xds.registry.holdings import Identity
from msim_xds.registry.lifecycle import consequences
from msim_xds.registry.races import told_to_the_sender
from msim_xds.registry.store_rules import REPLACING, Facts
from msim_xds.settings import Settings


class Registration:
    """Registers submissions; safe to share between threads.

    Args:
        codec: packs the fragments.
        rules: what a submission must keep to.
        settings: ``patients.policy`` decides on patients that the registry has not met.
        clock: the time of day, UTC.
        new_uuid: makes ``urn:uuid:`` ids.
    """

    def __init__(
        self,
        codec: FragmentCodec,
        rules: Rules,
        settings: Settings,
        clock: Callable[[], datetime],
        new_uuid: Callable[[], str],
    ) -> None:
        self._drafter = Drafter(codec, rules, clock, new_uuid)
        self._admission = Admission(settings)
        self._new_uuid = new_uuid
        self._clock = clock

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

    def register(self, connection: Connection, draft: Draft) -> tuple[Finding, ...]:
        """Register a submission. A retry of one that is registered already changes nothing.

        Args:
            connection: of a write transaction, which the caller rolls back on an exception.
            draft: the submission.

        Returns:
            Warnings.

        Raises:
            Refused: with every finding.
        """
        refused = bool(errors(draft.findings))
        patient = self._admission.lock(connection, draft.patient, add=not refused)
        patient_id = None if patient is None else patient.id
        facts = _facts(connection, draft, patient_id, _identities(connection, draft, refused=refused))
        if not refused and _is_retry(draft, facts):
            return draft.findings
        found = [
            *draft.findings,
            *self._admission.findings(draft.patient, patient, draft.set_place),
            *store_rules.findings(draft.submission, draft.places, facts),
        ]
        if patient_id is None or errors(found):
            raise Refused(found)
        self._write(connection, draft, facts, patient_id)
        return draft.findings

    def _write(self, connection: Connection, draft: Draft, facts: Facts, patient_id: int) -> None:
        """Write all but the uniqueIds, which are claimed; all checks have passed."""
        change = consequences(connection, draft.submission, facts, self._new_uuid)
        links = (*draft.associations, *self._drafter.associations(change.memberships))
        ids = allocate(connection, len(draft.objects) + len(links))
        things = list(zip(ids, draft.objects, strict=False))
        numbered = list(zip(ids[len(things) :], links, strict=True))
        keys = {uuid: held.id for uuid, held in facts.held.items()}
        keys.update(change.grown)
        keys.update((thing.columns.row["entry_uuid"], key) for key, thing in things)
        keys.update((link.association.entry_uuid, key) for key, link in numbered)
        if draft.signatures:
            self._add_signatures(connection, draft)
        with told_to_the_sender():
            records.add_objects(connection, patient_id, things)
            records.add_associations(connection, patient_id, numbered, keys)
        records.deprecate(connection, change.outdated)
        records.touch_folders(connection, change.grown.values(), draft.last_update_time)

    def _add_signatures(self, connection: Connection, draft: Draft) -> None:
        """Keep what the documents' signatures came to, and have it shown with their entries."""
        rows = (thing.columns.row for thing in draft.objects)
        signed = [row for row in rows if row["entry_uuid"] in draft.signatures]
        results = [(row["unique_id"], draft.signatures[row["entry_uuid"]]) for row in signed]
        for row, key in zip(signed, signature_results.add(connection, self._clock(), results), strict=True):
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


def _facts(
    connection: Connection, draft: Draft, patient_id: int | None, identities: Mapping[str, Identity]
) -> Facts:
    """Ask the registry for what it holds of the submission."""
    submission = draft.submission
    held = holdings.objects(connection, draft.mentioned)
    if draft.is_history:
        targets = {link.target for link in submission.associations if link.type in REPLACING}
        held = as_they_were(connection, held, targets)
    appended = {
        held[link.target].id
        for link in submission.associations
        if link.type == AssociationType.APND and link.target in held
    }
    transforms = holdings.transforms(connection, appended)
    return Facts(patient_id, held, identities, frozenset(transforms))


def _is_retry(draft: Draft, facts: Facts) -> bool:
    """Whether the registry has this very submission already."""
    first = facts.identities.get(draft.submission.submission_sets[0].unique_id or "")
    return first is not None and first.submission_digest == draft.digest
