"""Syntax of single values: URNs, OIDs, UUIDs and HL7 v2 strings (ITI TF-3 4.2.3.1.7).

Every pattern is linear and sees no more than ``LONGEST`` characters.
"""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 256  # characters of rim:LongName

_URN: Final = re.compile(
    r"urn:[a-z0-9][a-z0-9-]{0,31}:(?:[a-z0-9()+,\-.:=@;$_!*'/~&]|%[0-9a-f]{2})+", re.IGNORECASE | re.ASCII
)
#: The first arc is not held to 0, 1 and 2: senders in the field make ids out of the address of their network.
_OID: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+")
#: Names such as ``urn:att``, which have no namespace of their own, are met in the field as well.
_EXTRA_NAME: Final = re.compile(
    r"urn:(?:[a-z0-9()+,\-.:=@;$_!*'/~&]|%[0-9a-f]{2})+", re.IGNORECASE | re.ASCII
)
_UUID: Final = re.compile(
    r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII
)
OID_LONGEST: Final = 64
UUID_PREFIX: Final = "urn:uuid:"
_UUID_LENGTH: Final = 45


def is_urn(text: str) -> bool:
    """Whether ``text`` is a URN by RFC 8141."""
    return len(text) <= LONGEST and _URN.fullmatch(text) is not None


def is_extra_metadata_name(name: str) -> bool:
    """Whether a slot of this name is extra metadata: a URN outside IHE's own (ITI TF-3 4.2.3.1.6)."""
    return len(name) <= LONGEST and _EXTRA_NAME.fullmatch(name) is not None and name[:8].lower() != "urn:ihe:"


def is_oid(text: str) -> bool:
    """Whether ``text`` is an OID of at most 64 characters."""
    return len(text) <= OID_LONGEST and _OID.fullmatch(text) is not None


def is_uuid(text: str) -> bool:
    """Whether ``text`` is ``urn:uuid:`` and a UUID, in either case of letters."""
    return len(text) == _UUID_LENGTH and _UUID.fullmatch(text) is not None


def looks_like_uuid(text: str) -> bool:
    """Whether ``text`` claims to be a UUID; any other id is symbolic (ITI TF-3 4.2.3.1.5)."""
    return text[:9].lower() == UUID_PREFIX


def id_key(text: str) -> str:
    """``text`` as ids are compared: UUIDs without regard to case."""
    return text.lower() if looks_like_uuid(text) else text
