"""Registration on both databases: what is kept, and which identifiers are refused."""

from __future__ import annotations

import hashlib

import pytest
from lxml import etree
from sqlalchemy import select

from msim_xds.database.engine import Database
from msim_xds.database.schema import object_author, object_code, object_reference, patient
from tests.support.metadata import (
    PATIENT,
    RPLC,
    association,
    document_entry,
    folder,
    new_oid,
    new_uuid,
    original,
    single_document,
    submission_set,
    submit_objects,
)
from tests.test_registry.registering import Registering, entry_message


class TestKept:
    """What an accepted submission leaves."""

    def test_search_columns(self, registering: Registering) -> None:
        unique_id = new_oid()
        registering.register(
            single_document(
                unique_id=unique_id,
                content=b"octets",
                slots={"serviceStartTime": "202609", "serviceStopTime": "2026091410"},
            )
        )
        (row,) = registering.objects(unique_id)
        assert (row.time_low, row.time_high) == (20260914113000, 20260914113000)
        assert (row.start_low, row.start_high) == (20260900000000, 20260999999999)
        assert (row.stop_low, row.stop_high) == (20260914100000, 20260914109999 + 0)
        assert row.type_code == "18842-5^^2.16.840.1.113883.6.1"
        assert row.document_availability == "urn:ihe:iti:2010:DocumentAvailability:Online"
        assert (row.hash, row.size) == (hashlib.sha1(b"octets").hexdigest(), 6)
        assert (row.logical_id, row.version) == (row.entry_uuid, 1)

    def test_repeated_attributes(self, registering: Registering, database: Database) -> None:
        event = ("E1", "1.2.3", "zdarzenie")
        entry = registering.added(
            codes={"eventCodeList": [event, event, ("E2", "1.2.3", "drugie")]},
            authors=("1^Łęcka^Żaneta^^^^^^&1.2.3&ISO", "2^Nowak^Jan^^^^^^&1.2.3&ISO"),
            slots={
                "urn:ihe:iti:xds:2013:referenceIdList": [
                    "A1^^^&1.2.3&ISO^urn:ihe:iti:xds:2013:accession",
                    "A1^^^&1.2.3&ISO^urn:ihe:iti:xds:2013:accession",
                ]
            },
        )
        key = registering.object(entry).id
        with database.read() as connection:
            codes = connection.execute(select(object_code).where(object_code.c.object_id == key)).all()
            authors = connection.execute(select(object_author).where(object_author.c.object_id == key)).all()
            references = connection.execute(select(object_reference)).all()
        assert {tuple(row) for row in codes} == {
            (key, 1, "N^^2.16.840.1.113883.5.25"),
            (key, 2, "E1^^1.2.3"),
            (key, 2, "E2^^1.2.3"),
            (key, 4, "000000999901^^^&2.16.840.1.113883.3.4424.2.3.1&ISO"),
        }
        assert [tuple(row) for row in authors] == [
            (key, 0, "1^Łęcka^Żaneta^^^^^^&1.2.3&ISO", "1^lecka^zaneta^^^^^^&1.2.3&iso"),
            (key, 1, "2^Nowak^Jan^^^^^^&1.2.3&ISO", "2^nowak^jan^^^^^^&1.2.3&iso"),
        ]
        assert [tuple(row) for row in references] == [(key, "A1^^^&1.2.3&ISO^urn:ihe:iti:xds:2013:accession")]

    def test_stored_ebrim_carries_what_the_registry_sets(self, registering: Registering) -> None:
        registering.now = registering.now.replace(hour=7, minute=8, second=9)
        uuid = registering.folder_with(registering.added())
        element = etree.fromstring(
            registering.ebrim(uuid).replace(
                b"<rim:RegistryPackage",
                b'<rim:RegistryPackage xmlns:rim="urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"',
                1,
            )
        )
        assert (element.get("id"), element.get("lid")) == (uuid, uuid)
        assert "20260914070809" in etree.tostring(element).decode()
        assert element.find("{*}VersionInfo").get("versionName") == "1"  # type: ignore[union-attr]

    def test_symbolic_ids_become_uuids_everywhere(self, registering: Registering) -> None:
        unique_id = new_oid()
        registering.register(single_document(unique_id=unique_id))
        (row,) = registering.objects(unique_id)
        assert row.entry_uuid.startswith("urn:uuid:")
        assert b"Document01" not in registering.ebrim(row.entry_uuid)

    def test_local_times_are_searched_in_utc(self, database: Database) -> None:
        source = "2.16.840.1.113883.3.4424.2.7.99999"
        registering = Registering(
            database,
            validation={"local_time_sources": [source], "tolerate": {"local_time": True}},
        )
        assert registering.object(registering.added()).time_low == 20260914093000

    def test_a_given_lid_is_replaced_unless_versions_are_tolerated(self, database: Database) -> None:
        lid = new_uuid()
        attributes = f' lid="{lid}"'
        strict = Registering(database)
        assert strict.codes(single_document(attributes=attributes)) == ["XDSRegistryMetadataError"]
        lenient = Registering(database, validation={"tolerate": {"versioned_submission": True}})
        assert lenient.object(lenient.added(attributes=attributes)).logical_id == lid

    def test_extra_metadata_is_dropped_with_a_warning_where_settings_say_so(self, database: Database) -> None:
        registering = Registering(database, validation={"extra_metadata": "drop"})
        entry = new_uuid()
        warnings = registering.register(entry_message(entry, slots={"urn:pl:ward": "7B"}))
        assert [warning.code for warning in warnings] == ["XDSExtraMetadataNotSaved"]
        assert b"urn:pl:ward" not in registering.ebrim(entry)


