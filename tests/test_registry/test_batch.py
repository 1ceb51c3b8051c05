"""registry.batch: what submissions registered together come to is what they come to one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import select

from msim_xds.database.driver import Prepared
from msim_xds.database.engine import Database, savepoint
from msim_xds.database.schema import registry_object
from msim_xds.findings import Refused, errors
from msim_xds.metadata.signature_slots import PENDING, SignatureResult
from msim_xds.registry import merging, patients
from msim_xds.registry.batch import Batch, NotTogether
from msim_xds.registry.drafts import Draft
from msim_xds.settings import DatabaseSettings
from tests.support.metadata import (
    APND,
    OTHER_PATIENT,
    PATIENT,
    RPLC,
    association,
    document_entry,
    folder,
    new_oid,
    new_uuid,
    original,
    submission_set,
    submit_objects,
)
from tests.test_registry.registering import Registering, entry_message


class Together:
    """A batch of messages, and what became of each: True, False for a retry, or codes."""

    def __init__(self, registering: Registering, messages: Sequence[bytes]) -> None:
        self.registering = registering
        self.drafts = [registering.draft(message) for message in messages]

    def outcomes(self) -> list[bool | list[str]]:
        with self.registering.database.write() as connection:
            batch = Batch(connection, self.registering.registration, self.drafts)
            found = [_outcome(batch, draft) for draft in self.drafts]
            batch.write()
        return found


def _outcome(batch: Batch, draft: Draft) -> bool | list[str]:
    try:
        return batch.register(draft)
    except Refused as refused:
        return [finding.code for finding in errors(refused.findings)]


def together(registering: Registering, *messages: bytes) -> list[bool | list[str]]:
    return Together(registering, messages).outcomes()


@contextmanager
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """Counts what is sent to the database, rows that are sent together as one."""
    sent: list[None] = []
    with monkeypatch.context() as patched:
        for name in ("rows", "run"):
            unpatched = getattr(Prepared, name)

            def counted(*arguments: object, unpatched: Callable[..., object] = unpatched) -> object:
                sent.append(None)
                return unpatched(*arguments)

            patched.setattr(Prepared, name, counted)
        yield lambda: len(sent)


def test_many_cost_no_more_statements_than_few(
    registering: Registering, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    for number in (2, 20):
        batch = Together(registering, [entry_message(new_uuid()) for _ in range(number)])
        with statements(monkeypatch) as sent:
            assert batch.outcomes() == [True] * number
            counts.append(sent())
    assert counts[0] >= counts[1]  # the first has met the patient
    assert registering.census()["registry_object"] == 44


def test_documents_that_wait_for_validation_cost_one_statement(
    registering: Registering, monkeypatch: pytest.MonkeyPatch
) -> None:
    registering.added()
    counts = []
    for signatures in (False, True):
        batch = Together(registering, [entry_message(new_uuid()) for _ in range(20)])
        if signatures:
            batch.drafts = [replace(each, signatures=_all_pending(each)) for each in batch.drafts]
        with statements(monkeypatch) as sent:
            assert batch.outcomes() == [True] * 20
            counts.append(sent())
    assert counts[1] == counts[0] + 1
    assert registering.census()["pending_signature"] == 20


def _all_pending(draft: Draft) -> dict[str, SignatureResult]:
    return {entry.entry_uuid: PENDING for entry in draft.submission.entries}


def test_refused_submissions_leave_nothing_and_harm_no_neighbour(registering: Registering) -> None:
    used, taken = new_oid(), new_uuid()
    good = submit_objects(submission_set(unique_id=used), document_entry(taken), original(taken))
    assert together(
        registering,
        good,
        submit_objects(submission_set(unique_id=used), document_entry(), original()),
        entry_message(taken),
        submit_objects(
            submission_set(patient_id=OTHER_PATIENT),
            document_entry(patient_id=OTHER_PATIENT),
            original(),
            association("Document01", new_uuid(), APND),
        ),
        entry_message(new_uuid(), slots={"size": "many"}),
        entry_message(new_uuid()),
    ) == [
        True,
        ["XDSDuplicateUniqueIdInRegistry"],
        ["XDSRegistryMetadataError"],
        ["UnresolvedReferenceException"],
        ["XDSRegistryMetadataError"],
        True,
    ]
    census = registering.census()
    assert (census["patient"], census["registry_object"], census["unique_identity"]) == (1, 4, 4)


def test_a_uniqueid_is_shared_by_entries_of_the_same_octets_only(registering: Registering) -> None:
    name = new_oid()
    same, other = (
        [entry_message(new_uuid(), unique_id=name, content=content) for _ in range(2)]
        for content in (b"same", b"other")
    )
    conflict = ["XDSNonIdenticalHash", "XDSNonIdenticalSize"]
    assert together(registering, same[0], other[0], same[1]) == [True, conflict, True]
    assert together(registering, other[1]) == [conflict]
    assert registering.census()["registry_object"] == 4


def test_the_same_again_is_a_retry(registering: Registering) -> None:
    first, second = entry_message(new_uuid()), entry_message(new_uuid())
    registering.register(first)
    before = registering.census()["registry_object"]
    assert together(registering, first, second, second, first) == [False, True, False, False]
    assert registering.census()["registry_object"] == before + 2


def test_a_chain_of_replacements(registering: Registering) -> None:
    stored, first, second, third, appended = (new_uuid() for _ in range(5))
    shelf = new_uuid()
    registering.register(entry_message(stored))
    assert together(
        registering,
        entry_message(first),
        entry_message(appended, association(appended, first, APND)),
        submit_objects(
            submission_set(),
            folder(shelf),
            association("SubmissionSet01", shelf),
            association(shelf, first, id=(link := new_uuid())),
            association("SubmissionSet01", link),
        ),
        entry_message(second, association(second, first, RPLC)),
        entry_message(third, association(third, first, RPLC)),
        entry_message(third, association(third, second, RPLC)),
        entry_message(new_uuid()),
    ) == [True, True, True, True, ["XDSRegistryDeprecatedDocumentError"], True, True]
    states = {uuid: registering.is_approved(uuid) for uuid in (stored, first, appended, second, third)}
    assert states == {stored: True, first: False, appended: False, second: False, third: True}
    # Both replacements are in the folder of what they replace, and the submission's set says so.
    assert registering.census()["association"] == 16


def test_ids_grow_in_the_order_of_submissions(registering: Registering) -> None:
    names = [new_uuid() for _ in range(6)]
    messages = [entry_message(name) for name in names]
    messages[3] = entry_message(names[3], association(names[3], names[2], RPLC))
    assert together(registering, *messages) == [True] * 6
    query = select(registry_object.c.entry_uuid).order_by(registry_object.c.id)
    with registering.database.read() as connection:
        found = [uuid for uuid in connection.execute(query).scalars() if uuid in names]
    assert found == names


def test_a_merged_patient_is_refused(registering: Registering) -> None:
    for cx in (PATIENT, OTHER_PATIENT):
        registering.register(entry_message(new_uuid(), patient_id=cx))
    with registering.database.write() as connection:
        kept, gone = patients.lock(connection, PATIENT), patients.lock(connection, OTHER_PATIENT)
        assert kept is not None
        assert gone is not None
        merging.merge(connection, kept, gone, now="20260914120000")
    messages = [entry_message(new_uuid(), patient_id=cx) for cx in (OTHER_PATIENT, PATIENT)]
    assert together(registering, *messages) == [["XDSUnknownPatientId"], True]


def test_unknown_patients_are_refused_where_the_policy_is_so(database: Database) -> None:
    registering = Registering(database, patients={"policy": "known"})
    assert together(registering, entry_message(new_uuid())) == [["XDSUnknownPatientId"]]
    assert registering.census()["patient"] == 0


def test_a_draft_that_was_not_foreseen_is_looked_up(registering: Registering) -> None:
    message = entry_message(new_uuid())
    registering.register(message)
    with registering.database.write() as connection:
        batch = Batch(connection, registering.registration, [])
        assert not batch.register(registering.draft(message))
        assert batch.register(registering.draft(entry_message(new_uuid())))
        batch.write()
    assert registering.census()["registry_object"] == 4


def test_a_version_taken_twice_is_seen_by_the_database(database: Database) -> None:
    registering = Registering(database, validation={"tolerate": {"versioned_submission": True}})
    lid = f' lid="{new_uuid()}"'
    same = Together(registering, [entry_message(new_uuid(), attributes=lid) for _ in range(2)])
    with pytest.raises(NotTogether):
        same.outcomes()
    assert registering.census()["registry_object"] == 0


@pytest.mark.postgres
@pytest.mark.parametrize("raced", ["patient", "uniqueId", "entryUUID"])
def test_a_race_that_is_lost_is_told(postgres_url: str, raced: str) -> None:
    """Another writer commits between look and write; SQLite has no other writer."""
    with closing(Database(postgres_url, DatabaseSettings())) as database:
        database.migrate()
        registering = Registering(database)
        entry, name = new_uuid(), new_oid()
        if raced != "patient":
            registering.register(entry_message(new_uuid()))
            registering.register(entry_message(new_uuid(), patient_id=OTHER_PATIENT))
        mine = registering.draft(entry_message(entry, unique_id=name))
        rivals = {
            "patient": entry_message(new_uuid()),
            "uniqueId": entry_message(new_uuid(), unique_id=name, patient_id=OTHER_PATIENT),
            "entryUUID": entry_message(entry, patient_id=OTHER_PATIENT),
        }
        with database.write() as connection:
            batch = Batch(connection, registering.registration, [mine])
            registering.register(rivals[raced])
            assert batch.register(mine)
            with pytest.raises(NotTogether), savepoint(connection, NotTogether):
                batch.write()
        assert registering.census()["registry_object"] == (2 if raced == "patient" else 6)
