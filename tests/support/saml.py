"""SAML assertions of every form, signed with xmlsec and not with the code under test."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import xmlsec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from lxml import etree

from tests.support.authority import NOW, Identity, issue
from tests.test_server.soap import QUERY, QUERY_ACTION, envelope

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
DS = "http://www.w3.org/2000/09/xmldsig#"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"
EXC = "http://www.w3.org/2001/10/xml-exc-c14n#"
INC = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
ENVELOPED = f"{DS}enveloped-signature"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
ISSUER = "https://sts.example.pl/xua"
AUDIENCE = "urn:oid:2.16.840.1.113883.3.4424.2.7.99999"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
HOLDER = "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"
PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"
XSPA = "urn:oasis:names:tc:xspa:1.0:subject:"
ROLE = "urn:oasis:names:tc:xacml:2.0:subject:role"
PURPOSE = f"{XSPA}purposeofuse"
PATIENT = "urn:oasis:names:tc:xacml:2.0:resource:resource-id"
MINUTE = timedelta(minutes=1)


@cache
def sts() -> Identity:
    """The authority that issues assertions."""
    return issue("STS", None)


@cache
def second_sts() -> Identity:
    """Its next certificate, with a key of elliptic curves."""
    return issue("STS 2", None, key_name="ec sts")


@cache
def stranger() -> Identity:
    """An authority that nobody trusts, under the same name."""
    return issue("STS", None, key_name="rsa-2048 stranger")


@cache
def client() -> Identity:
    """A system that speaks TLS."""
    return issue("HIS", None, key_name="rsa-2048 his")


def at(minutes: float = 0) -> str:
    """So many minutes from the moment of the tests."""
    return (NOW + minutes * MINUTE).strftime("%Y-%m-%dT%H:%M:%SZ")


def attribute(name: str, *values: str) -> str:
    """An Attribute; values are text or elements."""
    inner = "".join(f"<s:AttributeValue>{value}</s:AttributeValue>" for value in values)
    return f'<s:Attribute Name="{name}">{inner}</s:Attribute>'


def coded(element: str, code: str, system: str = "1.2.3", text: str = "Text") -> str:
    """A CE as XUA has it."""
    return (
        f'<h:{element} xmlns:h="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:type="h:CE" code="{code}" codeSystem="{system}" displayName="{text}"/>'
    )


def confirmation(
    method: str = BEARER, data: str | None = "", times: str | None = None, inner: str = ""
) -> str:
    """A SubjectConfirmation; without data where ``data`` is None."""
    if data is None:
        return f'<s:SubjectConfirmation Method="{method}"/>'
    times = f'NotOnOrAfter="{at(10)}"' if times is None else times
    data = f"<s:SubjectConfirmationData {times} {data}>{inner}</s:SubjectConfirmationData>"
    return f'<s:SubjectConfirmation Method="{method}">{data}</s:SubjectConfirmation>'


def restriction(*audiences: str) -> str:
    """An AudienceRestriction."""
    names = "".join(f"<s:Audience>{audience}</s:Audience>" for audience in audiences)
    return f"<s:AudienceRestriction>{names}</s:AudienceRestriction>"


def conditions(times: str | None = None, inner: str | None = None) -> str:
    """Conditions."""
    times = f'NotBefore="{at()}" NotOnOrAfter="{at(10)}"' if times is None else times
    return f"<s:Conditions {times}>{restriction(AUDIENCE) if inner is None else inner}</s:Conditions>"


def authentication(attributes: str | None = None, inner: str | None = None) -> str:
    """An AuthnStatement."""
    attributes = f'AuthnInstant="{at(-1)}"' if attributes is None else attributes
    context = f"<s:AuthnContext><s:AuthnContextClassRef>{PASSWORD}</s:AuthnContextClassRef></s:AuthnContext>"
    return f"<s:AuthnStatement {attributes}>{context if inner is None else inner}</s:AuthnStatement>"


def statement(*attributes: str) -> str:
    """An AttributeStatement."""
    return f"<s:AttributeStatement>{''.join(attributes)}</s:AttributeStatement>"


NAME_ID = '<s:NameID SPProvidedID="lz">lucja.zolcinska</s:NameID>'
ATTRIBUTES = statement(
    attribute(f"{XSPA}subject-id", "Łucja Żółcińska"),
    attribute(f"{XSPA}organization", "Szpital Przykładowy"),
    attribute(f"{XSPA}organization-id", "urn:oid:1.2.3.4"),
    attribute(ROLE, coded("Role", "112247003", "2.16.840.1.113883.6.96", "Medical doctor")),
    attribute(PURPOSE, coded("PurposeOfUse", "TREATMENT")),
    attribute(PATIENT, "104233^^^&amp;1.2.3&amp;ISO"),
)


@dataclass(frozen=True)
class Draft:
    """An assertion in pieces."""

    id: str = "_a1"
    version: str = 'Version="2.0"'
    issued: str = f'IssueInstant="{at()}"'
    issuer: str = f"<s:Issuer>{ISSUER}</s:Issuer>"
    name_id: str = NAME_ID
    confirmations: str = confirmation()
    conditions: str = conditions()
    advice: str = ""
    authentications: str = authentication()
    attributes: str = ATTRIBUTES

    def xml(self, signature: str = "") -> str:
        """The assertion."""
        identifier = f'ID="{self.id}"' if self.id else ""
        subject = f"<s:Subject>{self.name_id}{self.confirmations}</s:Subject>" if self.name_id else ""
        return (
            f'<s:Assertion xmlns:s="{SAML}" {identifier} {self.version} {self.issued}>{self.issuer}{signature}'
            f"{subject}{self.conditions}{self.advice}{self.authentications}{self.attributes}</s:Assertion>"
        )


def transform(algorithm: str, inner: str = "") -> str:
    """A ds:Transform."""
    return f'<ds:Transform Algorithm="{algorithm}">{inner}</ds:Transform>'


STANDARD = transform(ENVELOPED) + transform(EXC)


@dataclass(frozen=True)
class Signing:
    """How an assertion is signed."""

    by: Identity | None = None
    method: str = f"{MORE}rsa-sha256"
    digest: str = "http://www.w3.org/2001/04/xmlenc#sha256"
    canonicalization: str = EXC
    transforms: str = STANDARD
    uri: str | None = None
    inside_method: str = ""
    inside: str = ""
    key_info: Identity | None = None
    hmac: bool = False

    def template(self, identifier: str) -> str:
        """A signature without values."""
        uri = f"#{identifier}" if self.uri is None else self.uri
        info = ""
        if self.key_info is not None:
            body = "".join(self.key_info.pem.decode().splitlines()[1:-1])
            certificate = f"<ds:X509Certificate>{body}</ds:X509Certificate>"
            info = f"<ds:KeyInfo><ds:X509Data>{certificate}</ds:X509Data></ds:KeyInfo>"
        return (
            f'<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo>'
            f'<ds:CanonicalizationMethod Algorithm="{self.canonicalization}"/>'
            f'<ds:SignatureMethod Algorithm="{self.method}">{self.inside_method}</ds:SignatureMethod>'
            f'<ds:Reference URI="{uri}"><ds:Transforms>{self.transforms}</ds:Transforms>'
            f'<ds:DigestMethod Algorithm="{self.digest}"/><ds:DigestValue/></ds:Reference>'
            f"</ds:SignedInfo><ds:SignatureValue/>{info}{self.inside}</ds:Signature>"
        )

    def key(self) -> Any:
        """The private key; of an HMAC the signer's public key, which everybody knows."""
        identity = self.by or sts()
        if self.hmac:
            public = identity.certificate.public_key()
            pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            return xmlsec.Key.from_binary_data(xmlsec.constants.KeyDataHmac, pem)
        pem = identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return xmlsec.Key.from_memory(pem, xmlsec.constants.KeyDataFormatPem)


