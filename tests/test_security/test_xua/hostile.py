"""Hostile messages, each with its fault: what an attacker, a broken issuer or a careless sender may send."""

# ruff: noqa: E501  # a row of a table is one line
from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from tests.support.authority import Identity
from tests.support.saml import (
    AUDIENCE,
    DS,
    ENVELOPED,
    EXC,
    HOLDER,
    INC,
    MORE,
    NAME_ID,
    PASSWORD,
    PATIENT,
    ROLE,
    SAML,
    STANDARD,
    Signing,
    ask,
    at,
    attribute,
    authentication,
    coded,
    conditions,
    confirmation,
    draft,
    restriction,
    security,
    sign,
    signed,
    statement,
    stranger,
    sts,
    timestamp,
    transform,
)
from tests.test_server.soap import QUERY, QUERY_ACTION, envelope

Make = Callable[[], bytes]

UNAVAILABLE = "SecurityTokenUnavailable"
HEADER = "InvalidSecurity"
UNSUPPORTED = "UnsupportedSecurityToken"
INVALID = "InvalidSecurityToken"
ALGORITHM = "UnsupportedAlgorithm"
FAILED = "FailedCheck"
REFUSED = "FailedAuthentication"
EXPIRED = "MessageExpired"

SAML11 = '<x:Assertion xmlns:x="urn:oasis:names:tc:SAML:1.0:assertion" AssertionID="_1"/>'
USERNAME = "<w:UsernameToken><w:Username>admin</w:Username></w:UsernameToken>"
BINARY = "<w:BinarySecurityToken>AAAA</w:BinarySecurityToken>"
ENCRYPTED = f'<s:EncryptedAssertion xmlns:s="{SAML}"/>'
INCLUDE = '<i:Include xmlns:i="http://www.w3.org/2004/08/xop/include" href="cid:n@x"/>'
XSLT = "http://www.w3.org/TR/1999/REC-xslt-19991116"
XPATH = "http://www.w3.org/TR/1999/REC-xpath-19991116"
SIGNATURE: Final = re.compile(r"<ds:Signature .*</ds:Signature>", re.DOTALL)
OTHER_ROLE = 's:role="urn:other" s:mustUnderstand="1"'


def forged(identifier: str = "_evil") -> str:
    """An assertion by nobody, for an administrator."""
    return draft(id=identifier, name_id="<s:NameID>admin</s:NameID>").xml()


def split(assertion: str) -> tuple[str, str]:
    """An assertion without its signature, and the signature."""
    found = SIGNATURE.search(assertion)
    assert found is not None
    return assertion.replace(found[0], ""), found[0]


def with_signature(assertion: str, signature: str, inside: str = "") -> str:
    """``signature`` put where an assertion has its own, with more inside of it."""
    if inside:
        signature = signature.replace("</ds:Signature>", f"{inside}</ds:Signature>")
    return assertion.replace("</s:Issuer>", f"</s:Issuer>{signature}", 1)


def altered(old: str, new: str, how: Signing | None = None) -> str:
    """A signed assertion in which something was changed afterwards."""
    assertion = sign(how=how)
    assert old in assertion, assertion
    return assertion.replace(old, new)


def spoiled(old: str, new: str) -> str:
    """A signed assertion with a changed signature element, by a regular expression."""
    assertion, count = re.subn(old, new, sign(), count=1, flags=re.DOTALL)
    assert count == 1
    return assertion


def untouched(how: Signing) -> str:
    """An assertion with a signature of this form whose values are invented."""
    template = how.template("_a1").replace(
        "<ds:SignatureValue/>", "<ds:SignatureValue>AAAA</ds:SignatureValue>"
    )
    return draft().xml(template.replace("<ds:DigestValue/>", "<ds:DigestValue>AAAA</ds:DigestValue>"))


def by(identity: Identity, *, named: bool = False) -> str:
    return sign(how=Signing(by=identity, key_info=identity if named else None))


def moved(place: str) -> bytes:
    """The signed assertion somewhere else (``place`` has %s for it), the forged one where it was."""
    return ask(place.replace("%s", sign()))


