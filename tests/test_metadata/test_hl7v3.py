"""Messages of ITI-44 as changes of patients."""

from __future__ import annotations

from contextlib import suppress
from importlib.resources import as_file, files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from msim_xds.findings import Refused
from msim_xds.metadata.hl7v3 import read
from msim_xds.metadata.identity import Announcement, Demographics, Identifier, Merge
from msim_xds.wire import safexml
from tests.support.hl7v3 import ADD, AUTHORITY, MERGE, REVISE, ii, patient_message, person, replacement

EVENT = "controlActProcess/subject/registrationEvent"
PRIOR = "/replacementOf/priorRegistration/subject1/priorRegisteredRole"
ID = ii(AUTHORITY, "58831404726")
OTHER = ii(AUTHORITY, "84910211372")
IDENTIFIER = Identifier("58831404726", "", AUTHORITY, "ISO")


def refusal(text: str) -> tuple[str, str]:
    with pytest.raises(Refused) as refused:
        read(safexml.parse(text.encode()))
    (finding,) = refused.value.findings
    return finding.code, finding.attribute.removeprefix(EVENT)


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    with as_file(files("msim_xds.schemas")) as folder:
        return etree.XMLSchema(etree.parse(Path(folder) / "hl7v3.xsd"))


@pytest.mark.parametrize("kind", [ADD, REVISE])
def test_announcement(kind: str, schema: etree.XMLSchema) -> None:
    root = safexml.parse(patient_message(ID, ii("1.2", "L1"), kind=kind).encode())
    schema.assertValid(root)
    message_id, change = read(root)
    assert message_id == "1.2.3.4.5^MSG1"
    assert isinstance(change, Announcement)
    assert change.patient.identifiers == (IDENTIFIER, Identifier("L1", "", "1.2", "ISO"))
    assert change.demographics == Demographics("Żółcińska", "Łucja", "18580314", "F")


def test_merge(schema: etree.XMLSchema) -> None:
    root = safexml.parse(patient_message(ID, kind=MERGE, more=replacement(OTHER)).encode())
    schema.assertValid(root)
    _, change = read(root)
    assert isinstance(change, Merge)
    assert change.surviving.identifiers == (IDENTIFIER,)
    assert [each.value for each in change.subsumed.identifiers] == ["84910211372"]


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ("", Demographics()),
        ("<patientPerson><name nullFlavor='NI'/></patientPerson>", Demographics()),
        (
            "<patientPerson><name><family> Kowal\n ski </family></name><birthTime value='x'/>"
            "<administrativeGenderCode code='UN'/></patientPerson>",
            Demographics("Kowal ski", None, None, "O"),
        ),
        (person("x" * 9999, ""), Demographics("x" * 250, None, "18580314", "F")),
    ],
)
def test_what_a_registry_can_do_without(details: str, expected: Demographics) -> None:
    _, change = read(safexml.parse(patient_message(ID, details=details).encode()))
    assert isinstance(change, Announcement)
    assert change.demographics == expected


def test_ids_without_value_are_not_counted() -> None:
    given_ = ('<id nullFlavor="NI"/>', ii("1.2.3"), ID)
    assert read(safexml.parse(patient_message(*given_).encode())).change.__class__ is Announcement


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (patient_message(ID, interaction=MERGE), ("101", "interactionId/@extension")),
        (patient_message(ID, processing="X"), ("202", "processingCode/@code")),
        (patient_message(ID, message_id=""), ("101", "id")),
        (patient_message(ID, more=replacement(OTHER)), ("101", "/replacementOf")),
        (patient_message(ID, kind=MERGE), ("101", PRIOR)),
        (patient_message(ID, kind=MERGE, more=replacement(OTHER) * 2),
         ("101", PRIOR)),
        (patient_message(ID, kind=MERGE, more=replacement(OTHER, OTHER)),
         ("101", f"{PRIOR}/id")),
        (patient_message(ID, kind=MERGE, more=replacement("")),
         ("101", f"{PRIOR}/id")),
        (f'<{ADD} xmlns="urn:hl7-org:v3"/>', ("101", "interactionId")),
        (patient_message(ID).replace("registrationEvent", "event"), ("101", "")),
    ],
)  # fmt: skip
def test_refused(message: str, expected: tuple[str, str]) -> None:
    assert refusal(message) == expected


@given(st.integers(0, 60), st.integers(1, 60))
def test_any_part_may_be_missing(start: int, count: int) -> None:
    """Elements taken away: a change, or a refusal, and never anything else."""
    root = safexml.parse(patient_message(ID, kind=MERGE, more=replacement(OTHER)).encode())
    for element in list(root.iterdescendants())[start : start + count]:
        parent = element.getparent()
        if parent is not None:
            parent.remove(element)
    with suppress(Refused):
        assert read(root).message_id
