"""Assertions that must pass, in all the forms in which other systems write them, and what is read of them."""

# ruff: noqa: E501  # a row of a table is one line
from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import pytest

from msim_xds.security.xua.signature import Signed, written
from msim_xds.wire import safexml
from tests.support.authority import NOW
from tests.support.saml import (
    ATTRIBUTES,
    AUDIENCE,
    BEARER,
    DS,
    ENVELOPED,
    EXC,
    HOLDER,
    MINUTE,
    MORE,
    PASSWORD,
    PATIENT,
    PURPOSE,
    ROLE,
    SAML,
    XSPA,
    Signing,
    ask,
    at,
    attribute,
    authentication,
    client,
    coded,
    conditions,
    confirmation,
    draft,
    restriction,
    second_sts,
    security,
    sign,
    signed,
    statement,
    stranger,
    timestamp,
    transform,
)
from tests.test_security.test_xua.conftest import Door, MakeDoor
from tests.test_security.test_xua.hostile import BINARY, OTHER_ROLE
from tests.test_server.soap import QUERY, QUERY_ACTION, envelope

USER = "lz<lucja.zolcinska@https://sts.example.pl/xua>"
DECLARATION = (
    "<s:AuthnContext><s:AuthnContextClassRef>urn:c</s:AuthnContextClassRef>"
    "<s:AuthnContextDeclRef>urn:d</s:AuthnContextDeclRef></s:AuthnContext>"
)
EVIDENCE = f'<s:Assertion xmlns:s="{SAML}" ID="_evidence"/>'
DECISION = (
    '<s:AuthzDecisionStatement Decision="Permit" Resource="urn:x"><s:Action Namespace="urn:x">r</s:Action>'
    f"<s:Evidence>{EVIDENCE}</s:Evidence></s:AuthzDecisionStatement>"
)
PREFIXES = transform(ENVELOPED) + transform(
    EXC, f'<e:InclusiveNamespaces xmlns:e="{EXC}" PrefixList="h xsi #default"/>'
)


def framed(**attributes: str) -> bytes:
    """The usual assertion in a wsse:Security with these attributes."""
    text = " ".join(f's:{name}="{value}"' for name, value in attributes.items())
    return envelope(QUERY, QUERY_ACTION, security(sign(), attributes=text))


def restricted(inner: str) -> bytes:
    return ask(signed(conditions=conditions(inner=inner)))


def comments() -> bytes:
    """Comments that came in after signing: by its canonicalization they are not there."""
    assertion = sign().replace("lucja.zolcinska", "lucja<!-- -->.zolcinska")
    return ask(assertion.replace("<s:Subject>", "<s:Subject><!-- admin -->"))


def pretty() -> bytes:
    """White space between all elements, as it was when it was signed."""
    spaced = draft(
        **{
            name: value.replace("><", ">\n  <")
            for name, value in vars(draft()).items()
            if name != "attributes"
        }
    )
    return ask("\n", sign(spaced), "\n")


