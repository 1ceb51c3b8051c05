"""Merges beside registrations and other merges, from real threads, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, select

from msim_xds.database.engine import Database
from msim_xds.database.schema import association, patient, registry_object
from msim_xds.findings import Refused
from tests.support.metadata import OTHER_PATIENT, PATIENT, single_document
from tests.test_registry.identifying import Identifying

_RACERS = 8
_WAIT_S = 0.3


@pytest.fixture
def registry(database: Database) -> Identifying:
    registry = Identifying(database, patients={"policy": "known"})
    registry.announce(PATIENT, OTHER_PATIENT)
    return registry


def outcome(action: Callable[[], object]) -> list[str]:
    """Error codes; none when it is accepted."""
    try:
        action()
    except Refused as refused:
        return [finding.code for finding in refused.findings]
    return []


def owners(registry: Identifying) -> set[str]:
    """CX of everybody who owns an object or an association."""
    with registry.database.read() as connection:
        return {
            cx
            for table in (registry_object, association)
            for cx in connection.execute(
                select(patient.c.cx).join_from(table, patient, patient.c.id == table.c.patient_id)
            ).scalars()
        }


def register_slowly(registry: Identifying, locked: threading.Event, go_on: threading.Event) -> list[str]:
    """A registration under the subsumed id that commits only when it is told to."""
    draft = registry.draft(single_document(patient_id=OTHER_PATIENT))

    def register() -> None:
        with registry.database.write() as connection:
            registry.registration.register(connection, draft)
            locked.set()
            assert go_on.wait(10)

    return outcome(register)


def is_waiting(future: Future[list[str]]) -> bool:
    """Whether it has still not come to an end."""
    threading.Event().wait(_WAIT_S)
    return not future.done()


def test_a_merge_waits_for_a_registration_and_takes_what_it_has_brought(registry: Identifying) -> None:
    locked, go_on = threading.Event(), threading.Event()
    with ThreadPoolExecutor() as threads:
        registration = threads.submit(register_slowly, registry, locked, go_on)
        assert locked.wait(10)
        merge = threads.submit(outcome, lambda: registry.merge(PATIENT, OTHER_PATIENT))
        assert is_waiting(merge)
        go_on.set()
        assert (registration.result(), merge.result()) == ([], [])
    assert owners(registry) == {PATIENT}
    assert len(registry.documents(PATIENT)) == 1


def test_a_registration_waits_for_a_merge_and_is_refused(
    registry: Identifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was read, judged and drafted before the merge began, and would be committed after it."""
    from msim_xds.registry import merging

    draft = registry.draft(single_document(patient_id=OTHER_PATIENT))
    moved, go_on = threading.Event(), threading.Event()
    record = merging.record

    def recorded(connection: Connection, *arguments: str) -> None:
        record(connection, *arguments)
        moved.set()
        assert go_on.wait(10)

    monkeypatch.setattr(merging, "record", recorded)

    def register() -> None:
        with registry.database.write() as connection:
            registry.registration.register(connection, draft)

    with ThreadPoolExecutor() as threads:
        merge = threads.submit(outcome, lambda: registry.merge(PATIENT, OTHER_PATIENT))
        assert moved.wait(10)
        registration = threads.submit(outcome, register)
        assert is_waiting(registration)
        go_on.set()
        assert (merge.result(), registration.result()) == ([], ["XDSUnknownPatientId"])
    assert registry.census()["registry_object"] == 0


def test_many_registrations_beside_a_merge(registry: Identifying) -> None:
    """Each is either the survivor's or refused; nothing stays with the subsumed id."""
    barrier = threading.Barrier(_RACERS + 1)

    def register() -> list[str]:
        draft = registry.draft(single_document(patient_id=OTHER_PATIENT))
        barrier.wait()

        def run() -> None:
            with registry.database.write() as connection:
                registry.registration.register(connection, draft)

        return outcome(run)

    def merge() -> list[str]:
        barrier.wait()
        return outcome(lambda: registry.merge(PATIENT, OTHER_PATIENT))

    with ThreadPoolExecutor(_RACERS + 1) as threads:
        registrations = [threads.submit(register) for _ in range(_RACERS)]
        assert threads.submit(merge).result() == []
        outcomes = [each.result() for each in registrations]
    assert all(codes in ([], ["XDSUnknownPatientId"]) for codes in outcomes)
    assert owners(registry) <= {PATIENT}
    assert len(registry.documents(PATIENT)) == outcomes.count([])


def test_of_merges_both_ways_one_wins(registry: Identifying) -> None:
    """Both lock in the same order, so neither waits for ever for the other."""
    registry.added()
    registry.added(patient_id=OTHER_PATIENT)
    barrier = threading.Barrier(2)

    def merge(surviving: str, subsumed: str) -> list[str]:
        barrier.wait()
        return outcome(lambda: registry.merge(surviving, subsumed))

    with ThreadPoolExecutor(2) as threads:
        pairs = ((PATIENT, OTHER_PATIENT), (OTHER_PATIENT, PATIENT))
        outcomes = [each.result() for each in [threads.submit(merge, *pair) for pair in pairs]]
    assert sorted(outcomes) == [[], ["204"]]
    assert len(owners(registry)) == 1


def test_of_racing_announcements_all_are_welcome(registry: Identifying) -> None:
    fresh = "90863000244^^^&2.16.840.1.113883.3.4424.1.1.616&ISO"
    with ThreadPoolExecutor(_RACERS) as threads:
        futures = [threads.submit(registry.announce, fresh) for _ in range(_RACERS)]
        for future in futures:
            future.result()
    assert [each.cx for each in registry.identity.listed()].count(fresh) == 1
