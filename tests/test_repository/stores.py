"""Helpers: octets into a store, the path where a file store keeps them, and the time meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from msim_xds.repository.blobs import BlobStore, CorruptDocument
from msim_xds.repository.index import StoredDocument
from msim_xds.wire.exchange import StagedPart

NOW = datetime(2026, 9, 14, 12, 0, tzinfo=UTC)
_numbers = itertools.count(1)


def staged(store: BlobStore, *pieces: bytes) -> StagedPart:
    """A document received in pieces."""
    sink = store.stage()
    for piece in pieces:
        sink.write(piece)
    return sink.finish()


def stored(store: BlobStore, content: bytes) -> StagedPart:
    """A committed blob: its digests and size."""
    part = staged(store, content)
    store.commit([part])
    return part


def document(store: BlobStore, content: bytes, unique_id: str = "") -> StoredDocument:
    """A committed blob and its row, not yet in an index."""
    part = stored(store, content)
    unique_id = unique_id or f"1.2.3.{next(_numbers)}"
    return StoredDocument(unique_id, part.sha256, part.sha1, part.xxh3, part.size, "text/xml")


def until_damage(chunks: Iterable[bytes]) -> bytes:
    """What a consumer got before CorruptDocument stopped it."""
    received = b""
    try:
        for chunk in chunks:
            received += chunk
    except CorruptDocument:
        return received
    raise AssertionError("the damage went unnoticed")


def blob_path(root: Path, sha256: str) -> Path:
    """Where a file store below ``root`` keeps a blob."""
    return root / sha256[:2] / sha256
