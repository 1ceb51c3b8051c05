"""How a payload points to a MIME part: xop:Include, cid: URLs and Content-IDs (XOP 1.0, RFC 2392)."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote

from msim_xds.ihe.names import XOP

INCLUDE: Final = f"{{{XOP}}}Include"
"""Clark name of the reference."""

_CID_SAFE: Final = "@!$*'()+,;=:"


def include(cid: str) -> str:
    """The element that stands for the part ``cid``; it declares its own namespace."""
    return f'<xop:Include xmlns:xop="{XOP}" href="cid:{quote(cid, _CID_SAFE)}"/>'


def cid_of(href: str) -> str | None:
    """The Content-ID that a ``cid:`` URL names; None for any other URL."""
    href = href.strip()
    return unquote(href[4:]) if href[:4].lower() == "cid:" else None


def content_id(value: str) -> str:
    """A Content-ID header or start parameter in the form that ``cid_of`` gives.

    Some stacks percent-encode the header too, so both sides are decoded.
    """
    return unquote(value.strip().removeprefix("<").removesuffix(">"))
