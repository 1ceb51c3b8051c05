"""Signed documents of every form, made with xmlsec and lxml and not with the code under test."""

from __future__ import annotations

import base64
import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import xmlsec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from lxml import etree

from tests.support.authority import NOW, Identity, stamp, world

DS = "http://www.w3.org/2000/09/xmldsig#"
XADES = "http://uri.etsi.org/01903/v1.3.2#"
XADES141 = "http://uri.etsi.org/01903/v1.4.1#"
EXC = "http://www.w3.org/2001/10/xml-exc-c14n#"
INC = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
ENVELOPED = f"{DS}enveloped-signature"
BASE64 = f"{DS}base64"
XPATH = "http://www.w3.org/TR/1999/REC-xpath-19991116"
DIGESTS = {"sha1": f"{DS}sha1", "sha256": "http://www.w3.org/2001/04/xmlenc#sha256"}
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
ECDSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
RSA_SHA1 = f"{DS}rsa-sha1"
PSS_SHA256 = "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1"
NS = {"ds": DS, "xades": XADES, "xades141": XADES141}
PPZP = (
    '<ppZP:PodpisZP xmlns:ppZP="http://crd.gov.pl/xml/schematy/ppzp/" '
    'xmlns:os="http://crd.gov.pl/xml/schematy/osoba/2009/03/06/"><ppZP:DaneZP><ppZP:DaneZPOsobyFizycznej>'
    '<os:Nazwisko rodzajCzlonu="pierwszy">Żółcińska</os:Nazwisko><os:Imie>Łucja</os:Imie>'
    "</ppZP:DaneZPOsobyFizycznej></ppZP:DaneZP></ppZP:PodpisZP>"
)

CDA = """<?xml version="1.0" encoding="UTF-8"?>
<?xml-stylesheet href="CDA_PL_IG_1.3.2.xsl" type="text/xsl"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:extPL="http://www.csioz.gov.pl/xsd/extPL/r3" ID="doc">
  <id root="2.16.840.1.113883.3.4424.2.7.1" extension="1"/>
  <title>Karta informacyjna</title>
  <recordTarget><name><given>Zażółć</given><family>Gęślą</family></name></recordTarget>
  <component ID="body"><text>Jaźń<!-- uwaga --> bez zmian</text></component>
</ClinicalDocument>
""".encode()


@dataclass
class Reference:
    """A ds:Reference to be: where it leads and what is done on the way."""

    uri: str | None = ""
    transforms: Sequence[str] = (ENVELOPED, EXC)
    type: str = ""
    octets: bytes | None = None  # of a detached document


@dataclass
class Plan:
    """How to sign; every deviation is a field."""

    signer: Identity = field(default_factory=lambda: world().signer)
    key: Identity | None = None  # signs instead of the signer
    named: Identity | None = None  # stands in SigningCertificate instead of the signer
    chain: Sequence[Identity] = ()
    references: Sequence[Reference] = (Reference(),)
    objects: str = ""
    digest: str = "sha256"
    method: str = RSA_SHA256
    canonical: str = EXC
    id: str = "S1"
    target: str | None = None
    properties: bool = True
    sign_properties: bool = True
    properties_type: str = "http://uri.etsi.org/01903#SignedProperties"
    version1: bool = False
    bind: bool = True
    time: datetime | None = NOW
    role: str = ""
    policy: str = ""
    formats: bool = True
    content_stamp: datetime | None = None
    key_info: str | None = None


def text_digest(octets: bytes, digest: str) -> str:
    return base64.b64encode(hashlib.new(digest, octets).digest()).decode()


