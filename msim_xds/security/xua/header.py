"""The wsse:Security header: where the one assertion is, and that nothing else can be taken for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, cast

from lxml import etree

from msim_xds.ihe.names import WSSE, XML, XOP
from msim_xds.security.signatures.names import SIGNATURE
from msim_xds.security.xua.names import (
    ASSERTION,
    SAML,
    SECURITY,
    TIMESTAMP,
    WSU,
    moment,
    saml,
    text,
)
from msim_xds.security.xua.refusal import Check, refuse
from msim_xds.wire import envelope

if TYPE_CHECKING:
    from lxml.etree import _Element

_BESIDE: Final = frozenset(
    [TIMESTAMP, SIGNATURE, f"{{{WSSE}}}BinarySecurityToken", f"{{{WSSE}}}SecurityTokenReference"]
)
"""What may stand beside the assertion. Signatures over the message are for ``wss.demand`` to look at."""
_EVIDENCE: Final = frozenset([saml("Advice"), saml("Evidence")])
"""Where the assertion may carry others, of which nothing is read (SAML Core 2.6, 2.7.4.3)."""
_SPACES: Final = {"saml": SAML, "wsu": WSU, "xml": XML, "xop": XOP}
_IDS: Final = etree.XPath(
    "//@ID | //@Id | //@AssertionID | //@wsu:Id | //@xml:id", namespaces=_SPACES, smart_strings=False
)
_ASSERTIONS: Final = etree.XPath("//saml:Assertion", namespaces=_SPACES)
_INCLUDES: Final = etree.XPath("boolean(.//xop:Include)", namespaces=_SPACES)


@dataclass(frozen=True, slots=True)
class Found:
    """What a header holds.

    Attributes:
        assertion: the assertion, None where only a Timestamp came.
        created, expires: bounds of its wsu:Timestamp.
    """

    assertion: _Element | None
    created: datetime | None
    expires: datetime | None


def find(header: _Element | None) -> Found | None:
    """What the wsse:Security header for us holds; None where there is none.

    Args:
        header: the soap:Header, in the tree of the whole message.

    Raises:
        SecurityFault: checks 2 to 4, as far as they concern the message around the assertion.
    """
    found = envelope.blocks(header, SECURITY) if header is not None else []
    if not found:
        return None
    if len(found) > 1:
        refuse(Check.HEADER, "more than one wsse:Security header")
    security = found[0]
    if _INCLUDES(security):
        refuse(Check.HEADER, "xop:Include in the header")
    ids = [value.strip() for value in cast("list[str]", _IDS(security))]
    if len(set(ids)) != len(ids):
        refuse(Check.HEADER, "an ID occurs twice in the message")
    created, expires = _timestamp(security)
    return Found(_assertion(security), created, expires)


def _assertion(security: _Element) -> _Element | None:
    tokens = [child for child in security if child.tag not in _BESIDE]
    own = [child for child in tokens if child.tag == ASSERTION]
    if len(own) != len(tokens):
        refuse(Check.TOKEN, "a token that is no SAML 2.0 assertion")
    if len(own) > 1:
        refuse(Check.FORM, "more than one assertion")
    if not own and any(child.tag != TIMESTAMP for child in security):
        refuse(Check.TOKEN, "no SAML 2.0 assertion among the tokens")
    everywhere = cast("list[_Element]", _ASSERTIONS(security))
    if any(not _is_evidence(other, own) for other in everywhere if other not in own):
        refuse(Check.FORM, "another assertion in the message")
    return own[0] if own else None


def _is_evidence(other: _Element, own: list[_Element]) -> bool:
    holder = other.getparent()
    inside = any(ancestor in own for ancestor in other.iterancestors())
    return inside and holder is not None and holder.tag in _EVIDENCE


def _timestamp(security: _Element) -> tuple[datetime | None, datetime | None]:
    found = security.findall(TIMESTAMP)
    if len(found) > 1:
        refuse(Check.HEADER, "more than one wsu:Timestamp")
    if not found:
        return None, None
    created, expires = (_bound(found[0], name) for name in ("Created", "Expires"))
    return created, expires


def _bound(timestamp: _Element, name: str) -> datetime | None:
    elements = timestamp.findall(f"{{{WSU}}}{name}")
    if not elements:
        return None
    value = moment(text(elements[0]))
    if value is None or len(elements) > 1:
        refuse(Check.HEADER, f"wsu:{name} is no time, or there are several")
    return value
