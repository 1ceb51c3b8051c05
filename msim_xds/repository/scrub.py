"""Proves that every document is there as it was received, and cleans up what broken submissions left.

Reads page by page and blob by blob, so that memory does not grow with the store; a server may go on working.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Final

from msim_xds.database.engine import Database
from msim_xds.repository.blobs import Blob, BlobStore, CorruptDocument
from msim_xds.repository.index import DocumentIndex, StoredDocument

#: Called with the documents checked so far and their number at the beginning.
Progress = Callable[[int, int], None]

_EXAMPLES: Final = 1000
_LOOK_UP: Final = 500
#: Blobs removed while submissions wait; an object store needs two requests for each.
_REMOVE: Final = 20


class ProblemKind(StrEnum):
    """What can be wrong with a repository."""

    DAMAGED = "blob absent or damaged"
    DIFFERENT = "registered differently"
    UNREGISTERED = "not registered"
    ORPHAN = "orphan blob"
    STALE = "stale spool file"

    @property
    def is_loss(self) -> bool:
        """Whether it means that a document is lost or wrong, instead of room wasted."""
        return self in (ProblemKind.DAMAGED, ProblemKind.DIFFERENT)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong; ``subject`` is a uniqueId, an entryUUID, a blob's SHA-256 or a spool file."""

    kind: ProblemKind
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a check has found.

    Attributes:
        documents: rows checked.
        octets: octets read and verified.
        counts: problems by kind.
        problems: the first thousand of each kind.
    """

    documents: int
    octets: int
    counts: Mapping[ProblemKind, int]
    problems: tuple[Problem, ...]

    @property
    def is_sound(self) -> bool:
        """Whether every registered document is there with its hash; orphans do not matter."""
        return not any(kind.is_loss for kind in self.counts)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was removed: blobs, their octets, and spool files."""

    blobs: int
    octets: int
    spooled: int


@dataclass(slots=True)
class _Tally:
    documents: int = 0
    octets: int = 0
    counts: Counter[ProblemKind] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    def note(self, kind: ProblemKind, subject: str, detail: str) -> None:
        self.counts[kind] += 1
        if self.counts[kind] <= _EXAMPLES:
            self.problems.append(Problem(kind, subject, detail))

    def report(self) -> Report:
        return Report(self.documents, self.octets, dict(self.counts), tuple(self.problems))


def check(
    store: BlobStore,
    index: DocumentIndex,
    database: Database,
    repository_unique_id: str,
    before: datetime,
    progress: Progress = lambda done, total: None,
) -> Report:
    """Read every document and compare it with what index and registry say of it.

    Args:
        store: the blobs.
        index: the rows.
        database: where rows and the registry's objects are.
        repository_unique_id: whose DocumentEntries are looked at.
        before: blobs without a row, and spool files, count as left over when they are older (UTC).
        progress: told how far it is.

    Raises:
        OSError: the store does not answer.
    """
    tally = _Tally()
    with database.read() as connection:
        total = index.count(connection)
        content = None
        for row in index.documents(connection):  # those of one blob come in succession
            if content is None or content.expected != _expected(row):
                content = _verify(store, row)
                tally.octets += content.size
            _compare(row, content, tally)
            progress(tally.documents, max(total, tally.documents))
        for mismatch in index.mismatches(connection, repository_unique_id):
            detail = f"DocumentEntry {mismatch.entry_uuid} {mismatch.problem}"
            tally.note(ProblemKind.DIFFERENT, mismatch.unique_id, detail)
    for orphan in _orphans(store, index, database, before):
        tally.note(ProblemKind.ORPHAN, orphan.sha256, f"{orphan.size} octets of {orphan.modified:%Y-%m-%d}")
    for token in store.stale(before):
        tally.note(ProblemKind.STALE, token, "left by an upload that did not end")
    return tally.report()


def clean(store: BlobStore, index: DocumentIndex, database: Database, before: datetime) -> Cleaned:
    """Remove orphan blobs and spool files older than ``before`` (UTC).

    Each blob is looked at again inside ``DocumentIndex.deletion``, where no row can appear: it goes only when
    no row names it and no submission has renewed it since. A submission that commits the same content in that
    very moment either finds its blob in place or is refused as busy; it never gets Success without its octets
    (``index`` says why).

    Raises:
        OSError: the store does not answer.
        TimeoutError: submissions kept the table busy for too long; run it again.
    """
    blobs = octets = 0
    for batch in _batches(_orphans(store, index, database, before), _REMOVE):
        with index.deletion(database) as connection:
            kept = index.referred(connection, [blob.sha256 for blob in batch])
            for blob in batch:
                now = store.stat(blob.sha256)
                if blob.sha256 not in kept and now is not None and now.modified < before:
                    store.delete(blob.sha256)
                    blobs += 1
                    octets += now.size
    return Cleaned(blobs, octets, store.remove_stale(before))


@dataclass(frozen=True, slots=True)
class _Content:
    """What reading a blob ``expected`` to be so gave: digests and octets, or ``damage``."""

    expected: tuple[str, str, int]
    sha256: str
    sha1: str
    size: int
    damage: str = ""


def _verify(store: BlobStore, row: StoredDocument) -> _Content:
    sha1, sha256 = hashlib.sha1(usedforsecurity=False), hashlib.sha256()
    size = 0
    try:
        for chunk in store.open(row):
            sha1.update(chunk)
            sha256.update(chunk)
            size += len(chunk)
    except CorruptDocument as error:
        return _Content(_expected(row), "", "", size, str(error))
    return _Content(_expected(row), sha256.hexdigest(), sha1.hexdigest(), size)


def _expected(row: StoredDocument) -> tuple[str, str, int]:
    return row.sha256, row.xxh3, row.size


def _compare(row: StoredDocument, content: _Content, tally: _Tally) -> None:
    tally.documents += 1
    if content.damage:
        tally.note(ProblemKind.DAMAGED, row.unique_id, content.damage)
    elif (row.sha256, row.sha1) != (content.sha256, content.sha1):
        tally.note(ProblemKind.DAMAGED, row.unique_id, f"blob {row.sha256} has another SHA-256 or SHA-1")
    if not row.registered:
        tally.note(ProblemKind.UNREGISTERED, row.unique_id, "the registry has not accepted it")


def _orphans(store: BlobStore, index: DocumentIndex, database: Database, before: datetime) -> Iterator[Blob]:
    """Old blobs that no row names."""
    for batch in _batches((blob for blob in store.blobs() if blob.modified < before), _LOOK_UP):
        with database.read() as connection:
            kept = index.referred(connection, [blob.sha256 for blob in batch])
        yield from (blob for blob in batch if blob.sha256 not in kept)


def _batches(blobs: Iterable[Blob], size: int) -> Iterator[list[Blob]]:
    rest = iter(blobs)
    while batch := list(islice(rest, size)):
        yield batch
