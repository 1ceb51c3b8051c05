"""Acknowledgements are valid against our schema, refer to their message and say what happened."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from msim_xds.findings import Finding
from msim_xds.ihe.acknowledgements import Condition
from msim_xds.ihe.names import Severity
from msim_xds.wire import safexml
from msim_xds.wire.acknowledgement import acknowledgement
from tests.support.hl7v3 import ACK, AUTHORITY, HL7, RECEIVER, SENDER, ii, patient_message

REQUEST = safexml.parse(patient_message(ii(AUTHORITY, "1"), processing="T").encode())
ERROR = Finding(Condition.UNKNOWN_KEY, "unknown <id>", attribute="a/b/@c", seen="\0")
WARNING = Finding(Condition.DATA_TYPE, "odd", severity=Severity.WARNING)


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    with as_file(files("msim_xds.schemas")) as folder:
        return etree.XMLSchema(etree.parse(Path(folder) / "hl7v3.xsd"))


def texts(root: etree._Element, path: str) -> list[str]:
    """Attribute values or texts by a path in the namespace of HL7."""
    return [str(value) for value in root.xpath(path, namespaces={"h": HL7})]  # type: ignore[union-attr]


def test_accepted(schema: etree.XMLSchema) -> None:
    root = safexml.parse(acknowledgement(REQUEST, created=datetime(2026, 9, 14, 12, tzinfo=UTC)))
    schema.assertValid(root)
    assert root.tag == f"{{{HL7}}}{ACK}"
    assert texts(root, "h:acknowledgement/h:typeCode/@code") == ["CA"]
    assert texts(root, "h:acknowledgement/h:targetMessage/h:id/@*") == ["1.2.3.4.5", "MSG1"]
    assert texts(root, "h:receiver/h:device/h:id/@root") == [SENDER]
    assert texts(root, "h:sender/h:device/h:id/@root") == [RECEIVER]
    assert texts(root, "h:creationTime/@value") == ["20260914120000+0000"]
    assert texts(root, "h:processingCode/@code | h:acceptAckCode/@code") == ["T", "NE"]
    assert texts(root, "h:acknowledgement/h:acknowledgementDetail") == []


def test_two_have_ids_of_their_own() -> None:
    first, second = (texts(safexml.parse(acknowledgement(REQUEST)), "h:id/@root") for _ in range(2))
    assert first != second


@pytest.mark.parametrize(
    ("findings", "outcome", "codes", "kinds"),
    [
        ([ERROR, WARNING], "CE", ["204", "102"], ["E", "W"]),
        ([WARNING], "CA", ["102"], ["W"]),
        ([Finding(Condition.UNSUPPORTED_PROCESSING_ID, "x")], "CR", ["202"], ["E"]),
        ([Finding("XDSRegistryError", "x")], "CE", ["INTERR"], ["E"]),
        ([Finding("XDSRegistryBusy", "x")], "CE", ["206"], ["E"]),
    ],
)
def test_findings(
    schema: etree.XMLSchema, findings: list[Finding], outcome: str, codes: list[str], kinds: list[str]
) -> None:
    root = safexml.parse(acknowledgement(REQUEST, findings))
    schema.assertValid(root)
    details = "h:acknowledgement/h:acknowledgementDetail"
    assert texts(root, "h:acknowledgement/h:typeCode/@code") == [outcome]
    assert texts(root, f"{details}/h:code/@code") == codes
    assert texts(root, f"{details}/@typeCode") == kinds
    assert texts(root, f"{details}/h:text/text()") == [finding.text() for finding in findings]
    assert texts(root, f"{details}/h:location/text()") == [f.attribute for f in findings if f.attribute]


@pytest.mark.parametrize("original", [None, etree.Element("x")])
def test_of_a_message_that_says_nothing(schema: etree.XMLSchema, original: etree._Element | None) -> None:
    root = safexml.parse(acknowledgement(original, [ERROR]))
    schema.assertValid(root)
    assert texts(root, "h:creationTime/@nullFlavor") == ["NI"]
    assert texts(root, "h:acknowledgement/h:targetMessage/h:id/@nullFlavor") == ["NI"]


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_is_carried(problem: str, place: str) -> None:
    root = safexml.parse(acknowledgement(REQUEST, [Finding("x", problem, attribute=place)]))
    assert len(texts(root, "h:acknowledgement/h:acknowledgementDetail")) == 1
