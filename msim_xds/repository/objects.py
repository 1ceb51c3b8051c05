"""Blobs in an S3-compatible object store, through obstore. Documents are spooled locally while they arrive.

Puts overwrite instead of asking "only if absent": the octets are the same, a damaged object is repaired, its
age is renewed, and large objects need a multipart upload, for which S3 knows no condition. A put is atomic,
and durable when it is answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

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
from msim_xds.repository.sealing import HEADER, key_id, opened, sealed_size
from msim_xds.repository.spool import Spool, SpooledStore
from msim_xds.settings import Settings
from msim_xds.wire.exchange import StagedPart

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import S3Config

#: Octets of one part of a large upload; two are under way at once.
_PART: Final = 5 << 20
#: Octets asked for at once. Large blobs are read range by range, so that a slow consumer holds memory for one
#: range and no request open longer than its time-out.
_RANGE: Final = 4 << 20
_RETRY_S: Final = 20
_UPLOADS: Final = 8


class ObjectStore(SpooledStore):
    """A ``BlobStore`` in a bucket."""

    def __init__(self, store: S3Store, spool: Path, ring: KeyRing | None = None) -> None:
        """Keep blobs in ``store`` and spool below ``spool``. Raises OSError.

        With keys what comes is encrypted; what is there already is read either way.
        """
        self._store = store
        self._ring = ring
        super().__init__(Spool(spool, ring))

    @classmethod
    def from_settings(cls, settings: Settings, ring: KeyRing | None = None) -> ObjectStore:
        """The bucket of ``repository.store``; credentials come from files, else from AWS_* variables.

        Raises:
            OSError: a credentials file or the spool cannot be used.
            ValueError: no bucket, or only one of the two credentials files.
        """
        chosen = settings.repository
        url = urlsplit(chosen.store)
        if not url.netloc:
            raise ValueError(f"repository.store {chosen.store!r} names no bucket; write s3://bucket/prefix")
        store = S3Store(
            url.netloc,
            prefix=url.path.strip("/") or None,
            endpoint=chosen.s3_endpoint or None,
            region=chosen.s3_region,
            virtual_hosted_style_request=not chosen.s3_endpoint,
            checksum_algorithm="SHA256",
            client_options={"allow_http": chosen.s3_endpoint.startswith("http://")},
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=_RETRY_S)},
            config=_credentials(chosen.s3_access_key_file, chosen.s3_secret_key_file),
        )
        return cls(store, settings.data / "spool", ring)

    def commit(self, parts: Sequence[StagedPart]) -> None:
        """Upload staged parts, some at a time; durable when this returns. Raises OSError."""
        once = list({part.token: part for part in parts}.values())
        if len(once) == 1:
            self._upload(once[0])
        else:
            with ThreadPoolExecutor(_UPLOADS) as pool:
                for _ in pool.map(self._upload, once):  # which raises what one of them raises
                    pass

    def _upload(self, part: StagedPart) -> None:
        with open(self._spool.path(part), "rb") as file, _as_os_error():
            obstore.put(self._store, path_of(part.sha256), file, chunk_size=_PART, max_concurrency=2)
        self._spool.discard(part)

    def read(self, content: Content) -> bytes:
        """A whole blob, verified. Raises CorruptDocument, OSError when the store does not answer."""
        sha256 = content.sha256
        with _absent_is_corrupt(sha256), _as_os_error():
            found = obstore.get(self._store, path_of(sha256))
            size = found.meta["size"]
            if size not in (content.size, sealed_size(content.size)):
                raise CorruptDocument(f"blob {sha256} has {size} octets instead of {content.size}")
            octets = bytes(found.bytes())
        if size != content.size and self._ring is not None:
            octets = b"".join(opened((octets,), self._ring, sha256))
        check_whole(octets, content)
        return octets

    def open(self, content: Content) -> Iterator[bytes]:
        """A blob in chunks, the last one only when the digest is right. Raises CorruptDocument, OSError."""
        size = self._size(content)
        chunks = self._chunks(content.sha256, size)
        ring = self._ring if size != content.size else None
        return verified(chunks if ring is None else opened(chunks, ring, content.sha256), content)

    def key_id(self, content: Content) -> str:
        """The id of the key that a blob is encrypted with; empty where it is not. Raises CorruptDocument."""
        sha256 = content.sha256
        if self._size(content) == content.size:
            return ""
        with _absent_is_corrupt(sha256), _as_os_error():
            return key_id(bytes(obstore.get_range(self._store, path_of(sha256), start=0, length=HEADER)))

    def _size(self, content: Content) -> int:
        """Octets of the blob; asked for only where it may be encrypted."""
        blob = None if self._ring is None else self.stat(content.sha256)
        return content.size if blob is None else blob.size

    def _chunks(self, sha256: str, size: int) -> Iterator[bytes]:
        for start in range(0, size, _RANGE):
            with _absent_is_corrupt(sha256), _as_os_error():
                content = memoryview(
                    obstore.get_range(
                        self._store, path_of(sha256), start=start, length=min(_RANGE, size - start)
                    )
                )
            for offset in range(0, len(content), CHUNK):
                yield bytes(content[offset : offset + CHUNK])

    def stat(self, sha256: str) -> Blob | None:
        """Size and time of a blob; None when it is absent. Raises OSError when the store does not answer."""
        try:
            with _as_os_error():
                return _blob(sha256, obstore.head(self._store, path_of(sha256)))
        except FileNotFoundError:
            return None

    def blobs(self) -> Iterator[Blob]:
        """Every blob. Raises OSError when the store does not answer."""
        with _as_os_error():
            for batch in obstore.list(self._store, chunk_size=1000):
                for found in batch:
                    name = found["path"].rpartition("/")[2]
                    if is_blob_name(name):
                        yield _blob(name, found)

    def delete(self, sha256: str) -> None:
        """Remove a blob; harmless when it is absent. Raises OSError when the store does not answer."""
        with _as_os_error():
            obstore.delete(self._store, path_of(sha256))  # S3 does not mind an absent object


def _credentials(access_key: Path | None, secret_key: Path | None) -> S3Config | None:
    if access_key is None and secret_key is None:
        return None
    if access_key is None or secret_key is None:
        raise ValueError(
            "repository.s3_access_key_file and s3_secret_key_file are given together or not at all"
        )
    return {
        "access_key_id": access_key.read_text().strip(),
        "secret_access_key": secret_key.read_text().strip(),
    }


def _blob(sha256: str, found: ObjectMeta) -> Blob:
    return Blob(sha256, found["size"], found["last_modified"])


@contextmanager
def _as_os_error() -> Iterator[None]:
    """A failing store is input and output that failed; obstore's own exceptions stay in this module."""
    try:
        yield
    except BaseError as error:
        raise OSError(f"object store: {error}") from error


@contextmanager
def _absent_is_corrupt(sha256: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise CorruptDocument(f"blob {sha256} is absent") from None
