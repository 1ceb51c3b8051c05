"""Entries of the registry as values."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete, update

from msim_xds.database.schema import registry_object
from msim_xds.ihe.transactions import ITI_61
from msim_xds.metadata import ebrim
from msim_xds.registry import reading
from msim_xds.registry.reading import Holding, RegistryReader
from msim_xds.settings import LimitSettings, RegistrySettings
from msim_xds.wire import safexml
from tests.support.metadata import (
    OTHER_PATIENT,
    PATIENT,
    REPOSITORY,
    RPLC,
    SNAPSHOT,
    association,
    new_oid,
    new_uuid,
    on_demand_entry,
    original,
    submission_set,
    submit_objects,
)
from tests.test_registry.registering import Registering, entry_message


@pytest.fixture
def reader(registering: Registering) -> RegistryReader:
    return RegistryReader(registering.database, registering.codec, registering.settings)


def on_demand(registering: Registering, unique_id: str, patient_id: str = PATIENT, **options: Any) -> str:
    """entryUUID of an on-demand entry just registered."""
    uuid = new_uuid()
    message = submit_objects(
        submission_set(patient_id=patient_id),
        on_demand_entry(uuid, unique_id=unique_id, patient_id=patient_id, **options),
        original(uuid),
    )
    read = ebrim.read(safexml.parse(message), registering.settings.limits)
    with registering.database.write() as connection:
        registering.registration.register(connection, registering.registration.draft(read, ITI_61))
    return uuid


def held(reader: RegistryReader, unique_id: str) -> Holding:
    (found,) = reader.on_demand(unique_id, REPOSITORY)
    return found


class TestOnDemand:
    def test_by_unique_id_and_repository(self, registering: Registering, reader: RegistryReader) -> None:
        unique_id = new_oid()
        first = on_demand(registering, unique_id)
        second = on_demand(registering, unique_id, OTHER_PATIENT)
        on_demand(registering, unique_id, repository="1.2.3")
        on_demand(registering, new_oid())
        registering.register(entry_message(new_uuid()))
        found = reader.on_demand(unique_id, REPOSITORY)
        assert [(each.entry_uuid, each.unique_id, each.approved) for each in found] == [
            (first, unique_id, True),
            (second, unique_id, True),
        ]
        assert found[0].patient_id != found[1].patient_id
        assert reader.on_demand(unique_id, "9.9") == []

    def test_deprecated_and_superseded(self, registering: Registering, reader: RegistryReader) -> None:
        unique_id = new_oid()
        on_demand(registering, unique_id)
        for status in (2, 3):
            with registering.database.write() as connection:
                connection.execute(update(registry_object).values(status=status))
            assert not held(reader, unique_id).approved

    def test_entry_and_its_submission_set(self, registering: Registering, reader: RegistryReader) -> None:
        unique_id = new_oid()
        uuid = on_demand(registering, unique_id, title="Spis <&> „żółć”")
        later = submit_objects(
            submission_set(title="later"), association("SubmissionSet01", uuid, status="Reference")
        )
        registering.register(later)
        holding = held(reader, unique_id)
        entry = reader.entry(holding)
        assert (entry.entry_uuid, entry.title[0].value) == (uuid, "Spis <&> „żółć”")
        assert entry.status == "urn:oasis:names:tc:ebxml-regrep:StatusType:Approved"
        assert reader.submission_set(holding).title[0].value == "Wysyłka EDM"

    def test_removed_meanwhile(self, registering: Registering, reader: RegistryReader) -> None:
        unique_id = new_oid()
        on_demand(registering, unique_id)
        holding = held(reader, unique_id)
        with registering.database.write() as connection:
            connection.execute(delete(registry_object))
        with pytest.raises(LookupError):
            reader.entry(holding)
        with pytest.raises(LookupError):
            reader.submission_set(holding)

    def test_home_is_the_communitys(self, registering: Registering) -> None:
        unique_id, home = new_oid(), "urn:oid:1.2.3"
        on_demand(registering, unique_id)
        settings = registering.settings.model_copy(
            update={"registry": RegistrySettings(home_community_id=home)}
        )
        reader = RegistryReader(registering.database, registering.codec, settings)
        assert reader.entry(held(reader, unique_id)).home == home


class TestSnapshots:
    def test_approved_ones_and_those_of_the_id(
        self, registering: Registering, reader: RegistryReader
    ) -> None:
        unique_id = new_oid()
        target = on_demand(registering, unique_id)
        ids = [new_oid() for _ in "abc"]
        uuids = [new_uuid() for _ in ids]
        previous: list[str] = []
        for uuid, own_id in zip(uuids, ids, strict=True):
            replacing = [association(uuid, each, RPLC) for each in previous]
            registering.register(
                entry_message(uuid, association(uuid, target, SNAPSHOT), *replacing, unique_id=own_id)
            )
            previous = [uuid]
        registering.related(uuids[2], "urn:ihe:iti:2007:AssociationType:APND")
        holding = held(reader, unique_id)
        assert [(each.entry_uuid, each.approved) for each in reader.snapshots(holding, "")] == [
            (uuids[2], True)
        ]
        found = reader.snapshots(holding, ids[0])
        assert [(each.entry_uuid, each.approved) for each in found] == [(uuids[0], False), (uuids[2], True)]


class TestDocuments:
    @pytest.mark.parametrize("batch", [1, 2, 100])
    def test_approved_stable_ones_of_the_patient(
        self, registering: Registering, reader: RegistryReader, monkeypatch: pytest.MonkeyPatch, batch: int
    ) -> None:
        monkeypatch.setattr(reading, "_BATCH", batch)
        reader = RegistryReader(registering.database, registering.codec, registering.settings)
        replaced = registering.added()
        expected = [registering.related(replaced, RPLC), *(registering.added() for _ in range(4))]
        registering.added(patient_id=OTHER_PATIENT)
        registering.folder_with(expected[0])
        unique_id = new_oid()
        target = on_demand(registering, unique_id)
        snapshot = registering.related(target, SNAPSHOT)
        found = list(reader.documents(PATIENT))
        assert [each.entry_uuid for each in found] == expected
        assert snapshot not in expected
        assert {each.patient_id for each in found} == {PATIENT}

    def test_of_nobody(self, reader: RegistryReader) -> None:
        assert list(reader.documents(PATIENT)) == []

    def test_batches_keep_to_the_limit_of_objects(self, registering: Registering) -> None:
        expected = [registering.added() for _ in range(5)]
        limits = LimitSettings(objects=2)
        settings = registering.settings.model_copy(update={"limits": limits})
        reader = RegistryReader(registering.database, registering.codec, settings)
        assert [each.entry_uuid for each in reader.documents(PATIENT)] == expected

    def test_one_removed_while_others_are_read(
        self, registering: Registering, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading, "_BATCH", 1)
        reader = RegistryReader(registering.database, registering.codec, registering.settings)
        first, second, third = (registering.added() for _ in range(3))
        documents = reader.documents(PATIENT)
        assert next(documents).entry_uuid == first
        with registering.database.write() as connection:
            connection.execute(delete(registry_object).where(registry_object.c.entry_uuid == second))
        assert [each.entry_uuid for each in documents] == [third]
