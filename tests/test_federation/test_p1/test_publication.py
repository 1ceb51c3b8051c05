"""Documents of chosen sources are published at P1, in its form and order, each once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from msim_xds.database.queues import State
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import Status
from msim_xds.testing.p1 import Double
from msim_xds.testing.p1.server import SOURCE
from tests.support.metadata import (
    APND,
    RPLC,
    association,
    new_oid,
    on_demand_entry,
    original,
    submission_set,
    submit_objects,
)
from tests.support.updates import entry_version, status_change, submitted, update
from tests.test_federation.test_p1.world import World

EVENT = "urn:extpl:SlotName:MedicalEventId"


@pytest.fixture
def world(double: Double, tmp_path: Path, sqlite_url: str) -> Iterator[World]:
    with World(double, tmp_path, sqlite_url) as each:
        yield each


@pytest.fixture
def both(double: Double, tmp_path: Path, database_url: str) -> Iterator[World]:
    """On each kind of database."""
    with World(double, tmp_path, database_url) as each:
        yield each


def test_a_document_is_published_in_p1s_form(both: World) -> None:
    world = both
    slots = {"serviceStartTime": "20261025003000", "serviceStopTime": "20261025", EVENT: "e^^^&1.2&ISO"}
    uuid = world.register(slots=slots)
    assert world.publish() == []
    entry = world.at_p1()[uuid]
    assert entry.creation_time == "20260914133000"
    assert entry.service_start_time == "20261025023000"
    assert entry.service_stop_time == "20261025"
    assert entry.status == Status.APPROVED
    assert next(each for each in entry.extra if each.name == EVENT).values == ("e^^^&1.2&ISO",)
    (sent,) = world.sets_at_p1()
    assert sent.source_id == SOURCE
    assert sent.content_type_code is not None
    assert sent.content_type_code[:2] == ("REGISTER", "Typ wysyłki")
    assert sent.submission_time != "20260914113512"


def test_a_replacement_deprecates_what_it_replaces(both: World) -> None:
    world = both
    old = world.register()
    new = world.register(association("NEW", old, RPLC))
    assert world.publish() == []
    assert {uuid: each.status for uuid, each in world.at_p1().items()} == {
        old: Status.DEPRECATED,
        new: Status.APPROVED,
    }


def test_a_document_is_cancelled(both: World) -> None:
    world = both
    uuid = world.register()
    world.update(update(status_change(uuid), patient_id=world.patient))
    assert world.publish() == []
    assert world.at_p1()[uuid].status == Status.DEPRECATED
    assert world.calls(world.settings.p1.iti57) == 1


def test_new_metadata_go_out_as_a_new_version(both: World) -> None:
    world = both
    unique_id = new_oid()
    uuid = world.register(unique_id=unique_id)
    version = entry_version(uuid, unique_id, patient_id=world.patient, title="Poprawiona")
    world.update(update(version, patient_id=world.patient))
    assert world.publish() == []
    titles = {each.title[0].value for each in world.at_p1().values()}
    assert "Poprawiona" in titles


def test_an_update_by_somebody_else_goes_out_in_the_providers_name(world: World) -> None:
    uuid = world.register()
    message = submit_objects(
        submission_set(patient_id=world.patient, source_id="1.2.3.4"), status_change(uuid)
    )
    world.update(message)
    assert world.publish() == []
    assert world.at_p1()[uuid].status == Status.DEPRECATED
    assert {each.source_id for each in world.sets_at_p1()} == {SOURCE}


def test_other_sources_are_not_published_nor_their_updates(world: World) -> None:
    uuid = world.register(source_id="1.2.3.4")
    world.update(update(status_change(uuid), patient_id=world.patient))
    assert world.outbox.rows() == []


def test_a_replacement_of_what_p1_does_not_have_goes_out_alone(world: World) -> None:
    old = world.register(source_id="1.2.3.4")
    new = world.register(association("NEW", old, RPLC))
    assert world.publish() == []
    assert list(world.at_p1()) == [new]


def test_on_demand_entries_stay_here(world: World) -> None:
    from msim_xds.ihe.transactions import ITI_61

    objects = (
        submission_set(patient_id=world.patient),
        on_demand_entry(patient_id=world.patient),
        original(),
    )
    world.carry_out(ITI_61, submit_objects(*objects))
    assert world.outbox.rows() == []


def test_what_is_refused_here_is_not_told(world: World) -> None:
    with pytest.raises(Refused):
        world.register(mime_type=None)
    assert world.outbox.rows() == []


def test_a_submission_sent_again_is_published_once(world: World) -> None:
    from msim_xds.ihe.transactions import ITI_42
    from tests.support.metadata import document_entry

    payload = submit_objects(
        submission_set(patient_id=world.patient), document_entry(patient_id=world.patient), original()
    )
    world.carry_out(ITI_42, payload)
    world.carry_out(ITI_42, payload)
    assert len(world.outbox.rows()) == 1


def test_p1s_rule_is_shown_untouched_and_what_follows_waits(world: World, double: Double) -> None:
    double.unknown_events.add("e1")
    uuid = world.register(slots={EVENT: "e1"})
    other = world.register()
    world.update(update(status_change(uuid), patient_id=world.patient))
    first, second = world.publish()
    assert list(world.at_p1()) == [other]
    assert first.state is State.GIVEN_UP
    assert first.last_error == (
        "XDSRegistryMetadataError: rule: REG.WER.6860: the medical event does not exist"
    )
    assert (second.state, second.waits_for, second.attempts) == (State.WAITING, (first.id,), 0)
    double.unknown_events.clear()
    assert world.outbox.retry() == [first.id]
    assert world.publish() == []
    assert world.at_p1()[uuid].status == Status.DEPRECATED


def test_what_is_dropped_is_no_more_taken_for_being_at_p1(world: World, double: Double) -> None:
    double.unknown_events.add("e1")
    uuid = world.register(slots={EVENT: "e1"})
    (row,) = world.publish()
    assert world.outbox.drop() == [row.id]
    world.update(update(status_change(uuid), patient_id=world.patient))
    assert world.outbox.rows() == []


def lose_one_answer(double: Double, service: str) -> None:
    """The next request to a service is carried out, and its answer gets lost."""

    def lose(path: str) -> None:
        if path == service:
            double.before_answer = lambda path: None
            raise ConnectionError

    double.before_answer = lose


def test_an_answer_that_gets_lost_is_found_out_and_not_sent_again(world: World, double: Double) -> None:
    lose_one_answer(double, world.settings.p1.iti42)
    uuid = world.register()
    left = world.publish()
    while left:
        assert "HTTP 500" in (left[0].last_error or "")
        left = world.publish()
    assert list(world.at_p1()) == [uuid]
    assert len(world.sets_at_p1()) == 1
    assert world.calls(world.settings.p1.iti42) == 1


def test_a_cancellation_whose_answer_gets_lost_is_found_out_by_its_status(
    world: World, double: Double
) -> None:
    uuid = world.register()
    world.publish()

    lose_one_answer(double, world.settings.p1.iti57)
    world.update(update(status_change(uuid), patient_id=world.patient))
    while world.publish():
        pass
    assert world.at_p1()[uuid].status == Status.DEPRECATED
    assert world.calls(world.settings.p1.iti57) == 1


def test_an_association_whose_answer_gets_lost_is_found_out_and_not_sent_again(
    world: World, double: Double
) -> None:
    old, new = world.register(), world.register()
    world.publish()

    lose_one_answer(double, world.settings.p1.iti57)
    world.update(update(submitted(new, old), patient_id=world.patient))
    while world.publish():
        pass
    assert world.calls(world.settings.p1.iti57) == 1
    assert [(each.source, each.target) for each in world.links_at_p1() if each.type == APND] == [(new, old)]


def test_an_association_that_p1_does_not_have_is_sent_again(world: World, double: Double) -> None:
    old, new = world.register(), world.register()
    world.publish()
    double.refusals[world.settings.p1.iti57] = Finding("XDSRegistryBusy", "", context="later")
    world.update(update(submitted(new, old), patient_id=world.patient))
    assert len(world.publish()) == 1
    double.refusals.clear()
    while world.publish():
        pass
    assert [(each.source, each.target) for each in world.links_at_p1() if each.type == APND] == [(new, old)]


def test_what_p1_says_it_has_already_counts_as_delivered(world: World, double: Double) -> None:
    """An operator's retry forgets the attempts, so that nothing is asked before."""

    def lose(path: str) -> None:
        if path == world.settings.p1.iti42:
            raise ConnectionError

    double.before_answer = lose
    world.register()
    with World(double, world.settings.data, world.settings.database.url, attempts=1) as hasty:
        (row,) = hasty.publish()
    assert row.state is State.GIVEN_UP
    double.before_answer = lambda path: None
    world.outbox.retry([row.id])
    assert world.publish() == []
    assert world.calls(world.settings.p1.iti42) == 2
    assert len(world.sets_at_p1()) == 1


