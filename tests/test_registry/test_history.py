"""registry.history: what ITI-42 would refuse, told of the past."""

from __future__ import annotations

import pytest
from lxml import etree

from msim_xds.findings import Refused
from msim_xds.ihe.transactions import ITI_42
from msim_xds.metadata import ebrim
from msim_xds.registry.history import as_history
from tests.support.metadata import (
    APND,
    DEPRECATED,
    OTHER_PATIENT,
    PATIENT,
    RPLC,
    association,
    document_entry,
    new_uuid,
    original,
    submission_set,
    submit_objects,
)
from tests.support.queries import find_documents
from tests.support.registry import Registry


@pytest.fixture
def registry(database_url: str) -> Registry:
    return Registry(database_url)


def tell(registry: Registry, status: str, *links: tuple[str, str], patient: str = PATIENT) -> str:
    """Register an entry of that status with relations (type, target); its entryUUID."""
    name = new_uuid()
    objects = [
        submission_set(patient_id=patient),
        document_entry(name, patient_id=patient, attributes=f' status="{status}"'),
        original(name),
        *(association(name, target, kind) for kind, target in links),
    ]
    reading = ebrim.read(etree.fromstring(submit_objects(*objects)), registry.settings.limits)
    draft = as_history(registry.registration.draft(reading, ITI_42))
    with registry.database.write() as connection:
        registry.registration.register(connection, draft)
    return name


def deprecated(registry: Registry) -> list[str]:
    return registry.ask(find_documents(status=(DEPRECATED,))).ids


def test_a_chain(registry: Registry) -> None:
    first = tell(registry, DEPRECATED)
    second = tell(registry, DEPRECATED, (RPLC, first))
    tell(registry, "", (RPLC, second))
    assert deprecated(registry) == sorted((first, second))


def test_nothing_is_replaced_twice(registry: Registry) -> None:
    first = tell(registry, DEPRECATED)
    tell(registry, "", (RPLC, first))
    with pytest.raises(Refused, match="XDSRegistryDeprecatedDocumentError"):
        tell(registry, "", (RPLC, first))


def test_what_was_replaced_can_have_been_appended_to(registry: Registry) -> None:
    first = tell(registry, DEPRECATED)
    tell(registry, "", (RPLC, first))
    appendix = tell(registry, DEPRECATED, (APND, first))
    assert deprecated(registry) == sorted((first, appendix))


def test_other_rules_stay(registry: Registry) -> None:
    first = tell(registry, DEPRECATED)
    with pytest.raises(Refused, match="XDSPatientIdDoesNotMatch"):
        tell(registry, "", (RPLC, first), patient=OTHER_PATIENT)
    with pytest.raises(Refused, match="UnresolvedReferenceException"):
        tell(registry, "", (RPLC, new_uuid()))


def test_without_history_the_status_is_the_registrys(registry: Registry) -> None:
    entry = document_entry(name := new_uuid(), attributes=f' status="{DEPRECATED}"')
    registry.submit(submission_set(), entry, original(name))
    assert deprecated(registry) == []
