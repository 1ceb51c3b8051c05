"""The shipped documents: fictional, well made, and each kind that the demonstration promises is there."""

from __future__ import annotations

import base64
import datetime
from importlib.resources.abc import Traversable

import pytest
from lxml import etree

from msim_xds.demo import documents
from msim_xds.metadata.cda import PIK_FORMAT, CdaHeader, read

DOCUMENTS = documents()
PESEL = "^^^&2.16.840.1.113883.3.4424.1.1.616&ISO"
NS = {"h": "urn:hl7-org:v3"}


def parsed(document: Traversable) -> etree._Element:
    """The root element."""
    return etree.fromstring(document.read_bytes())


def header(document: Traversable) -> CdaHeader:
    """The header."""
    return read(parsed(document))


HEADERS = [header(document) for document in DOCUMENTS]


def birth_of(pesel: str) -> datetime.date:
    """Checks a PESEL and gives its date of birth."""
    digits = [int(character) for character in pesel]
    weights = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)
    assert len(digits) == 11
    assert digits[10] == -sum(d * w for d, w in zip(digits, weights, strict=False)) % 10
    assert 81 <= int(pesel[2:4]) <= 92, "invented numbers stay in 1800-1899"
    return datetime.date(1800 + int(pesel[:2]), int(pesel[2:4]) - 80, int(pesel[4:6]))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_document_is_complete(document: Traversable) -> None:
    found, root = header(document), parsed(document)
    assert document.read_bytes().startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<?xml-stylesheet')
    assert found.unique_id
    assert found.set_id
    assert found.title
    assert found.creation_time
    assert len(found.creation_time) == 14
    assert found.class_code
    assert found.type_code
    assert found.confidentiality_code
    assert found.format_code == PIK_FORMAT
    assert found.language_code == "pl-PL"
    assert found.legal_authenticator in [author.person for author in found.authors]
    assert root.xpath("string(//h:author/h:time/@value)", namespaces=NS) == root.xpath(
        "string(//h:legalAuthenticator/h:time/@value)", namespaces=NS
    )


@pytest.mark.parametrize("found", HEADERS, ids=lambda found: found.unique_id)
def test_patients_are_fictional(found: CdaHeader) -> None:
    facts = dict(info.split("|", 1) for info in found.patient_info)
    assert facts["PID-7"].startswith("18")
    for cx in found.patient_ids:
        if cx.endswith(PESEL):
            pesel = cx.removesuffix(PESEL)
            assert birth_of(pesel).strftime("%Y%m%d") == facts["PID-7"]
            assert "MF"[int(pesel[9]) % 2 == 0] == facts["PID-8"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_references_into_the_narrative_resolve(document: Traversable) -> None:
    elements = list(parsed(document).iter("{*}*"))
    ids = {element.get("ID") for element in elements}
    references = [element.get("value", "") for element in elements if element.tag.endswith("}reference")]
    referenced = [
        element.get("referencedObject") for element in elements if "referencedObject" in element.attrib
    ]
    assert {value.removeprefix("#") for value in references} | set(referenced) <= ids


def test_unique_ids_differ() -> None:
    assert len({found.unique_id for found in HEADERS}) == len(HEADERS)


def test_all_kinds_are_there() -> None:
    classes = {found.class_code.code for found in HEADERS if found.class_code}
    assert classes >= {"00.20", "00.65", "06.00", "06.10", "08.90"}
    assert any(found.confidentiality_code and found.confidentiality_code.code == "V" for found in HEADERS)
    assert any(not any(cx.endswith(PESEL) for cx in found.patient_ids) for found in HEADERS)
    names = "".join(str(found.patient_info) + str(found.authors) for found in HEADERS)
    assert set("ąćęłńóśźżĄĆĘŁŃÓŚŹŻ") <= set(names)


def test_a_second_version_follows_the_first() -> None:
    second = next(found for found in HEADERS if found.version_number == "2")
    first = next(found for found in HEADERS if found.unique_id in second.replaces)
    assert first.set_id == second.set_id
    assert first.patient_ids == second.patient_ids
    assert HEADERS.index(first) < HEADERS.index(second)


def test_one_document_carries_a_pdf() -> None:
    contents = [
        element.text
        for document in DOCUMENTS
        for element in parsed(document).iterfind(".//h:value[@mediaType='application/pdf']", NS)
    ]
    assert [base64.b64decode(content or "")[:5] for content in contents] == [b"%PDF-"]
