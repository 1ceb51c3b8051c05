"""The reader: tolerant where senders differ, complete about what is wrong, bounded."""

from __future__ import annotations

import re

import pytest

from msim_xds.metadata import ebrim
from msim_xds.metadata.ebrim import Reading, Stored
from msim_xds.metadata.model import LocalizedString, Slot
from msim_xds.settings import LimitSettings
from msim_xds.wire.safexml import parse
from tests.support import metadata as sample

LIMITS = LimitSettings()
DOCUMENT_SCHEME = sample.SCHEMES["classCode"]


def read(*objects: str, limits: LimitSettings = LIMITS) -> Reading:
    return ebrim.read(parse(sample.submit_objects(*objects)), limits)


def problems(reading: Reading) -> list[tuple[str, str]]:
    """Attribute and problem of every finding, all of which must be metadata errors."""
    assert all(each.code == "XDSRegistryMetadataError" and each.source for each in reading.findings)
    return [(each.attribute, each.problem) for each in reading.findings]


def test_every_attribute_lands_in_its_field() -> None:
    slots = {
        "serviceStartTime": "20260908061500",
        "serviceStopTime": "20260914110000",
        "legalAuthenticator": sample.AUTHOR,
        "sourcePatientInfo": ["PID-5|Żółcińska^Łucja", "PID-8|F"],
        "urn:ihe:iti:xds:2013:referenceIdList": "9f2c^^^&1.2.3&ISO^urn:ihe:iti:xds:2015:encounterId",
        "URI": "karta.xml",
        "documentAvailability": "urn:ihe:iti:2010:DocumentAvailability:Online",
        "urn:extpl:SlotName:StorageCategory": "2046",
    }
    event = [("89.00", "ICD-9 PL", "Porada"), ("89.01", "ICD-9 PL", "Konsultacja")]
    reading = read(
        sample.document_entry(
            codes={"eventCodeList": event},
            slots=slots,
            comments="Uwagi",
            attributes=' lid="urn:uuid:1" home="urn:oid:1.2" status="s"',
            extra='<rim:VersionInfo versionName="1"/>',
        )
    )
    (entry,) = reading.submission.entries
    assert reading.findings == ()
    assert entry.service_start_time == "20260908061500"
    assert entry.legal_authenticator == sample.AUTHOR
    assert entry.source_patient_info == ("PID-5|Żółcińska^Łucja", "PID-8|F")
    assert entry.reference_ids[0].startswith("9f2c")
    assert entry.uri == ("karta.xml",)
    assert entry.extra == (Slot("urn:extpl:SlotName:StorageCategory", ("2046",)),)
    assert [code.code for code in entry.event_codes] == ["89.00", "89.01"]
    assert entry.class_code is not None
    assert entry.class_code.scheme == sample.CODES["classCode"][1]
    assert entry.title == (LocalizedString("Karta informacyjna", "pl-PL", "UTF-8"),)
    assert entry.comments[0].value == "Uwagi"
    assert entry.authors[0].person == sample.AUTHOR
    assert (entry.logical_id, entry.home, entry.status, entry.version) == (
        "urn:uuid:1",
        "urn:oid:1.2",
        "s",
        "1",
    )
    assert entry.patient_id == sample.PATIENT


def test_sets_folders_and_associations_are_told_apart() -> None:
    submission = read(sample.submission_set(), sample.folder(), sample.original(target="Folder01")).submission
    assert submission.submission_sets[0].source_id == sample.SOURCE
    assert submission.submission_sets[0].submission_time == "20260914113512"
    assert submission.folders[0].codes[0].code == "00.20"
    assert submission.associations[0].submission_set_status == ("Original",)


def test_white_space_around_values_is_dropped() -> None:
    entry = sample.document_entry(
        slots={"creationTime": "\n  2026 \n", "languageCode": "  "}, mime_type=" text/xml "
    )
    (read_entry,) = read(entry).submission.entries
    assert (read_entry.creation_time, read_entry.language_code, read_entry.mime_type) == (
        "2026",
        None,
        "text/xml",
    )


def test_marker_may_stand_beside_its_package() -> None:
    inside = sample.folder()
    (marker,) = re.findall(r"<rim:Classification [^>]*classificationNode=[^>]*/>", inside)
    reading = read(inside.replace(marker, ""), marker)
    assert reading.findings == ()
    assert len(reading.submission.folders) == 1


