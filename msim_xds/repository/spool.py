"""The spool: where documents wait, hashed and counted, between their arrival and their commit.

Where documents are encrypted they are so from here on: a spool file is the blob that it becomes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from xxhash import xxh3_128

from msim_xds.repository.blobs import CHUNK
from msim_xds.repository.keyring import KeyRing
from msim_xds.repository.sealing import Sealer, opened
from msim_xds.wire.exchange import StagedPart

_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class SpoolSink:
    """Takes one document's octets into a spool file; its digests are computed on the way."""

    __slots__ = ("_fd", "_path", "_sealer", "_sha1", "_sha256", "_size", "_token", "_xxh3")

    def __init__(self, folder: str, sealer: Sealer | None) -> None:
        self._token = os.urandom(16).hex()
        self._path = f"{folder}/{self._token}"
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self._xxh3 = xxh3_128()
        self._size = 0
        self._sealer = sealer
        self._fd = os.open(self._path, _NEW_FILE, 0o600)
        if sealer is not None:
            self._keep(sealer.header)

    def write(self, data: bytes) -> None:
        """Take the next octets. Raises OSError when they cannot be kept; nothing stays behind then."""
        self._keep(data if self._sealer is None else self._sealer.update(data))
        self._sha1.update(data)
        self._sha256.update(data)
        self._xxh3.update(data)
        self._size += len(data)

    def finish(self) -> StagedPart:
        """All octets are there; they become durable by the store's commit. Raises OSError as ``write``."""
        if self._sealer is not None:
            self._keep(self._sealer.finish())
        self._close()
        digests = (self._sha1.hexdigest(), self._sha256.hexdigest(), self._xxh3.hexdigest())
        return StagedPart(*digests, self._size, self._token)

    def discard(self) -> None:
        """Forget everything; harmless after finish or a second time."""
        self._close()
        with suppress(FileNotFoundError):
            os.unlink(self._path)

    def _keep(self, octets: bytes) -> None:
        try:
            written = os.write(self._fd, octets)
            while written < len(octets):
                written += os.write(self._fd, memoryview(octets)[written:])
        except OSError:
            self.discard()
            raise

    def _close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


class TakenPart:
    """The octets of a spool file that has no name any more: they go with the last reference to this."""

    __slots__ = ("_fd", "_ring", "_size", "_token")

    def __init__(self, fd: int, part: StagedPart, ring: KeyRing | None) -> None:
        self._fd = fd
        self._size = os.fstat(fd).st_size
        self._ring = ring if self._size != part.size else None
        self._token = part.token

    def __iter__(self) -> Iterator[bytes]:
        """The octets in chunks, from their beginning each time."""
        return self._kept() if self._ring is None else opened(self._kept(), self._ring, self._token)

    def _kept(self) -> Iterator[bytes]:
        at = 0
        while chunk := os.pread(self._fd, min(CHUNK, self._size - at), at):  # no more room than is needed
            at += len(chunk)
            yield chunk

    def __del__(self) -> None:
        os.close(self._fd)


class Spool:
    """A folder of spool files, shared by all threads and processes of a store."""

    def __init__(self, folder: Path, ring: KeyRing | None = None) -> None:
        """Spool in ``folder``, encrypted where there are keys. Raises OSError."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = str(folder)
        self._ring = ring

    def stage(self) -> SpoolSink:
        """Open a sink for one incoming document."""
        return SpoolSink(self._folder, None if self._ring is None else Sealer(self._ring.newest))

    def path(self, part: StagedPart) -> str:
        """The spool file of a staged part."""
        return f"{self._folder}/{part.token}"

    def discard(self, part: StagedPart) -> None:
        """Forget a staged part; harmless when it is gone."""
        path = self.path(part)
        if os.access(path, os.F_OK):  # after a commit, the usual case, it is gone
            with suppress(FileNotFoundError):
                os.unlink(path)

    def chunks(self, part: StagedPart) -> Iterator[bytes]:
        """A staged part's octets, which stay where they are. Raises OSError."""
        fd = os.open(self.path(part), os.O_RDONLY | os.O_CLOEXEC)
        yield from TakenPart(fd, part, self._ring)

    def take(self, part: StagedPart) -> TakenPart:
        """A staged part's octets, out of the spool. Raises OSError."""
        path = self.path(part)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        os.unlink(path)
        return TakenPart(fd, part, self._ring)

    def stale(self, before: datetime) -> Iterator[str]:
        """Tokens of spool files last written before ``before``."""
        limit = before.timestamp()
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.stat(follow_symlinks=False).st_mtime < limit:
                        yield entry.name

    def remove_stale(self, before: datetime) -> int:
        """Remove those; returns how many."""
        removed = 0
        for name in self.stale(before):
            with suppress(FileNotFoundError):
                os.unlink(f"{self._folder}/{name}")
                removed += 1
        return removed


class SpooledStore:
    """What one ``BlobStore`` is like another in: documents wait in a spool until they are committed.

    Args:
        spool: where they wait.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def stage(self) -> SpoolSink:
        """Open a sink for one incoming document."""
        return self._spool.stage()

    def discard(self, part: StagedPart) -> None:
        """Forget a staged part that was not committed; harmless when it was."""
        self._spool.discard(part)

    def staged(self, part: StagedPart) -> Iterator[bytes]:
        """A staged part's octets in chunks; it stays staged. Raises OSError."""
        return self._spool.chunks(part)

    def take(self, part: StagedPart) -> TakenPart:
        """A staged part's octets instead of a blob; they are gone when nobody holds them. Raises OSError."""
        return self._spool.take(part)

    def stale(self, before: datetime) -> Iterator[str]:
        """Tokens of spooled parts last written before ``before``."""
        return self._spool.stale(before)

    def remove_stale(self, before: datetime) -> int:
        """Remove those; returns how many."""
        return self._spool.remove_stale(before)
