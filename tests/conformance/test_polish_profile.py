"""The profile `pl`: a submission as hospital systems in Poland send it is taken and given back as it came."""

# ruff: noqa: E501 - tables: one row, one line

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from lxml import etree

from tests.conformance.node import FAILURE, SUCCESS, Node
from tests.support.metadata import APPROVED, HAS_MEMBER, slot, submit_objects
from tests.support.queries import many, one

SET = "urn:uuid:0b9b1f6e-5d5c-4f0e-9a34-7d0f3f2a1c11"
ENTRY = "urn:uuid:6d0f6c1a-2d5b-4a57-8a0b-1b1f0d6a9e02"
ROOT = "2.16.840.1.113883.3.4424"
UNIQUE_ID = f"{ROOT}.2.7.99999.7.1^7204918365520194873610"
SET_UNIQUE_ID = f"{ROOT}.2.7.99999.20^5f0a1c2e9b7d4a60"
PATIENT = f"58831404726^^^&{ROOT}.1.1.616&ISO"
DOCTOR = f"2999999^Wzorcowy^Adam^^^dr^^^&{ROOT}.1.6.2&ISO"
HOSPITAL = f"Szpital Przykładowy w Krakowie^^^^^&{ROOT}.2.3.1&ISO^^^^000000999901"
MEDICAL_EVENT = (
    f"4f1d0c52-7f4e-4b6a-8a55-0b1d2c3e4f50^^^&{ROOT}.2.7.99999.15.1&ISO^urn:ihe:iti:xds:2015:encounterId"
)
DOCUMENT = (
    '<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"><!-- Żółcińska --></ClinicalDocument>'
)
OCTETS = DOCUMENT.encode()

#: classificationScheme, suffix of the id, code, codingScheme, display name.
CODES = (
    ("41a5887f-8865-4c09-adf7-e362475b143a", "class", "00.20", "Klasyfikacja dokumentów P1", "Karta informacyjna leczenia szpitalnego"),
    ("f0306f51-975f-434e-a61c-c59651d33983", "type", "18842-5", "LOINC", "Discharge summary"),
    ("f4f85eac-e6cb-4883-b524-f2705394840f", "conf", "N", "2.16.840.1.113883.5.25", "normal"),
    ("a09d5840-386c-46f2-b5ad-9c3699a4309d", "format", "urn:extPL:pl-cda", "Kody formatów P1", "PIK HL7 CDA"),
    ("f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1", "facility", "4500", "Specjalność komórki organizacyjnej", "Oddział chirurgiczny ogólny"),
    ("cccf5598-8b07-4b77-a05e-ae952c785ead", "practice", "05", "Dziedzina medyczna", "Chirurgia ogólna"),
    ("2c6b8cb7-8b2a-4051-b291-b1ae6a575ef4", "event", "47.01", "ICD-9 PL", "Appendektomia laparoskopowa"),
)  # fmt: skip


def name(text: str) -> str:
    """rim:Name without language and charset."""
    return f'<rim:Name><rim:LocalizedString value="{text}"/></rim:Name>'


def classification(owner: str, scheme: str, suffix: str, code: str, inner: str) -> str:
    return (
        f'<rim:Classification id="{owner}-cl-{suffix}" classificationScheme="urn:uuid:{scheme}"'
        f' classifiedObject="{owner}" nodeRepresentation="{code}">{inner}</rim:Classification>'
    )


def identifier(owner: str, scheme: str, kind: str, value: str) -> str:
    return (
        f'<rim:ExternalIdentifier id="{owner}-ei-{kind}" identificationScheme="urn:uuid:{scheme}"'
        f' registryObject="{owner}" value="{escape(value)}">{name(kind)}</rim:ExternalIdentifier>'
    )


def author(owner: str, scheme: str) -> str:
    slots = slot("authorPerson", DOCTOR) + slot("authorInstitution", HOSPITAL) + slot("authorRole", "Lekarz")
    slots += slot("authorSpecialty", "Chirurgia ogólna") + slot(
        "authorTelecommunication", "^EMR^PH^^^^^^^^^+48123456789"
    )
    return classification(owner, scheme, "author", "", slots)  # fmt: skip


