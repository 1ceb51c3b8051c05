"""Encrypts every document under the newest key: those kept under an older one, and those not encrypted yet.

Each blob is read, verified, encrypted anew with a key of its own and put in its own place, as a submission
of the same content would do it. So a crash leaves every blob whole under one key or the other, and nothing
that the older key opens is left behind, which rewriting headers alone could not say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from msim_xds.database.engine import Database
from msim_xds.repository.blobs import BlobStore, CorruptDocument
from msim_xds.repository.index import DocumentIndex, StoredDocument
from msim_xds.repository.keyring import KeyRing
from msim_xds.repository.scrub import Progress


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation came to.

    Attributes:
        before: blobs by the id of the key that each had; '' for none.
        changed: blobs encrypted anew.
        octets: of their documents.
        damaged: what is wrong with blobs that could not be read; they are as they were.
    """

    before: Mapping[str, int]
    changed: int
    octets: int
    damaged: tuple[str, ...]


def rotate(
    store: BlobStore,
    index: DocumentIndex,
    database: Database,
    ring: KeyRing,
    progress: Progress = lambda done, total: None,
) -> Rotated:
    """Encrypt what is not under ``ring.newest``. Run again, it does what is left; servers may run meanwhile.

    Raises:
        OSError: the store does not answer or is full.
    """
    before: Counter[str] = Counter()
    damaged: list[str] = []
    octets = changed = done = 0
    last = ""
    with database.read() as connection:
        total = index.count(connection)
        for row in index.documents(connection):  # those of one blob come in succession
            done += 1
            if row.sha256 != last:
                last = row.sha256
                try:
                    key_id = store.key_id(row)
                    before[key_id] += 1
                    if key_id != ring.newest.id:
                        _renew(store, index, database, row)
                        changed += 1
                        octets += row.size
                except CorruptDocument as error:
                    damaged.append(str(error))
            progress(done, max(total, done))
    return Rotated(before, changed, octets, tuple(damaged))


def _renew(store: BlobStore, index: DocumentIndex, database: Database, row: StoredDocument) -> None:
    sink = store.stage()
    try:
        for chunk in store.open(row):
            sink.write(chunk)
        part = sink.finish()
        if part.sha256 != row.sha256:
            raise CorruptDocument(f"blob {row.sha256} has the SHA-256 {part.sha256}")
        store.commit([part])
    finally:
        sink.discard()
    _forget_if_removed(store, index, database, row.sha256)


def _forget_if_removed(store: BlobStore, index: DocumentIndex, database: Database, sha256: str) -> None:
    """A document that was removed while it was encrypted anew must not stay behind."""
    with database.read() as connection:
        if index.referred(connection, [sha256]):
            return  # whoever removes it from now on removes the new blob
    with index.deletion(database) as connection:
        if not index.referred(connection, [sha256]):
            store.delete(sha256)