def template(plan: Plan) -> etree._Element:
    """The signature without values."""
    references = "".join(_reference(row, number, plan) for number, row in enumerate(plan.references))
    if plan.properties and plan.sign_properties:
        own = Reference(f"#{plan.id}-sp", (EXC,), plan.properties_type)
        references += _reference(own, -1, plan)
    info = plan.key_info
    if info is None:
        certificates = "".join(
            f"<ds:X509Certificate>{base64.b64encode(one.der).decode()}</ds:X509Certificate>"
            for one in (plan.signer, *plan.chain)
        )
        info = f"<ds:X509Data>{certificates}</ds:X509Data>"
    holder = f"<ds:Object>{_qualifying(plan)}</ds:Object>" if plan.properties else ""
    return etree.fromstring(
        f'<ds:Signature xmlns:ds="{DS}" Id="{plan.id}"><ds:SignedInfo>'
        f'<ds:CanonicalizationMethod Algorithm="{plan.canonical}"/><ds:SignatureMethod Algorithm="{plan.method}"/>'
        f'{references}</ds:SignedInfo><ds:SignatureValue Id="{plan.id}-sv"/>'
        f"<ds:KeyInfo>{info}</ds:KeyInfo>{holder}{plan.objects}</ds:Signature>"
    )


def _reference(row: Reference, number: int, plan: Plan) -> str:
    uri = "" if row.uri is None else f' URI="{row.uri}"'
    kind = f' Type="{row.type}"' if row.type else ""
    own_id = f' Id="{plan.id}-r{number}"' if number >= 0 else ""
    transforms = "".join(_transform(name) for name in row.transforms)
    value = "" if row.octets is None else text_digest(row.octets, plan.digest)
    return (
        f"<ds:Reference{own_id}{uri}{kind}>{f'<ds:Transforms>{transforms}</ds:Transforms>' if transforms else ''}"
        f'<ds:DigestMethod Algorithm="{DIGESTS[plan.digest]}"/><ds:DigestValue>{value}</ds:DigestValue></ds:Reference>'
    )


def _transform(name: str) -> str:
    if name != XPATH:
        return f'<ds:Transform Algorithm="{name}"/>'
    return f'<ds:Transform Algorithm="{name}"><ds:XPath>not(ancestor-or-self::ds:Signature)</ds:XPath></ds:Transform>'


def _qualifying(plan: Plan) -> str:
    named = plan.named or plan.signer
    digest = (
        f'<xades:CertDigest><ds:DigestMethod Algorithm="{DIGESTS[plan.digest]}"/>'
        f"<ds:DigestValue>{text_digest(named.der, plan.digest)}</ds:DigestValue></xades:CertDigest>"
    )
    serial = (
        f"<xades:IssuerSerial><ds:X509IssuerName>CN=x</ds:X509IssuerName><ds:X509SerialNumber>"
        f"{named.certificate.serial_number}</ds:X509SerialNumber></xades:IssuerSerial>"
    )
    kind, more = ("SigningCertificate", serial) if plan.version1 else ("SigningCertificateV2", "")
    binding = f"<xades:{kind}><xades:Cert>{digest}{more}</xades:Cert></xades:{kind}>" if plan.bind else ""
    time = f"<xades:SigningTime>{plan.time:%Y-%m-%dT%H:%M:%SZ}</xades:SigningTime>" if plan.time else ""
    role = f"<xades:SignerRole><xades:ClaimedRoles><xades:ClaimedRole>{plan.role}</xades:ClaimedRole></xades:ClaimedRoles></xades:SignerRole>"  # fmt: skip
    formats = "".join(
        f'<xades:DataObjectFormat ObjectReference="#{plan.id}-r{number}"><xades:MimeType>text/xml</xades:MimeType></xades:DataObjectFormat>'
        for number in range(len(plan.references))
    )
    data = f"<xades:SignedDataObjectProperties>{formats}</xades:SignedDataObjectProperties>"
    target = plan.target if plan.target is not None else f"#{plan.id}"
    return (
        f'<xades:QualifyingProperties xmlns:xades="{XADES}" Target="{target}"><xades:SignedProperties Id="{plan.id}-sp">'
        f"<xades:SignedSignatureProperties>{time}{binding}{plan.policy}{role if plan.role else ''}"
        f"</xades:SignedSignatureProperties>{data if plan.formats or plan.content_stamp else ''}"
        "</xades:SignedProperties></xades:QualifyingProperties>"
    )


