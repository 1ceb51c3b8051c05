"""What may be named by associations from a submission into the registry, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from msim_xds.database.engine import Database
from msim_xds.database.schema import registry_object
from msim_xds.ihe.names import AssociationType
from tests.support.metadata import (
    APND,
    HAS_MEMBER,
    OTHER_PATIENT,
    PATIENT,
    RPLC,
    SIGNS,
    SNAPSHOT,
    XFRM,
    XFRM_RPLC,
    association,
    document_entry,
    new_oid,
    new_uuid,
    original,
    single_document,
    submission_set,
    submit_objects,
)
from tests.test_registry.registering import Registering, entry_message

RELATIONSHIPS = [RPLC, APND, XFRM, XFRM_RPLC, SIGNS]


class TestRelationships:
    @pytest.mark.parametrize("kind", RELATIONSHIPS)
    def test_to_an_approved_entry(self, registering: Registering, kind: str) -> None:
        target = registering.added()
        source = registering.related(target, kind)
        assert registering.sources(target, AssociationType(kind)) == [source]
        assert registering.is_approved(target) is (kind not in (RPLC, XFRM_RPLC))
        assert registering.is_approved(source)

    @pytest.mark.parametrize("kind", RELATIONSHIPS)
    def test_to_nothing(self, registering: Registering, kind: str) -> None:
        message = entry_message("Document01", association("Document01", new_uuid(), kind))
        (finding,) = registering.refused(message)
        assert (finding.code, finding.attribute) == ("UnresolvedReferenceException", "targetObject")

    @pytest.mark.parametrize("kind", RELATIONSHIPS)
    def test_to_a_deprecated_entry(self, registering: Registering, kind: str) -> None:
        target = registering.added()
        registering.related(target, RPLC)
        message = entry_message("Document01", association("Document01", target, kind))
        assert registering.codes(message) == ["XDSRegistryDeprecatedDocumentError"]

    @pytest.mark.parametrize("kind", RELATIONSHIPS)
    def test_to_an_entry_of_another_patient(self, registering: Registering, kind: str) -> None:
        target = registering.added(patient_id=OTHER_PATIENT)
        message = entry_message("Document01", association("Document01", target, kind))
        assert registering.codes(message) == ["XDSPatientIdDoesNotMatch"]

    def test_to_a_folder(self, registering: Registering) -> None:
        target = registering.folder_with()
        message = entry_message("Document01", association("Document01", target, APND))
        assert registering.codes(message) == ["XDSRegistryMetadataError"]

    def test_snapshot_of_a_stable_entry(self, registering: Registering) -> None:
        target = registering.added()
        message = entry_message("Document01", association("Document01", target, SNAPSHOT))
        (finding,) = registering.refused(message)
        assert (finding.code, finding.allowed) == ("XDSRegistryMetadataError", "an on-demand DocumentEntry")

    def test_snapshot_of_an_on_demand_entry(self, registering: Registering, database: Database) -> None:
        target = registering.added()
        with database.write() as connection:
            connection.execute(
                update(registry_object).where(registry_object.c.entry_uuid == target).values(kind=2)
            )
        snapshot = AssociationType.IS_SNAPSHOT_OF
        assert registering.sources(target, snapshot) == []
        source = registering.related(target, snapshot)
        assert registering.sources(target, snapshot) == [source]

    def test_nothing_is_appended_to_a_transform(self, registering: Registering) -> None:
        transform = registering.related(registering.added(), XFRM)
        message = entry_message("Document01", association("Document01", transform, APND))
        assert registering.codes(message) == ["XDSRegistryMetadataError"]

    def test_unless_it_has_replaced_its_original(self, registering: Registering) -> None:
        successor = registering.related(registering.added(), XFRM_RPLC)
        assert registering.related(successor, APND)

    def test_nor_to_a_transform_of_the_same_submission(self, registering: Registering) -> None:
        target = registering.added()
        message = submit_objects(
            submission_set(),
            document_entry("Transform"),
            document_entry("Appendix"),
            original("Transform"),
            original("Appendix"),
            association("Transform", target, XFRM),
            association("Appendix", "Transform", APND),
        )
        (finding,) = registering.refused(message)
        assert (finding.code, finding.attribute) == ("XDSRegistryMetadataError", "targetObject")

    def test_two_replacements_of_one_entry_in_a_submission(self, registering: Registering) -> None:
        target = registering.added()
        message = submit_objects(
            submission_set(),
            *(document_entry(name) for name in "AB"),
            *(original(name) for name in "AB"),
            *(association(name, target, RPLC) for name in "AB"),
        )
        assert registering.codes(message) == ["XDSRegistryDeprecatedDocumentError"]

    def test_all_findings_come_at_once(self, registering: Registering) -> None:
        unique_id = new_oid()
        registering.register(single_document(unique_id=unique_id, content=b"same"))
        target = registering.added(patient_id=OTHER_PATIENT)
        codes = registering.codes(
            submit_objects(
                submission_set(source_id="not an oid"),
                document_entry(unique_id=unique_id, content=b"else"),
                original(),
                association("Document01", target, RPLC),
                association("Document01", new_uuid(), APND),
            )
        )
        assert sorted(codes) == [
            "UnresolvedReferenceException",
            "XDSNonIdenticalHash",
            "XDSPatientIdDoesNotMatch",
            "XDSRegistryMetadataError",
        ]


class TestReferences:
    """HasMember from the SubmissionSet to entries registered before."""

    @staticmethod
    def message(target: str) -> bytes:
        return submit_objects(
            submission_set(), association("SubmissionSet01", target, HAS_MEMBER, status="Reference")
        )

    @pytest.mark.parametrize("patient_id", [PATIENT, OTHER_PATIENT])
    def test_to_an_entry_of_any_patient(self, registering: Registering, patient_id: str) -> None:
        target = registering.added(patient_id=patient_id)
        before = registering.object(target)
        registering.register(self.message(target))
        assert len(registering.sources(target)) == 2
        assert registering.object(target) == before

    def test_to_nothing(self, registering: Registering) -> None:
        assert registering.codes(self.message(new_uuid())) == ["UnresolvedReferenceException"]

    def test_to_a_folder(self, registering: Registering) -> None:
        assert registering.codes(self.message(registering.folder_with())) == ["XDSRegistryMetadataError"]
