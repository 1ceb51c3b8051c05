"""What a store of documents can do: octets addressed by their SHA-256, verified by XXH3 on the way out.

XXH3 finds what a disk or a network has damaged, at the speed of memory, for which every retrieval is
grateful. Whoever can write to the store could forge it: against them stands SHA-256, the name,
which ``fsck`` checks.

A store keeps blobs, not documents: which uniqueId they answer for is the index's business. Two documents of
the same content share one blob.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from xxhash import xxh3_128

from msim_xds.repository.keyring import KeyRing
from msim_xds.settings import Settings
from msim_xds.wire.exchange import PartSink, StagedPart

#: Octets handed out at a time; a blob of at most this size is verified before its first octet leaves.
CHUNK: Final = 1 << 20


class CorruptDocument(Exception):
    """A blob is absent or its octets are not those that were stored."""


class Content(Protocol):
    """Some octets by their digests, lower-case hex, and their number."""

    @property
    def sha256(self) -> str:
        """The blob's name."""

    @property
    def xxh3(self) -> str:
        """XXH3-128: what the octets are held against on their way out."""

    @property
    def size(self) -> int:
        """How many there are."""


@dataclass(frozen=True, slots=True)
class Blob:
    """One stored blob: SHA-256 of its document (lower-case hex), octets kept, when it was last stored (UTC).

    Encrypted, a blob has more octets than its document.
    """

    sha256: str
    size: int
    modified: datetime


class BlobStore(Protocol):
    """Keeps blobs; every method may be called from several threads and processes at once.

    It is a ``wire.exchange.Stager``: documents are spooled while they arrive, and become blobs by ``commit``.
    """

    def stage(self) -> PartSink:
        """Open a sink for one incoming document."""

    def discard(self, part: StagedPart) -> None:
        """Forget a staged part that was not committed; harmless when it was."""

    def staged(self, part: StagedPart) -> Iterator[bytes]:
        """A staged part's octets in chunks; it stays staged. Raises OSError."""

    def take(self, part: StagedPart) -> Iterable[bytes]:
        """A staged part's octets instead of a blob; they are gone when nobody holds them. Raises OSError."""

    def commit(self, parts: Sequence[StagedPart]) -> None:
        """Make staged parts blobs; they survive a crash of the machine from the moment this returns.

        A blob that is there already is replaced by the same octets. That repairs a damaged blob and renews
        ``Blob.modified``, so that an old orphan that is wanted again stops being one to clean.

        Raises:
            OSError: the store cannot keep them; parts not yet kept are still staged.
        """

    def read(self, content: Content) -> bytes:
        """A whole blob, verified. Meant for small ones. Raises CorruptDocument."""

    def open(self, content: Content) -> Iterator[bytes]:
        """A blob in chunks; the last chunk comes only when the digest is right.

        Raises:
            CorruptDocument: while iterating, so that a damaged document never arrives complete.
        """

    def key_id(self, content: Content) -> str:
        """The id of the key that a blob is encrypted with; empty where it is not.

        Raises:
            CorruptDocument: the blob is absent.
        """

    def stat(self, sha256: str) -> Blob | None:
        """What is known of a blob without reading it; None when it is absent."""

    def blobs(self) -> Iterator[Blob]:
        """Every blob, in any order."""

    def delete(self, sha256: str) -> None:
        """Remove a blob; harmless when it is absent."""

    def stale(self, before: datetime) -> Iterator[str]:
        """Tokens of spooled parts last written before ``before``: what broken uploads and crashes left."""

    def remove_stale(self, before: datetime) -> int:
        """Remove those; returns how many."""


def verified(chunks: Iterable[bytes], content: Content) -> Iterator[bytes]:
    """``chunks`` unchanged, the last withheld until the digest of all is right. Raises CorruptDocument."""
    digest = xxh3_128()
    seen = 0
    held = b""
    for chunk in chunks:
        seen += len(chunk)
        if seen > content.size:
            break
        digest.update(chunk)
        if held:
            yield held
        held = chunk
    _check(content, digest.hexdigest(), seen)
    if held:
        yield held


def check_whole(octets: bytes, content: Content) -> None:
    """Raises CorruptDocument unless ``octets`` are the blob."""
    _check(content, xxh3_128(octets).hexdigest(), len(octets))


def path_of(sha256: str) -> str:
    """Where a blob stands in any kind of store: ``<first two hex digits>/<sha256>``."""
    return f"{sha256[:2]}/{sha256}"


#: What a blob's name looks like; anything else in a store is not ours and is left alone.
is_blob_name: Final = re.compile("[0-9a-f]{64}").fullmatch


def _check(content: Content, found: str, size: int) -> None:
    name = content.sha256
    if size != content.size:
        raise CorruptDocument(f"blob {name} has {size} or more octets instead of {content.size}")
    if found != content.xxh3:
        raise CorruptDocument(f"blob {name} has the XXH3 digest {found} instead of {content.xxh3}")


def open_store(settings: Settings) -> BlobStore:
    """The store that ``settings.document_store`` names: a directory or an ``s3://bucket/prefix``.

    Raises:
        OSError: the directory cannot be made or used, or the file of keys cannot be read.
        ValueError: the URL or its credentials are incomplete, or a key is none.
    """
    location = settings.document_store
    ring = None
    if settings.repository.encryption_keys is not None:
        ring = KeyRing(settings.repository.encryption_keys)
    if location.startswith("s3://"):
        from msim_xds.repository.objects import ObjectStore  # loads a large library, seldom wanted

        return ObjectStore.from_settings(settings, ring)
    from msim_xds.repository.files import FileStore

    return FileStore(Path(location), ring)