WELCOME: Final[dict[str, Callable[[], bytes]]] = {
    "as usual": lambda: ask(sign()),
    "not mustUnderstand": lambda: framed(),
    "mustUnderstand true": lambda: framed(mustUnderstand="true"),
    "for the ultimate receiver": lambda: framed(role="http://www.w3.org/2003/05/soap-envelope/role/ultimateReceiver"),
    "another header for another role": lambda: ask(sign(), more=security(attributes=OTHER_ROLE)),
    "default namespace": lambda: ask(sign_as_default()),
    "long prefix": lambda: ask(sign_with_prefix("saml2")),
    "white space": pretty,
    "comments": comments,
    "fractions of nine digits": lambda: ask(signed(issued='IssueInstant="2026-06-01T12:00:00.123456789Z"')),
    "an offset": lambda: ask(signed(conditions=conditions('NotBefore="2026-06-01T14:00:00+02:00" NotOnOrAfter="2026-06-01T14:10:00.5+02:00"'))),
    "no NotBefore": lambda: ask(signed(conditions=conditions(f'NotOnOrAfter="{at(10)}"'))),
    "clock half a minute ahead": lambda: ask(signed(issued=f'IssueInstant="{at(0.5)}"', conditions=conditions(f'NotBefore="{at(0.5)}" NotOnOrAfter="{at(5)}"'))),
    "ended half a minute ago": lambda: ask(signed(issued=f'IssueInstant="{at(-5)}"', conditions=conditions(f'NotBefore="{at(-5)}" NotOnOrAfter="{at(-0.5)}"'))),
    "several audiences": lambda: restricted(restriction("urn:other", AUDIENCE)),
    "two restrictions that hold": lambda: restricted(restriction(AUDIENCE) + restriction("urn:x", AUDIENCE)),
    "ProxyRestriction": lambda: restricted(f'{restriction(AUDIENCE)}<s:ProxyRestriction Count="1"/>'),
    "OneTimeUse": lambda: restricted(f"{restriction(AUDIENCE)}<s:OneTimeUse/>"),
    "two AuthnStatements": lambda: ask(signed(authentications=2 * authentication())),
    "AuthnContextDeclRef": lambda: ask(signed(authentications=authentication(inner=DECLARATION))),
    "session": lambda: ask(signed(authentications=authentication(f'AuthnInstant="{at(-9)}" SessionNotOnOrAfter="{at(9)}"'))),
    "evidence in an advice": lambda: ask(signed(advice=f"<s:Advice>{EVIDENCE}</s:Advice>")),
    "evidence of a decision": lambda: ask(signed(attributes=DECISION + ATTRIBUTES)),
    "bearer without data": lambda: ask(signed(confirmations=confirmation(data=None))),
    "bearer without times": lambda: ask(signed(confirmations=confirmation(times=""))),
    "bearer with NotBefore": lambda: ask(signed(confirmations=confirmation(times=f'NotBefore="{at()}" NotOnOrAfter="{at(5)}"'))),
    "for this recipient": lambda: ask(signed(confirmations=confirmation(data=f'Recipient="{AUDIENCE}" InResponseTo="_x"'))),
    "holder of key or bearer": lambda: ask(signed(confirmations=confirmation(HOLDER) + confirmation(BEARER))),
    "NameID of the confirmation": lambda: ask(signed(confirmations=f'<s:SubjectConfirmation Method="{BEARER}"><s:NameID>x</s:NameID></s:SubjectConfirmation>')),
    "certificate named": lambda: ask(sign(how=Signing(key_info=second_sts()))),
    "another certificate named": lambda: ask(sign(how=Signing(key_info=stranger()))),
    "the issuer's next certificate": lambda: ask(sign(how=Signing(by=second_sts(), method=f"{MORE}ecdsa-sha256"))),
    "ECDSA with SHA-512": lambda: ask(sign(how=Signing(by=second_sts(), method=f"{MORE}ecdsa-sha512"))),
    "RSA with SHA-384": lambda: ask(sign(how=Signing(method=f"{MORE}rsa-sha384", digest=f"{MORE}sha384"))),
    "RSA with SHA-512": lambda: ask(sign(how=Signing(method=f"{MORE}rsa-sha512", digest="http://www.w3.org/2001/04/xmlenc#sha512"))),
    "canonicalization with comments": lambda: ask(sign(how=Signing(canonicalization=f"{EXC}WithComments", transforms=transform(ENVELOPED) + transform(f"{EXC}WithComments")))),
    "InclusiveNamespaces": lambda: ask(sign(how=Signing(transforms=PREFIXES))),
    "timestamp": lambda: ask(timestamp(), sign()),
    "timestamp behind, without expiry": lambda: ask(sign(), re.sub("<u:Expires>.*</u:Expires>", "", timestamp())),
    "X.509 token and signature of the message": lambda: ask(sign(), BINARY, f'<ds:Signature xmlns:ds="{DS}"/>'),
    "several attribute statements": lambda: ask(signed(attributes=ATTRIBUTES + statement(attribute("urn:x", "y")))),
    "empty statement and attribute": lambda: ask(signed(attributes=statement() + statement(attribute("urn:x")) + ATTRIBUTES)),
}  # fmt: skip


def sign_with_prefix(prefix: str) -> str:
    """The usual assertion under another prefix, changed before it is signed."""

    class Renamed(type(draft())):  # type: ignore[misc]
        def xml(self, signature: str = "") -> str:
            text: str = super().xml(signature)
            mark = f"{prefix}:" if prefix else ""
            text = text.replace("<s:", f"<{mark}").replace("</s:", f"</{mark}")
            return text.replace("xmlns:s=", f"xmlns:{prefix}=" if prefix else "xmlns=")

    return sign(Renamed())