def wrapped(place: str) -> str:
    """The forged assertion with the original's signature, and the original, unsigned, inside of it."""
    original, signature = split(sign())
    return (
        with_signature(forged(), signature)
        .replace("</s:Issuer>", "</s:Issuer>", 1)
        .replace("<s:Subject>", place.replace("%s", original) + "<s:Subject>", 1)
    )


def wrapped_in_object() -> str:
    original, signature = split(sign())
    return with_signature(forged(), signature, f"<ds:Object>{original}</ds:Object>")


def wrapped_in_key_info() -> str:
    original, signature = split(sign())
    return with_signature(forged(), signature, f"<ds:KeyInfo>{original}</ds:KeyInfo>")


def wrapped_after(where: str) -> str:
    """The signed original at the end of an unsigned or foreignly signed forgery."""
    return forged().replace("</s:Assertion>", where.replace("%s", sign()) + "</s:Assertion>")


def twin() -> bytes:
    """A forgery with the original's ID and signature, the original beside it."""
    original, signature = split(sign())
    return ask(with_signature(forged("_a1"), signature), original)


HEADERS: Final[dict[str, tuple[Make, str | None]]] = {
    "no header": (lambda: envelope(QUERY, QUERY_ACTION), UNAVAILABLE),
    "header for another role": (lambda: envelope(QUERY, QUERY_ACTION, security(sign(), attributes=OTHER_ROLE)), UNAVAILABLE),
    "empty header": (lambda: ask(), UNAVAILABLE),
    "timestamp alone": (lambda: ask(timestamp()), UNAVAILABLE),
    "two headers": (lambda: ask(sign(), more=security(signed(id="_a2"))), HEADER),
    "two headers, one for the next node": (lambda: ask(sign(), more=security(attributes='s:role="http://www.w3.org/2003/05/soap-envelope/role/next"')), HEADER),
    "xop in NameID": (lambda: ask(altered("lucja.zolcinska", INCLUDE)), HEADER),
    "xop for the assertion": (lambda: ask(INCLUDE), HEADER),
    "one ID twice, in the body": (lambda: ask(sign(), body=QUERY.replace("<r:AdhocQuery ", '<r:AdhocQuery ID="_a1" ')), HEADER),
    "one ID twice, as wsu:Id": (lambda: ask(timestamp(attributes='u:Id="_a1"'), sign()), HEADER),
    "one ID twice, as xml:id with spaces": (lambda: ask(timestamp(attributes='xml:id=" _a1 "'), sign()), HEADER),
    "one ID twice, elsewhere": (lambda: ask(timestamp(attributes='u:Id="t"'), sign(), more='<x Id="t"/>'), HEADER),
    "two timestamps": (lambda: ask(timestamp(), timestamp(), sign()), HEADER),
    "timestamp without time": (lambda: ask(timestamp("yesterday"), sign()), HEADER),
    "timestamp passed": (lambda: ask(timestamp(at(-20), at(-10)), sign()), EXPIRED),
    "timestamp of the future": (lambda: ask(timestamp(at(10), at(20)), sign()), EXPIRED),
    "DTD": (lambda: b'<!DOCTYPE x [<!ENTITY n "admin">]>' + ask(sign()), None),
    "entity in NameID": (lambda: b'<!DOCTYPE x [<!ENTITY n "admin">]>' + ask(altered("lucja.zolcinska", "&n;")), None),
}  # fmt: skip

TOKENS: Final[dict[str, tuple[Make, str | None]]] = {
    "UsernameToken": (lambda: ask(USERNAME), UNSUPPORTED),
    "UsernameToken beside the assertion": (lambda: ask(sign(), USERNAME), UNSUPPORTED),
    "SAML 1.1": (lambda: ask(SAML11), UNSUPPORTED),
    "EncryptedAssertion": (lambda: ask(ENCRYPTED), UNSUPPORTED),
    "X.509 token alone": (lambda: ask(BINARY), UNSUPPORTED),
    "other namespace": (lambda: ask(sign().replace(SAML, f"{SAML}#")), UNSUPPORTED),
    "assertion in a wrapper": (lambda: ask(f"<w:Embedded>{sign()}</w:Embedded>"), UNSUPPORTED),
    "two assertions": (lambda: ask(sign(), signed(id="_a2")), INVALID),
    "assertion in the body": (lambda: ask(sign(), body=QUERY.replace("</r:AdhocQuery>", "").replace("/></q:", f">{signed(id='_a2')}</r:AdhocQuery></q:")), INVALID),
    "assertion in another header": (lambda: ask(sign(), more=f"<x>{signed(id='_a2')}</x>"), INVALID),
    "assertion in the timestamp": (lambda: ask(timestamp().replace("</u:Timestamp>", f"{signed(id='_a2')}</u:Timestamp>"), sign()), INVALID),
}  # fmt: skip

