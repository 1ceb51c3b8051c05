"""Updates at the same moment, from threads of one server and of several, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest
from sqlalchemy.exc import IntegrityError

from msim_xds.database.engine import Database
from msim_xds.findings import Refused
from msim_xds.ihe.transactions import ITI_57, ITI_92, Transaction
from msim_xds.registry import merging, patients
from msim_xds.registry.columns import APPROVED, SUPERSEDED
from msim_xds.registry.drafts import Draft
from msim_xds.registry.races import told_to_the_sender
from msim_xds.settings import DatabaseSettings
from tests.support.metadata import (
    OTHER_PATIENT,
    PATIENT,
    RPLC,
    association,
    document_entry,
    new_uuid,
    original,
    single_document,
    submission_set,
    submit_objects,
)
from tests.support.updates import entry_version, folder_version, status_change, submitted, update
from tests.test_registry.registering import entry_message
from tests.test_registry.updating import Updating

_RACERS = 20
Request = tuple[Updating, bytes, Transaction]


@pytest.fixture
def servers(database: Database, updating: Updating) -> Iterator[Sequence[Updating]]:
    """Two servers on one database, neither of which knows the other's connections, locks or caches."""
    url = database._engine.url.render_as_string(hide_password=False)
    other = Database(url, DatabaseSettings(busy_timeout_s=60))
    yield updating, Updating(other)
    other.close()


def race(requests: Sequence[Request]) -> list[list[str]]:
    """Error codes of each update, all sent at once, sorted; none for those carried out."""
    barrier = threading.Barrier(len(requests))
    outcomes: list[list[str] | BaseException] = [[] for _ in requests]

    def run(number: int) -> None:
        server, message, transaction = requests[number]
        try:
            draft = server.update_draft(message, transaction)
            barrier.wait()
            with server.database.write() as connection:
                server.updates.update(connection, draft, transaction)
        except Refused as error:
            outcomes[number] = [finding.code for finding in error.findings]
        except BaseException as error:
            outcomes[number] = error

    together([partial(run, number) for number in range(len(requests))])
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert failures == []
    return sorted(outcome for outcome in outcomes if isinstance(outcome, list))