def entry(**slots: str) -> str:
    """The DocumentEntry; ``slots`` replace values."""
    values: dict[str, Any] = {
        "creationTime": "20260914133000",
        "serviceStartTime": "20260908081500",
        "serviceStopTime": "20260914130000",
        "languageCode": "pl-PL",
        "sourcePatientId": f"104233^^^&{ROOT}.2.7.99999.17.1&ISO",
        "repositoryUniqueId": f"{ROOT}.2.7.99999.24.1",
        "hash": hashlib.sha1(OCTETS).hexdigest(),
        "size": str(len(OCTETS)),
        "URI": "karta.xml",
        "documentAvailability": "urn:ihe:iti:2010:DocumentAvailability:Online",
        "legalAuthenticator": DOCTOR,
        "urn:extpl:SlotName:MedicalEventId": MEDICAL_EVENT,
        "urn:extpl:SlotName:StorageCategory": "2046",
        **slots,
    }
    info = ("PID-5|Żółcińska^Łucja^^^^^^", "PID-7|18580314", "PID-8|F", "PID-11|Kraków")
    inner = "".join(slot(*pair) for pair in values.items()) + slot("sourcePatientInfo", *info)
    inner += name("Karta informacyjna leczenia szpitalnego") + '<rim:VersionInfo versionName="1"/>'
    inner += author(ENTRY, "93606bcf-9494-43ec-9b4e-a7748d1a838d")
    for scheme, suffix, code, system, display in CODES:
        inner += classification(ENTRY, scheme, suffix, code, slot("codingScheme", system) + name(display))
    inner += identifier(ENTRY, "58a6f841-87b3-4a3e-92fd-a8ffeff98427", "XDSDocumentEntry.patientId", PATIENT)
    inner += identifier(ENTRY, "2e82c1f6-a085-4c72-9da3-8640a32e42ab", "XDSDocumentEntry.uniqueId", UNIQUE_ID)
    return (
        f'<rim:ExtrinsicObject id="{ENTRY}" lid="{ENTRY}" status="{APPROVED}" mimeType="text/xml"'
        f' objectType="urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1">{inner}</rim:ExtrinsicObject>'
    )


def submission_set() -> str:
    """The SubmissionSet."""
    content = slot("codingScheme", "Typ wysyłki") + name("Rejestracja indeksu EDM")
    inner = slot("submissionTime", "20260914133512") + name("Wysyłka EDM")
    inner += author(SET, "a7058bb9-b4e4-4307-ba5b-e3f0ab85e12d")
    inner += classification(SET, "aa543740-bdda-424e-8c96-df4873be8500", "content", "REGISTER", content)
    inner += f'<rim:Classification id="{SET}-cl" classifiedObject="{SET}" classificationNode="urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd"/>'
    inner += identifier(SET, "6b5aea1a-874d-4603-a4bc-96a0a7b38446", "XDSSubmissionSet.patientId", PATIENT)
    inner += identifier(
        SET, "554ac39e-e3fe-47fe-b233-965d2a147832", "XDSSubmissionSet.sourceId", f"{ROOT}.2.7.99999"
    )
    inner += identifier(
        SET, "96fdda7c-d067-4183-912e-bf5ee74998a8", "XDSSubmissionSet.uniqueId", SET_UNIQUE_ID
    )
    return f'<rim:RegistryPackage id="{SET}" status="{APPROVED}">{inner}</rim:RegistryPackage>'  # fmt: skip


def sample(**slots: str) -> bytes:
    """The whole submission."""
    member = (
        f'<rim:Association id="{SET}-as-1" associationType="{HAS_MEMBER}" sourceObject="{SET}"'
        f' targetObject="{ENTRY}">{slot("SubmissionSetStatus", "Original")}</rim:Association>'
    )
    return submit_objects(submission_set(), entry(**slots), member)


def node(path: Path, **validation: Any) -> Node:
    return Node(path, validation={"profile": "pl", **validation})


def contents(thing: etree._Element) -> Counter[str]:
    """Everything that an object says, without the ids of its parts and what the registry adds."""
    own = {"objectType", "id", "lid"}
    said: Counter[str] = Counter()
    for each in thing.iter():
        local = etree.QName(each).localname
        for key, value in each.attrib.items():
            if each is thing or key not in own:
                said[f"{local}/@{key!s}={value!s}"] += 1
        if local == "Value":
            said[f"{local}={each.text}"] += 1
    return said


def test_the_sample_is_taken_and_given_back(tmp_path: Path) -> None:
    server = node(tmp_path)
    outcome = server.register(sample())
    assert outcome.short == (SUCCESS,), outcome.texts
    assert outcome.warnings == []
    found = server.get("GetSubmissionSetAndContents", ("$XDSSubmissionSetUniqueId", one(SET_UNIQUE_ID)))
    returned = {each.get("id"): each for each in found.objects}
    for sent in etree.fromstring(sample())[0]:
        back = returned.pop(sent.get("id"))
        assert contents(sent) - contents(back) == Counter(), sent.get("id")
    assert returned == {}


def test_the_sample_with_its_document(tmp_path: Path) -> None:
    server = node(tmp_path)
    outcome = server.provide(sample(), {ENTRY: OCTETS}, as_mtom=False)
    assert outcome.short == (SUCCESS,), outcome.texts
    assert not outcome.response.is_mtom
    assert server.retrieve(UNIQUE_ID).documents == {UNIQUE_ID: ("text/xml", OCTETS)}


@pytest.mark.parametrize(
    "code",
    [
        "00.20^^Klasyfikacja dokumentów P1",
        "00.20^^KLAS_DOK_P1",
        f"00.20^^{ROOT}.11.1.32",
    ],
)
def test_a_scheme_by_any_of_its_names(tmp_path: Path, code: str) -> None:
    server = node(tmp_path)
    assert server.register(sample()).short == (SUCCESS,)
    asked = [("$XDSDocumentEntryPatientId", one(PATIENT)), ("$XDSDocumentEntryStatus", many(APPROVED))]
    found = server.get("FindDocuments", *asked, ("$XDSDocumentEntryClassCode", many(code)))
    assert found.ids == [ENTRY]
    assert server.get("FindDocuments", *asked, ("$XDSDocumentEntryClassCode", many("00.20^^x"))).ids == []


