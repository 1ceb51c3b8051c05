"""Blobs as files: ``<root>/<two hex digits>/<sha256>``, spooled in ``<root>/tmp`` of the same file system.

Order of a commit: fsync every file, rename each into its folder, fsync each folder once. A name that can be
seen therefore always has its octets behind it, and a name that was reported kept survives a power failure.
The 256 folders are made in advance, since a new folder would need an fsync of its parent as well.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from msim_xds.repository.blobs import (
    CHUNK,
    Blob,
    Content,
    CorruptDocument,
    check_whole,
    is_blob_name,
    path_of,
    verified,
)
from msim_xds.repository.keyring import KeyRing
from msim_xds.repository.sealing import HEADER, key_id, opened
from msim_xds.repository.spool import Spool, SpooledStore
from msim_xds.wire.exchange import StagedPart

_FEW: Final = 8  # a submission's documents are seldom more; threads cost more than they save
_AT_ONCE: Final = 16
_SHARDS: Final = tuple(f"{number:02x}" for number in range(256))


class FileStore(SpooledStore):
    """A ``BlobStore`` in a local file system."""

    def __init__(self, root: Path, ring: KeyRing | None = None) -> None:
        """Make the folders below ``root`` where they are missing. Raises OSError.

        With keys what comes is encrypted; what is there already is read either way.
        """
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for shard in _SHARDS:
            (root / shard).mkdir(mode=0o700, exist_ok=True)
        self._root = str(root)
        self._ring = ring
        super().__init__(Spool(root / "tmp", ring))
        _fsync(self._root)
        _fsync(str(root.absolute().parent))

    def commit(self, parts: Sequence[StagedPart]) -> None:
        """Make staged parts blobs, durable when this returns. Raises OSError."""
        spooled = {self._spool.path(part): part.sha256 for part in parts}
        _fsync_all(spooled)
        for path, sha256 in spooled.items():
            os.rename(path, self._path(sha256))
        _fsync_all({os.path.dirname(self._path(sha256)) for sha256 in spooled.values()})

    def read(self, content: Content) -> bytes:
        """A whole blob, verified. Raises CorruptDocument."""
        fd = self._open(content.sha256)
        try:
            octets = os.read(fd, content.size + 1)
        finally:
            os.close(fd)
        if len(octets) > content.size and self._ring is not None:
            octets = b"".join(self._octets(content))
        check_whole(octets, content)
        return octets

    def open(self, content: Content) -> Iterator[bytes]:
        """A blob in chunks, the last one withheld until the digest is right. Raises CorruptDocument."""
        return verified(self._octets(content), content)

    def key_id(self, content: Content) -> str:
        """The id of the key that a blob is encrypted with; empty where it is not. Raises CorruptDocument."""
        fd = self._open(content.sha256)
        try:
            return "" if os.fstat(fd).st_size == content.size else key_id(os.read(fd, HEADER))
        finally:
            os.close(fd)

    def _octets(self, content: Content) -> Iterator[bytes]:
        fd = self._open(content.sha256)
        try:
            if self._ring is None or os.fstat(fd).st_size == content.size:
                yield from _chunks(fd)
            else:
                yield from opened(_chunks(fd), self._ring, content.sha256)
        finally:
            os.close(fd)

    def _open(self, sha256: str) -> int:
        try:
            return os.open(self._path(sha256), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise CorruptDocument(f"blob {sha256} is absent") from None

    def stat(self, sha256: str) -> Blob | None:
        """Size and time of a blob; None when it is absent."""
        try:
            return _blob(sha256, os.stat(self._path(sha256)))
        except FileNotFoundError:
            return None

    def blobs(self) -> Iterator[Blob]:
        """Every blob, folder by folder."""
        for shard in _SHARDS:
            with os.scandir(f"{self._root}/{shard}") as entries:
                yield from _blobs(entries)

    def delete(self, sha256: str) -> None:
        """Remove a blob; harmless when it is absent."""
        with suppress(FileNotFoundError):
            os.unlink(self._path(sha256))

    def _path(self, sha256: str) -> str:
        return f"{self._root}/{path_of(sha256)}"


def _chunks(fd: int) -> Iterator[bytes]:
    while chunk := os.read(fd, CHUNK):
        yield chunk


def _blobs(entries: Iterable[os.DirEntry[str]]) -> Iterator[Blob]:
    for entry in filter(lambda entry: is_blob_name(entry.name), entries):
        with suppress(FileNotFoundError):  # removed by another process since the folder was listed
            yield _blob(entry.name, entry.stat(follow_symlinks=False))


def _blob(sha256: str, status: os.stat_result) -> Blob:
    return Blob(sha256, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _fsync_all(paths: Collection[str]) -> None:
    """Many at a time, where there are many: the file system's journal then makes one commit for several."""
    if len(paths) < _FEW:
        _fsync_each(paths)
        return
    each = list(paths)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(_fsync_each, (each[start::_AT_ONCE] for start in range(_AT_ONCE))):
            pass  # which raises what one of them raises


def _fsync_each(paths: Iterable[str]) -> None:
    for path in paths:
        _fsync(path)


def _fsync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
