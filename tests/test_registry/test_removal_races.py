"""Removals and submissions at the same moment, from real threads, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from sqlalchemy import or_, select

from msim_xds.database.engine import Database
from msim_xds.database.schema import association, registry_object, unique_identity
from msim_xds.findings import Refused
from tests.support.metadata import (
    APND,
    OTHER_PATIENT,
    PATIENT,
    RPLC,
    document_entry,
    new_oid,
    new_uuid,
    original,
    submission_set,
    submit_objects,
)
from tests.support.metadata import association as link
from tests.test_registry.removing import Removing

_ROUNDS = 12


@pytest.fixture
def registry(database: Database) -> Removing:
    return Removing(database)


def together(*actions: Callable[[], object]) -> list[list[str]]:
    """Run them at once; the codes of each, none where it was accepted."""
    barrier = threading.Barrier(len(actions))
    outcomes: list[list[str] | BaseException] = [[] for _ in actions]

    def run(number: int) -> None:
        barrier.wait()
        try:
            actions[number]()
        except Refused as refused:
            outcomes[number] = [finding.code for finding in refused.findings]
        except BaseException as error:
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert failures == []
    return [outcome for outcome in outcomes if isinstance(outcome, list)]


def dangling(registry: Removing) -> int:
    """How many Associations have an end that is not there, and objects a uniqueId that nobody claimed."""
    ids = select(registry_object.c.id).union(select(association.c.id)).subquery()
    ends = select(association.c.id).where(
        or_(
            association.c.source_object.not_in(select(ids.c.id)),
            association.c.target_object.not_in(select(ids.c.id)),
        )
    )
    unclaimed = select(registry_object.c.id).where(
        registry_object.c.unique_id.not_in(select(unique_identity.c.unique_id))
    )
    with registry.database.snapshot() as connection:
        return len(connection.execute(ends).all()) + len(connection.execute(unclaimed).all())


@pytest.mark.parametrize(
    ("kind", "patient"), [(APND, PATIENT), (RPLC, PATIENT), ("reference", OTHER_PATIENT)]
)
def test_nothing_comes_to_refer_to_what_goes(registry: Removing, kind: str, patient: str) -> None:
    """Also by another patient's submission, which no lock of a patient keeps away."""
    for _ in range(_ROUNDS):
        ids = registry.submission("a")
        if kind == "reference":
            message = submit_objects(
                submission_set(patient_id=patient), link("SubmissionSet01", ids["a"], status="Reference")
            )
        else:
            message = submit_objects(
                submission_set(), document_entry(), original(), link("Document01", ids["a"], kind)
            )
        removed, registered = together(
            partial(registry.remove, *ids.values()),
            partial(registry.register, message),
        )
        assert (removed, set(registered)) in (
            ([], {"UnresolvedReferenceException"}),
            (["ReferencesExistException"], set()),
        )
        assert dangling(registry) == 0


def test_a_unique_id_given_back_is_not_lost_to_its_next_user(registry: Removing) -> None:
    """The other patient's entry of the same document either keeps the uniqueId or claims it anew."""
    for _ in range(_ROUNDS):
        unique_id, entry = new_oid(), new_uuid()
        ids = registry.submission("a", unique_id=unique_id)
        message = submit_objects(
            submission_set(patient_id=OTHER_PATIENT),
            document_entry(entry, unique_id=unique_id, patient_id=OTHER_PATIENT),
            original(entry),
        )
        outcomes = together(
            partial(registry.remove, *ids.values()),
            partial(registry.register, message),
        )
        assert outcomes == [[], []]
        assert dangling(registry) == 0
        assert [row.entry_uuid for row in registry.objects(unique_id)] == [entry]


def test_of_two_removals_one_finds_nothing(registry: Removing) -> None:
    for _ in range(_ROUNDS):
        ids = registry.submission("a")
        outcomes = together(*[partial(registry.remove, *ids.values())] * 2)
        assert sorted(outcomes) == [[], ["UnresolvedReferenceException"] * 3]
    assert registry.left() == {}


def test_removals_of_several_patients_do_not_wait_for_each_other(registry: Removing) -> None:
    patients = (PATIENT, OTHER_PATIENT)
    for _ in range(_ROUNDS):
        ids = [registry.submission("a", patient_id=patient) for patient in patients * 2]
        whole = [[*one.values(), *other.values()] for one, other in ((ids[0], ids[1]), (ids[3], ids[2]))]
        assert together(*(partial(registry.remove, *uuids) for uuids in whole)) == [[], []]
    assert registry.left() == {}


def test_who_comes_second_waits(registry: Removing) -> None:
    """A removal under way holds the next submission off, and what it takes back is as if it had not been."""
    ids = registry.submission("a")
    begun, accepted = threading.Event(), []
    message = submit_objects(
        submission_set(), document_entry(), original(), link("Document01", ids["a"], APND)
    )

    def remove_and_fail() -> None:
        with suppress(RuntimeError):
            clock = registry.removal._clock

            def fail() -> None:
                begun.set()
                raise RuntimeError

            registry.removal._clock = fail  # type: ignore[assignment]
            try:
                registry.remove(*ids.values())
            finally:
                registry.removal._clock = clock

    def submit() -> None:
        begun.wait()
        registry.register(message)
        accepted.append(True)

    together(remove_and_fail, submit)
    assert accepted == [True]
    assert registry.is_approved(ids["a"])
