"""Signatures over messages: what is signed verifies, and nothing else does."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import xmlsec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from lxml import etree

from msim_xds.security.wss.names import CANONICAL, TOKEN
from msim_xds.security.wss.signing import Credentials, Form, Signer, UnusableKey, read_credentials
from msim_xds.security.wss.verification import BadSignature, verify
from tests.support.authority import DAY, NOW, Identity, issue
from tests.support.saml import DS, WSSE, WSU, client, fixed, signed, stranger

SOAP11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP12 = "http://www.w3.org/2003/05/soap-envelope"
NS = {"w": WSSE, "u": WSU, "ds": DS, "s": SOAP11}
SECURITY = f"{{{WSSE}}}Security"


def pem(identity: Identity) -> bytes:
    return identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def message(soap: str = SOAP11, header: str = "") -> etree._Element:
    body = '<s:Body><x:Ask xmlns:x="urn:x">Łucja</x:Ask></s:Body>'
    return etree.fromstring(f'<s:Envelope xmlns:s="{soap}">{header}{body}</s:Envelope>')


def signer(identity: Identity | None = None, form: Form | None = None) -> Signer:
    identity = identity or client()
    return Signer(Credentials(identity.der, pem(identity)), form or Form(), fixed())


def sent(envelope: etree._Element) -> etree._Element:
    """As the receiver reads it."""
    return etree.fromstring(etree.tostring(envelope))


def signed_message(soap: str = SOAP11, header: str = "") -> etree._Element:
    envelope = message(soap, header)
    signer().sign(envelope)
    return sent(envelope)


@pytest.mark.parametrize("soap", [SOAP11, SOAP12])
def test_what_is_signed_verifies_after_its_way_over_the_wire(soap: str) -> None:
    received = signed_message(soap)
    assert verify(received, [stranger().ours, client().ours], NOW).der == client().der


def test_other_strong_algorithms_verify_too() -> None:
    envelope = message()
    signer(form=Form("rsa-sha512", "sha512")).sign(envelope)
    assert verify(sent(envelope), [client().ours], NOW) == client().ours


def test_an_assertion_that_is_there_stays_first() -> None:
    security = f'<s:Header><w:Security xmlns:w="{WSSE}">{signed()}</w:Security></s:Header>'
    received = signed_message(SOAP12, security)
    children = [etree.QName(child).localname for child in _element(received, f".//{SECURITY}")]
    assert children == ["Assertion", "BinarySecurityToken", "Timestamp", "Signature"]
    assert verify(received, [client().ours], NOW) == client().ours


def test_an_assertion_may_stand_behind() -> None:
    security = f'<s:Header><w:Security xmlns:w="{WSSE}">{signed()}</w:Security></s:Header>'
    envelope = message(SOAP12, security)
    signer(form=Form(assertion_first=False)).sign(envelope)
    received = sent(envelope)
    children = [etree.QName(child).localname for child in _element(received, f".//{SECURITY}")]
    assert children == ["BinarySecurityToken", "Timestamp", "Signature", "Assertion"]
    assert verify(received, [client().ours], NOW) == client().ours


@pytest.mark.parametrize("canonicalization", CANONICAL)
@pytest.mark.parametrize("parts", [("Body",), ("Timestamp", "BinarySecurityToken", "Body")])
def test_other_forms_verify_by_the_library_alone(canonicalization: str, parts: tuple[str, ...]) -> None:
    envelope = message()
    signer(form=Form(canonicalization=canonicalization, parts=parts)).sign(envelope)
    received = sent(envelope)
    signature = _element(received, ".//ds:Signature")
    methods = received.xpath("//ds:CanonicalizationMethod/@Algorithm", namespaces=NS)
    assert methods == [CANONICAL[canonicalization]]
    places = {"Body": "s:Body", "Timestamp": ".//u:Timestamp", "BinarySecurityToken": f".//{TOKEN}"}
    signed_elements = [_element(received, places[part]) for part in parts]
    assert _verifies(signature, signed_elements)
    assert len(signature.findall(".//ds:Reference", NS)) == len(parts)
    for element in signed_elements:
        element.set("changed", "yes")
        assert not _verifies(signature, signed_elements)
        del element.attrib["changed"]


def _verifies(signature: etree._Element, elements: list[etree._Element]) -> bool:
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(pem(client()), xmlsec.constants.KeyDataFormatPem)
    for element in elements:
        context.register_id(element, "Id", WSU)
    try:
        context.verify(signature)
    except xmlsec.Error:
        return False
    return True


def test_the_timestamp_holds_for_its_time_and_the_clocks_difference() -> None:
    received = signed_message()
    for seconds, holds in ((-61, False), (-60, True), (0, True), (359, True), (360, False)):
        moment = NOW + timedelta(seconds=seconds)
        if holds:
            verify(received, [client().ours], moment)
        else:
            with pytest.raises(BadSignature, match="outside the times"):
                verify(received, [client().ours], moment)


def _element(root: etree._Element, path: str) -> etree._Element:
    found = root.find(path, NS)
    assert found is not None
    return found


def _changed_body(root: etree._Element) -> None:
    _element(root, "s:Body")[0].text = "Anna"


def _changed_time(root: etree._Element) -> None:
    _element(root, ".//u:Expires").text = "2026-06-01T23:00:00.000Z"


def _body_wrapped(root: etree._Element) -> None:
    """The signed Body goes into the header; what is read in its place is another one, without an id."""
    body = _element(root, "s:Body")
    forged = copy.deepcopy(body)
    forged.attrib.clear()
    forged[0].text = "Anna"
    etree.SubElement(_element(root, "s:Header"), "{urn:x}Wrapper").append(body)
    root.append(forged)


def _body_wrapped_with_its_id(root: etree._Element) -> None:
    body = _element(root, "s:Body")
    forged = copy.deepcopy(body)
    forged[0].text = "Anna"
    etree.SubElement(_element(root, "s:Header"), "{urn:x}Wrapper").append(body)
    root.append(forged)


def _second_body(root: etree._Element) -> None:
    second = copy.deepcopy(_element(root, "s:Body"))
    second.set(f"{{{WSU}}}Id", "other")
    root.append(second)


def _second_security(root: etree._Element) -> None:
    header = _element(root, "s:Header")
    header.append(copy.deepcopy(header[0]))


def _signature_elsewhere(root: etree._Element) -> None:
    _element(root, "s:Header").append(_element(root, ".//ds:Signature"))


def _no_timestamp(root: etree._Element) -> None:
    stamp = _element(root, ".//u:Timestamp")
    _element(root, "s:Header/w:Security").remove(stamp)


def _only_one_reference(root: etree._Element) -> None:
    info = _element(root, ".//ds:SignedInfo")
    info.remove(info[-1])


def _same_reference_twice(root: etree._Element) -> None:
    info = _element(root, ".//ds:SignedInfo")
    info[-1].set("URI", info[-2].get("URI", ""))


def _weak_method(root: etree._Element) -> None:
    _element(root, ".//ds:SignatureMethod").set("Algorithm", f"{DS}hmac-sha1")


def _weak_digest(root: etree._Element) -> None:
    _element(root, ".//ds:DigestMethod").set("Algorithm", f"{DS}sha1")


def _transform_by_style_sheet(root: etree._Element) -> None:
    _element(root, ".//ds:Transform").set("Algorithm", "http://www.w3.org/TR/1999/REC-xslt-19991116")


def _object_inside(root: etree._Element) -> None:
    etree.SubElement(_element(root, ".//ds:Signature"), f"{{{DS}}}Object")


def _key_by_name(root: etree._Element) -> None:
    info = _element(root, ".//ds:KeyInfo")
    info.clear()
    etree.SubElement(info, f"{{{DS}}}KeyName").text = "HIS"


def _no_expiry(root: etree._Element) -> None:
    stamp = _element(root, ".//u:Timestamp")
    stamp.remove(stamp[1])


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (_changed_body, "the signature is wrong"),
        (_changed_time, "the signature is wrong"),
        (_body_wrapped, "does not cover this Body"),
        (_body_wrapped_with_its_id, "an id occurs twice"),
        (_second_body, "not one soap:Header and one soap:Body"),
        (_second_security, "2 Security"),
        (_signature_elsewhere, "0 Signature"),
        (_no_timestamp, "0 Timestamp"),
        (_only_one_reference, "ds:SignedInfo does not hold"),
        (_same_reference_twice, "does not cover"),
        (_weak_method, "SignatureMethod is not an allowed one"),
        (_weak_digest, "DigestMethod is not an allowed one"),
        (_transform_by_style_sheet, "Transform is not an allowed one"),
        (_object_inside, "ds:Signature does not hold"),
        (_key_by_name, "names no X509v3"),
        (_no_expiry, "no Expires"),
    ],
)
def test_attacks_and_breakages_are_refused(attack: Callable[[etree._Element], None], reason: str) -> None:
    received = signed_message()
    attack(received)
    with pytest.raises(BadSignature, match=reason):
        verify(received, [client().ours], NOW)


def test_a_certificate_in_the_message_is_no_reason_to_trust_it() -> None:
    with pytest.raises(BadSignature, match="not trusted"):
        verify(signed_message(), [stranger().ours], NOW)


def test_an_expired_certificate_is_refused() -> None:
    old = issue("HIS", None, key_name="rsa-2048 old", end=NOW - DAY)
    envelope = message()
    signer(old).sign(envelope)
    with pytest.raises(BadSignature, match="expired"):
        verify(sent(envelope), [old.ours], NOW)


CA = issue("WSS CA", None, ca=True)
MEMBER = issue("member", CA)
SIGNED_BY_MEMBER = {
    "issued by an authority": (MEMBER, CA, True),
    "its key signs no messages": (issue("encrypts", CA, usage={"key_encipherment": True}), CA, False),
    "its key is short": (issue("short", CA, key_name="rsa-1024 short"), CA, False),
    "its key is none of RSA": (issue("curve", CA, key_name="ec member"), CA, False),
    "issued by another": (MEMBER, issue("WSS CA", None, ca=True, key_name="ec other ca"), False),
    "issued by somebody who is no authority": (issue("x", client()), client(), False),
    "issued by who signs no certificates": (
        MEMBER, issue("WSS CA", None, ca=True, key_name="ec WSS CA", usage={"crl_sign": True}), False,
    ),
    "issued by an authority that has expired": (
        MEMBER, issue("WSS CA", None, ca=True, key_name="ec WSS CA", end=NOW - DAY), False,
    ),
    "issued by one whom the authority has issued": (issue("y", issue("sub", CA, ca=True)), CA, False),
}  # fmt: skip


@pytest.mark.parametrize("name", SIGNED_BY_MEMBER)
def test_who_may_sign_because_an_authority_says_so(name: str) -> None:
    member, trusted, holds = SIGNED_BY_MEMBER[name]
    if not isinstance(member.key, rsa.RSAPrivateKey) or member.key.key_size < 2048:
        envelope = signed_message()  # nothing of ours signs with such a key
        _element(envelope, ".//w:BinarySecurityToken").text = base64.b64encode(member.der).decode()
    else:
        envelope = message()
        signer(member).sign(envelope)
        envelope = sent(envelope)
    if holds:
        assert verify(envelope, [stranger().ours, trusted.ours], NOW).der == member.der
        return
    with pytest.raises(BadSignature, match="not trusted"):
        verify(envelope, [trusted.ours], NOW)


def test_a_token_that_is_no_certificate() -> None:
    envelope = signed_message()
    _element(envelope, ".//w:BinarySecurityToken").text = "AAAA"
    with pytest.raises(BadSignature, match="not trusted"):
        verify(envelope, [CA.ours], NOW)


def test_a_message_without_body_is_not_signed() -> None:
    with pytest.raises(ValueError, match="no soap:Body"):
        signer().sign(etree.fromstring(f'<s:Envelope xmlns:s="{SOAP11}"/>'))


def test_credentials_come_from_two_files(tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    certificate.write_bytes(client().pem)
    key.write_bytes(pem(client()))
    assert read_credentials(certificate, key) == Credentials(client().der, pem(client()))
    key.write_bytes(pem(stranger()))
    with pytest.raises(UnusableKey, match=r"k\.pem: not the key of"):
        read_credentials(certificate, key)
    key.write_bytes(pem(issue("EC", None, key_name="ec wss")))
    with pytest.raises(UnusableKey, match="no RSA key of at least 2048 bits"):
        read_credentials(certificate, key)
    key.write_text("nothing")
    with pytest.raises(UnusableKey, match="no PEM key"):
        read_credentials(certificate, key)
    with pytest.raises(UnusableKey, match=r"d\.pem: No such file"):
        read_credentials(tmp_path / "d.pem", key)
