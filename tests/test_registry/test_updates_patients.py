"""Updates that move objects to other patients, or whose patients were merged, on both databases."""

from __future__ import annotations

from sqlalchemy import insert, select

from msim_xds.database.engine import Database
from msim_xds.database.schema import patient
from msim_xds.ihe.transactions import ITI_92
from msim_xds.registry import merging, patients
from tests.support.metadata import OTHER_PATIENT, PATIENT, new_uuid
from tests.support.updates import entry_version, folder_version, put_into, update
from tests.test_registry.updating import Updating


class TestPatients:
    def test_an_unconnected_entry_moves(self, updating: Updating) -> None:
        entry = updating.added()
        second = updating.updated(entry, patient_id=OTHER_PATIENT)
        with updating.database.read() as connection:
            keys = {cx: key for cx, key in connection.execute(select(patient.c.cx, patient.c.id))}
        assert updating.object(second).patient_id == keys[OTHER_PATIENT]
        assert updating.object(entry).patient_id == keys[PATIENT]

    def test_entry_and_folder_move_together(self, updating: Updating) -> None:
        entry = updating.added()
        folder = updating.folder_with(entry)
        updating.update(
            update(
                entry_version(
                    entry, updating.object(entry).unique_id, new := new_uuid(), patient_id=OTHER_PATIENT
                ),
                folder_version(
                    folder,
                    updating.object(folder).unique_id,
                    new_folder := new_uuid(),
                    patient_id=OTHER_PATIENT,
                ),
                patient_id=OTHER_PATIENT,
            )
        )
        assert updating.pairs(new) == {(new_folder, new)}

    def test_a_connected_entry_does_not(self, updating: Updating) -> None:
        entry = updating.added()
        updating.folder_with(entry)
        updating.folder_with(entry)
        message = entry_version(entry, updating.object(entry).unique_id, patient_id=OTHER_PATIENT)
        (finding,) = updating.refused_update(update(message, patient_id=OTHER_PATIENT))
        assert (finding.code, finding.context) == ("XDSPatientIDReconciliationError", "Document01")

    def test_patients_are_compared_after_a_merge(self, updating: Updating) -> None:
        entry, folder = updating.added(patient_id=OTHER_PATIENT), updating.folder_with()
        self.merge(updating, PATIENT, OTHER_PATIENT)
        second = updating.updated(entry, transaction=ITI_92)
        row = updating.object(second)
        assert row.patient_id == updating.object(folder).patient_id == updating.object(entry).patient_id
        assert row.submitted_patient_id is None
        updating.update(update(put_into(folder, second)))
        assert updating.pairs(second) == {(folder, second)}

    def test_a_merged_id_is_in_use_no_more(self, updating: Updating) -> None:
        entry = updating.added(patient_id=OTHER_PATIENT)
        updating.added()
        self.merge(updating, PATIENT, OTHER_PATIENT)
        message = entry_version(entry, updating.object(entry).unique_id, patient_id=OTHER_PATIENT)
        (finding,) = updating.refused_update(update(message, patient_id=OTHER_PATIENT))
        assert (finding.code, finding.context) == ("XDSUnknownPatientId", OTHER_PATIENT)

    def test_a_retry_is_harmless_after_the_merge(self, updating: Updating) -> None:
        entry = updating.added(patient_id=OTHER_PATIENT)
        updating.added()
        version = entry_version(entry, updating.object(entry).unique_id, patient_id=OTHER_PATIENT)
        message = update(version, patient_id=OTHER_PATIENT)
        updating.update(message)
        self.merge(updating, PATIENT, OTHER_PATIENT)
        before = updating.picture()
        assert updating.update(message) == ()
        assert updating.picture() == before

    def test_unknown_patients(self, database: Database) -> None:
        updating = Updating(database, patients={"policy": "known"})
        with database.write() as connection:
            connection.execute(insert(patient), {"id": 1, "cx": PATIENT, "announced": True})
        entry = updating.added()
        version = entry_version(entry, updating.object(entry).unique_id, patient_id=OTHER_PATIENT)
        (finding,) = updating.refused_update(update(version, patient_id=OTHER_PATIENT))
        assert (finding.code, finding.context) == ("XDSUnknownPatientId", OTHER_PATIENT)

    @staticmethod
    def merge(updating: Updating, surviving: str, subsumed: str) -> None:
        with updating.database.write() as connection:
            first, second = patients.lock(connection, surviving), patients.lock(connection, subsumed)
            assert first is not None
            assert second is not None
            merging.merge(connection, first, second, "20260914120000")