def sign(
    document: bytes = CDA,
    plan: Plan | None = None,
    *,
    then: Callable[[etree._Element], None] | None = None,
    into: str | None = None,
) -> bytes:
    """The document with a signature as last child of its root, or of the element that ``into`` finds."""
    plan = plan or Plan()
    root = etree.fromstring(document, etree.XMLParser(huge_tree=True))
    parent = root if into is None else root.find(into)
    assert parent is not None
    signature = template(plan)
    parent.append(signature)
    if plan.content_stamp:
        _stamp_content(signature, plan)
    fill(signature, plan)
    if then:
        then(signature)
    return octets(root)


def standalone(plan: Plan, then: Callable[[etree._Element], None] | None = None) -> bytes:
    """A signature that is a document: enveloping or detached."""
    signature = template(plan)
    fill(signature, plan)
    if then:
        then(signature)
    return octets(signature)


def octets(root: etree._Element) -> bytes:
    """The document's octets."""
    return etree.tostring(root.getroottree(), encoding="UTF-8", xml_declaration=True)


def fill(signature: etree._Element, plan: Plan) -> None:
    """Digests and the value: by xmlsec, or by hand where a document is detached or the method is RSA-PSS."""
    by_hand = (
        plan.method == PSS_SHA256
        or "Manifest" in plan.objects
        or any(row.octets is not None for row in plan.references)
    )
    xmlsec.tree.add_ids(signature.getroottree().getroot(), ["Id", "ID"])
    if by_hand:
        return _fill_by_hand(signature, plan)
    context = xmlsec.SignatureContext()
    private = (plan.key or plan.signer).key
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    context.key = xmlsec.Key.from_memory(pem, xmlsec.constants.KeyDataFormatPem)
    context.sign(signature)
    return None


def _fill_by_hand(signature: etree._Element, plan: Plan) -> None:
    for reference in signature.iterfind("ds:SignedInfo/ds:Reference", NS):
        value = reference.find("ds:DigestValue", NS)
        assert value is not None
        if not value.text:
            uri = reference.get("URI", "")
            target = canonical(by_id(signature, uri[1:])) if uri else _less_signature(signature)
            value.text = text_digest(target, plan.digest)
    info, value = signature.find("ds:SignedInfo", NS), signature.find("ds:SignatureValue", NS)
    assert info is not None
    assert value is not None
    private, chosen = (plan.key or plan.signer).key, hashes.SHA256()
    scheme = padding.PSS(padding.MGF1(chosen), 32) if plan.method == PSS_SHA256 else padding.PKCS1v15()
    value.text = base64.b64encode(private.sign(canonical(info), scheme, chosen)).decode()  # type: ignore[call-arg,arg-type]


def canonical(element: etree._Element) -> bytes:
    """Exclusive canonical form of an element where it stands."""
    return etree.tostring(element, method="c14n", exclusive=True, with_tail=False)


def by_id(signature: etree._Element, value: str) -> etree._Element:
    root = signature.getroottree().getroot()
    return next(one for one in root.iter("*") if value in (one.get("Id"), one.get("ID")))


def _less_signature(signature: etree._Element) -> bytes:
    tree = copy.deepcopy(signature.getroottree())
    for found in tree.getroot().findall(f"{{{DS}}}Signature"):
        tree.getroot().remove(found)
    return etree.tostring(tree, method="c14n", exclusive=True, with_comments=False)


def unsigned(signature: etree._Element, xml: str) -> None:
    """Add an unsigned property."""
    qualifying = signature.find("ds:Object/xades:QualifyingProperties", NS)
    assert qualifying is not None
    holder = qualifying.find("xades:UnsignedProperties/xades:UnsignedSignatureProperties", NS)
    if holder is None:
        outer = etree.SubElement(qualifying, f"{{{XADES}}}UnsignedProperties")
        holder = etree.SubElement(outer, f"{{{XADES}}}UnsignedSignatureProperties")
    holder.append(
        etree.fromstring(f'<x xmlns:xades="{XADES}" xmlns:ds="{DS}" xmlns:xades141="{XADES141}">{xml}</x>')[0]
    )


