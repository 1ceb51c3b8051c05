"""The chain: what is changed, removed, added or moved is found, and where."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from msim_xds.audit.outbox import Entry, Outbox
from msim_xds.audit.sealer import Sealer, seal_all
from msim_xds.database.engine import Database
from msim_xds.settings import DatabaseSettings

PATIENT = "1^^^&1.2.3&ISO"


def entry(number: int, patient: str = PATIENT) -> Entry:
    return Entry(f"2026-09-14T12:00:{number:02}.000+00:00", "ITI-18", 0, patient, b"<m/>%d" % number)


def positions(outbox: Outbox) -> list[int]:
    return [each.position for each in outbox.verify()]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, DatabaseSettings())
    yield database
    database.close()


@pytest.fixture
def sealed(outbox: Outbox) -> Outbox:
    """Six records in two rounds of sealing."""
    outbox.write([entry(number) for number in range(1, 4)])
    assert outbox.seal() == 3
    outbox.write([entry(number) for number in range(4, 7)])
    assert outbox.seal() == 3
    return outbox


def change(database: Database, *statements: str) -> None:
    with database.write() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_an_untouched_chain_holds(sealed: Outbox) -> None:
    assert list(sealed.verify()) == []
    assert sealed.counts() == (6, 0)
    assert sealed.seal() == 0


def test_an_empty_trail_holds(outbox: Outbox) -> None:
    assert list(outbox.verify()) == []


@pytest.mark.parametrize(
    ("statements", "damaged"),
    [
        (["UPDATE audit_record SET patient = 'x' WHERE position = 3"], [3]),
        (["UPDATE audit_record SET outcome = 8 WHERE position = 1"], [1]),
        (["UPDATE audit_record SET feed = 'P1' WHERE position = 4"], [4]),
        (["UPDATE audit_record SET message = mark WHERE position = 6"], [6]),
        (["UPDATE audit_record SET recorded_at = '' WHERE position = 2"], [2]),
        (["DELETE FROM audit_record WHERE position = 3"], [3]),
        (["DELETE FROM audit_record WHERE position IN (1, 2)"], [1]),
        (["DELETE FROM audit_record WHERE position >= 5"], [5]),
        (["DELETE FROM audit_record"], [1]),
        (["UPDATE audit_record SET seal = mark WHERE position = 6"], [6, 6]),
        (["DELETE FROM audit_head"], [6]),
        (["UPDATE audit_head SET position = 4"], [4]),
        (
            [
                "UPDATE audit_record SET position = 99 WHERE position = 2",
                "UPDATE audit_record SET position = 2 WHERE position = 3",
                "UPDATE audit_record SET position = 3 WHERE position = 99",
            ],
            [2, 3, 4],
        ),
        (
            ["DELETE FROM audit_record WHERE position = 6", "UPDATE audit_head SET position = 5"],
            [5],
        ),
        (["UPDATE audit_record SET position = 9 WHERE position = 6"], [6, 7]),
    ],
)
def test_damage_is_named(
    sealed: Outbox, database: Database, statements: list[str], damaged: list[int]
) -> None:
    change(database, *statements)
    assert positions(sealed) == damaged


def test_a_record_added_by_somebody_else_is_found(sealed: Outbox, database: Database) -> None:
    change(
        database,
        'INSERT INTO audit_record (id, recorded_at, "transaction", outcome, patient, message, mark)'
        " SELECT 1000000, recorded_at, \"transaction\", outcome, 'somebody', message, mark"
        " FROM audit_record WHERE position = 2",
    )
    assert sealed.seal() == 1  # it is not hidden
    (damage,) = sealed.verify()
    assert damage.position == 7
    assert "added" in damage.problem


def test_a_copy_of_a_record_in_place_of_another_is_found(sealed: Outbox, database: Database) -> None:
    columns = ("recorded_at", "message", "mark")
    sources = ", ".join(f"{name} = (SELECT {name} FROM audit_record WHERE position = 2)" for name in columns)
    change(database, f"UPDATE audit_record SET {sources} WHERE position = 5")
    assert positions(sealed) == [5]


def test_another_key_cannot_seal_unnoticed(sealed: Outbox, database: Database) -> None:
    forger = Outbox(database, b"x" * 32)
    forger.write([entry(7)])
    forger.seal()
    assert positions(sealed) == [7, 7]


def test_the_end_that_was_removed_is_not_begun_anew(sealed: Outbox, database: Database) -> None:
    change(database, "DELETE FROM audit_head")
    sealed.prepare()
    sealed.write([entry(7)])
    with pytest.raises(RuntimeError, match="end of the audit trail's chain"):
        sealed.seal()


def test_writers_and_sealers_at_the_same_time_make_one_chain(outbox: Outbox, database_url: str) -> None:
    others = [Database(database_url, DatabaseSettings()) for _ in range(2)]
    outboxes = [outbox, *(Outbox(each, b"k" * 32) for each in others)]

    def write(mine: Outbox) -> None:
        for number in range(20):
            mine.write([entry(number), entry(number)])

    threads = [threading.Thread(target=write, args=(each,)) for each in outboxes * 2]
    with contextlib.ExitStack() as sealers:
        for each in outboxes:
            sealers.enter_context(Sealer(each, 0.001))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    seal_all(outbox)
    assert outbox.counts() == (240, 0)
    assert list(outbox.verify()) == []
    for other in others:
        other.close()


def test_a_sealer_outlives_its_failures(sealed: Outbox, database: Database) -> None:
    change(database, "ALTER TABLE audit_head RENAME TO away")
    sealed.write([entry(7)])
    with Sealer(sealed, 0.001):
        threading.Event().wait(0.05)
        change(database, "ALTER TABLE away RENAME TO audit_head")
        for _ in range(1000):
            if sealed.counts() == (7, 0):
                break
            threading.Event().wait(0.01)
    assert sealed.counts() == (7, 0)


def test_records_of_a_patient_with_those_of_merged_ids(outbox: Outbox, database: Database) -> None:
    old = "2^^^&1.2.3&ISO"
    change(
        database,
        f"INSERT INTO patient (id, cx, announced) VALUES (901, '{PATIENT}', true)",
        f"INSERT INTO patient (id, cx, announced, survivor_id) VALUES (902, '{old}', true, 901)",
    )
    outbox.write([entry(1, old), entry(2), entry(3, "3^^^&1.2.3&ISO")])
    assert [kept.entry for kept in outbox.of_patient(PATIENT)] == [entry(1, old), entry(2)]
    assert [kept.entry for kept in outbox.of_patient(old)] == [entry(1, old)]


def test_many_records_of_a_patient_are_read_page_by_page(outbox: Outbox) -> None:
    outbox.write([entry(number % 60) for number in range(1001)])
    assert len(list(outbox.of_patient(PATIENT))) == 1001
    assert seal_all(outbox) == 1001
    assert list(outbox.verify()) == []
