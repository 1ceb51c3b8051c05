"""Ids between HL7's form and P1's: ``extension^^^&root&ISO`` and ``root#extension``."""

from __future__ import annotations

import re
from typing import Final

_CX: Final = re.compile(r"([^^&#]+)\^\^\^[^&^]*&([0-9.]+)&ISO", re.ASCII)


def as_written(cx: str) -> str:
    """A CX as ``root#extension``; empty where it is none."""
    match = _CX.fullmatch(cx.strip())
    return f"{match[2]}#{match[1]}" if match else ""