def test_object_refs_comments_and_other_order_are_harmless() -> None:
    entry = sample.document_entry()
    late = entry.replace(
        "</rim:ExtrinsicObject>", "<!-- c -->" + sample.slot("URI", "a.xml") + "</rim:ExtrinsicObject>"
    )
    reading = read('<rim:ObjectRef id="urn:uuid:x"/>', late)
    assert reading.findings == ()
    assert [each.problem for each in reading.sequence] == ["children are not in schema order"]
    assert reading.submission.entries[0].uri == ("a.xml",)


def test_missing_ids_of_parts_are_noted_for_the_sequence_rule() -> None:
    bare = (
        f'<rim:Classification classificationScheme="urn:uuid:{DOCUMENT_SCHEME}" nodeRepresentation="c">'
        f"{sample.slot('codingScheme', 's')}</rim:Classification>"
    )
    reading = read(sample.document_entry(codes={"classCode": None}, extra=bare))
    assert reading.findings == ()
    assert {each.attribute for each in reading.sequence} == {"classifiedObject", "id", ""}
    assert reading.submission.entries[0].class_code is not None


def test_an_author_without_node_representation_is_left_to_the_tolerances() -> None:
    entry = sample.document_entry().replace(' nodeRepresentation=""', "")
    reading = read(entry)
    assert reading.findings == ()
    assert [(switch, each.attribute) for switch, each in reading.lenient] == [("lookalike_ids", "author")]


