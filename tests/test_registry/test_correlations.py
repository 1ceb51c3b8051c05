"""What was discovered is remembered until it runs out, is discovered anew, or the patient is merged."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from msim_xds.database.engine import Database
from msim_xds.database.schema import correlation
from msim_xds.registry.correlations import Correlations, Known
from tests.support.metadata import OTHER_PATIENT, PATIENT
from tests.test_registry.identifying import Identifying

ONE, OTHER = Known("urn:oid:1.2.3", "1^^^&1.2.3.4&ISO"), Known("urn:oid:1.2.4", "2^^^&1.2.4.4&ISO")


@pytest.fixture
def registry(database: Database) -> Identifying:
    return Identifying(database)


@pytest.fixture
def correlations(registry: Identifying) -> Correlations:
    return Correlations(registry.database)


def test_until_it_runs_out(correlations: Correlations) -> None:
    assert correlations.find(PATIENT, "north", 100) is None
    correlations.keep(PATIENT, "north", [OTHER, ONE, ONE], 100, 160)
    assert correlations.find(PATIENT, "north", 159) == [ONE, OTHER]
    assert correlations.find(PATIENT, "north", 160) is None
    assert correlations.find(PATIENT, "south", 100) is None
    assert correlations.find(OTHER_PATIENT, "north", 100) is None


def test_that_nobody_matches_is_remembered_too(correlations: Correlations) -> None:
    correlations.keep(PATIENT, "north", [], 100, 160)
    assert correlations.find(PATIENT, "north", 120) == []


def test_what_is_new_takes_the_place_of_the_old(correlations: Correlations) -> None:
    correlations.keep(PATIENT, "north", [ONE], 100, 160)
    correlations.keep(PATIENT, "north", [OTHER], 110, 200)
    assert correlations.find(PATIENT, "north", 120) == [OTHER]


def test_what_has_run_out_is_gone(registry: Identifying, correlations: Correlations) -> None:
    correlations.keep(PATIENT, "north", [ONE, OTHER], 100, 160)
    correlations.keep(OTHER_PATIENT, "south", [ONE], 160, 200)
    with registry.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(correlation)).scalar_one() == 1


def test_a_merged_patient_has_none(registry: Identifying, correlations: Correlations) -> None:
    registry.announce(PATIENT, OTHER_PATIENT)
    for patient in (PATIENT, OTHER_PATIENT):
        correlations.keep(patient, "north", [ONE], 100, 160)
    registry.merge(PATIENT, OTHER_PATIENT)
    assert correlations.find(OTHER_PATIENT, "north", 120) is None
    assert correlations.find(PATIENT, "north", 120) == [ONE]
