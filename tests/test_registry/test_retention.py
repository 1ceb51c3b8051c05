"""How long an entry must be kept, and what says so."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from msim_xds.database.engine import Database
from msim_xds.registry.retention import Period, must_be_kept
from tests.support.metadata import OTHER_PATIENT, PATIENT, new_oid
from tests.test_registry.removing import Removing

CATEGORY = "urn:extpl:SlotName:StorageCategory"
MADE = {"creationTime": "20060914113000"}


def keep_until(database: Database, years: int = 0, **slots: Any) -> str | None:
    """Last day of an entry with these slots, made in 2006; None where nothing keeps it."""
    registry = Removing(database, update={"retention_years": years})
    ids = registry.submission("a", slots={**MADE, **slots})
    (period,) = registry.remove_all(ids["a"], rehearse=True).periods.values() or (None,)
    return period.text() if period else None


@pytest.mark.parametrize(
    ("years", "category", "expected"),
    [
        (0, None, None),
        (20, None, "2026-12-31"),
        (20, "2024", "2024-12-31"),
        (0, "2046", "2046-12-31"),
        (20, ["2041", "2046"], "2046-12-31"),
        (0, " 2046 ", "2046-12-31"),
        (20, "", "2026-12-31"),
        (0, "A", "without end"),
        (20, "B20", "without end"),
        (0, ["2024", "BE50"], "without end"),
        (0, "20466", "without end"),
        (0, "٢٠٤٦", "without end"),
    ],
)
def test_the_entry_says_how_long_else_the_general_period(
    database: Database, years: int, category: Any, expected: str | None
) -> None:
    assert keep_until(database, years, **({} if category is None else {CATEGORY: category})) == expected


def test_a_long_period_ends_with_the_calendar(database: Database) -> None:
    assert keep_until(database, 200, creationTime="99990101") == "without end"


@pytest.mark.parametrize(
    ("now", "goes"),
    [(datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), False), (datetime(2027, 1, 1, tzinfo=UTC), True)],
)
def test_the_last_day_is_included(database: Database, now: datetime, goes: bool) -> None:
    registry = Removing(database, update={"retention_years": 20})
    ids = registry.submission("a", slots=MADE)
    registry.now = now
    if goes:
        registry.remove(*ids.values())
        assert registry.left() == {}
        assert "2026-12-31" in {row.keep_until for row in registry.removals()}
    else:
        (finding,) = registry.not_removed(*ids.values())
        assert "must be kept until 2026-12-31" in finding.text()
        assert "update.retention_years = 20" in finding.text()


def test_a_document_is_kept_as_long_as_its_longest_entry(database: Database) -> None:
    registry = Removing(database)
    unique_ids = [new_oid() for _ in range(3)]
    for unique_id, year, patient in (
        (unique_ids[0], "2030", PATIENT),
        (unique_ids[0], "2040", OTHER_PATIENT),
        (unique_ids[1], "2035", PATIENT),
    ):
        registry.submission("a", unique_id=unique_id, slots={CATEGORY: year}, patient_id=patient)
    registry.submission("a", unique_id=unique_ids[2])
    retention = registry.removal._retention
    with registry.database.read() as connection:
        periods = retention.of_documents(connection, [*unique_ids, new_oid()])
        assert retention.of_documents(connection, []) == {}
    assert {name: period.until.year for name, period in periods.items()} == {
        unique_ids[0]: 2040,
        unique_ids[1]: 2035,
    }


def test_the_finding_names_day_and_rule() -> None:
    finding = must_be_kept(
        "XDSRemoveDocumentsError", "document 1.2", Period(date(2046, 12, 31), "a rule"), "S", "1.2"
    )
    assert finding.code_context == "1.2"
    assert finding.error_location.startswith(
        "document 1.2: must be kept until 2046-12-31, since a rule; allowed: "
    )
    endless = must_be_kept("XDSRegistryError", "x", Period(date.max, "a rule"), "S")
    assert "must be kept without end, since a rule" in endless.text()
