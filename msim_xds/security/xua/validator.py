"""Judges assertions: genuine, and usable here and now. Those seen before are not verified again."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from msim_xds.security.signatures.certificates import Certificate
from msim_xds.security.xua import claims as reading
from msim_xds.security.xua import conditions, structure
from msim_xds.security.xua.attributes import MEANINGS, Meaning
from msim_xds.security.xua.claims import Claims, Period
from msim_xds.security.xua.conditions import Policy, Presented
from msim_xds.security.xua.header import Found
from msim_xds.security.xua.names import saml, text
from msim_xds.security.xua.once import Once
from msim_xds.security.xua.refusal import Check, refuse
from msim_xds.security.xua.signature import Signed, octets_of, written
from msim_xds.wire import safexml

if TYPE_CHECKING:
    from lxml.etree import _Element

Issuers = Mapping[str, tuple[Certificate, ...]]
"""The certificates with which each issuer signs."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is looked at and kept.

    Attributes:
        octets: largest assertion.
        remembered: assertions that are recognised.
        one_time: which are taken once: those that say so, all, or (None) neither.
        meanings: of which attributes something is read.
    """

    octets: int
    remembered: int
    one_time: bool | None
    meanings: Mapping[str, Meaning] = field(default_factory=lambda: MEANINGS)


@dataclass(frozen=True, slots=True)
class _Verified:
    """What a genuine assertion says, and when its signer's certificate begins and ends."""

    claims: Claims
    begins: datetime
    ends: datetime


class Validator:
    """Judges assertions for all endpoints of a process.

    Args:
        issuers: who may issue them.
        policy: what is demanded of them.
        bounds: how much is looked at.
        once: keeps those that are taken once only.
        clock: gives the time of day with its zone.
    """

    def __init__(
        self, issuers: Issuers, policy: Policy, bounds: Bounds, once: Once, clock: Callable[[], datetime]
    ) -> None:
        self._issuers = issuers
        self._policy = policy
        self._bounds = bounds
        self._once = once
        self._clock = clock
        self._known: OrderedDict[bytes, _Verified] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, found: Found, certificate: str = "") -> Claims | None:
        """The claims of an assertion that holds; None where there is none.

        Args:
            found: what the header holds.
            certificate: the sender's TLS certificate, see ``Presented``.

        Raises:
            SecurityFault: the first check that fails.
            OSError: the record of assertions that are taken once is out of reach.
        """
        now = self._clock()
        verified = None if found.assertion is None else self._verify(found.assertion)
        if verified is not None and not verified.begins <= now <= verified.ends:
            refuse(Check.SIGNER, "the issuer's certificate has expired, or is not valid yet")
        if not conditions.check_period(Period(found.created, found.expires), self._policy, now):
            refuse(Check.TIME, "outside the times of wsu:Timestamp")
        if verified is None:
            return None
        conditions.check(verified.claims, self._policy, Presented(now, certificate))
        self._check_replay(verified.claims, now)
        return verified.claims

    def recall(self, assertion: _Element) -> Claims:
        """The claims of an assertion that was checked when its request was taken in.

        Raises:
            SecurityFault: it is not genuine, or its issuer is not trusted any more.
        """
        return self._verify(assertion).claims

    def _verify(self, assertion: _Element) -> _Verified:
        digest = hashlib.sha256(written(assertion)).digest()
        with self._lock:
            if digest in self._known:
                self._known.move_to_end(digest)
                return self._known[digest]
        verified = self._verify_anew(assertion)
        with self._lock:
            self._known[digest] = verified
            if len(self._known) > self._bounds.remembered:
                self._known.popitem(last=False)
        return verified

    def _verify_anew(self, assertion: _Element) -> _Verified:
        if len(octets_of(assertion)) > self._bounds.octets:
            refuse(Check.FORM, f"the assertion is over {self._bounds.octets} bytes")
        structure.check(assertion)
        signed = Signed(assertion)
        trusted = self._issuers.get(text(assertion.find(saml("Issuer"))), ())
        if not trusted:
            refuse(Check.SIGNER, "the issuer is not among those configured")
        validity = signed.check(trusted).asn1
        claims = reading.read(safexml.parse(signed.octets), self._bounds.meanings)
        return _Verified(claims, validity.not_valid_before, validity.not_valid_after)

    def _check_replay(self, claims: Claims, now: datetime) -> None:
        wanted, end = self._bounds.one_time, claims.period.not_on_or_after
        if wanted is None or end is None or not (wanted or claims.one_time):
            return
        if not self._once.take(claims, end + self._policy.skew, now):
            refuse(Check.REPLAY, "used before")