def stamp_xml(name: str, token: bytes, prefix: str = "xades") -> str:
    value = base64.b64encode(token).decode()
    return (
        f'<{prefix}:{name}><ds:CanonicalizationMethod Algorithm="{EXC}"/>'
        f"<xades:EncapsulatedTimeStamp>{value}</xades:EncapsulatedTimeStamp></{prefix}:{name}>"
    )


def add_stamp(
    signature: etree._Element, at: datetime, authority: Identity | None = None, **options: object
) -> None:
    """A SignatureTimeStamp."""
    value = signature.find("ds:SignatureValue", NS)
    assert value is not None
    token = stamp(canonical(value), at, authority or world().tsa, **options)  # type: ignore[arg-type]
    unsigned(signature, stamp_xml("SignatureTimeStamp", token))


def add_values(
    signature: etree._Element,
    certificates: Sequence[Identity],
    crls: Sequence[bytes] = (),
    ocsps: Sequence[bytes] = (),
) -> None:
    """CertificateValues and RevocationValues."""

    def values(name: str, rows: Sequence[bytes]) -> str:
        return "".join(f"<xades:{name}>{base64.b64encode(row).decode()}</xades:{name}>" for row in rows)

    inside = values("EncapsulatedX509Certificate", [one.der for one in certificates])
    unsigned(signature, f"<xades:CertificateValues>{inside}</xades:CertificateValues>")
    lists = f"<xades:CRLValues>{values('EncapsulatedCRLValue', crls)}</xades:CRLValues>" if crls else ""
    answers = (
        f"<xades:OCSPValues>{values('EncapsulatedOCSPValue', ocsps)}</xades:OCSPValues>" if ocsps else ""
    )
    unsigned(signature, f"<xades:RevocationValues>{lists}{answers}</xades:RevocationValues>")


def add_archive_stamp(signature: etree._Element, at: datetime, authority: Identity) -> None:
    """An ArchiveTimeStamp of form 1.4.1 over an enveloped signature with the two usual references."""
    parts = [_less_signature(signature), canonical(by_id(signature, f"{signature.get('Id')}-sp"))]
    for name in ("SignedInfo", "SignatureValue", "KeyInfo"):
        found = signature.find(f"ds:{name}", NS)
        assert found is not None
        parts.append(canonical(found))
    path = "ds:Object/xades:QualifyingProperties/xades:UnsignedProperties/xades:UnsignedSignatureProperties"
    parts += [canonical(one) for holder in signature.findall(path, NS) for one in holder]
    unsigned(signature, stamp_xml("ArchiveTimeStamp", stamp(b"".join(parts), at, authority), "xades141"))


def _stamp_content(signature: etree._Element, plan: Plan) -> None:
    """An AllDataObjectsTimeStamp over the enveloping document."""
    assert plan.content_stamp
    token = stamp(_less_signature(signature), plan.content_stamp, world().tsa)
    holder = signature.find(".//xades:SignedDataObjectProperties", NS)
    assert holder is not None
    holder.append(
        etree.fromstring(
            f'<x xmlns:xades="{XADES}" xmlns:ds="{DS}">{stamp_xml("AllDataObjectsTimeStamp", token)}</x>'
        )[0]
    )


def counter_sign(
    signature: etree._Element, signer: Identity, target: str | None = None, id: str = "C1"
) -> etree._Element:
    """A CounterSignature over this signature's value, or over another element."""
    plan = Plan(
        signer=signer,
        id=id,
        references=[
            Reference(
                target or f"#{signature.get('Id')}-sv",
                (EXC,),
                "http://uri.etsi.org/01903#CountersignedSignature",
            )
        ],
    )
    unsigned(signature, "<xades:CounterSignature/>")
    holder = signature.find(".//xades:CounterSignature", NS)
    assert holder is not None
    inner = template(plan)
    holder.append(inner)
    fill(inner, plan)
    return inner