FORMS: Final[dict[str, tuple[Make, str | None]]] = {
    "version 1.1": (lambda: ask(signed(version='Version="1.1"')), INVALID),
    "no version": (lambda: ask(signed(version="")), INVALID),
    "no ID": (lambda: ask(spoiled('ID="_a1"', "")), INVALID),
    "ID is no name": (lambda: ask(signed(id="1a")), INVALID),
    "ID with XPath": (lambda: ask(draft(id="x' or '1'='1").xml()), INVALID),
    "no IssueInstant": (lambda: ask(signed(issued="")), INVALID),
    "IssueInstant without zone": (lambda: ask(signed(issued='IssueInstant="2026-06-01T12:00:00"')), INVALID),
    "IssueInstant is a date": (lambda: ask(signed(issued='IssueInstant="2026-06-01"')), INVALID),
    "no issuer": (lambda: ask(signed(issuer="<s:Issuer/>")), INVALID),
    "issuer with an element": (lambda: ask(altered("</s:Issuer>", "<x/></s:Issuer>")), INVALID),
    "no issuer at all": (lambda: ask(draft(issuer="").xml()), INVALID),
    "no subject": (lambda: ask(signed(name_id="")), INVALID),
    "no NameID": (lambda: ask(signed(name_id=" ")), INVALID),
    "empty NameID": (lambda: ask(signed(name_id="<s:NameID/>")), INVALID),
    "EncryptedID": (lambda: ask(signed(name_id="<s:EncryptedID/>")), INVALID),
    "BaseID": (lambda: ask(signed(name_id="<s:BaseID/>")), INVALID),
    "NameID with an element": (lambda: ask(signed(name_id="<s:NameID>a<x/>b</s:NameID>")), INVALID),
    "two NameIDs": (lambda: ask(signed(name_id=NAME_ID + NAME_ID)), INVALID),
    "out of order": (lambda: ask(signed(attributes=statement() + conditions(), conditions="")), INVALID),
    "unknown child": (lambda: ask(signed(advice="<x/>")), INVALID),
    "two subjects": (lambda: ask(signed(conditions=f"<s:Subject>{NAME_ID}</s:Subject>{conditions()}")), INVALID),
    "over 64 KiB": (lambda: ask(signed(attributes=statement(attribute("x", "y" * 70_000)))), INVALID),
    "signature at the end": (lambda: ask(split(sign())[0].replace("</s:Assertion>", split(sign())[1] + "</s:Assertion>")), INVALID),
    "two signatures": (lambda: ask(with_signature(sign(), split(sign())[1])), INVALID),
    "relative namespace": (lambda: ask(signed().replace("<s:Conditions", '<s:Conditions xmlns:q="q" q:x=""')), INVALID),
}  # fmt: skip