class TestPatients:
    def test_open_policy_takes_new_patients(self, registering: Registering, database: Database) -> None:
        registering.added()
        registering.added()
        with database.read() as connection:
            assert connection.execute(select(patient.c.cx)).scalars().all() == [PATIENT]

    def test_known_policy_refuses_others(self, database: Database) -> None:
        registering = Registering(database, patients={"policy": "known"})
        (finding,) = registering.refused(single_document())
        assert (finding.code, finding.context) == ("XDSUnknownPatientId", PATIENT)
        with database.write() as connection:
            connection.execute(patient.insert(), {"id": 1, "cx": PATIENT, "announced": True})
        registering.register(single_document())


class TestIdentifiers:
    def test_a_retry_changes_nothing(self, registering: Registering) -> None:
        message = single_document()
        registering.register(message)
        before = registering.census()
        assert registering.register(message) == ()
        assert registering.census() == before

    def test_another_submission_under_the_same_unique_id(self, registering: Registering) -> None:
        unique_id = new_oid()
        registering.register(
            submit_objects(submission_set(unique_id=unique_id), document_entry(), original())
        )
        (finding,) = registering.refused(
            submit_objects(submission_set(unique_id=unique_id), document_entry(), original())
        )
        assert (finding.code, finding.context) == ("XDSDuplicateUniqueIdInRegistry", unique_id)
        assert "SubmissionSet01" in finding.text()

    @pytest.mark.parametrize("package", ["set", "folder"])
    def test_no_package_shares_the_unique_id_of_an_entry(
        self, registering: Registering, package: str
    ) -> None:
        unique_id = new_oid()
        registering.register(single_document(unique_id=unique_id))
        message = submit_objects(
            submission_set(unique_id=unique_id if package == "set" else ""),
            folder(unique_id=unique_id if package == "folder" else ""),
            association("SubmissionSet01", "Folder01"),
        )
        assert registering.codes(message) == ["XDSDuplicateUniqueIdInRegistry"]

    def test_no_entry_shares_the_unique_id_of_a_package(self, registering: Registering) -> None:
        unique_id = new_oid()
        registering.register(
            submit_objects(submission_set(unique_id=unique_id), document_entry(), original())
        )
        assert registering.codes(single_document(unique_id=unique_id)) == ["XDSRegistryMetadataError"]

    def test_a_second_entry_of_the_same_document_is_welcome(self, registering: Registering) -> None:
        unique_id = new_oid()
        registering.register(single_document(unique_id=unique_id, content=b"same"))
        upper = hashlib.sha1(b"same").hexdigest().upper()
        registering.register(single_document(unique_id=unique_id, content=b"same", slots={"hash": upper}))
        assert len(registering.objects(unique_id)) == 2

    def test_other_octets_under_the_same_unique_id(self, registering: Registering) -> None:
        unique_id = new_oid()
        registering.register(single_document(unique_id=unique_id, content=b"same"))
        findings = registering.refused(single_document(unique_id=unique_id, content=b"longer"))
        assert [finding.code for finding in findings] == ["XDSNonIdenticalHash", "XDSNonIdenticalSize"]
        assert {finding.context for finding in findings} == {unique_id}
        assert registering.codes(single_document(unique_id=unique_id, content=b"same!"[:4][::-1])) == [
            "XDSNonIdenticalHash"
        ]

    def test_an_entry_uuid_is_used_once(self, registering: Registering) -> None:
        entry = registering.added()
        (finding,) = registering.refused(entry_message(entry))
        assert (finding.code, finding.attribute) == ("XDSRegistryMetadataError", "entryUUID")

    def test_ids_of_associations_and_objects_are_one_space(self, registering: Registering) -> None:
        link = new_uuid()
        registering.register(
            submit_objects(
                submission_set(),
                document_entry(),
                association("SubmissionSet01", "Document01", id=link, status="Original"),
            )
        )
        assert registering.codes(entry_message(link)) == ["XDSRegistryMetadataError"]

    def test_uuids_differing_in_case_are_the_same(self, registering: Registering) -> None:
        entry = registering.added()
        shouted = "urn:uuid:" + entry[9:].upper()
        assert registering.codes(
            submit_objects(
                submission_set(), association("SubmissionSet01", shouted, RPLC), document_entry(), original()
            )
        )
        registering.register(entry_message(replacing := new_uuid(), association(replacing, shouted, RPLC)))
        assert not registering.is_approved(entry)
