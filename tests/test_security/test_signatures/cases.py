"""One row for each form and each defect: how it is made, what is trusted, what must come out."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from lxml import etree

from msim_xds.security.signatures.material import RevocationItem, read_crl, read_ocsp
from msim_xds.security.signatures.trust import Anchor, Trust
from tests.support import signing
from tests.support.authority import DAY, NOW, Identity, crl, issue, ocsp_answer, world
from tests.support.signing import (
    BASE64,
    CDA,
    DS,
    ENVELOPED,
    EXC,
    INC,
    NS,
    XPATH,
    Plan,
    Reference,
    sign,
    standalone,
)

W = world()
SERIAL = W.signer.certificate.serial_number
ENDED = issue("Były Lekarz", W.ca, end=NOW - 100 * DAY)
EARLY = issue("Przyszły Lekarz", W.ca, start=NOW + 100 * DAY)
SMALL = issue("Mały Klucz", W.ca, key_name="rsa-1024 small")
CURVE = issue("Krzywa", W.ca, key_name="ec curve")
CURVE384 = issue("Krzywa 384", W.ca, key_name="ec384 curve")
CIPHER = issue("Tylko szyfry", W.ca, key_name="rsa-2048 cipher", usage={"key_encipherment": True})
NEVER = issue(
    "Krótki", W.ca, key_name="rsa-2048 never", extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.56"), b"\x05\x00"), False)]
)  # fmt: skip
SEAL = issue("Minister Cyfryzacji - pieczęć podpisu zaufanego", W.ca, key_name="rsa-2048 seal")
OTHER_CA = issue("Test CA", None, ca=True, key_name="ec impostor")
FORGED = issue("Łucja Lekarz", OTHER_CA, key_name="rsa-2048 forged")
NO_CA = issue("Nie urząd", W.ca, key_name="ec no-ca", usage={"key_cert_sign": True})
BELOW_NO_CA = issue("Pod nie-urzędem", NO_CA, key_name="rsa-2048 below")
TSA_ENDED = issue("TSA Ended", W.ca, key_name="ec tsa2", usage={"digital_signature": True}, end=NOW - 50 * DAY, eku=ExtendedKeyUsageOID.TIME_STAMPING)  # fmt: skip
TSA_WRONG = issue("TSA Wrong", W.ca, key_name="ec tsa3", usage={"digital_signature": True}, eku=ExtendedKeyUsageOID.CODE_SIGNING)  # fmt: skip


def items(crls: Sequence[bytes] = (), ocsps: Sequence[bytes] = ()) -> tuple[RevocationItem, ...]:
    found = [*(read_crl(one) for one in crls), *(read_ocsp(one) for one in ocsps)]
    return tuple(one for one in found if one is not None)


def trust(
    crls: Sequence[bytes] | None = None, ocsps: Sequence[bytes] = (), *, anchor: Identity = W.root, name: str = "test", others: Sequence[Identity] = (W.ca,)
) -> Trust:  # fmt: skip
    """The usual trust: root and current CRLs."""
    anchors = (Anchor(anchor.ours, name), Anchor(W.root.ours, "tsa", time_stamps=True))
    return Trust(anchors, tuple(one.ours for one in others), items(W.crls() if crls is None else crls, ocsps))


TRUST = trust()
NOBODY = Trust()


@dataclass(frozen=True)
class Case:
    """A document and what must be said of its first signature."""

    name: str
    document: Callable[[], bytes]
    sub: str | None
    indication: str = ""
    trust: Trust = TRUST
    intact: bool | None = None
    covers: bool | None = None
    level: str = ""
    bound: bool = True
    detached: dict[str, bytes] = field(default_factory=dict)
    reason: str = ""
    packaging: str = ""


def good(name: str, document: Callable[[], bytes], level: str = "XAdES-BASELINE-B", **more: object) -> Case:
    return Case(name, document, None, "TOTAL_PASSED", intact=True, level=level, **{"covers": True, **more})  # type: ignore[arg-type]


def failed(name: str, document: Callable[[], bytes], sub: str, **more: object) -> Case:
    return Case(name, document, sub, "TOTAL_FAILED", **{"intact": False, "covers": False, **more})  # type: ignore[arg-type]


def open_(name: str, document: Callable[[], bytes], sub: str, **more: object) -> Case:
    return Case(name, document, sub, "INDETERMINATE", **more)  # type: ignore[arg-type]


def plan(**options: object) -> Callable[[], bytes]:
    return lambda: sign(CDA, Plan(**options))  # type: ignore[arg-type]


def after(
    edit: Callable[[etree._Element], None], document: bytes = CDA, **options: object
) -> Callable[[], bytes]:
    """Signed, and then the signature edited."""
    return lambda: sign(document, Plan(**options), then=edit)  # type: ignore[arg-type]


def replaced(old: str, new: str, **options: object) -> Callable[[], bytes]:
    def document() -> bytes:
        octets = sign(CDA, Plan(**options))  # type: ignore[arg-type]
        assert old.encode() in octets
        return octets.replace(old.encode(), new.encode(), 1)

    return document


def tree(edit: Callable[[etree._Element], etree._Element | None], **options: object) -> Callable[[], bytes]:
    """Signed, and then the document edited."""

    def document() -> bytes:
        root = etree.fromstring(sign(CDA, Plan(**options)))  # type: ignore[arg-type]
        changed = edit(root)
        return signing.octets(root if changed is None else changed)

    return document


def signature_of(root: etree._Element) -> etree._Element:
    found = root.find(".//ds:Signature", NS)
    assert found is not None
    return found


def remove(path: str) -> Callable[[etree._Element], None]:
    def edit(signature: etree._Element) -> None:
        found = signature.find(path, NS)
        assert found is not None
        parent = found.getparent()
        assert parent is not None
        parent.remove(found)

    return edit


# ---- wrapping

ROOT_BY_ID = [Reference("#doc", (ENVELOPED, EXC))]
BODY_BY_ID = [Reference("#body", (EXC,))]


def root_into_object(root: etree._Element) -> etree._Element:
    """A forged root holds the signature, the signed root hides in its Object."""
    signature = signature_of(root)
    forged = etree.fromstring(CDA.replace(b'ID="doc"', b'ID="forged"').replace("bez zmian".encode(), b"raka"))
    root.remove(signature)
    forged.append(signature)
    etree.SubElement(signature, f"{{{DS}}}Object").append(root)
    return forged


def root_into_wrapper(root: etree._Element) -> etree._Element:
    """The signed root, signature inside, hides below a forged root."""
    forged = etree.fromstring(CDA.replace(b'ID="doc"', b'ID="forged"'))
    forged.append(root)
    return forged


def same_id(root: etree._Element) -> etree._Element:
    """A forged root takes the Id; the signed one is kept below."""
    forged = etree.fromstring(CDA.replace("bez zmian".encode(), b"raka"))
    signature = signature_of(root)
    root.remove(signature)
    forged.append(root)
    forged.append(signature)
    return forged


def body_aside(root: etree._Element) -> None:
    """The signed body goes into an extension, a forged one takes its place."""
    body = next(one for one in root if one.get("ID") == "body")
    forged = etree.fromstring(etree.tostring(body).replace(b'ID="body"', b'ID="other"'))
    place = root.index(body)
    holder = etree.SubElement(root, "extension")
    holder.append(body)
    root.insert(place, forged)


def object_below_wrapper(signature: etree._Element) -> None:
    signed = next(one for one in signature.findall("ds:Object", NS) if one.get("Id") == "o1")
    wrapper = etree.SubElement(signature, f"{{{DS}}}Object")
    wrapper.append(signed)
    forged = etree.SubElement(signature, f"{{{DS}}}Object", Id="o2")
    forged.text = base64.b64encode(b"forged").decode()


def properties_swapped(signature: etree._Element) -> None:
    """The signed properties go elsewhere, forged ones take their place."""
    signed = signature.find(".//xades:SignedProperties", NS)
    assert signed is not None
    forged = etree.fromstring(etree.tostring(signed).replace(b'Id="S1-sp"', b'Id="S2-sp"'))
    parent = signed.getparent()
    assert parent is not None
    parent.replace(signed, forged)
    etree.SubElement(signature, f"{{{DS}}}Object").append(signed)


# ---- enveloping, detached

OBJECT = f'<ds:Object Id="o1">{base64.b64encode(CDA).decode()}</ds:Object>'
ENVELOPING = Plan(references=[Reference("#o1", (BASE64,), f"{DS}Object")], objects=OBJECT)
DETACHED = Plan(references=[Reference("urn:oid:1.2.3", (), octets=CDA)])
MANIFEST_XML = (
    '<ds:Object><ds:Manifest Id="m1"><ds:Reference URI="urn:oid:1.2.3">'
    f'<ds:DigestMethod Algorithm="{signing.DIGESTS["sha256"]}"/>'
    f"<ds:DigestValue>{signing.text_digest(CDA, 'sha256')}</ds:DigestValue></ds:Reference></ds:Manifest></ds:Object>"
)


def dsg() -> bytes:
    """A Document Digital Signature (ITI TF-3 5.5): a manifest names the documents."""
    return standalone(
        Plan(references=[Reference("#m1", (EXC,), f"{DS}Manifest")], objects=MANIFEST_XML, formats=False)
    )


# ---- time-stamps

LONG_AGO = NOW - 300 * DAY


def stamped(at: datetime, **options: object) -> Callable[[etree._Element], None]:
    return lambda signature: signing.add_stamp(signature, at, **options)  # type: ignore[arg-type]


def long_term(signature: etree._Element) -> None:
    signing.add_stamp(signature, LONG_AGO)
    signing.add_values(signature, [W.ca, W.root], W.crls(issued=LONG_AGO + DAY))


def archived(signature: etree._Element) -> None:
    """Both the signer's and the first authority's certificates end before now; the archive stamp covers that."""
    signing.add_stamp(signature, LONG_AGO, TSA_ENDED)
    signing.add_values(signature, [W.ca, W.root], W.crls(issued=LONG_AGO + DAY))
    signing.add_archive_stamp(signature, NOW - 200 * DAY, W.tsa)


def foreign_stamp(signature: etree._Element) -> None:
    other = etree.fromstring(sign(CDA.replace(b"bez", b"ze"), Plan(signer=SEAL), then=stamped(LONG_AGO)))
    found = other.find(".//xades:SignatureTimeStamp", NS)
    assert found is not None
    signing.unsigned(signature, etree.tostring(found).decode())


REVOKED_LATE = trust([crl(W.root), crl(W.ca, {SERIAL: NOW - 100 * DAY})])

CASES = [
    good("enveloped", plan()),
    good("enveloped, SigningCertificate of the first form", plan(version1=True)),
    good("enveloped, root by Id", plan(references=ROOT_BY_ID)),
    good("enveloped, xpointer with comments", plan(references=[Reference("#xpointer(/)", (ENVELOPED, EXC))])),
    good("enveloped, inclusive canonicalization below a default namespace", plan(references=[Reference("", (ENVELOPED, INC))], canonical=INC)),
    good("enveloped, XPath that takes out signatures", plan(references=[Reference("", (XPATH, EXC))])),
    good("enveloped, root by xml:id", lambda: sign(CDA.replace(b' ID="doc"', b' xml:id="doc"'), Plan(references=ROOT_BY_ID))),
    good("ECDSA on P-256", plan(signer=CURVE, method=signing.ECDSA_SHA256)),
    good("ECDSA on P-384", plan(signer=CURVE384, method=signing.ECDSA_SHA256)),
    good("RSA-PSS", plan(method=signing.PSS_SHA256)),
    good("reference to the properties without Type", plan(properties_type="")),
    good("chain in KeyInfo", plan(chain=[W.ca]), trust=trust(others=())),
    good("OCSP of the authority", plan(), trust=trust([crl(W.root)], [ocsp_answer(W.signer, W.ca)])),
    good("OCSP of its responder", plan(), trust=trust([crl(W.root)], [ocsp_answer(W.signer, W.ca, W.responder)])),
    good("CRL of an anchor that is not self-signed", plan(), trust=trust([crl(W.ca)], anchor=W.ca)),
    good("OCSP of an anchor that is not self-signed", plan(), trust=trust([], [ocsp_answer(W.signer, W.ca, W.responder)], anchor=W.ca)),
    good("CRL for users' certificates, another for authorities'", plan(), trust=trust([crl(W.root, only="ca"), crl(W.ca, only="user")])),
    good("CRL in parts", plan(), trust=trust([crl(W.root), crl(W.ca, only="point")])),
    good("certificate without revocation", plan(signer=NEVER), trust=trust([crl(W.root)])),
    good("signer is itself trusted", plan(), trust=trust([], anchor=W.signer)),
    good("policy", plan(policy="<xades:SignaturePolicyIdentifier><xades:SignaturePolicyImplied/></xades:SignaturePolicyIdentifier>")),
    good("trusted signature with ppZP", plan(signer=SEAL, role=signing.PPZP), trust=trust(name="p1")),
    good("B-T", after(stamped(NOW - 10 * DAY)), "XAdES-BASELINE-T"),
    good("B-T of a certificate that ended later", after(stamped(LONG_AGO), signer=ENDED), "XAdES-BASELINE-T", trust=trust([*W.crls(), crl(W.ca, issued=LONG_AGO + DAY)])),
    good("B-T, revoked after the stamp", after(stamped(NOW - 200 * DAY)), "XAdES-BASELINE-T", trust=REVOKED_LATE),
    good("B-LT", after(long_term), "XAdES-BASELINE-LT", trust=trust(others=())),
    good("B-LTA, everything ended since", after(archived, signer=ENDED), "XAdES-BASELINE-LTA", trust=trust(others=())),
    good("enveloping", lambda: standalone(ENVELOPING), covers=False, packaging="enveloping"),
    good("detached", lambda: standalone(DETACHED), detached={"urn:oid:1.2.3": CDA}, packaging="detached"),
    good("detached without name", lambda: standalone(Plan(references=[Reference(None, (), octets=CDA)])), detached={"x.xml": CDA}),
    good("DSG manifest", dsg, detached={"urn:oid:1.2.3": CDA}),
    good("DSG manifest of another document", dsg, detached={"urn:oid:1.2.3": CDA + b" "}, covers=False),
    good("part of the document", plan(references=BODY_BY_ID), covers=False, packaging="internally-detached"),
    # what cannot be decided
    open_("nobody is trusted", plan(), "NO_CERTIFICATE_CHAIN_FOUND", trust=NOBODY, intact=True, covers=True, reason="no-chain"),
    open_("another authority of the same name", plan(signer=FORGED), "NO_CERTIFICATE_CHAIN_FOUND", intact=True),
    open_("authority that is none", plan(signer=BELOW_NO_CA, chain=[NO_CA]), "CHAIN_CONSTRAINTS_FAILURE", reason="chain-broken"),
    open_("no revocation data", plan(), "TRY_LATER", trust=trust([]), reason="no-revocation-data"),
    open_("CRL for authorities' certificates only", plan(), "TRY_LATER", trust=trust([crl(W.root), crl(W.ca, only="ca")])),
    open_("stale CRL", plan(), "TRY_LATER", trust=trust(W.crls(issued=NOW - 30 * DAY))),
    open_("CRL signed by somebody else", plan(), "TRY_LATER", trust=trust([crl(W.root), crl(W.ca, signed_by=OTHER_CA)])),
    open_("OCSP of a certificate that may not answer", plan(), "TRY_LATER", trust=trust([crl(W.root)], [ocsp_answer(W.signer, W.ca, CURVE)])),
    open_("revoked", plan(), "REVOKED_NO_POE", trust=trust([crl(W.root), crl(W.ca, {SERIAL: NOW - 30 * DAY})]), reason="revoked"),
    open_("revoked in a CRL in parts", plan(), "REVOKED_NO_POE", trust=trust([crl(W.root), crl(W.ca, {SERIAL: NOW - 30 * DAY}, only="point")])),
    open_("revoked by OCSP", plan(), "REVOKED_NO_POE", trust=trust([crl(W.root)], [ocsp_answer(W.signer, W.ca, revoked=NOW - 30 * DAY)])),
    open_("revoked before the stamp", after(stamped(NOW - 10 * DAY)), "REVOKED_NO_POE", trust=REVOKED_LATE),
    open_("authority revoked", plan(), "REVOKED_CA_NO_POE", trust=trust([crl(W.ca), crl(W.root, {W.ca.certificate.serial_number: NOW - DAY})])),
    open_("expired", plan(signer=ENDED), "OUT_OF_BOUNDS_NO_POE", trust=trust([crl(W.root)]), reason="expired"),
    open_("expired, not revoked before", plan(signer=ENDED), "OUT_OF_BOUNDS_NOT_REVOKED", trust=trust([*W.crls(issued=NOW - 101 * DAY)])),
    open_("expired, stamp of nobody trusted", after(stamped(LONG_AGO), signer=ENDED), "OUT_OF_BOUNDS_NOT_REVOKED", level="XAdES-BASELINE-T",
          trust=Trust((Anchor(W.root.ours, "test"),), (W.ca.ours,), items(W.crls(issued=NOW - 101 * DAY)))),
    open_("expired, stamp of another signature", after(foreign_stamp, signer=ENDED), "OUT_OF_BOUNDS_NO_POE", trust=trust([crl(W.root)])),
    open_("expired, stamp broken", after(stamped(LONG_AGO, spoil=True), signer=ENDED), "OUT_OF_BOUNDS_NO_POE", trust=trust([crl(W.root)])),
    open_("expired, stamp names another authority", after(stamped(LONG_AGO, binding=b"x"), signer=ENDED), "OUT_OF_BOUNDS_NO_POE", trust=trust([crl(W.root)])),
    open_("expired, stamp of a certificate for code", after(stamped(LONG_AGO, authority=TSA_WRONG), signer=ENDED), "OUT_OF_BOUNDS_NO_POE", trust=trust([crl(W.root)])),
    open_("SHA-1", plan(digest="sha1"), "CRYPTO_CONSTRAINTS_FAILURE_NO_POE", intact=True, reason="weak"),
    open_("RSA-SHA1", plan(method=signing.RSA_SHA1), "CRYPTO_CONSTRAINTS_FAILURE_NO_POE", intact=True),
    open_("RSA-1024", plan(signer=SMALL), "CRYPTO_CONSTRAINTS_FAILURE_NO_POE", intact=True),
    open_("certificate for encryption", plan(signer=CIPHER), "SIG_CONSTRAINTS_FAILURE", intact=True, reason="key-usage"),
    open_("another certificate is named", plan(named=SEAL), "NO_SIGNING_CERTIFICATE_FOUND", intact=True, bound=False, reason="not-bound"),
    open_("no certificate is named", plan(bind=False), "SIG_CONSTRAINTS_FAILURE", intact=True, bound=False, reason="not-named", level="XML-NOT-ETSI"),
    open_("plain XML signature", plan(properties=False), "SIG_CONSTRAINTS_FAILURE", intact=True, bound=False, level="XML-NOT-ETSI"),
    open_("properties are not signed", plan(sign_properties=False), "SIG_CONSTRAINTS_FAILURE", intact=False, covers=False, reason="signed-properties-unsigned"),
    open_("no certificate at all", plan(key_info="<ds:KeyName>x</ds:KeyName>"), "NO_SIGNING_CERTIFICATE_FOUND", trust=NOBODY, intact=False, bound=False, reason="no-certificate"),
    open_("detached, not handed in", lambda: standalone(DETACHED), "SIGNED_DATA_NOT_FOUND", intact=False, reason="not-handed-in"),
    open_("signed content stamp after the signature's", after(stamped(NOW - 20 * DAY), content_stamp=NOW - 10 * DAY), "TIMESTAMP_ORDER_FAILURE"),
    open_("signs nothing", plan(references=[Reference("#S1-sp", (EXC,))], sign_properties=False), "SIG_CONSTRAINTS_FAILURE", intact=False, reason="signs-nothing"),
    # what is wrong
    failed("text changed", replaced("bez zmian", "raka"), "HASH_FAILURE", reason="digest-differs"),
    failed("instruction changed", replaced("CDA_PL_IG_1.3.2.xsl", "evil.xsl"), "HASH_FAILURE"),
    failed("instruction added", lambda: sign(CDA.split(b"\n", 2)[2]).replace(b"<ClinicalDocument", b"<?xml-stylesheet a?>\n<ClinicalDocument", 1), "HASH_FAILURE", reason="instructions"),
    failed("signed properties changed", replaced("<xades:SigningTime>2026", "<xades:SigningTime>2025"), "HASH_FAILURE"),
    failed("made with another key", plan(key=SEAL), "SIG_CRYPTO_FAILURE", bound=False, reason="value-wrong"),
    failed("certificate exchanged", replaced(base64.b64encode(W.signer.der).decode(), base64.b64encode(SEAL.der).decode()), "SIG_CRYPTO_FAILURE", bound=False),
    failed("digest of the wrong length", replaced("<ds:DigestValue>", "<ds:DigestValue>AAAA"), "HASH_FAILURE", bound=False),
    failed("HMAC", replaced(signing.RSA_SHA256, f"{DS}hmac-sha1"), "SIG_CRYPTO_FAILURE", bound=False, reason="method-refused"),
    failed("not yet valid", plan(signer=EARLY), "NOT_YET_VALID", intact=True, covers=True),
    failed("revoked before a content stamp", plan(content_stamp=NOW - 10 * DAY), "REVOKED", intact=True, covers=True, trust=REVOKED_LATE, reason="revoked-before"),
    failed("expired before a content stamp", plan(content_stamp=NOW - 10 * DAY, signer=ENDED), "EXPIRED", intact=True, covers=True),
    failed("detached, other octets", lambda: standalone(DETACHED), "HASH_FAILURE", detached={"urn:oid:1.2.3": CDA.replace(b"\n", b"\r\n")}, reason="line-ends"),
    failed("detached, byte order mark added", lambda: standalone(DETACHED), "HASH_FAILURE", detached={"urn:oid:1.2.3": b"\xef\xbb\xbf" + CDA}, reason="byte-order-mark"),
    failed("re-indented", lambda: sign(b"<a><b>x</b><c/></a>").replace(b"<b>", b"\n  <b>").replace(b"<c/>", b"\n  <c/>"), "HASH_FAILURE", reason="indented"),
    failed("re-encoded", lambda: sign(CDA).replace("Zażółć".encode(), "Zażółć".encode().decode("cp1250").encode()).replace("Gęślą".encode(), "Gęślą".encode().decode("cp1250", "replace").encode()).replace("Jaźń".encode(), "Jaźń".encode().decode("cp1250", "replace").encode()), "HASH_FAILURE"),
    failed("two sets of properties", after(lambda s: s.append(etree.fromstring(etree.tostring(s.findall("ds:Object", NS)[0])))), "FORMAT_FAILURE", reason="properties-ambiguous", bound=False),
    failed("two signature values", after(lambda s: s.append(etree.fromstring(etree.tostring(s.findall("ds:SignatureValue", NS)[0])))), "FORMAT_FAILURE", reason="structure"),
    failed("canonicalization of an unknown kind", replaced(f'CanonicalizationMethod Algorithm="{EXC}"', 'CanonicalizationMethod Algorithm="urn:x"'), "FORMAT_FAILURE", bound=False),
    # wrapping
    open_("signed root hidden in ds:Object", tree(root_into_object, references=ROOT_BY_ID), "SIGNED_DATA_NOT_FOUND", intact=False, covers=False, reason="no-canonical-form"),
    failed("forged root takes the Id", tree(same_id, references=ROOT_BY_ID), "FORMAT_FAILURE", reason="id-ambiguous"),
    open_("properties moved, others in their place", after(properties_swapped), "SIGNED_DATA_NOT_FOUND", intact=False, covers=False, reason="signed-properties-elsewhere"),
    open_("object moved below a wrapper", lambda: standalone(ENVELOPING, then=object_below_wrapper), "SIGNED_DATA_NOT_FOUND", intact=False, covers=False, reason="object-moved"),
    good("signed body moved aside is a part, never the document", tree(body_aside, references=BODY_BY_ID), covers=False),
    good("signed root below a forged one is a part, never the document", tree(root_into_wrapper, references=ROOT_BY_ID), covers=False),
]  # fmt: skip

REFUSED = {
    "file": (Reference("file:///etc/passwd", (EXC,)), "not-handed-in"),
    "relative name": (Reference("other.xml", ()), "not-handed-in"),
    "address": (Reference("http://example.org/", ()), "not-handed-in"),
    "nameless": (Reference(None, ()), "nameless"),
    "missing Id": (Reference("#nowhere", (EXC,)), "id-missing"),
    "XSLT": (Reference("", ("http://www.w3.org/TR/1999/REC-xslt-19991116",)), "transform-refused"),
    "six transforms": (Reference("", (EXC,) * 6), "too-many-transforms"),
    "not base64": (Reference("#body", (BASE64,)), "not-base64"),
    "empty node set": (Reference("#S1-sv", (ENVELOPED, EXC)), "no-canonical-form"),
}
"""References that are never followed or carried out; xmlsec cannot even sign them, so values are left empty."""