SIGNATURES: Final[dict[str, tuple[Make, str | None]]] = {
    "unsigned": (lambda: ask(draft().xml()), REFUSED),
    "stripped of its signature": (lambda: ask(split(sign())[0]), REFUSED),
    "HMAC with the public key": (lambda: ask(sign(how=Signing(method=f"{MORE}hmac-sha256", hmac=True))), ALGORITHM),
    "HMAC-SHA1 with the public key": (lambda: ask(sign(how=Signing(method=f"{DS}hmac-sha1", hmac=True))), ALGORITHM),
    "RSA-SHA1": (lambda: ask(sign(how=Signing(method=f"{DS}rsa-sha1"))), ALGORITHM),
    "RSA-SHA224": (lambda: ask(sign(how=Signing(method=f"{MORE}rsa-sha224"))), ALGORITHM),
    "DSA": (lambda: ask(untouched(Signing(method=f"{DS}dsa-sha1"))), ALGORITHM),
    "no method": (lambda: ask(untouched(Signing(method=""))), ALGORITHM),
    "digest SHA-1": (lambda: ask(sign(how=Signing(digest=f"{DS}sha1"))), ALGORITHM),
    "digest MD5": (lambda: ask(untouched(Signing(digest=f"{MORE}md5"))), ALGORITHM),
    "inclusive canonicalization": (lambda: ask(sign(how=Signing(canonicalization=INC))), ALGORITHM),
    "inclusive transform": (lambda: ask(sign(how=Signing(transforms=transform(ENVELOPED) + transform(INC)))), ALGORITHM),
    "XSLT": (lambda: ask(untouched(Signing(transforms=transform(XSLT) + transform(EXC)))), ALGORITHM),
    "XPath": (lambda: ask(untouched(Signing(transforms=STANDARD + transform(XPATH, "<ds:XPath>false()</ds:XPath>")))), ALGORITHM),
    "base64": (lambda: ask(untouched(Signing(transforms=transform(f"{DS}base64")))), ALGORITHM),
    "no transform": (lambda: ask(untouched(Signing(transforms=""))), ALGORITHM),
    "enveloped alone": (lambda: ask(sign(how=Signing(transforms=transform(ENVELOPED)))), ALGORITHM),
    "transforms the other way round": (lambda: ask(untouched(Signing(transforms=transform(EXC) + transform(ENVELOPED)))), ALGORITHM),
    "enveloped twice": (lambda: ask(untouched(Signing(transforms=transform(ENVELOPED) + STANDARD))), ALGORITHM),
    "another name": (lambda: ask(altered("lucja.zolcinska", "admin")), FAILED),
    "another alias": (lambda: ask(altered('SPProvidedID="lz"', 'SPProvidedID="root"')), FAILED),
    "another role": (lambda: ask(altered("112247003", "224608005")), FAILED),
    "another patient": (lambda: ask(altered("104233^^^", "104234^^^")), FAILED),
    "longer validity": (lambda: ask(altered(at(10), at(100))), FAILED),
    "another audience": (lambda: ask(altered(AUDIENCE, f"{AUDIENCE}.1")), FAILED),
    "attribute added": (lambda: ask(altered("<s:AttributeStatement>", f"<s:AttributeStatement>{attribute(ROLE, 'admin')}")), FAILED),
    "statement added": (lambda: ask(altered("</s:Assertion>", f"{statement(attribute(ROLE, 'admin'))}</s:Assertion>")), FAILED),
    "NameID extended": (lambda: ask(altered("zolcinska</s:NameID>", "zolcinska<!---->.admin</s:NameID>")), FAILED),
    "NameID in CDATA": (lambda: ask(altered("lucja.zolcinska", "<![CDATA[admin]]>")), FAILED),
    "another ID": (lambda: ask(altered('ID="_a1"', 'ID="_b1"')), FAILED),
    "another ID, and the reference too": (lambda: ask(altered("_a1", "_b1")), FAILED),
    "signed by a stranger": (lambda: ask(by(stranger())), FAILED),
    "signed by a stranger who is named": (lambda: ask(by(stranger(), named=True)), REFUSED),
    "stranger, trusted certificate named": (lambda: ask(sign(how=Signing(by=stranger(), key_info=sts()))), FAILED),
    "unknown issuer": (lambda: ask(signed(issuer="<s:Issuer>urn:unknown</s:Issuer>")), REFUSED),
    "issuer in other case": (lambda: ask(signed(issuer="<s:Issuer>https://STS.example.pl/xua</s:Issuer>")), REFUSED),
    "RSA value for an EC method": (lambda: ask(altered(f"{MORE}rsa-sha256", f"{MORE}ecdsa-sha256")), FAILED),
    "value of zeros": (lambda: ask(spoiled("<ds:SignatureValue>.*</ds:SignatureValue>", f"<ds:SignatureValue>{'A' * 344}</ds:SignatureValue>")), FAILED),
    "no value": (lambda: ask(spoiled("<ds:SignatureValue>.*</ds:SignatureValue>", "<ds:SignatureValue/>")), FAILED),
    "value missing": (lambda: ask(spoiled("<ds:SignatureValue>.*</ds:SignatureValue>", "")), FAILED),
    "value is no base64": (lambda: ask(spoiled("<ds:SignatureValue>.*</ds:SignatureValue>", "<ds:SignatureValue>?</ds:SignatureValue>")), FAILED),
    "no digest": (lambda: ask(spoiled("<ds:DigestValue>.*</ds:DigestValue>", "<ds:DigestValue/>")), FAILED),
    "no SignedInfo": (lambda: ask(spoiled("<ds:SignedInfo>.*</ds:SignedInfo>", "")), ALGORITHM),
    "empty signature": (lambda: ask(spoiled("<ds:Signature .*</ds:Signature>", f'<ds:Signature xmlns:ds="{DS}"/>')), ALGORITHM),
    "no canonicalization": (lambda: ask(spoiled("<ds:CanonicalizationMethod[^>]*/>", "")), FAILED),
    "HMACOutputLength": (lambda: ask(sign(how=Signing()).replace("rsa-sha256\"/>", 'rsa-sha256"><ds:HMACOutputLength>1</ds:HMACOutputLength></ds:SignatureMethod>')), FAILED),
    "ds:Object": (lambda: ask(sign(how=Signing(inside="<ds:Object>x</ds:Object>"))), FAILED),
    "foreign element in SignedInfo": (lambda: ask(spoiled("</ds:SignedInfo>", "<x/></ds:SignedInfo>")), FAILED),
    "two references": (lambda: ask(spoiled("(<ds:Reference.*</ds:Reference>)", r"\1\1")), ALGORITHM),
    "reference to the document": (lambda: ask(untouched(Signing(uri=""))), FAILED),
    "reference to another ID": (lambda: ask(untouched(Signing(uri="#_b1"))), FAILED),
    "reference by XPointer": (lambda: ask(untouched(Signing(uri="#xpointer(id('_a1'))"))), FAILED),
    "reference to the network": (lambda: ask(untouched(Signing(uri="http://127.0.0.1:1/x"))), FAILED),
    "reference to a file": (lambda: ask(untouched(Signing(uri="file:///etc/passwd"))), FAILED),
    "no reference": (lambda: ask(spoiled(' URI="#_a1"', "")), FAILED),
}  # fmt: skip

