"""Patients in queries: merged ones, several at once (ITI-51), all of them; on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from msim_xds.database.schema import registry_object
from msim_xds.findings import Refused
from msim_xds.ihe.transactions import ITI_18, ITI_51
from msim_xds.registry import merging, patients
from msim_xds.registry.columns import APPROVED as APPROVED_NUMBER
from msim_xds.registry.compile import Dialect
from msim_xds.registry.shelf import Shelf
from tests.support.metadata import (
    APPROVED,
    OTHER_PATIENT,
    PATIENT,
    RIM,
    association,
    document_entry,
    folder,
    new_uuid,
    original,
    submission_set,
)
from tests.support.queries import MULTIPLE_IDS, find_documents, many, one, request
from tests.support.registry import Registry, Result

DE, FD, SS = "$XDSDocumentEntry", "$XDSFolder", "$XDSSubmissionSet"
THIRD = "7^^^&1.2.3&ISO"
REFERENCE = "2013^^^&1.2.3&ISO^urn:ihe:iti:xds:2013:accession"
X, Y = ("X", "1.2.3", "x"), ("Y", "1.2.3", "y")


def submit(registry: Registry, patient_id: str = PATIENT, **options: Any) -> str:
    """Register a document in a folder; its entryUUID."""
    entry = new_uuid()
    registry.submit(
        submission_set(patient_id=patient_id),
        document_entry(entry, patient_id=patient_id, **options),
        original(entry),
        folder(patient_id=patient_id, codes=(X,) if "codes" in options else (Y,)),
        association("SubmissionSet01", "Folder01"),
    )
    return entry


def merge(registry: Registry, subsumed: str, surviving: str) -> None:
    with registry.database.write() as connection:
        kept, gone = patients.lock(connection, surviving), patients.lock(connection, subsumed)
        assert kept is not None
        assert gone is not None
        merging.merge(connection, kept, gone, now="20260914120000")


def everything(patient: str) -> bytes:
    """GetAll."""
    base = [("$patientId", one(patient))]
    base += [(f"$XDS{n}Status", many(APPROVED)) for n in ("DocumentEntry", "SubmissionSet", "Folder")]
    return request("GetAll", base)


def shown(found: Result) -> set[str]:
    """The patientIds in an answer."""
    ids = found.root.iterfind(f".//{{{RIM}}}ExternalIdentifier")
    return {e.get("value", "") for e in ids if str(e.xpath("string(*/*/@value)")).endswith(".patientId")}


def source_patients(found: Result) -> set[str]:
    slots = found.root.iterfind(f".//{{{RIM}}}Slot[@name='sourcePatientId']")
    return {str(slot.xpath("string()")) for slot in slots}


class TestMerges:
    def test_the_survivor_has_everything_of_the_chain(self, registry: Registry) -> None:
        first, second, third = (submit(registry, patient) for patient in (PATIENT, OTHER_PATIENT, THIRD))
        sources = source_patients(registry.ask(everything(OTHER_PATIENT)))
        merge(registry, PATIENT, OTHER_PATIENT)
        merge(registry, OTHER_PATIENT, THIRD)
        assert registry.ask(find_documents(patient=THIRD)).ids == sorted([first, second, third])
        found = registry.ask(everything(THIRD))
        assert len(found.of("RegistryPackage")) == 6
        assert len(found.of("Association")) == 6
        assert shown(found) == {THIRD}
        assert source_patients(found) == sources
        for subsumed in (PATIENT, OTHER_PATIENT):
            assert registry.ask(everything(subsumed)).ids == []

    def test_what_was_on_the_shelf_names_the_survivor_at_once(self, registry: Registry) -> None:
        entry = submit(registry)
        submit(registry, OTHER_PATIENT)
        named = request("GetDocuments", [(f"{DE}EntryUUID", many(entry))])
        assert shown(registry.ask(named)) == {PATIENT}
        merge(registry, PATIENT, OTHER_PATIENT)
        for _ in range(2):
            assert shown(registry.ask(named)) == {OTHER_PATIENT}
            assert shown(registry.ask(everything(OTHER_PATIENT))) == {OTHER_PATIENT}

    def test_a_subsumed_id_is_unknown(self, database_url: str) -> None:
        with Registry(database_url, search={"unknown_patient": "error"}) as registry:
            submit(registry)
            submit(registry, OTHER_PATIENT)
            merge(registry, PATIENT, OTHER_PATIENT)
            finding = registry.refusal(find_documents())
            assert (finding.code, finding.code_context) == ("XDSUnknownPatientId", PATIENT)
            assert len(registry.ask(find_documents(patient=OTHER_PATIENT)).ids) == 2

    def test_merged_patients_are_one(self, registry: Registry) -> None:
        ids = many(submit(registry), submit(registry, OTHER_PATIENT))
        named = request("GetDocuments", [(f"{DE}EntryUUID", ids)])
        assert registry.refusal(named).code == "XDSResultNotSinglePatient"
        merge(registry, PATIENT, OTHER_PATIENT)
        assert len(registry.ask(named).ids) == 2

    def test_a_text_names_the_patient_of_its_row_though_a_merge_comes_between(
        self, registry: Registry
    ) -> None:
        """What was found before a merge and is read after it must not come onto the shelf as it is now."""
        entry = submit(registry)
        submit(registry, OTHER_PATIENT)
        shelf = Shelf(registry.codec, Dialect(registry.database.is_sqlite, False), None, 1 << 20)

        def text_of(row: tuple[Any, ...]) -> bytes:
            return b"".join(shelf.texts(connection, registry_object, [row]))

        with registry.database.read() as connection:
            mine, other = (patients.find(connection, cx) for cx in (PATIENT, OTHER_PATIENT))
            assert mine is not None
            assert other is not None
            columns = registry_object.c
            key = connection.execute(
                registry_object.select().with_only_columns(columns.id).where(columns.entry_uuid == entry)
            ).scalar_one()
            merge(registry, PATIENT, OTHER_PATIENT)
            before, after = ((key, patient.id, APPROVED_NUMBER, None, None) for patient in (mine, other))
            old, new = PATIENT.replace("&", "&amp;").encode(), OTHER_PATIENT.replace("&", "&amp;").encode()
            for _ in range(2):
                assert f'value="{old.decode()}"'.encode() in text_of(before)
                assert f'value="{new.decode()}"'.encode() in text_of(after)


STATUS = (f"{DE}Status", many(APPROVED))
CODE = (f"{DE}ClassCode", many("X^^1.2.3"))


class TestSeveralPatients:
    def ask(self, registry: Registry, *more: tuple[str, str], returns: str = "LeafClass") -> Result:
        message = request("FindDocumentsForMultiplePatients", [STATUS, *more], returns=returns)
        return registry.ask(message, ITI_51)

    def test_documents_of_a_list_of_patients(self, registry: Registry) -> None:
        first, second = submit(registry), submit(registry, OTHER_PATIENT)
        third = submit(registry, THIRD, codes={"classCode": X})
        both = (f"{DE}PatientId", many(PATIENT, OTHER_PATIENT))
        for returns in ("LeafClass", "ObjectRef"):
            assert self.ask(registry, both, returns=returns).ids == sorted([first, second])
        everybody = (f"{DE}PatientId", many(PATIENT, OTHER_PATIENT, THIRD, "8^^^&1.2.3&ISO"))
        assert self.ask(registry, everybody, CODE).ids == [third]
        assert shown(self.ask(registry, everybody)) == {PATIENT, OTHER_PATIENT, THIRD}

    def test_one_patient_and_none_known(self, registry: Registry) -> None:
        entry = submit(registry)
        assert self.ask(registry, (f"{DE}PatientId", many(PATIENT))).ids == [entry]
        assert self.ask(registry, (f"{DE}PatientId", many(OTHER_PATIENT, THIRD))).ids == []
        assert self.ask(registry, (f"{DE}PatientId", many(OTHER_PATIENT))).ids == []

    def test_all_patients(self, registry: Registry) -> None:
        submit(registry)
        found = {submit(registry, patient, codes={"classCode": X}) for patient in (PATIENT, OTHER_PATIENT)}
        assert set(self.ask(registry, CODE).ids) == found

    def test_folders(self, registry: Registry) -> None:
        submit(registry)
        submit(registry, OTHER_PATIENT, codes={"classCode": X})
        status = (f"{FD}Status", many(APPROVED))

        def ask(*more: tuple[str, str]) -> Result:
            return registry.ask(request("FindFoldersForMultiplePatients", [status, *more]), ITI_51)

        assert len(ask((f"{FD}PatientId", many(PATIENT, OTHER_PATIENT))).of("RegistryPackage")) == 2
        assert shown(ask((f"{FD}CodeList", many("X^^1.2.3")))) == {OTHER_PATIENT}

    def test_reference_ids(self, registry: Registry) -> None:
        submit(registry)
        referring = {"slots": {"urn:ihe:iti:xds:2013:referenceIdList": REFERENCE}}
        mine, other = (submit(registry, patient, **referring) for patient in (PATIENT, OTHER_PATIENT))
        name = "FindDocumentsByReferenceIdForMultiplePatients"
        base = [STATUS, (f"{DE}ReferenceIdList", many("2013^%"))]
        assert registry.ask(request(name, base), ITI_51).ids == sorted([mine, other])
        of_one = [*base, (f"{DE}PatientId", many(PATIENT, THIRD))]
        assert registry.ask(request(name, of_one), ITI_51).ids == [mine]

    def test_merged_patients(self, registry: Registry) -> None:
        entries = [submit(registry), submit(registry, OTHER_PATIENT)]
        merge(registry, PATIENT, OTHER_PATIENT)
        both = self.ask(registry, (f"{DE}PatientId", many(PATIENT, OTHER_PATIENT)))
        assert both.ids == sorted(entries)
        assert shown(both) == {OTHER_PATIENT}
        assert self.ask(registry, (f"{DE}PatientId", many(PATIENT, THIRD))).ids == []

    def test_unknown_ones_as_an_error(self, database_url: str) -> None:
        with Registry(database_url, search={"unknown_patient": "error"}) as registry:
            submit(registry)
            with pytest.raises(Refused) as caught:
                self.ask(registry, (f"{DE}PatientId", many(OTHER_PATIENT, PATIENT, THIRD)))
            assert [(f.code, f.code_context) for f in caught.value.findings] == [
                ("XDSUnknownPatientId", OTHER_PATIENT),
                ("XDSUnknownPatientId", THIRD),
            ]
            assert self.ask(registry, CODE).ids == []

    def test_limits(self, database_url: str) -> None:
        with Registry(database_url, limits={"query_results": 2}) as registry:
            for patient in (PATIENT, OTHER_PATIENT, THIRD):
                submit(registry, patient, codes={"classCode": X})
            finding = registry.refusal(request("FindDocumentsForMultiplePatients", [STATUS, CODE]), ITI_51)
            assert finding.code == "XDSTooManyResults"

    def test_a_search_through_all_patients_takes_no_longer_than_allowed(self, database_url: str) -> None:
        with Registry(database_url, search={"all_patients_timeout_s": 0.001}) as registry:
            submit(registry)
            with registry.database.write() as connection:
                connection.execute(MANY_ENTRIES)
            message = request("FindDocumentsForMultiplePatients", [STATUS, CODE])
            finding = registry.refusal(message, ITI_51)
            assert finding.code == "XDSRegistryOutOfResources"
            assert f"{DE}PatientId" in finding.allowed
            of_one = (f"{DE}PatientId", many(PATIENT)), (f"{DE}CreationTimeFrom", "2020")
            assert len(self.ask(registry, *of_one).ids) == 1


#: 100,000 entries of the first patient that no query by code finds.
MANY_ENTRIES = text(
    """INSERT INTO registry_object
        (id, patient_id, kind, status, entry_uuid, logical_id, version, unique_id, class_code, time_low,
         time_high, dictionary_id, fragment)
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100000)
    SELECT 1000000 + n, (SELECT min(id) FROM patient), 1, 1, 'urn:uuid:' || n, 'urn:uuid:' || n, 1, '1.2',
        'Y', 20000101000000, 20000101000000, 0, '' FROM numbers"""
)


@pytest.mark.parametrize("name", MULTIPLE_IDS)
def test_queries_of_the_other_transaction_are_unknown(registry: Registry, name: str) -> None:
    assert registry.refusal(request(name), ITI_18).code == "XDSUnknownStoredQuery"
    assert registry.refusal(find_documents(), ITI_51).code == "XDSUnknownStoredQuery"


class TestExclude:
    def test_only_as_a_preview(self, registry: Registry) -> None:
        finding = registry.refusal(request("FindDocumentsExclude"))
        assert finding.code == "XDSUnknownStoredQuery"
        assert "search.preview" in finding.problem

    def test_what_is_excluded(self, database_url: str) -> None:
        with Registry(database_url, search={"preview": True}) as registry:
            plain = submit(registry)
            other = submit(registry, codes={"classCode": X, "eventCodeList": X}, authors=("1^Nowak^Ewa",))

            def ask(*more: tuple[str, str]) -> list[str]:
                base = [(f"{DE}PatientId", one(PATIENT)), STATUS]
                return registry.ask(request("FindDocumentsExclude", [*base, *more])).ids

            assert ask() == sorted([plain, other])
            for name, value in (
                ("ClassCodeExclude", "X^^1.2.3"),
                ("EventCodeListExclude", "X^^1.2.3"),
                ("AuthorPersonExclude", "%Nowak%"),
            ):
                assert ask((DE + name, many(value, "Y^^1.2.3"))) == [plain]
            online = "urn:ihe:iti:2010:DocumentAvailability:Online"
            assert ask((f"{DE}DocumentAvailabilityExclude", many(online))) == []
            y, x = (f"{DE}ClassCodeExclude", many("Y^^1.2.3")), (f"{DE}EventCodeList", many("X^^1.2.3"))
            assert ask(y, x) == [other]
