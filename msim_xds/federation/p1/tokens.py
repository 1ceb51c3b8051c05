"""Assertions that P1 issues for a worker, a place, a patient and a purpose (WS-Trust 1.3, RST/Issue).

One is used again for the same question until it is about to end. What P1 wants inside wst:Claims is not
public; here the attributes are SAML ones, their names come from the settings.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from lxml import etree

from msim_xds.federation.answers import RemoteUnavailable
from msim_xds.federation.p1.providers import Provider
from msim_xds.federation.p1.soap import Service
from msim_xds.p1_settings import P1Settings
from msim_xds.security.xua.names import ASSERTION, SAML, moment, saml

if TYPE_CHECKING:
    from lxml.etree import _Element


class Wanted(NamedTuple):
    """Whom an assertion is to speak of; ids are ``root#extension``, patient and place may be empty."""

    provider: str
    organization: str
    place: str
    worker: str
    role: str
    patient: str
    purpose: str


def own_token(provider: Provider, purpose: str, patient: str = "") -> Wanted:
    """What a provider's own worker asks for."""
    facts = provider.facts
    return Wanted(provider.key, facts.organization, facts.place, facts.worker, facts.role, patient, purpose)


class _Held(NamedTuple):
    assertion: bytes
    until: datetime


_ATTRIBUTES: Final = ("organization", "place", "worker", "patient", "role", "purpose")


class Tokens:
    """Asks for assertions and keeps them; safe to share between threads.

    Args:
        settings: section ``p1``.
        clock: the time of day, UTC.
    """

    def __init__(self, settings: P1Settings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock
        self._service = Service(
            settings.base + settings.token, settings.token_soap, settings.token_addressing
        )
        self._margin = timedelta(seconds=settings.token_margin_s)
        self._held: OrderedDict[Wanted, _Held] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, wanted: Wanted, provider: Provider) -> bytes:
        """An assertion that may be used now, as P1 signed it.

        Raises:
            RemoteFault: P1 issues none.
            RemoteUnavailable: no usable answer.
        """
        with self._lock:
            held = self._held.get(wanted)
            if held is not None and self._clock() + self._margin < held.until:
                self._held.move_to_end(wanted)
                return held.assertion
        action = self._settings.called("token.action")
        answer = self._service.call(action, self._request(wanted), provider.options)
        fresh = _issued(answer, self._service.url)
        with self._lock:
            self._held[wanted] = fresh
            self._held.move_to_end(wanted)
            if len(self._held) > self._settings.tokens:
                self._held.popitem(last=False)
        return fresh.assertion

    def _request(self, wanted: Wanted) -> _Element:
        called = self._settings.called
        trust = called("token.namespace")
        request = etree.Element(f"{{{trust}}}RequestSecurityToken", nsmap={"wst": trust})
        etree.SubElement(request, f"{{{trust}}}TokenType").text = called("token.type")
        etree.SubElement(request, f"{{{trust}}}RequestType").text = called("token.request")
        claims = etree.SubElement(request, f"{{{trust}}}Claims", {"Dialect": called("token.claims")})
        values = [(name, getattr(wanted, name)) for name in _ATTRIBUTES]
        for name, value in (*values, ("on_behalf_of", self._settings.on_behalf_of)):
            if value:
                attribute = etree.SubElement(
                    claims, saml("Attribute"), {"Name": called(f"token.{name}")}, {"saml2": SAML}
                )
                etree.SubElement(attribute, saml("AttributeValue")).text = value
        return request


def _issued(answer: _Element, url: str) -> _Held:
    """The one assertion of the answer, and when it ends.

    Raises:
        RemoteUnavailable: there is none, or none that says when it ends.
    """
    found = list(answer.iter(ASSERTION))
    if len(found) != 1:
        raise RemoteUnavailable(url, f"its answer holds {len(found)} SAML 2.0 assertions; wanted: one")
    conditions = found[0].find(saml("Conditions"))
    end = moment(conditions.get("NotOnOrAfter", "")) if conditions is not None else None
    if end is None:
        raise RemoteUnavailable(url, "its assertion does not say when it ends (NotOnOrAfter)")
    # With its ancestors' namespaces: values may use their prefixes.
    return _Held(etree.tostring(found[0], with_tail=False), end)