WRAPPING: Final[dict[str, tuple[Make, str | None]]] = {
    "forgery before the original": (lambda: ask(forged(), sign()), INVALID),
    "forgery after the original": (lambda: ask(sign(), forged()), INVALID),
    "forgery around the original": (lambda: ask(wrapped_after("%s")), INVALID),
    "original in the forgery's advice": (lambda: ask(draft(id="_evil", advice=f"<s:Advice>{sign()}</s:Advice>").xml()), REFUSED),
    "original in the advice, its signature on the forgery": (lambda: ask(with_signature(draft(id="_evil", advice=f"<s:Advice>{split(sign())[0]}</s:Advice>").xml(), split(sign())[1])), FAILED),
    "original in the evidence, its signature on the forgery": (lambda: ask(with_signature(draft(id="_evil", attributes=f"<s:AuthzDecisionStatement><s:Evidence>{split(sign())[0]}</s:Evidence></s:AuthzDecisionStatement>").xml(), split(sign())[1])), FAILED),
    "original before the subject": (lambda: ask(wrapped("%s")), INVALID),
    "original in ds:Object": (lambda: ask(wrapped_in_object()), INVALID),
    "original in KeyInfo": (lambda: ask(wrapped_in_key_info()), INVALID),
    "original in another header": (lambda: ask(with_signature(forged(), split(sign())[1]), more=f"<x>{split(sign())[0]}</x>"), INVALID),
    "original in a header for another role": (lambda: ask(with_signature(forged(), split(sign())[1]), more=security(split(sign())[0], attributes=OTHER_ROLE)), INVALID),
    "original in the body": (lambda: ask(with_signature(forged(), split(sign())[1]), body=f"<x>{split(sign())[0]}</x>"), INVALID),
    "original in a token reference": (lambda: moved(f"<w:SecurityTokenReference>%s</w:SecurityTokenReference>{forged()}"), INVALID),
    "same ID, original beside": (twin, HEADER),
    "same ID, original in the advice": (lambda: ask(with_signature(draft(name_id="<s:NameID>admin</s:NameID>", advice=f"<s:Advice>{split(sign())[0]}</s:Advice>").xml(), split(sign())[1])), HEADER),
    "signature beside the assertion": (lambda: ask(*split(sign())), REFUSED),
    "signature beside, forgery instead": (lambda: ask(forged("_a1"), split(sign())[1]), REFUSED),
    "signature on a forgery of the same ID": (lambda: ask(with_signature(forged("_a1"), split(sign())[1])), FAILED),
    "signature on a forgery of another ID": (lambda: ask(with_signature(forged(), split(sign())[1])), FAILED),
    "original as an assertion of another namespace": (lambda: ask(with_signature(forged(), split(sign())[1]), sign().replace(SAML, "urn:x")), UNSUPPORTED),
}  # fmt: skip

