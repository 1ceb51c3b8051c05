"""Whose assertion goes along with a request to another community, and how."""

from __future__ import annotations

from lxml import etree

from msim_xds.gateway.initiating import _errand
from msim_xds.ihe.names import WSSE
from msim_xds.ihe.transactions import ITI_18_GATEWAY
from msim_xds.wire.envelope import request_envelope_parts
from msim_xds.wire.exchange import Addressing, Caller, Request
from tests.test_server.soap import SOAP

ASSERTION = (
    '<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="a">'
    '<saml:Subject x:y="1"/></saml:Assertion>'
)


def request(caller: Caller | None) -> Request:
    header = etree.fromstring(
        f'<s:Header xmlns:s="{SOAP}" xmlns:x="urn:x"><w:Security xmlns:w="{WSSE}">{ASSERTION}'
        "</w:Security></s:Header>"
    )
    return Request(ITI_18_GATEWAY, etree.Element("q"), Addressing("urn:a"), caller=caller, header=header)


def canonical(element: etree._Element) -> bytes:
    return etree.tostring(element, method="c14n", exclusive=True, with_tail=False)


def test_an_assertion_that_was_verified_goes_along_unchanged() -> None:
    asked = request(Caller("u<n@i>"))
    errand = _errand(asked)
    head, tail = request_envelope_parts("urn:a", "urn:uuid:1", "http://there/", errand.assertion)
    sent = etree.fromstring(head + b"<q/>" + tail)
    (passed,) = sent.iterfind("{*}Header/{*}Security/{*}Assertion")
    assert asked.header is not None
    assert canonical(passed) == canonical(asked.header[0][0])
    assert passed.getparent().get(f"{{{SOAP}}}mustUnderstand") == "1"  # type: ignore[union-attr]


def test_one_that_nobody_verified_stays_here() -> None:
    assert _errand(request(None)).assertion == b""
