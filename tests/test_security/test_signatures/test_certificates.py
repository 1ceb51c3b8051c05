"""Certificates: what they say of their holder, what binds them; and the libraries beneath."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import xmlsec
from asn1crypto import core
from asn1crypto import x509 as asn1
from cryptography import x509
from lxml import etree

from msim_xds.security.signatures.assess import Assessor
from msim_xds.security.signatures.certificates import Certificate, CertificateRef
from msim_xds.security.signatures.validator import Validator
from tests.support.authority import NOW, Identity, issue
from tests.support.signing import CDA, sign
from tests.test_security.test_signatures.cases import SEAL, TRUST, W, replaced

QC = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.3")


def oid(value: str) -> bytes:
    return bytes(core.ObjectIdentifier(value).dump())


def sequence(*parts: bytes) -> bytes:
    content = b"".join(parts)
    return (
        b"\x30" + (bytes([len(content)]) if len(content) < 128 else b"\x81" + bytes([len(content)])) + content
    )


def qualified(value: bytes, name: str) -> Identity:
    extension = x509.UnrecognizedExtension(QC, value)
    return issue(name, W.ca, key_name="ec qualified", extensions=[(extension, False)])


def test_both_libraries_carry_the_same_libxml2() -> None:
    assert xmlsec.get_libxml_version() == etree.LIBXML_VERSION


def test_qualifications() -> None:
    statements = sequence(
        sequence(oid("0.4.0.1862.1.1")),
        sequence(oid("0.4.0.1862.1.4")),
        sequence(oid("0.4.0.1862.1.6"), sequence(oid("0.4.0.1862.1.6.1"))),
        sequence(oid("1.2.3")),
    )
    assert qualified(statements, "Kwalifikowany").ours.qualifications == ("qualified", "QSCD", "eSign")
    assert W.signer.ours.qualifications == ()


@pytest.mark.parametrize("octets", [b"", b"nothing", b"0\x03\x02\x01\x01"])
def test_what_is_no_certificate(octets: bytes) -> None:
    with pytest.raises(ValueError, match="not a certificate"):
        Certificate(octets)


def issuer_serial(serial: int, issuer: Identity) -> bytes:
    name = asn1.GeneralName("directory_name", asn1.Certificate.load(issuer.der).subject)
    return sequence(asn1.GeneralNames([name]).dump(), core.Integer(serial).dump())


@pytest.mark.parametrize(
    ("value", "differs"),
    [
        (None, False),
        (issuer_serial(W.signer.certificate.serial_number, W.ca), False),
        (issuer_serial(1, W.ca), True),
        (issuer_serial(W.signer.certificate.serial_number, SEAL), True),
        (b"", True),
        (b"nothing", True),
    ],
)
def test_issuer_and_serial_are_only_a_warning(value: bytes | None, differs: bool) -> None:
    assert CertificateRef("", b"", value).issuer_differs(W.signer.ours) is differs


def test_a_reference_with_an_unknown_digest_names_nothing() -> None:
    assert not CertificateRef("urn:x", b"x").names(W.signer.der)


def test_threads_come_to_the_same_verdicts() -> None:
    """A good and a changed document, many times at once."""
    validator = Validator(Assessor(TRUST))
    good, bad = sign(CDA), replaced("bez zmian", "raka")()

    def verdict(document: bytes) -> str:
        return str(validator.validate(document, NOW).signatures[0].indication)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(verdict, [good, bad] * 60))
    assert found == ["TOTAL_PASSED", "TOTAL_FAILED"] * 60
