"""Registration of many submissions at once: few statements for all instead of a dozen for each.

The rules are those of ``Registration``. What they are asked against is read for all submissions in advance,
and kept up with what each of them adds; what is added is written later, together.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from msim_xds.database.engine import allocate
from msim_xds.findings import errors
from msim_xds.ihe.names import ObjectKind
from msim_xds.registry import holdings, patients, records
from msim_xds.registry.drafts import Draft
from msim_xds.registry.holdings import Held, Identity
from msim_xds.registry.patients import Patient
from msim_xds.registry.records import Row, Rows
from msim_xds.registry.registration import Change, Known, Registration


class NotTogether(RuntimeError):
    """The submissions cannot be registered together; taken one by one, each shows what is wrong with it."""


class Batch:
    """Submissions that are registered one after another in one write transaction, and written together.

    Nothing of a submission that is refused is ever written. A submission that refers to objects outside it
    has those before it written first, so that the registry's relations can be asked.

    Args:
        connection: of the write transaction.
        registration: judges them.
        drafts: the submissions, as far as they are known by now.
    """

    def __init__(self, connection: Connection, registration: Registration, drafts: Sequence[Draft]) -> None:
        self._connection = connection
        self._registration = registration
        self._expected = sum(len(draft.objects) + len(draft.associations) + 1 for draft in drafts)
        self._ids: Sequence[int] = ()
        self._patients: dict[str, Patient] = {}
        self._held: dict[str, Held] = {}
        self._identities: dict[str, Identity] = {}
        self._seen: set[str] = set()
        self._empty()
        self._look(drafts)

    def register(self, draft: Draft) -> bool:
        """Register a submission; False where this very one is registered already.

        Raises:
            Refused: with every finding.
            NotTogether: something that only the database's constraints see is in the way of those before it.
        """
        if draft.refers_outside or not _names(draft) <= self._seen:
            self.write()
            self._look([draft])
        known = Known(
            self._patient(draft),
            {uuid: self._held[uuid] for uuid in draft.mentioned if uuid in self._held},
            {each: self._identities[each] for each in _unique_ids(draft) if each in self._identities},
        )
        change = self._registration.change(self._connection, draft, known, self._allocated)
        if change is None:
            return False
        if known.patient is not None and draft.patient not in self._patients:
            self._patients[draft.patient] = self._new_patients[draft.patient] = known.patient
        identities = records.identities_of(draft.things, draft.digest)
        self._keep(change, {each: identities[each] for each in identities.keys() - known.identities.keys()})
        return True

    def write(self) -> None:
        """Write what the submissions up to now have added; to be called at the end. Raises NotTogether."""
        try:
            patients.add_all(self._connection, self._new_patients)
            records.add_identities(self._connection, self._new_identities)
            self._rows.insert(self._connection)
        except IntegrityError as error:
            raise NotTogether from error
        self._empty()

    def _empty(self) -> None:
        self._new_patients: dict[str, Patient] = {}
        self._new_identities: dict[str, Row] = {}
        self._rows = Rows()

    def _look(self, drafts: Collection[Draft]) -> None:
        """Learn what the registry has of these submissions; their patients are locked from here on."""
        connection = self._connection
        self._patients |= patients.lock_all(connection, {draft.patient for draft in drafts} - {""})
        self._identities |= holdings.identities(connection, set().union(*map(_unique_ids, drafts)))
        self._held |= holdings.objects(connection, set().union(*(draft.mentioned for draft in drafts)))
        self._seen.update(*map(_names, drafts))

    def _patient(self, draft: Draft) -> Patient | None:
        """Whom a submission names; one not met before is added with it where the policy says so."""
        met = self._patients.get(draft.patient)
        adds = self._registration.admission.takes_any and not errors(draft.findings)
        if met is not None or not draft.patient or not adds:
            return met
        (key,) = self._allocated(1)
        return Patient(key, announced=False, survivor_id=None)

    def _keep(self, change: Change, identities: dict[str, Row]) -> None:
        """Note what a submission adds, for those that come after it, and to be written."""
        self._rows.extend(change.rows)
        self._new_identities |= identities
        for unique_id, row in identities.items():
            kind = ObjectKind(row["kind"])
            self._identities[unique_id] = Identity(kind, row["hash"], row["size"], row["submission_digest"])
        for row in change.rows.objects:
            self._held[row["entry_uuid"]] = Held(
                row["id"], row["patient_id"], ObjectKind(row["kind"]), row["status"]
            )
        for row in change.rows.associations:
            self._held[row["entry_uuid"]] = Held(
                row["id"], row["patient_id"], ObjectKind.ASSOCIATION, row["status"]
            )
        records.deprecate(self._connection, change.outdated)
        records.touch_folders(self._connection, change.grown, change.moment)

    def _allocated(self, count: int) -> Sequence[int]:
        """So many fresh ids; they are taken from the database for many submissions at once."""
        if len(self._ids) < count:
            self._ids = allocate(self._connection, max(count, self._expected))
        taken, self._ids = self._ids[:count], self._ids[count:]
        return taken


def _unique_ids(draft: Draft) -> set[str]:
    return {thing.unique_id for thing in draft.things if thing.unique_id is not None}


def _names(draft: Draft) -> set[str]:
    """All that the registry is asked about before it judges."""
    return {draft.patient, *draft.mentioned, *_unique_ids(draft)}
