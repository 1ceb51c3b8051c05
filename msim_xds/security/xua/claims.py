"""What an assertion says, read from the octets that its signature covers (SAML Core 2.4 to 2.7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final

from msim_xds.metadata.institution import institution
from msim_xds.security.signatures.names import CERTIFICATE_PATH, ds
from msim_xds.security.signatures.references import decode_base64
from msim_xds.security.xua.attributes import MEANINGS, Attributes, Meaning
from msim_xds.security.xua.attributes import read as read_attributes
from msim_xds.security.xua.names import moment, saml, text
from msim_xds.security.xua.refusal import Check, refuse
from msim_xds.wire.exchange import Caller

if TYPE_CHECKING:
    from lxml.etree import _Element

_ONE_TIME: Final = saml("OneTimeUse")
_RESTRICTION: Final = saml("AudienceRestriction")
_CONDITIONS: Final = frozenset([_RESTRICTION, _ONE_TIME, saml("ProxyRestriction")])


@dataclass(frozen=True, slots=True)
class Period:
    """A time in which something holds; None is open."""

    not_before: datetime | None = None
    not_on_or_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A SubjectConfirmation (SAML Core 2.4.1.1).

    Attributes:
        method: how the sender shows that the assertion is its own.
        period: when it may be used.
        recipient: where; None where that is not said.
        certificates: keys of a holder, as certificates in DER.
        keys: the same as modulus and exponent.
    """

    method: str
    period: Period = Period()
    recipient: str | None = None
    certificates: tuple[bytes, ...] = ()
    keys: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Authentication:
    """An AuthnStatement: when and how the user was authenticated (SAML Core 2.7.2)."""

    at: datetime
    session_end: datetime | None
    contexts: tuple[str, ...]


@dataclass(frozen=True)
class Claims:
    """An assertion whose signature holds.

    Attributes:
        id, issuer: which assertion it is.
        issued: when it was made.
        name, alias: NameID and its SPProvidedID.
        period: validity by its Conditions.
        audiences: one set for each AudienceRestriction.
        one_time: whether it has OneTimeUse.
        confirmations: how it may be presented.
        authentications: its AuthnStatements.
        attributes: what else it says of the user.
    """

    id: str
    issuer: str
    issued: datetime
    name: str
    alias: str
    period: Period
    audiences: tuple[frozenset[str], ...]
    one_time: bool
    confirmations: tuple[Confirmation, ...]
    authentications: tuple[Authentication, ...]
    attributes: Attributes

    @cached_property
    def caller(self) -> Caller:
        """Who sends the request; the organization's id goes before its name."""
        attributes = self.attributes
        return Caller(
            user=f"{self.alias}<{self.name}@{self.issuer}>",
            roles=attributes.all(Meaning.ROLE),
            purposes=attributes.all(Meaning.PURPOSE),
            organization=attributes.first(Meaning.ORGANIZATION_ID, Meaning.ORGANIZATION),
            patient=attributes.first(Meaning.PATIENT),
            organization_id=institution(attributes.first(Meaning.ORGANIZATION_ID)),
            reason=attributes.first(Meaning.REASON),
        )


def read(assertion: _Element, meanings: Mapping[str, Meaning] = MEANINGS) -> Claims:
    """The claims of an assertion that ``structure`` has looked at.

    Args:
        assertion: parsed from the octets that were verified, and from nothing else.
        meanings: of attributes, by name.

    Raises:
        SecurityFault: what should be there is not, or cannot be read.
    """
    name = assertion.find(f"{saml('Subject')}/{saml('NameID')}")
    conditions = assertion.find(saml("Conditions"))
    restrictions = [] if conditions is None else conditions.findall(_RESTRICTION)
    if conditions is not None and any(child.tag not in _CONDITIONS for child in conditions):
        refuse(Check.FORM, "Conditions holds a condition that is not known")
    return Claims(
        id=assertion.get("ID", ""),
        issuer=text(assertion.find(saml("Issuer"))),
        issued=_moment(assertion, "IssueInstant", Check.FORM),
        name=text(name),
        alias=name.get("SPProvidedID", "") if name is not None else "",
        period=Period() if conditions is None else _period(conditions, Check.FORM),
        audiences=tuple(frozenset(map(text, each.findall(saml("Audience")))) for each in restrictions),
        one_time=conditions is not None and conditions.find(_ONE_TIME) is not None,
        confirmations=tuple(
            map(_confirmation, assertion.findall(f"{saml('Subject')}/{saml('SubjectConfirmation')}"))
        ),
        authentications=tuple(map(_authentication, assertion.findall(saml("AuthnStatement")))),
        attributes=read_attributes(assertion, meanings),
    )


def _confirmation(element: _Element) -> Confirmation:
    method = element.get("Method", "")
    found = element.findall(saml("SubjectConfirmationData"))
    if len(found) > 1:
        refuse(Check.CONFIRMATION, "a SubjectConfirmation with more than one SubjectConfirmationData")
    if not found:
        return Confirmation(method)
    data = found[0]
    certificates = data.findall(f"{ds('KeyInfo')}/{CERTIFICATE_PATH}")
    keys = data.findall(f"{ds('KeyInfo')}/{ds('KeyValue')}/{ds('RSAKeyValue')}")
    return Confirmation(
        method,
        _period(data, Check.CONFIRMATION),
        data.get("Recipient"),
        tuple(der for each in certificates if (der := decode_base64(text(each)))),
        tuple((_number(key, "Modulus"), _number(key, "Exponent")) for key in keys),
    )


def _number(key: _Element, name: str) -> int:
    return int.from_bytes(decode_base64(text(key.find(ds(name)))) or b"")


def _authentication(statement: _Element) -> Authentication:
    contexts = statement.findall(saml("AuthnContext"))
    if len(contexts) != 1:
        refuse(Check.AUTHENTICATION, "an AuthnStatement without AuthnContext, or with several")
    names = [
        text(each)
        for each in contexts[0]
        if each.tag in (saml("AuthnContextClassRef"), saml("AuthnContextDeclRef"))
    ]
    if not names or not all(names):
        refuse(Check.AUTHENTICATION, "an AuthnContext with neither AuthnContextClassRef nor DeclRef")
    end = "SessionNotOnOrAfter"
    return Authentication(
        _moment(statement, "AuthnInstant", Check.AUTHENTICATION),
        _moment(statement, end, Check.AUTHENTICATION) if statement.get(end) is not None else None,
        tuple(names),
    )


def _period(element: _Element, check: Check) -> Period:
    start, end = (
        _moment(element, name, check) if element.get(name) is not None else None
        for name in ("NotBefore", "NotOnOrAfter")
    )
    return Period(start, end)


def _moment(element: _Element, name: str, check: Check) -> datetime:
    value = moment(element.get(name, ""))
    return refuse(check, f"{name} is no time with a zone") if value is None else value