CASES = {
    "unknown object": ('<rim:Person id="p"/>', "", "is no registry object of XDS"),
    "unknown child": (
        sample.document_entry(extra="<rim:Person/>"),
        "Person",
        "is no element of an XDS object",
    ),
    "unknown slot": (sample.document_entry(slots={"Creationtime": "x"}), "Creationtime", "unknown slot"),
    "slot of another object": (
        sample.document_entry(slots={"submissionTime": "2026"}),
        "submissionTime",
        "unknown slot",
    ),
    "slot in urn:ihe": (sample.document_entry(slots={"urn:ihe:iti:x": "x"}), "urn:ihe:iti:x", "unknown slot"),
    "slot in URN:IHE": (sample.document_entry(slots={"URN:IHE:iti:x": "x"}), "URN:IHE:iti:x", "unknown slot"),
    "slot with a false URN": (sample.document_entry(slots={"urn:": "x"}), "urn:", "unknown slot"),
    "slot with a false type": (
        sample.document_entry(
            extra=sample.slot("urn:example:a", "b").replace("<rim:Slot", '<rim:Slot slotType="%zz"')
        ),
        "urn:example:a",
        "slotType is no URN",
    ),
    "slot twice": (
        sample.document_entry(extra=sample.slot("hash", "x")),
        "hash",
        "slot occurs more than once",
    ),
    "several values": (
        sample.document_entry(slots={"languageCode": ["pl", "en"]}),
        "languageCode",
        "has several values",
    ),
    "long value": (sample.document_entry(slots={"URI": "x" * 257}), "URI", "value is too long"),
    "long text": (sample.document_entry(comments="x" * 1025), "comments", "text is too long"),
    "text without value": (
        sample.document_entry(extra="<rim:Description><rim:LocalizedString/></rim:Description>"),
        "comments",
        "LocalizedString has no value",
    ),
    "name twice": (sample.document_entry(extra=sample.text("Name", "x")), "Name", "occurs more than once"),
    "markup in value": (
        sample.document_entry(slots={"URI": "MARK"}).replace("MARK", "a<rim:b/>c"),
        "URI",
        "value contains markup",
    ),
    "unknown scheme": (
        sample.document_entry(
            extra=sample.classification("Document01", sample.SCHEMES["codeList"], ("a", "b", "c"))
        ),
        "classificationScheme",
        "is no classification scheme of a DocumentEntry",
    ),
    "second code": (
        sample.document_entry(codes={"classCode": [("a", "b", "c"), ("d", "e", "f")]}),
        "classCode",
        "occurs more than once",
    ),
    "long code": (
        sample.document_entry(codes={"classCode": ("x" * 257, "b", "c")}),
        "classCode",
        "code is too long",
    ),
    "no coding scheme": (
        sample.document_entry().replace(sample.slot("codingScheme", sample.CODES["classCode"][1]), ""),
        "classCode",
        "has no codingScheme",
    ),
    "two coding schemes": (
        sample.document_entry().replace(
            sample.slot("codingScheme", sample.CODES["classCode"][1]), sample.slot("codingScheme", "a", "b")
        ),
        "codingScheme",
        "has several values",
    ),
    "foreign classification": (
        sample.document_entry().replace('classifiedObject="Document01"', 'classifiedObject="Other"', 1),
        "classifiedObject",
        "Classification belongs to another object than it names",
    ),
    "foreign identifier": (
        sample.document_entry().replace('registryObject="Document01"', 'registryObject="Other"', 1),
        "registryObject",
        "ExternalIdentifier belongs to another object than it names",
    ),
    "unknown identifier": (
        sample.document_entry(
            extra=sample.identifier("Document01", "554ac39e-e3fe-47fe-b233-965d2a147832", "n", "1.2")
        ),
        "identificationScheme",
        "is no identifier of a DocumentEntry",
    ),
    "identifier twice": (
        sample.document_entry(
            extra=sample.identifier("Document01", "2e82c1f6-a085-4c72-9da3-8640a32e42ab", "n", "1.2")
        ),
        "uniqueId",
        "occurs more than once",
    ),
    "marker on a document": (
        sample.document_entry(extra=sample._marker("Document01", "d9d542f3-6cc4-48b6-8870-ea235fbc94c2")),
        "classificationNode",
        "is no marker of a DocumentEntry",
    ),
    "limited metadata": (
        sample.document_entry(extra=sample._marker("Document01", "ab9b591b-83ab-4d03-8f5d-f93b1fb92e85")),
        "limitedMetadata",
        "limited metadata is prohibited in this transaction",
    ),
    "package without marker": (
        '<rim:RegistryPackage id="p"/>',
        "classificationNode",
        "has no marker of its kind",
    ),
    "package with both markers": (
        sample.folder(extra=sample._marker("Folder01", "a54d6aa5-d40d-43f9-88c5-b4633d873bdd")),
        "classificationNode",
        "is marked as SubmissionSet and as Folder",
    ),
    "classification of nothing": (
        sample._marker("Nowhere", "d9d542f3-6cc4-48b6-8870-ea235fbc94c2"),
        "classifiedObject",
        "names no object of the submission",
    ),
    "same id twice": (
        sample.document_entry("urn:uuid:AA") + sample.document_entry("urn:uuid:aa"),
        "entryUUID",
        "the same id occurs twice",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_said(name: str) -> None:
    xml, attribute, problem = CASES[name]
    assert problems(read(xml)) == [(attribute, problem)]


def test_all_findings_are_collected() -> None:
    xml = sample.document_entry(slots={"a": "x", "b": "y", "languageCode": ["pl", "en"]})
    assert len(read(xml, '<rim:Person id="p"/>').findings) == 4


def test_a_list_is_needed_once() -> None:
    empty = ebrim.read(parse(b"<x/>"), LIMITS)
    assert problems(empty) == [("RegistryObjectList", "is missing")]
    twice = sample.single_document().replace(
        b"<rim:RegistryObjectList>", b"<rim:RegistryObjectList/><rim:RegistryObjectList>"
    )
    assert problems(ebrim.read(parse(twice), LIMITS)) == [("RegistryObjectList", "occurs more than once")]


def test_update_slots_of_associations_are_kept_for_the_rules() -> None:
    reading = read(sample.association("a", "b", slots={"PreviousVersion": "1"}))
    assert reading.findings == ()
    assert reading.submission.associations[0].slots == (Slot("PreviousVersion", ("1",)),)


@pytest.mark.parametrize(
    ("limits", "xml", "problem"),
    [
        ({"objects": 1}, sample.folder("a") + sample.folder("b"), "has too many objects"),
        ({"slots": 5}, sample.document_entry(), "has too many slots, classifications and identifiers"),
        ({"values": 3}, sample.document_entry(slots={"URI": ["a"] * 4}), "has too many values"),
        ({"value_chars": 256}, sample.document_entry(comments="x" * 257), "text is too long"),
    ],
)
def test_limits_hold(limits: dict[str, int], xml: str, problem: str) -> None:
    assert [found for _, found in problems(read(xml, limits=LimitSettings(**limits)))] == [problem]


def test_findings_are_no_more_than_an_answer_carries() -> None:
    xml = sample.document_entry(slots={f"s{n}": "x" for n in range(20)})
    assert len(read(xml, limits=LimitSettings(findings=7)).findings) == 7


def test_what_the_repository_knows_is_laid_over_entry_and_xml() -> None:
    before = read(
        sample.document_entry(content=b"other"), sample.document_entry("Document02", repository=None)
    )
    stored = {"Document01": Stored("a" * 40, 7, "1.2.3")}
    after = before.with_stored(stored)
    first, second = after.submission.entries
    assert (first.hash, first.size, first.repository_unique_id) == ("a" * 40, "7", "1.2.3")
    assert second == before.submission.entries[1]
    sent = ebrim.read(after.outgoing(), LIMITS)
    assert sent.findings == ()
    assert sent.sequence == ()
    assert sent.submission == after.submission
    assert ebrim.read(before.element, LIMITS).submission == before.submission