def sign_as_default() -> str:
    return sign_with_prefix("")


@pytest.mark.parametrize("name", WELCOME)
def test_good_assertion_passes_twice(door: Door, name: str) -> None:
    octets = WELCOME[name]()
    found = door.caller(octets)
    assert found is not None
    assert found.user == USER
    if name != "OneTimeUse":
        assert door.caller(octets) == found


@pytest.mark.parametrize("name", WELCOME)
def test_good_assertion_with_any_octet_of_its_statements_changed_fails(door: Door, name: str) -> None:
    octets = WELCOME[name]()
    changed = octets.replace(b"example.pl/xua", b"example.pl/xub").replace(PASSWORD.encode(), b"urn:other")
    assert door.refusal(changed) in {"FailedCheck", "FailedAuthentication"}


def test_caller(door: Door) -> None:
    found = door.caller(ask(sign()))
    assert found is not None
    assert found.user == USER
    assert found.roles == (("112247003", "2.16.840.1.113883.6.96", "Medical doctor"),)
    assert found.purposes == (("TREATMENT", "1.2.3", "Text"),)
    assert found.organization == "urn:oid:1.2.3.4"
    assert found.patient == "104233^^^&1.2.3&ISO"


def test_repeated_attributes_and_values_are_all_read(door: Door) -> None:
    attributes = statement(
        attribute(ROLE, coded("Role", "1"), coded("role", "2")), attribute(ROLE, coded("hl7Role", "1"))
    ) + statement(attribute(ROLE, "plain"), attribute(f"{XSPA}functional-role", "nurse"))
    found = door.caller(ask(signed(attributes=attributes)))
    assert found is not None
    assert [role[0] for role in found.roles] == ["1", "2", "plain", "nurse"]


def test_polish_attributes(door: Door) -> None:
    attributes = statement(
        attribute(f"{XSPA}organization-id", "PL.2.3.1#000000999901"),
        attribute("urn:oasis:names:tc:SAML:attribute:subject-id", "PL.1.6.2#2999999"),
        attribute("urn:oasis:names:tc:xacml:1.0:resource:resource-id", "PL.1.1.616#58831404726"),
        attribute(f"{XSPA}functional-role", "medical doctor"),
        attribute("urn:oasis:names:tc:xacml:2.0:action:purpose", "TREAT"),
    )
    found = door.caller(ask(signed(attributes=attributes)))
    assert found is not None
    assert found.organization == "000000999901^^^&2.16.840.1.113883.3.4424.2.3.1&ISO"
    assert found.patient == "58831404726^^^&2.16.840.1.113883.3.4424.1.1.616&ISO"
    assert found.roles == (("medical doctor", "", ""),)
    assert found.purposes == (("TREAT", "", ""),)


def test_identifiers_of_hl7_version_3(door: Door) -> None:
    element = '<id xmlns="urn:hl7-org:v3" root="1.2.3" extension="104233"/>'
    found = door.caller(ask(signed(attributes=statement(attribute(PATIENT, element)))))
    assert found is not None
    assert found.patient == "104233^^^&1.2.3&ISO"


def test_comment_does_not_cut_the_name(door: Door) -> None:
    """``admin<!-- -->.evil``, signed as ``admin.evil``, is never read as admin."""
    assertion = signed(name_id="<s:NameID>admin.evil</s:NameID>")
    found = door.caller(ask(assertion.replace("admin.evil", "admin<!-- x -->.evil")))
    assert found is not None
    assert found.user == "<admin.evil@https://sts.example.pl/xua>"


@pytest.mark.parametrize("one", ["SignedInfo.signed_by", "Signed._second_opinion"])
def test_two_verifications_must_agree(door: Door, monkeypatch: pytest.MonkeyPatch, one: str) -> None:
    monkeypatch.setattr(f"msim_xds.security.xua.signature.{one}", lambda *_: True)
    assert door.refusal(ask(sign(how=Signing(by=stranger())))) == "FailedCheck"
    assert door.caller(ask(sign())) is not None


# --- holder-of-key -------------------------------------------------------------------------------


