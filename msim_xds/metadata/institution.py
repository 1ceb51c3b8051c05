"""Institutions in one spelling, so that those of authors, users and systems can be compared."""

from __future__ import annotations

from typing import Final
from unicodedata import normalize

from msim_xds.metadata.hl7v2 import is_cx

_OID_URN: Final = "urn:oid:"
_AUTHORITY, _IDENTIFIER = 5, 9  # components of XON


def institution(text: str) -> str:
    """The id of an institution, however it is spelt; its name where there is no id.

    ``Name^^^^^&OID&ISO^^^^ID`` (XON) is ``ID^^^&OID&ISO``, as a CX says it; ``Name^^^^^^^^^OID`` and
    ``urn:oid:OID`` are ``OID`` (ITI TF-3 4.2.3.1.4; ITI TF-2 3.40.4.1.2). A CX and a URL stay as they are.
    """
    text = normalize("NFC", text.strip())
    if text.lower().startswith(_OID_URN):
        return text[len(_OID_URN) :]
    if "^" not in text or is_cx(text):
        return text
    parts = [*text.split("^"), *[""] * _IDENTIFIER][: _IDENTIFIER + 1]
    identifier, authority = parts[_IDENTIFIER].strip(), parts[_AUTHORITY].strip()
    if identifier and authority:
        return f"{identifier}^^^{authority}"
    return institution(identifier) if identifier else parts[0].strip()
