"""Who matches: ids before persons, never against what is known, never a merged id (ITI TF-2 3.55)."""

from __future__ import annotations

import pytest

from msim_xds.database.engine import Database
from msim_xds.metadata.discovery import PersonName, Sought
from msim_xds.metadata.identity import Demographics, Identifier
from msim_xds.registry.discovery import MOST, PatientDirectory
from tests.support.metadata import OTHER_PATIENT, PATIENT
from tests.test_registry.identifying import Identifying

PESEL = "2.16.840.1.113883.3.4424.1.1.616"
ID = Identifier(PATIENT.partition("^")[0], "", PESEL, "ISO")
PERSON = {"family_name": "Żółcińska", "given_name": "Łucja", "birth_date": "18580314", "sex": "F"}
NAME = PersonName("ŻÓŁCIŃSKA", "Lucja")


@pytest.fixture
def registry(database: Database) -> Identifying:
    return Identifying(database, patients={"authorities": [PESEL]})


@pytest.fixture
def directory(registry: Identifying) -> PatientDirectory:
    return PatientDirectory(registry.database, registry.settings.patients)


def found(directory: PatientDirectory, sought: Sought) -> list[tuple[str, int]]:
    return [(match.cx, match.degree) for match in directory.search(sought)]


def test_by_id(registry: Identifying, directory: PatientDirectory) -> None:
    assert found(directory, Sought((ID,))) == []
    registry.announce(PATIENT, **PERSON)
    assert found(directory, Sought((ID, ID))) == [(PATIENT, 100)]
    assert directory.search(Sought((ID,)))[0].demographics == Demographics(**PERSON)
    assert directory.person(PATIENT) == Demographics(**PERSON)
    assert directory.person(OTHER_PATIENT) == Demographics()


def test_an_id_that_only_a_submission_has_named(registry: Identifying, directory: PatientDirectory) -> None:
    registry.added()
    assert found(directory, Sought((ID,), birth_date="18580314")) == [(PATIENT, 100)]


@pytest.mark.parametrize("sought", [Sought((ID,), birth_date="18580315"), Sought((ID,), sex="M")])
def test_an_id_with_another_person(
    registry: Identifying, directory: PatientDirectory, sought: Sought
) -> None:
    registry.announce(PATIENT, **PERSON)
    assert found(directory, sought) == []


def test_our_own_id_that_nobody_has_is_not_looked_for_by_name(
    registry: Identifying, directory: PatientDirectory
) -> None:
    registry.announce(OTHER_PATIENT, **PERSON)
    assert found(directory, Sought((ID,), (NAME,), "18580314")) == []


def test_a_merged_id_is_the_survivor(registry: Identifying, directory: PatientDirectory) -> None:
    registry.announce(PATIENT, **PERSON)
    registry.announce(OTHER_PATIENT, **PERSON | {"sex": "M"})
    registry.merge(OTHER_PATIENT, PATIENT)
    assert found(directory, Sought((ID,))) == [(OTHER_PATIENT, 100)]
    assert found(directory, Sought((ID,), sex="F")) == []
    assert found(directory, Sought((), (NAME,), "18580314")) == [(OTHER_PATIENT, 90)]


@pytest.mark.parametrize(
    ("sought", "matches"),
    [
        (Sought((), (NAME,), "18580314"), True),
        (Sought((), (PersonName("Inna", "A"), NAME), "18580314", "F"), True),
        (Sought((Identifier("7", "", "1.2.3", "ISO"),), (NAME,), "18580314"), True),
        (Sought((), (NAME,), "18580314", "M"), False),
        (Sought((), (NAME,), "18580315"), False),
        (Sought((), (NAME._replace(given="Ewa"),), "18580314"), False),
        (Sought((), (NAME,), None), False),
    ],
)
def test_by_person(registry: Identifying, directory: PatientDirectory, sought: Sought, matches: bool) -> None:
    registry.announce(PATIENT, **PERSON)
    registry.announce(OTHER_PATIENT, **PERSON | {"family_name": "Inna"})
    assert found(directory, sought) == ([(PATIENT, 90)] if matches else [])


def test_more_than_an_answer_may_have(registry: Identifying, directory: PatientDirectory) -> None:
    for number in range(MOST + 3):
        registry.announce(f"{number}^^^&{PESEL}&ISO", **PERSON)
    assert len(directory.search(Sought((), (NAME,), "18580314"))) == MOST + 1
