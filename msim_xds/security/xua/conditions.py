"""Checks 9 to 14: whether an assertion that is genuine may be used here and now (SAML Core 2.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from msim_xds.security.xua.attributes import Meaning
from msim_xds.security.xua.claims import Claims, Confirmation, Period
from msim_xds.security.xua.names import BEARER, HOLDER_OF_KEY
from msim_xds.security.xua.refusal import Check, refuse


@dataclass(frozen=True, slots=True)
class Policy:
    """What a site demands of assertions.

    Attributes:
        audiences: names of this server.
        recipients: what a SubjectConfirmationData may name, the audiences included.
        skew: difference of clocks that is allowed for.
        lifetime: longest validity.
        single: whether a second role, purpose or AuthnStatement is refused.
        contexts: allowed authentication contexts; empty allows any.
        attributes: names of attributes that must be there.
    """

    audiences: frozenset[str]
    recipients: frozenset[str]
    skew: timedelta
    lifetime: timedelta
    single: bool = False
    contexts: frozenset[str] = frozenset()
    attributes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Presented:
    """How an assertion came.

    Attributes:
        at: the moment.
        certificate: the sender's TLS certificate as URL-encoded PEM; empty where it is not known.
    """

    at: datetime
    certificate: str = ""


def check(claims: Claims, policy: Policy, how: Presented) -> None:
    """Every check in its order; they are made again each time an assertion comes.

    Raises:
        SecurityFault: the first that fails.
    """
    for each in _CHECKS:
        each(claims, policy, how)


def check_period(period: Period, policy: Policy, at: datetime) -> bool:
    """Whether a time is within a period, clocks being as different as is allowed."""
    start, end = period.not_before, period.not_on_or_after
    return (start is None or start <= at + policy.skew) and (end is None or at - policy.skew < end)


def _check_time(claims: Claims, policy: Policy, how: Presented) -> None:
    end = claims.period.not_on_or_after
    if end is None:
        refuse(Check.LIFETIME, "Conditions has no NotOnOrAfter")
    if not check_period(claims.period, policy, how.at):
        refuse(Check.TIME, "outside NotBefore and NotOnOrAfter")
    if claims.issued > how.at + policy.skew:
        refuse(Check.TIME, "issued in the future")
    if end - min(claims.issued, claims.period.not_before or claims.issued) > policy.lifetime:
        refuse(Check.LIFETIME, "valid for longer than is allowed")
    periods = [each.period for each in claims.confirmations]
    if periods and not any(check_period(each, policy, how.at) for each in periods):
        refuse(Check.TIME, "outside the times of its SubjectConfirmations")


def _check_audience(claims: Claims, policy: Policy, _: Presented) -> None:
    """All restrictions must hold; one holds when one of its audiences is ours (SAML Core 2.5.1.4)."""
    if not claims.audiences or not all(each & policy.audiences for each in claims.audiences):
        refuse(Check.AUDIENCE, "made for another audience, or for none")


def _check_authentication(claims: Claims, policy: Policy, how: Presented) -> None:
    statements = claims.authentications
    if not statements or (policy.single and len(statements) > 1):
        refuse(Check.AUTHENTICATION, "no AuthnStatement, or more than the one that is allowed")
    for each in statements:
        if each.at > how.at + policy.skew:
            refuse(Check.AUTHENTICATION, "authenticated in the future")
        if not check_period(Period(None, each.session_end), policy, how.at):
            refuse(Check.AUTHENTICATION, "the session of the authentication has ended")
        if policy.contexts and policy.contexts.isdisjoint(each.contexts):
            refuse(Check.AUTHENTICATION_CLASS, "authenticated in a way that is not allowed")


def _check_confirmation(claims: Claims, policy: Policy, how: Presented) -> None:
    """One SubjectConfirmation that holds is enough (SAML Core 2.4.1)."""
    if not any(_confirms(each, policy, how) for each in claims.confirmations):
        refuse(Check.CONFIRMATION, "no SubjectConfirmation holds")


def _confirms(confirmation: Confirmation, policy: Policy, how: Presented) -> bool:
    if not check_period(confirmation.period, policy, how.at):
        return False
    if confirmation.recipient is not None and confirmation.recipient not in policy.recipients:
        return False
    if confirmation.method == HOLDER_OF_KEY:
        return _holds_key(confirmation, how.certificate)
    return confirmation.method == BEARER


def _holds_key(confirmation: Confirmation, certificate: str) -> bool:
    """Whether TLS has proven possession of a key that the assertion names."""
    try:
        held = x509.load_pem_x509_certificate(unquote_to_bytes(certificate))
        key = held.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False
    if held.public_bytes(Encoding.DER) in confirmation.certificates:
        return True
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    numbers = key.public_numbers()
    return (numbers.n, numbers.e) in confirmation.keys


def _check_attributes(claims: Claims, policy: Policy, _: Presented) -> None:
    if not policy.attributes <= claims.attributes.names:
        refuse(Check.ATTRIBUTES, "an attribute that must be there is not")
    for meaning in (Meaning.ROLE, Meaning.PURPOSE):
        if policy.single and len(claims.attributes.all(meaning)) > 1:
            refuse(Check.ATTRIBUTES, f"more than the one {meaning} that is allowed")


_CHECKS: Final[tuple[Callable[[Claims, Policy, Presented], None], ...]] = (
    _check_time,
    _check_audience,
    _check_authentication,
    _check_confirmation,
    _check_attributes,
)