def key_info(inner: str) -> str:
    return f'<ds:KeyInfo xmlns:ds="{DS}">{inner}</ds:KeyInfo>'


def by_certificate() -> str:
    body = "".join(client().pem.decode().splitlines()[1:-1])
    return key_info(f"<ds:X509Data><ds:X509Certificate>{body}</ds:X509Certificate></ds:X509Data>")


def by_value() -> str:
    import base64

    numbers = client().key.public_key().public_numbers()
    modulus = base64.b64encode(numbers.n.to_bytes(256)).decode()  # type: ignore[union-attr]
    return key_info(
        f"<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>{modulus}</ds:Modulus>"
        "<ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>"
    )


@pytest.mark.parametrize("info", [by_certificate, by_value])
def test_holder_of_key(door: Door, info: Callable[[], str]) -> None:
    octets = ask(signed(confirmations=confirmation(HOLDER, inner=info())))
    held, other = (quote(each().pem.decode()) for each in (client, stranger))
    assert door.caller(octets, held) is not None
    assert door.refusal(octets, other) == "FailedAuthentication"
    assert door.refusal(octets, quote(second_sts().pem.decode())) == "FailedAuthentication"
    assert door.refusal(octets, "no certificate") == "FailedAuthentication"
    assert door.refusal(octets) == "FailedAuthentication"
    assert door.caller(octets, held) is not None


# --- policies ------------------------------------------------------------------------------------

SECOND: Final = {
    "role": lambda: signed(attributes=statement(attribute(ROLE, coded("Role", "1"), coded("Role", "2")))),
    "purpose": lambda: signed(attributes=statement(attribute(PURPOSE, "A"), attribute(PURPOSE, "B"))),
    "AuthnStatement": lambda: signed(authentications=2 * authentication()),
}


@pytest.mark.parametrize("name", SECOND)
def test_second_value_is_refused_where_that_is_wanted(make_door: MakeDoor, name: str) -> None:
    octets = ask(SECOND[name]())
    assert make_door().caller(octets) is not None
    strict = make_door(second_values="refuse")
    assert strict.refusal(octets) == "InvalidSecurityToken"
    assert strict.caller(ask(sign())) is not None


def test_authentication_contexts(make_door: MakeDoor) -> None:
    assert make_door(authn_contexts=["urn:x", PASSWORD]).caller(ask(sign())) is not None
    assert make_door(authn_contexts=["urn:x"]).refusal(ask(sign())) == "FailedAuthentication"


def test_required_attributes(make_door: MakeDoor) -> None:
    door = make_door(required_attributes=[PATIENT, "urn:x"])
    assert door.refusal(ask(sign())) == "InvalidSecurityToken"
    empty = statement(attribute("urn:x", " "))
    assert door.refusal(ask(signed(attributes=ATTRIBUTES + empty))) == "InvalidSecurityToken"
    there = statement(attribute("urn:x", "y"))
    assert door.caller(ask(signed(attributes=ATTRIBUTES + there))) is not None


def test_recipients(make_door: MakeDoor) -> None:
    octets = ask(signed(confirmations=confirmation(data='Recipient="https://xds.example.pl/"')))
    assert make_door().refusal(octets) == "FailedAuthentication"
    assert make_door(recipients=["https://xds.example.pl/"]).caller(octets) is not None


def test_optional_takes_requests_without_assertion_and_no_bad_one(make_door: MakeDoor) -> None:
    door = make_door(registry="optional")
    assert door.caller(envelope(QUERY, QUERY_ACTION)) is None
    assert door.caller(ask(timestamp())) is None
    assert door.caller(ask()) is None
    assert door.caller(ask(sign())) is not None
    assert door.refusal(ask(BINARY)) == "UnsupportedSecurityToken"
    assert door.refusal(ask(draft().xml())) == "FailedAuthentication"
    assert door.refusal(ask(timestamp(at(-9), at(-5)))) == "MessageExpired"


def test_off_does_not_understand_the_header(make_door: MakeDoor) -> None:
    door = make_door(registry="off", repository="required")
    reply = door.knock(ask(sign()))
    assert reply.http_status == 500
    assert b"soap:MustUnderstand" in b"".join(reply.envelope)
    assert door.caller(framed()) is None
    assert door.caller(envelope(QUERY, QUERY_ACTION)) is None