def test_a_busy_p1_is_asked_again_with_pauses(world: World, double: Double) -> None:
    double.refusals[world.settings.p1.iti42] = Finding("XDSRegistryBusy", "", context="later")
    world.register()
    (row,) = world.publish()
    assert row.state is State.WAITING
    assert row.last_error == "XDSRegistryBusy: later"
    double.refusals.clear()
    while world.publish():
        pass
    assert len(world.at_p1()) == 1


def test_attempts_have_an_end(double: Double, tmp_path: Path, sqlite_url: str) -> None:
    with World(double, tmp_path, sqlite_url, attempts=2, base="http://127.0.0.1:9") as world:
        world.register()
        left = world.publish()
        while left[0].state is not State.GIVEN_UP:
            left = world.publish()
        assert left[0].attempts == 2
        assert "the connection fails" in (left[0].last_error or "")


def test_p1_that_does_not_say_what_it_has_is_asked_again(
    double: Double, tmp_path: Path, sqlite_url: str
) -> None:
    with World(double, tmp_path, sqlite_url, first_pause_s=0.5) as world:
        double.refusals[world.settings.p1.iti42] = Finding("XDSRegistryBusy", "", context="later")
        world.register()
        (row,) = world.publish()
        assert row.attempts == 1
        double.refusals[world.settings.p1.iti18] = Finding("XDSRegistryError", "", context="broken")
        while row.attempts < 2:
            (row,) = world.publish()
    assert "does not say what it has: XDSRegistryError: broken" in (row.last_error or "")


def test_a_provider_that_is_gone_is_told(double: Double, tmp_path: Path, sqlite_url: str) -> None:
    providers = double.section()["providers"]
    assert isinstance(providers, dict)
    other = {"providers": {"1.2.3": providers[SOURCE]}, "provider": "1.2.3"}
    with World(double, tmp_path, sqlite_url) as world, World(double, tmp_path, sqlite_url, **other) as later:
        world.register()
        (row,) = later.publish()
    assert row.last_error == f"p1.providers: no provider {SOURCE}"


def test_times_may_go_out_as_they_are(double: Double, tmp_path: Path, sqlite_url: str) -> None:
    with World(double, tmp_path, sqlite_url, local_time=False) as world:
        world.register()
        (row,) = world.publish()
        assert "REG.WER.4636" in (row.last_error or "")


def test_a_thread_publishes_until_it_is_stopped(world: World, double: Double) -> None:
    import threading

    done = threading.Event()
    double.before_answer = lambda path: done.set() if path == world.settings.p1.iti42 else None
    world.sender.start()
    world.register()
    assert done.wait(30)
    world.sender.stop()
    assert len(world.at_p1()) == 1
