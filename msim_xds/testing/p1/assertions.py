"""The double's token service: reads a RequestSecurityToken and issues a signed SAML 2.0 assertion."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import xmlsec
from lxml import etree

from msim_xds.app import now
from msim_xds.p1_settings import NAMES
from msim_xds.security.signatures.names import DS, EXC
from msim_xds.security.xua.names import BEARER, SAML, saml
from msim_xds.wire import safexml
from msim_xds.wire.xmltext import escape

if TYPE_CHECKING:
    from lxml.etree import _Element

ISSUER: Final = "urn:msim:p1-double:sts"
AUDIENCE: Final = "urn:msim:p1-double"
_MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
_TRUST: Final = NAMES["token.namespace"]
_REQUIRED: Final = ("organization", "worker", "role", "purpose")
_CONTEXT: Final = "urn:oasis:names:tc:SAML:2.0:ac:classes:X509"
_TEMPLATE: Final = (
    f'<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="{EXC}"/>'
    f'<ds:SignatureMethod Algorithm="{_MORE}rsa-sha256"/><ds:Reference URI="#{{id}}"><ds:Transforms>'
    f'<ds:Transform Algorithm="{DS}enveloped-signature"/><ds:Transform Algorithm="{EXC}"/></ds:Transforms>'
    '<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue/></ds:Reference>'
    "</ds:SignedInfo><ds:SignatureValue/></ds:Signature>"
)


class NoToken(ValueError):
    """The request is refused; the text says why."""


def claims(request: _Element) -> dict[str, str]:
    """The attributes that a request names. Raises NoToken where one that must be there is not."""
    if request.tag != f"{{{_TRUST}}}RequestSecurityToken":
        raise NoToken("no RequestSecurityToken")
    if request.findtext(f"{{{_TRUST}}}RequestType") != NAMES["token.request"]:
        raise NoToken("RequestType is not Issue")
    found = {
        attribute.get("Name", ""): attribute.findtext(saml("AttributeValue"), "")
        for attribute in request.iterfind(f"{{{_TRUST}}}Claims/{saml('Attribute')}")
    }
    for name in _REQUIRED:
        if not found.get(NAMES[f"token.{name}"]):
            raise NoToken(f"{NAMES[f'token.{name}']} is missing")
    return found


def issue(attributes: dict[str, str], key: Path, lifetime: timedelta) -> str:
    """An assertion with these attributes, in a RequestSecurityTokenResponseCollection."""
    moment = now()
    identifier = f"_{uuid.uuid4()}"
    until = f'NotOnOrAfter="{_at(moment + lifetime)}"'
    stated = "".join(
        f'<s:Attribute Name="{escape(name)}"><s:AttributeValue>{escape(value)}</s:AttributeValue>'
        "</s:Attribute>"
        for name, value in attributes.items()
    )
    assertion = safexml.parse(
        f'<s:Assertion xmlns:s="{SAML}" ID="{identifier}" Version="2.0" IssueInstant="{_at(moment)}">'
        f"<s:Issuer>{ISSUER}</s:Issuer>{_TEMPLATE.replace('{id}', identifier)}"
        f"<s:Subject><s:NameID>{escape(attributes[NAMES['token.worker']])}</s:NameID>"
        f'<s:SubjectConfirmation Method="{BEARER}"><s:SubjectConfirmationData {until}/>'
        f'</s:SubjectConfirmation></s:Subject><s:Conditions NotBefore="{_at(moment)}" {until}>'
        f"<s:AudienceRestriction><s:Audience>{AUDIENCE}</s:Audience></s:AudienceRestriction></s:Conditions>"
        f'<s:AuthnStatement AuthnInstant="{_at(moment)}"><s:AuthnContext><s:AuthnContextClassRef>{_CONTEXT}'
        "</s:AuthnContextClassRef></s:AuthnContext></s:AuthnStatement>"
        f"<s:AttributeStatement>{stated}</s:AttributeStatement></s:Assertion>".encode()
    )
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_file(str(key), xmlsec.constants.KeyDataFormatPem)
    context.register_id(assertion, "ID")
    context.sign(assertion[1])
    token = etree.tostring(assertion, encoding="unicode")
    return (
        f'<t:RequestSecurityTokenResponseCollection xmlns:t="{_TRUST}"><t:RequestSecurityTokenResponse>'
        f"<t:TokenType>{NAMES['token.type']}</t:TokenType><t:RequestedSecurityToken>{token}"
        "</t:RequestedSecurityToken></t:RequestSecurityTokenResponse></t:RequestSecurityTokenResponseCollection>"
    )


def _at(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"