@pytest.mark.parametrize(
    ("local", "start", "count"), [(True, "1130", 1), (True, "1131", 0), (False, "1131", 1)]
)
def test_local_times(tmp_path: Path, local: bool, start: str, count: int) -> None:
    sources = [f"{ROOT}.2.7.99999"] if local else []
    server = node(tmp_path, local_time_sources=sources)
    assert server.register(sample()).short == (SUCCESS,)
    found = server.get(
        "FindDocuments",
        ("$XDSDocumentEntryPatientId", one(PATIENT)),
        ("$XDSDocumentEntryStatus", many(APPROVED)),
        ("$XDSDocumentEntryCreationTimeFrom", f"20260914{start}00"),
    )
    assert len(found.objects) == count


#: Other peculiarities: what stands in the sample, what stands there instead.
VARIANTS = {
    "id that only looks like a UUID": (ENTRY, f"{ENTRY}-v1"),
    "logicalID of an earlier version": (f'lid="{ENTRY}"', 'lid="urn:uuid:9d0f6c1a-2d5b-4a57-8a0b-1b1f0d6a9e02"'),
    "logicalID that only looks like a UUID": (f'lid="{ENTRY}"', f'lid="{ENTRY}-lid"'),
    "author without nodeRepresentation": (' nodeRepresentation=""', ""),
    "version 2": ('versionName="1"', 'versionName="2"'),
    "association with an id of its own": (f"{SET}-as-1", "as-1"),
    "extension in the form of a UUID": (UNIQUE_ID, f"{ROOT}.2.7.99999.7.1^4f1d0c52-7f4e-4b6a-8a55-0b1d2c3e4f50"),
    "patient of the national domain": (f"58831404726^^^&amp;{ROOT}.1.1.616&amp;ISO", f"7^^^&amp;{ROOT}.15&amp;ISO"),
    "title of 128 letters in more octets": ("Karta informacyjna leczenia szpitalnego", "ż" * 128),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new"), VARIANTS.values(), ids=list(VARIANTS))
def test_variants_of_the_sample(tmp_path: Path, old: str, new: str) -> None:
    server = node(tmp_path)
    message = sample().decode()
    assert old in message
    outcome = server.register(message.replace(old, new).encode())
    assert outcome.short == (SUCCESS,), outcome.texts
    assert outcome.warnings == []
    found = server.get("GetSubmissionSetAndContents", ("$XDSSubmissionSetUniqueId", one(SET_UNIQUE_ID)))
    (document,) = found.of("ExtrinsicObject")
    (sent,) = (each for each in etree.fromstring(message.replace(old, new))[0] if each.get("mimeType"))
    assert [document.get(key) for key in ("id", "lid")] == [sent.get(key) for key in ("id", "lid")]
    assert server.get("GetDocuments", ("$XDSDocumentEntryEntryUUID", many(ENTRY.replace(old, new)))).objects


def test_polish_slots_stay_where_extra_metadata_is_dropped(tmp_path: Path) -> None:
    server = node(tmp_path, extra_metadata="drop")
    outcome = server.register(sample(**{"urn:example:ward": "7"}))
    assert outcome.short == (SUCCESS,)
    assert ["urn:example:ward" in text and "urn:extpl" not in text for text in outcome.warnings] == [True]
    (document,) = server.get("GetDocuments", ("$XDSDocumentEntryEntryUUID", many(ENTRY))).objects
    names = {each.get("name") for each in document}
    assert {"urn:extpl:SlotName:MedicalEventId", "urn:extpl:SlotName:StorageCategory"} <= names
    assert "urn:example:ward" not in names


def test_the_profile_of_one_source(tmp_path: Path) -> None:
    server = Node(tmp_path, validation={"sources": {f"{ROOT}.2.7.99999": "pl"}})
    assert server.register(sample()).short == (SUCCESS,)
    other = sample().decode().replace(f'"{ROOT}.2.7.99999"', f'"{ROOT}.2.7.99998"').encode()
    assert server.register(other).status == FAILURE


def test_strictly_it_is_refused_for_what_the_framework_forbids(tmp_path: Path) -> None:
    outcome = Node(tmp_path).register(sample())
    assert outcome.short == (FAILURE, "XDSRegistryMetadataError")
    reasons = {(each.get("codeContext") or "").partition(";")[0] for each in outcome.reports("Error")}
    assert reasons == {
        f"Association {SET}-as-1, entryUUID: is no id",
        f"DocumentEntry {ENTRY}, classCode: codingScheme is no identifier",
        f"DocumentEntry {ENTRY}, formatCode: codingScheme is no identifier",
        f"DocumentEntry {ENTRY}, healthcareFacilityTypeCode: codingScheme is no identifier",
        f"DocumentEntry {ENTRY}, uniqueId: is no uniqueId",
        f"SubmissionSet {SET}, contentTypeCode: codingScheme is no identifier",
        f"SubmissionSet {SET}, uniqueId: is no OID",
    }
