"""Namespaces, element names and identifiers of WS-Security and SAML 2.0."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final

from msim_xds.ihe.names import WSSE

if TYPE_CHECKING:
    from lxml.etree import _Element

SAML: Final = "urn:oasis:names:tc:SAML:2.0:assertion"
WSU: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
SECURITY: Final = f"{{{WSSE}}}Security"
TIMESTAMP: Final = f"{{{WSU}}}Timestamp"
ASSERTION: Final = f"{{{SAML}}}Assertion"

BEARER: Final = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
HOLDER_OF_KEY: Final = "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"

_SPACE: Final = " \t\r\n"
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", re.ASCII)


def saml(name: str) -> str:
    """``name`` in the namespace of SAML assertions."""
    return f"{{{SAML}}}{name}"


def text(element: _Element | None) -> str:
    """The text of an element without the white space around it; empty where there is none.

    Messages are parsed without comments, so this is all of the text that was signed.
    """
    return (element.text or "").strip(_SPACE) if element is not None else ""


def moment(value: str) -> datetime | None:
    """An xs:dateTime with its zone, however fine its seconds; None where it is none (SAML Core 1.3.3)."""
    if _MOMENT.fullmatch(value) is None:
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None
