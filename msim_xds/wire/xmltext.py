"""Text and attribute values as XML, safe for any string."""

from __future__ import annotations

import re
from typing import Final

_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"} | {
    "\t": "&#9;",  # these three a reader would turn into blanks
    "\n": "&#10;",
    "\r": "&#13;",
}
_SPECIAL: Final = re.compile("[^ !#-%'-;=?-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escape(value: str) -> str:
    """``value`` for an element's text or a double-quoted attribute; reads back as it was.

    Characters that XML 1.0 cannot carry become U+FFFD.
    """
    return _SPECIAL.sub(_replacement, value) if _SPECIAL.search(value) else value


def _replacement(match: re.Match[str]) -> str:
    return _ENTITIES.get(match[0], "\N{REPLACEMENT CHARACTER}")