def sign(draft: Draft | None = None, how: Signing | None = None) -> str:
    """A signed assertion."""
    draft, how = draft or Draft(), how or Signing()
    root = etree.fromstring(draft.xml(how.template(draft.id)))
    signature = root.find(f"{{{DS}}}Signature")
    assert signature is not None
    context = xmlsec.SignatureContext()
    context.key = how.key()
    context.register_id(root, "ID")
    context.sign(signature)
    return etree.tostring(root, encoding="unicode")


def draft(**changes: Any) -> Draft:
    """The usual assertion with changes."""
    return replace(Draft(), **changes)


def signed(**changes: Any) -> str:
    """The usual assertion with changes, signed as usual."""
    return sign(draft(**changes))


def current(lifetime: timedelta = 10 * MINUTE, **changes: Any) -> str:
    """The usual assertion with changes, for a server whose clock is right: it holds from now on."""
    since, until = (
        (datetime.now(UTC) + wait).strftime("%Y-%m-%dT%H:%M:%S.%fZ") for wait in (timedelta(), lifetime)
    )
    end = f'NotOnOrAfter="{until}"'
    usual = {
        "id": f"_{uuid.uuid4()}",
        "issued": f'IssueInstant="{since}"',
        "confirmations": confirmation(times=end),
        "conditions": conditions(f'NotBefore="{since}" {end}'),
        "authentications": authentication(f'AuthnInstant="{since}"'),
    }
    return signed(**usual, **changes)


def security(*tokens: str, attributes: str = 's:mustUnderstand="1"') -> str:
    """A wsse:Security header."""
    return f'<w:Security xmlns:w="{WSSE}" xmlns:u="{WSU}" {attributes}>{"".join(tokens)}</w:Security>'


def timestamp(created: str = "", expires: str = "", attributes: str = "") -> str:
    """A wsu:Timestamp."""
    created = f"<u:Created>{created or at()}</u:Created>"
    return f"<u:Timestamp {attributes}>{created}<u:Expires>{expires or at(5)}</u:Expires></u:Timestamp>"


def ask(*tokens: str, body: str = QUERY, more: str = "") -> bytes:
    """A query with these tokens."""
    return envelope(body, QUERY_ACTION, security(*tokens) + more)


Message = Callable[[], bytes]


def fixed(moment: datetime = NOW) -> Callable[[], datetime]:
    """A clock that stands still."""
    return lambda: moment
