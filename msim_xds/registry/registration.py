"""Registration of a submission: judged against the registry, then kept as a whole or not at all.

Source: ITI TF-2 3.42.4.1.3, ITI TF-3 4.2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from msim_xds.database.engine import allocate
from msim_xds.findings import Finding, Refused, errors
from msim_xds.ihe.names import AssociationType
from msim_xds.ihe.transactions import Transaction
from msim_xds.metadata.ebrim import Reading
from msim_xds.metadata.rules import Rules
from msim_xds.registry import holdings, patients, records, store_rules
from msim_xds.registry.drafts import Draft, Drafter
from msim_xds.registry.fragment_codec import FragmentCodec
from msim_xds.registry.holdings import Identity
from msim_xds.registry.lifecycle import consequences
from msim_xds.registry.patients import Patient
from msim_xds.registry.store_rules import Facts
from msim_xds.settings import PatientPolicy, Settings

_REGISTER: Final = "ITI TF-2 3.42.4.1.3.3"
_UUID_CONSTRAINTS: Final = frozenset({"uq_registry_object_entry_uuid", "uq_association_entry_uuid"})


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
        self._takes_any_patient = settings.patients.policy is PatientPolicy.OPEN
        self._new_uuid = new_uuid

    def draft(self, reading: Reading, transaction: Transaction) -> Draft:
        """Do everything that can be done before a write transaction begins."""
        return self._drafter.draft(reading, transaction)

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
        patient = self._patient(connection, draft, refused=refused)
        patient_id = None if patient is None else patient.id
        facts = _facts(connection, draft, patient_id, _identities(connection, draft, refused=refused))
        if not refused and _is_retry(draft, facts):
            return draft.findings
        found = [
            *draft.findings,
            *self._unknown_patient(draft, patient),
            *store_rules.findings(draft.submission, draft.places, facts),
        ]
        if patient_id is None or errors(found):
            raise Refused(found)
        self._write(connection, draft, facts, patient_id)
        return draft.findings

    def _patient(self, connection: Connection, draft: Draft, *, refused: bool) -> Patient | None:
        """The patient; None for one that the registry has not met.

        Its row is locked, so that one patient's submissions come one after another: what is read from here on
        stays true until the end.
        """
        if not draft.patient:
            return None
        patient = patients.lock(connection, draft.patient)
        if patient is None and self._takes_any_patient and not refused:
            patient = patients.add(connection, draft.patient)
        return patient

    def _unknown_patient(self, draft: Draft, patient: Patient | None) -> list[Finding]:
        """That the patient's id is not in use (ITI TF-2 3.42.4.1.3.3, 3.8.4.2.3)."""
        if patient is not None and patient.survivor_id is not None:
            problem = "this id was merged into another patient's"
        elif not draft.patient or self._takes_any_patient or (patient is not None and patient.announced):
            return []
        else:
            problem = "this patient is not known to the registry"
        return [
            Finding(
                "XDSUnknownPatientId",
                problem,
                draft.places[draft.submission.submission_sets[0].entry_uuid],
                "patientId",
                draft.patient,
                "a patientId that the domain's patient identity source has announced",
                _REGISTER,
                context=draft.patient,
            )
        ]

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
        with _entry_uuid_races():
            records.add_objects(connection, patient_id, things)
            records.add_associations(connection, patient_id, numbered, keys)
        records.deprecate(connection, change.outdated)
        records.touch_folders(connection, change.grown.values(), draft.last_update_time)


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


@contextmanager
def _entry_uuid_races() -> Iterator[None]:
    """Tell the sender when another patient's submission has taken an entryUUID in the meantime."""
    try:
        yield
    except IntegrityError as error:
        diagnosis = getattr(error.orig, "diag", None)
        if getattr(diagnosis, "constraint_name", None) not in _UUID_CONSTRAINTS:
            raise
        raise Refused(
            [
                Finding(
                    "XDSRegistryMetadataError",
                    "an id of this submission was registered with another submission at the same moment",
                    "SubmitObjectsRequest",
                    "entryUUID",
                    allowed="new UUIDs, or symbolic ids",
                    source="ITI TF-3 4.2.3.2.7",
                )
            ]
        ) from error