CONDITIONS: Final[dict[str, tuple[Make, str | None]]] = {
    "expired": (lambda: ask(signed(issued=f'IssueInstant="{at(-30)}"', conditions=conditions(f'NotBefore="{at(-30)}" NotOnOrAfter="{at(-20)}"'))), EXPIRED),
    "expired just now": (lambda: ask(signed(issued=f'IssueInstant="{at(-30)}"', conditions=conditions(f'NotBefore="{at(-30)}" NotOnOrAfter="{at(-1)}"'))), EXPIRED),
    "not yet valid": (lambda: ask(signed(conditions=conditions(f'NotBefore="{at(5)}" NotOnOrAfter="{at(10)}"'))), EXPIRED),
    "issued in the future": (lambda: ask(signed(issued=f'IssueInstant="{at(5)}"')), EXPIRED),
    "no end": (lambda: ask(signed(conditions=conditions(f'NotBefore="{at()}"'))), INVALID),
    "no conditions": (lambda: ask(signed(conditions="")), INVALID),
    "too long": (lambda: ask(signed(conditions=conditions(f'NotBefore="{at(-1)}" NotOnOrAfter="{at(240)}"'))), INVALID),
    "too long since its issue": (lambda: ask(signed(issued=f'IssueInstant="{at(-300)}"')), INVALID),
    "end is no time": (lambda: ask(signed(conditions=conditions('NotOnOrAfter="tomorrow"'))), INVALID),
    "end without zone": (lambda: ask(signed(conditions=conditions('NotOnOrAfter="2026-06-01T12:05:00"'))), INVALID),
    "end on 30 February": (lambda: ask(signed(conditions=conditions('NotOnOrAfter="2026-02-30T12:05:00Z"'))), INVALID),
    "end in other digits": (lambda: ask(signed(conditions=conditions('NotOnOrAfter="２０２６-06-01T12:05:00Z"'))), INVALID),
    "confirmation expired": (lambda: ask(signed(confirmations=confirmation(times=f'NotOnOrAfter="{at(-5)}"'))), EXPIRED),
    "confirmation not yet valid": (lambda: ask(signed(confirmations=confirmation(times=f'NotBefore="{at(5)}"'))), EXPIRED),
    "confirmation's end is no time": (lambda: ask(signed(confirmations=confirmation(times='NotOnOrAfter="soon"'))), REFUSED),
    "other audience": (lambda: ask(signed(conditions=conditions(inner=restriction("urn:other")))), INVALID),
    "audience in other case": (lambda: ask(signed(conditions=conditions(inner=restriction(AUDIENCE.upper())))), INVALID),
    "no audience": (lambda: ask(signed(conditions=conditions(inner=""))), INVALID),
    "empty restriction": (lambda: ask(signed(conditions=conditions(inner=restriction()))), INVALID),
    "one of two restrictions is another's": (lambda: ask(signed(conditions=conditions(inner=restriction(AUDIENCE) + restriction("urn:other")))), INVALID),
    "unknown condition": (lambda: ask(signed(conditions=conditions(inner=f"{restriction(AUDIENCE)}<s:Condition/>"))), INVALID),
    "foreign condition": (lambda: ask(signed(conditions=conditions(inner=f'{restriction(AUDIENCE)}<x xmlns="urn:x"/>'))), INVALID),
}  # fmt: skip

