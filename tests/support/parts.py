"""What staging some octets gives."""

from __future__ import annotations

import hashlib

from xxhash import xxh3_128

from msim_xds.wire.exchange import StagedPart


def part_of(content: bytes, token: str = "token") -> StagedPart:
    """``content`` as a store that has named it ``token`` would report it."""
    return StagedPart(
        sha1=hashlib.sha1(content).hexdigest(),
        sha256=hashlib.sha256(content).hexdigest(),
        xxh3=xxh3_128(content).hexdigest(),
        size=len(content),
        token=token,
    )
