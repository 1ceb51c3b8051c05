"""Faults as SOAP 1.2 wants them, whatever is in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msim_xds.ihe.names import SOAP, WSA, WSSE, XML
from msim_xds.wire.faults import (
    FAULT_ACTION,
    WSA_FAULT_ACTION,
    FaultCode,
    SoapFault,
    fault_envelope,
    sender_fault,
)
from msim_xds.wire.safexml import parse

NS = {"s": SOAP, "a": WSA}


def resolved(value: str, nsmap: dict[str | None, str]) -> str:
    prefix, _, local = value.rpartition(":")
    return f"{{{nsmap[prefix or None]}}}{local}"


def test_a_plain_sender_fault() -> None:
    fault = sender_fault("broken <xml> & more", http_status=413)
    assert fault_envelope(fault).decode() == (
        f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}"><soap:Header>'
        f'<wsa:Action soap:mustUnderstand="1">{FAULT_ACTION}</wsa:Action></soap:Header>'
        "<soap:Body><soap:Fault><soap:Code><soap:Value>soap:Sender</soap:Value></soap:Code>"
        '<soap:Reason><soap:Text xml:lang="en">broken &lt;xml&gt; &amp; more</soap:Text></soap:Reason>'
        "</soap:Fault></soap:Body></soap:Envelope>"
    )
    assert fault.http_status == 413


@pytest.mark.parametrize("code", FaultCode)
def test_code_and_http_status(code: FaultCode) -> None:
    fault = SoapFault(code, "reason")
    root = parse(fault_envelope(fault))
    value = root.findtext("s:Body/s:Fault/s:Code/s:Value", namespaces=NS)
    assert resolved(value or "", root.nsmap) == f"{{{SOAP}}}{code}"
    assert fault.http_status == (400 if code is FaultCode.SENDER else 500)


def test_subcodes_nest_as_qualified_names() -> None:
    names = [
        f"{{{WSA}}}InvalidAddressingHeader",
        f"{{{WSSE}}}InvalidSecurity",
        "{urn:x?a=1&b='2}Third",
        "bare",
    ]
    fault = SoapFault(FaultCode.SENDER, "reason", subcodes=names, detail="<wsa:X/>")
    body = parse(fault_envelope(fault)).find("s:Body/s:Fault", NS)
    assert body is not None
    assert [child.tag for child in body] == [f"{{{SOAP}}}{name}" for name in ("Code", "Reason", "Detail")]
    seen = []
    for value in body.findall("s:Code/s:Subcode//s:Value", NS):
        text = value.text or ""
        seen.append(resolved(text, value.nsmap) if ":" in text else text)
    assert seen == names
    assert len(body.findall("s:Code/s:Subcode/s:Subcode/s:Subcode/s:Subcode", NS)) == 1
    assert body.find("s:Detail/a:X", NS) is not None
    text_element = body.find("s:Reason/s:Text", NS)
    assert text_element is not None
    assert text_element.get(f"{{{XML}}}lang") == "en"


def test_action_follows_the_origin() -> None:
    assert (
        SoapFault(FaultCode.SENDER, "r", subcodes=[f"{{{WSA}}}ActionNotSupported"]).action == WSA_FAULT_ACTION
    )
    assert SoapFault(FaultCode.SENDER, "r", subcodes=[f"{{{WSSE}}}InvalidSecurity"]).action == FAULT_ACTION
    assert SoapFault(FaultCode.VERSION_MISMATCH, "r").action == FAULT_ACTION


def test_version_mismatch_says_what_is_supported() -> None:
    root = parse(fault_envelope(SoapFault(FaultCode.VERSION_MISMATCH, "old")))
    supported = root.find("s:Header/s:Upgrade/s:SupportedEnvelope", NS)
    assert supported is not None
    assert resolved(supported.get("qname", ""), supported.nsmap) == f"{{{SOAP}}}Envelope"


def test_blocks_not_understood_are_named() -> None:
    names = [f"{{{WSSE}}}Security", f"{{{WSA}}}Other", "{urn:y}Block"]
    root = parse(fault_envelope(SoapFault(FaultCode.MUST_UNDERSTAND, "r", not_understood=names)))
    blocks = root.findall("s:Header/s:NotUnderstood", NS)
    assert [resolved(block.get("qname", ""), block.nsmap) for block in blocks] == names


def test_relates_to_the_request() -> None:
    fault = sender_fault("r")
    path = "s:Header/a:RelatesTo"
    assert parse(fault_envelope(fault)).find(path, NS) is None
    assert parse(fault_envelope(fault, "urn:a&b")).findtext(path, namespaces=NS) == "urn:a&b"
    fault.relates_to = "urn:own"
    assert parse(fault_envelope(fault, "urn:a&b")).findtext(path, namespaces=NS) == "urn:own"


@given(st.text(), st.text())
def test_any_text_makes_a_well_formed_fault(reason: str, relates_to: str) -> None:
    parse(fault_envelope(SoapFault(FaultCode.RECEIVER, reason), relates_to))
