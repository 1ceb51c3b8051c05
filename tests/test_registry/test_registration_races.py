"""Submissions at the same moment, from real threads, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from msim_xds.findings import Refused
from tests.support.metadata import (
    OTHER_PATIENT,
    PATIENT,
    RPLC,
    association,
    document_entry,
    new_oid,
    new_uuid,
    original,
    single_document,
    submission_set,
    submit_objects,
)
from tests.test_registry.registering import Registering

_RACERS = 8


def race(registering: Registering, messages: Sequence[bytes]) -> list[list[str]]:
    """Error codes of each message, all registered at once; none for those accepted."""
    barrier = threading.Barrier(len(messages))
    outcomes: list[list[str] | BaseException] = [[] for _ in messages]

    def run(number: int) -> None:
        try:
            draft = registering.draft(messages[number])
            barrier.wait()
            with registering.database.write() as connection:
                registering.registration.register(connection, draft)
        except Refused as error:
            outcomes[number] = [finding.code for finding in error.findings]
        except BaseException as error:
            outcomes[number] = error

    _together(*((lambda number=number: run(number)) for number in range(len(messages))))
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert failures == []
    return [outcome for outcome in outcomes if isinstance(outcome, list)]


def _together(*actions: Callable[[], None]) -> None:
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_of_racing_replacements_exactly_one_wins(registering: Registering) -> None:
    target = new_uuid()
    registering.register(submit_objects(submission_set(), document_entry(target), original(target)))
    messages = [
        submit_objects(
            submission_set(), document_entry(), original(), association("Document01", target, RPLC)
        )
        for _ in range(_RACERS)
    ]
    outcomes = sorted(race(registering, messages))
    assert outcomes == [[]] + [["XDSRegistryDeprecatedDocumentError"]] * (_RACERS - 1)
    assert not registering.is_approved(target)
    assert registering.census()["registry_object"] == 4


def test_racing_retries_register_once(registering: Registering) -> None:
    """The patient is new as well, so that nobody finds a row to lock."""
    outcomes = race(registering, [single_document()] * _RACERS)
    assert outcomes == [[]] * _RACERS
    census = registering.census()
    assert (census["patient"], census["registry_object"], census["association"]) == (1, 2, 1)


def test_of_racing_submissions_under_one_unique_id_exactly_one_wins(registering: Registering) -> None:
    """Of different patients, whom no common lock keeps apart."""
    unique_id = new_oid()
    messages = [
        submit_objects(
            submission_set(unique_id=unique_id, patient_id=patient_id),
            document_entry(patient_id=patient_id),
            original(),
        )
        for patient_id in _patients()
    ]
    outcomes = sorted(race(registering, messages))
    assert outcomes == [[]] + [["XDSDuplicateUniqueIdInRegistry"]] * (_RACERS - 1)
    assert registering.census()["registry_object"] == 2


def test_racing_entries_of_one_document_are_all_welcome(registering: Registering) -> None:
    unique_id = new_oid()
    messages = [single_document(unique_id=unique_id, patient_id=cx) for cx in _patients()]
    assert race(registering, messages) == [[]] * _RACERS
    assert len(registering.objects(unique_id)) == _RACERS


def test_of_racing_entries_of_different_documents_one_wins(registering: Registering) -> None:
    unique_id = new_oid()
    messages = [
        single_document(unique_id=unique_id, patient_id=cx, content=f"octets {number}".encode())
        for number, cx in enumerate(_patients())
    ]
    outcomes = sorted(race(registering, messages))
    assert outcomes == [[]] + [["XDSNonIdenticalHash"]] * (_RACERS - 1)


def test_of_racing_entries_with_one_uuid_exactly_one_wins(registering: Registering) -> None:
    entry = new_uuid()
    messages = [
        submit_objects(submission_set(patient_id=cx), document_entry(entry, patient_id=cx), original(entry))
        for cx in _patients()
    ]
    outcomes = sorted(race(registering, messages))
    assert outcomes == [[]] + [["XDSRegistryMetadataError"]] * (_RACERS - 1)


def test_a_unique_id_given_back_by_a_rollback_is_free(registering: Registering) -> None:
    """A submission waits for another patient's that takes the same uniqueId and then fails."""
    unique_id = new_oid()
    taking, waiting = (
        registering.draft(
            submit_objects(
                submission_set(unique_id=unique_id, patient_id=cx), document_entry(patient_id=cx), original()
            )
        )
        for cx in (PATIENT, OTHER_PATIENT)
    )
    taken = threading.Event()
    accepted: list[bool] = []

    def take_and_fail() -> None:
        with suppress(RuntimeError), registering.database.write() as connection:
            registering.registration.register(connection, taking)
            taken.set()
            raise RuntimeError

    def wait() -> None:
        taken.wait()
        with registering.database.write() as connection:
            registering.registration.register(connection, waiting)
        accepted.append(True)

    _together(take_and_fail, wait)
    assert accepted == [True]
    assert registering.census()["registry_object"] == 2


def _patients() -> list[str]:
    return [f"{number:011}^^^&2.16.840.1.113883.3.4424.1.1.616&ISO" for number in range(_RACERS)]