# --- again and again -----------------------------------------------------------------------------


def test_recognised_assertion_still_expires(door: Door) -> None:
    octets = ask(sign())
    door.caller(octets)
    door.now = NOW + 10.9 * MINUTE
    door.caller(octets)
    door.now = NOW + 11 * MINUTE
    assert door.refusal(octets) == "MessageExpired"


def test_recognised_assertion_is_not_verified_again(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    octets = ask(sign())
    door.caller(octets)
    monkeypatch.setattr("msim_xds.security.xua.validator.Signed", None)
    assert door.caller(octets) is not None
    with pytest.raises(TypeError):
        door.knock(ask(signed(id="_a2")))


def test_only_what_is_written_alike_is_recognised(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    token = sign()
    door.caller(ask(token))
    otherwise = token.replace(' Version="2.0"', "  Version='2.0'")  # read alike
    in_scope = ask(token).replace(b"<w:Security ", b'<w:Security xmlns:other="urn:other" ', 1)
    assert otherwise != token
    verified = []

    def counted(assertion: Any) -> Signed:
        verified.append(assertion)
        return Signed(assertion)

    monkeypatch.setattr("msim_xds.security.xua.validator.Signed", counted)
    assert door.caller(ask(otherwise)) is not None
    assert not verified
    assert door.caller(in_scope) is not None
    assert len(verified) == 1


@pytest.mark.parametrize(("one", "other"), [
    ('<r xmlns:p="urn:a"><e t="p:v"/>x</r>', '<r xmlns:p="urn:b"><e t="p:v"/>x</r>'),
    ('<r xmlns="urn:a"><e/></r>', "<r><e/></r>"),
    ('<r><e t="a&#10;b"/></r>', '<r><e t="a b"/></r>'),
    ("<r><e>a&#13;</e></r>", "<r><e>a&#10;</e></r>"),
    ('<r><e a="1" b="2"/></r>', '<r><e b="2" a="1"/></r>'),
    ("<r><e>&lt;f/></e></r>", "<r><e><f/></e></r>"),
])  # fmt: skip
def test_what_an_assertion_is_recognised_by_tells_apart(one: str, other: str) -> None:
    assert written(safexml.parse(one.encode())[0]) != written(safexml.parse(other.encode())[0])


def test_what_stands_behind_an_assertion_is_not_part_of_it() -> None:
    assert written(safexml.parse(b"<r><e>1</e>tail</r>")[0]) == written(safexml.parse(b"<r><e>1</e></r>")[0])


def test_recognised_assertions_are_bounded(make_door: MakeDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    door = make_door(remembered=2)
    first, second, third = (ask(signed(id=f"_a{number}")) for number in range(3))
    for octets in (first, second, first, third):
        door.caller(octets)
    monkeypatch.setattr("msim_xds.security.xua.validator.Signed", None)
    assert door.caller(first) is not None
    assert door.caller(third) is not None
    with pytest.raises(TypeError):
        door.knock(second)


@pytest.mark.parametrize(("policy", "marked", "again"), [
    ("marked", True, False), ("marked", False, True), ("all", False, False), ("ignore", True, True),
])  # fmt: skip
def test_one_time_use(make_door: MakeDoor, policy: str, marked: bool, again: bool) -> None:
    door = make_door(one_time=policy)
    mark = "<s:OneTimeUse/>" if marked else ""
    octets = ask(signed(conditions=conditions(inner=restriction(AUDIENCE) + mark)))
    assert door.caller(octets) is not None
    for each in (door, make_door(one_time=policy)):  # another process
        if again:
            assert each.caller(octets) is not None
        else:
            assert each.refusal(octets) == "InvalidSecurityToken"


def test_record_of_one_time_use_is_swept(make_door: MakeDoor) -> None:
    door = make_door(one_time="all")
    door.caller(ask(sign()))
    kept = door.directory / "xua-used"
    (before,) = kept.iterdir()
    (kept / "README.txt").touch()
    door.now = NOW + 20 * MINUTE
    times = conditions(f'NotBefore="{at(20)}" NotOnOrAfter="{at(25)}"')
    door.caller(ask(signed(id="_a2", conditions=times, confirmations=confirmation(times=""))))
    after = set(kept.iterdir())
    assert len(after) == 2
    assert before not in after
