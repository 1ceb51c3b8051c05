"""Answers of patient discovery are valid against our schema and say what the framework wants said."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path

import pytest
from lxml import etree

from msim_xds.findings import Finding
from msim_xds.ihe.acknowledgements import Condition
from msim_xds.ihe.transactions import ITI_55
from msim_xds.metadata.discovery import registration
from msim_xds.metadata.identity import Demographics
from msim_xds.wire import answers, discovery, safexml
from tests.support import xcpd
from tests.support.hl7v3 import HL7, RECEIVER, SENDER

NOW = datetime(2026, 9, 14, 12, tzinfo=UTC)
QUERY = safexml.parse(xcpd.query(xcpd.subject_id((xcpd.PESEL, "1"))).encode())
PATIENT = registration(
    "1^^^&1.2.616&ISO", Demographics("Żak", "Ewa", "18580314", "F"), "urn:oid:1.2.616.1", 100
)


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    with as_file(files("msim_xds.schemas")) as folder:
        return etree.XMLSchema(etree.parse(Path(folder) / "hl7v3.xsd"))


def codes(root: etree._Element) -> tuple[str, str]:
    """acknowledgement and queryResponseCode."""
    found = root.xpath(
        "//h:acknowledgement/h:typeCode/@code | //h:queryResponseCode/@code", namespaces={"h": HL7}
    )
    assert isinstance(found, list)
    return str(found[0]), str(found[1])


@pytest.mark.parametrize(
    ("registrations", "requested", "expected"),
    [
        ([PATIENT], "", ("AA", "OK")),
        ([PATIENT, PATIENT], "", ("AA", "OK")),
        ([], "", ("AA", "NF")),
        ([], "LivingSubjectAdministrativeGenderRequested", ("AA", "OK")),
    ],
)
def test_what_was_found(
    schema: etree.XMLSchema, registrations: list[bytes], requested: str, expected: tuple[str, str]
) -> None:
    root = safexml.parse(b"".join(discovery.found(QUERY, registrations, NOW, requested)))
    schema.assertValid(root)
    assert codes(root) == expected
    assert len(list(root.iter(f"{{{HL7}}}registrationEvent"))) == len(registrations)
    assert [each.get("root") for each in root.iter(f"{{{HL7}}}queryId")] == ["1.2.3.4.6", "1.2.3.4.6"]
    parties = root.xpath("h:receiver//h:id/@root | h:sender//h:id/@root", namespaces={"h": HL7})
    assert parties == [SENDER, RECEIVER]
    asked = root.xpath("//h:actOrderRequired/h:code/@code", namespaces={"h": HL7})
    assert asked == ([requested] if requested else [])


@pytest.mark.parametrize(
    ("code", "management"),
    [
        (Condition.REQUIRED_FIELD_MISSING, "AnswerNotAvailable"),
        ("XDSRegistryBusy", "ResponderBusy"),
        ("XDSRegistryError", "InternalError"),
    ],
)
@pytest.mark.parametrize("original", [QUERY, None])
def test_why_there_is_no_answer(
    schema: etree.XMLSchema, code: str, management: str, original: etree._Element | None
) -> None:
    (payload,) = answers.failure(ITI_55, [Finding(code, "not <now>", attribute="a/@b")], original=original)
    root = safexml.parse(payload)
    schema.assertValid(root)
    assert codes(root) == ("AE", "AE")
    assert root.xpath("//h:detectedIssueManagement/h:code/@code", namespaces={"h": HL7}) == [management]
    assert "not <now>" in (root.findtext(f".//{{{HL7}}}acknowledgementDetail/{{{HL7}}}text") or "")