USERS: Final[dict[str, tuple[Make, str | None]]] = {
    "no AuthnStatement": (lambda: ask(signed(authentications="")), INVALID),
    "AuthnStatement without context": (lambda: ask(signed(authentications=authentication(inner=""))), INVALID),
    "AuthnContext without class": (lambda: ask(signed(authentications=authentication(inner="<s:AuthnContext/>"))), INVALID),
    "empty class": (lambda: ask(signed(authentications=authentication(inner="<s:AuthnContext><s:AuthnContextClassRef/></s:AuthnContext>"))), INVALID),
    "two contexts in one statement": (lambda: ask(signed(authentications=authentication(inner=2 * f"<s:AuthnContext><s:AuthnContextClassRef>{PASSWORD}</s:AuthnContextClassRef></s:AuthnContext>"))), INVALID),
    "no AuthnInstant": (lambda: ask(signed(authentications=authentication(""))), INVALID),
    "authenticated in the future": (lambda: ask(signed(authentications=authentication(f'AuthnInstant="{at(5)}"'))), INVALID),
    "session ended": (lambda: ask(signed(authentications=authentication(f'AuthnInstant="{at(-9)}" SessionNotOnOrAfter="{at(-5)}"'))), INVALID),
    "one of two statements broken": (lambda: ask(signed(authentications=authentication() + authentication(inner=""))), INVALID),
    "no confirmation": (lambda: ask(signed(confirmations="")), REFUSED),
    "sender-vouches": (lambda: ask(signed(confirmations=confirmation("urn:oasis:names:tc:SAML:2.0:cm:sender-vouches"))), REFUSED),
    "no method": (lambda: ask(signed(confirmations=confirmation(""))), REFUSED),
    "method of SAML 1.1": (lambda: ask(signed(confirmations=confirmation("urn:oasis:names:tc:SAML:1.0:cm:bearer"))), REFUSED),
    "for another recipient": (lambda: ask(signed(confirmations=confirmation(data='Recipient="https://other.example/"'))), REFUSED),
    "two confirmation data": (lambda: ask(signed(confirmations=confirmation().replace("</s:SubjectConfirmation>", "<s:SubjectConfirmationData/></s:SubjectConfirmation>"))), REFUSED),
    "holder of key without data": (lambda: ask(signed(confirmations=confirmation(HOLDER, None))), REFUSED),
    "holder of key without key": (lambda: ask(signed(confirmations=confirmation(HOLDER))), REFUSED),
    "only the expired one is bearer": (lambda: ask(signed(confirmations=confirmation(times=f'NotOnOrAfter="{at(-5)}"') + confirmation(HOLDER))), REFUSED),
    "role without code": (lambda: ask(signed(attributes=statement(attribute(ROLE, '<r xmlns="urn:hl7-org:v3"/>')))), INVALID),
    "purpose without code": (lambda: ask(signed(attributes=statement(attribute("urn:oasis:names:tc:xspa:1.0:subject:purposeofuse", '<p xmlns="urn:hl7-org:v3" code=""/>')))), INVALID),
    "two elements in one value": (lambda: ask(signed(attributes=statement(attribute(ROLE, coded("Role", "1") + coded("Role", "2"))))), INVALID),
    "two patients": (lambda: ask(signed(attributes=statement(attribute(PATIENT, "1^^^&amp;1.2&amp;ISO", "2^^^&amp;1.2&amp;ISO")))), INVALID),
    "two patients in two statements": (lambda: ask(signed(attributes=statement(attribute(PATIENT, "1")) + statement(attribute(PATIENT, "2")))), INVALID),
}  # fmt: skip

HOSTILE: Final = HEADERS | TOKENS | FORMS | SIGNATURES | WRAPPING | CONDITIONS | USERS