def together(actions: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("transaction", [ITI_57, ITI_92], ids=lambda row: row.name)
def test_of_racing_updates_of_one_version_exactly_one_wins(
    servers: Sequence[Updating], transaction: Transaction
) -> None:
    updating = servers[0]
    entry = updating.added()
    updating.folder_with(entry)
    unique_id = updating.object(entry).unique_id
    requests = [
        (servers[number % 2], update(entry_version(entry, unique_id)), transaction)
        for number in range(_RACERS)
    ]
    assert race(requests) == [[]] + [["XDSMetadataVersionError"]] * (_RACERS - 1)
    rows = sorted(updating.objects(unique_id), key=lambda row: row.version)
    assert [(row.version, row.status) for row in rows] == [(1, SUPERSEDED), (2, APPROVED)]
    assert len(updating.pairs(rows[1].entry_uuid)) == 1


def test_racing_updates_of_folders(servers: Sequence[Updating]) -> None:
    updating = servers[0]
    folder = updating.folder_with(updating.added())
    unique_id = updating.object(folder).unique_id
    requests = [
        (servers[number % 2], update(folder_version(folder, unique_id)), ITI_57) for number in range(_RACERS)
    ]
    assert race(requests) == [[]] + [["XDSMetadataVersionError"]] * (_RACERS - 1)


def test_a_racing_retry_is_carried_out_once(servers: Sequence[Updating]) -> None:
    entry = servers[0].added()
    message = update(entry_version(entry, servers[0].object(entry).unique_id, new_uuid()))
    assert race([(servers[number % 2], message, ITI_57) for number in range(_RACERS)]) == [[]] * _RACERS
    assert len(servers[0].objects(servers[0].object(entry).unique_id)) == 2


def test_of_racing_changes_of_status_exactly_one_wins(servers: Sequence[Updating]) -> None:
    entry = servers[0].added()
    requests = [(servers[number % 2], update(status_change(entry)), ITI_57) for number in range(_RACERS)]
    assert race(requests) == [[]] + [["XDSMetadataUpdateError"]] * (_RACERS - 1)


def test_of_racing_equal_associations_exactly_one_stays(servers: Sequence[Updating]) -> None:
    one, other = servers[0].added(), servers[0].added()
    requests = [(servers[number % 2], update(submitted(one, other)), ITI_57) for number in range(_RACERS)]
    assert race(requests) == [[]] + [["XDSMetadataUpdateError"]] * (_RACERS - 1)
    assert len(servers[0].related_to(one)) == 1


def test_moves_to_and_fro_do_not_wait_for_each_other(servers: Sequence[Updating]) -> None:
    """Each locks both patients; one order for all keeps them from a deadlock."""
    updating = servers[0]
    entries = [updating.added(patient_id=cx) for cx in (PATIENT, OTHER_PATIENT) for _ in range(4)]
    others = [OTHER_PATIENT] * 4 + [PATIENT] * 4
    requests = [
        (
            servers[number % 2],
            update(entry_version(entry, updating.object(entry).unique_id, patient_id=cx), patient_id=cx),
            ITI_57,
        )
        for number, (entry, cx) in enumerate(zip(entries, others, strict=True))
    ]
    assert race(requests) == [[]] * len(entries)


def carried_out(server: Updating, draft: Draft, codes: list[str], *, is_update: bool) -> None:
    """Write a draft; error codes are added to ``codes``."""
    try:
        with server.database.write() as connection:
            if is_update:
                server.updates.update(connection, draft, ITI_57)
            else:
                server.registration.register(connection, draft)
    except Refused as error:
        codes.extend(finding.code for finding in error.findings)


@pytest.mark.parametrize("attempt", range(3))
def test_an_update_and_a_replacement(servers: Sequence[Updating], attempt: int) -> None:
    """Whoever comes second finds the entry changed: either Deprecated, or an older version."""
    first, second = servers
    entry = first.added()
    version = first.update_draft(update(entry_version(entry, first.object(entry).unique_id)))
    replacement = second.draft(entry_message("Document01", association("Document01", entry, RPLC)))
    codes: list[str] = []
    together(
        [
            lambda: carried_out(first, version, codes, is_update=True),
            lambda: carried_out(second, replacement, codes, is_update=False),
        ]
    )
    assert codes in (["XDSMetadataUpdateError"], ["XDSRegistryDeprecatedDocumentError"])


def test_an_update_waits_for_a_merge_and_follows_it(servers: Sequence[Updating]) -> None:
    """It has read whose the entry is; when it gets the lock, the entry is somebody else's."""
    first, second = servers
    entry, held = first.added(patient_id=OTHER_PATIENT), first.folder_with()
    draft = first.update_draft(update(status_change(entry)))
    merging_now = threading.Event()

    def merge() -> None:
        with second.database.write() as connection:
            surviving = patients.lock(connection, PATIENT)
            subsumed = patients.lock(connection, OTHER_PATIENT)
            assert surviving is not None
            assert subsumed is not None
            merging_now.set()
            merging.merge(connection, surviving, subsumed, "20260914120000")

    def updates() -> None:
        merging_now.wait()
        with first.database.write() as connection:
            first.updates.update(connection, draft, ITI_57)

    together([merge, updates])
    assert first.object(entry).status == 2
    assert first.object(entry).patient_id == first.object(held).patient_id


class TestConstraints:
    """What the database refuses when no lock has kept two apart."""

    def test_one_logical_id_of_the_senders_own_for_two_objects(self, database: Database) -> None:
        updating = Updating(database, validation={"tolerate": {"versioned_submission": True}})
        attributes = ' lid="urn:oid:1.2.3.4"'
        updating.added(attributes=attributes)
        (finding,) = updating.refused(single_document(attributes=attributes))
        assert (finding.code, finding.attribute) == ("XDSRegistryMetadataError", "logicalID")

    def test_a_logical_id_that_is_another_objects_id(self, database: Database) -> None:
        updating = Updating(database, validation={"tolerate": {"versioned_submission": True}})
        lid = updating.added()
        (finding,) = updating.refused(single_document(attributes=f' lid="{lid}"'))
        assert (finding.code, finding.attribute, finding.seen) == (
            "XDSRegistryMetadataError",
            "logicalID",
            lid,
        )
        pair = submit_objects(
            submission_set(),
            document_entry(one := new_uuid()),
            document_entry("b", attributes=f' lid="{one}"'),
            original(one),
            original("b"),
        )
        (finding,) = updating.refused(pair)
        assert (finding.attribute, finding.seen) == ("logicalID", one)

    def test_other_violations_are_not_the_senders(self, updating: Updating) -> None:
        updating.added()
        with (
            updating.database.read() as connection,
            pytest.raises(IntegrityError),
            told_to_the_sender(),
        ):
            connection.exec_driver_sql("INSERT INTO patient SELECT * FROM patient")
