"""Messages with assertions that must pass, in all the forms in which other systems write them."""

# ruff: noqa: E501  # a row of a table is one line
from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from tests.support.saml import (
    ATTRIBUTES,
    AUDIENCE,
    BEARER,
    DS,
    ENVELOPED,
    EXC,
    HOLDER,
    MORE,
    SAML,
    Signing,
    ask,
    at,
    attribute,
    authentication,
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
