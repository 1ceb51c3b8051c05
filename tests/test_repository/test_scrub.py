"""fsck: what it proves, what it reports, and that cleaning never takes a document's octets."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from msim_xds.database.engine import Database
from msim_xds.findings import Refused
from msim_xds.repository import scrub
from msim_xds.repository.blobs import CHUNK, BlobStore
from msim_xds.repository.files import FileStore
from msim_xds.repository.index import DocumentIndex
from msim_xds.repository.scrub import Cleaned, ProblemKind, Report
from tests.test_repository.stores import blob_path, document, staged, stored
from tests.test_repository.test_index import OURS, add, register

LATER = datetime.now(UTC) + timedelta(days=1)
EARLIER = datetime.now(UTC) - timedelta(days=1)


def check(database: Database, index: DocumentIndex, store: BlobStore, before: datetime = LATER) -> Report:
    return scrub.check(store, index, database, OURS, before)


def found(report: Report) -> list[tuple[ProblemKind, str]]:
    return [(problem.kind, problem.subject) for problem in report.problems]


def test_sound(database: Database, index: DocumentIndex, file_store: FileStore) -> None:
    rows = [document(file_store, content) for content in (b"one", b"", b"one", bytes(3 * CHUNK))]
    add(database, index, *rows)
    for number, row in enumerate(rows, 1):
        register(database, number, row)
    seen: list[tuple[int, int]] = []
    report = scrub.check(
        file_store, index, database, OURS, LATER, lambda done, total: seen.append((done, total))
    )
    assert report == Report(documents=4, octets=3 + 3 * CHUNK, counts={}, problems=())
    assert report.is_sound
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_empty(database: Database, index: DocumentIndex, file_store: FileStore) -> None:
    assert check(database, index, file_store) == Report(0, 0, {}, ())


@pytest.mark.parametrize("damage", ["absent", "changed"])
def test_damage(
    database: Database, index: DocumentIndex, file_store: FileStore, tmp_path: Path, damage: str
) -> None:
    good, bad = document(file_store, b"good"), document(file_store, b"bad")
    add(database, index, good, bad)
    path = blob_path(tmp_path / "documents", bad.sha256)
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes(b"Bad")
    report = check(database, index, file_store)
    assert found(report) == [(ProblemKind.DAMAGED, bad.unique_id)]
    assert bad.sha256 in report.problems[0].detail
    assert report.counts == {ProblemKind.DAMAGED: 1}
    assert not report.is_sound


def test_a_blob_under_the_name_of_another(
    database: Database, index: DocumentIndex, file_store: FileStore, tmp_path: Path
) -> None:
    """XXH3 bears the octets out, but they are not those that the SHA-256 names."""
    row = document(file_store, b"content")
    misnamed = replace(row, sha256="0" * 64)
    documents = tmp_path / "documents"
    blob_path(documents, row.sha256).rename(blob_path(documents, misnamed.sha256))
    add(database, index, misnamed)
    assert file_store.read(misnamed) == b"content"
    report = check(database, index, file_store)
    assert found(report) == [(ProblemKind.DAMAGED, row.unique_id)]
    assert misnamed.sha256 in report.problems[0].detail


@pytest.mark.parametrize("column", ["sha1", "xxh3", "size"])
def test_a_row_that_its_blob_does_not_bear_out(
    database: Database, index: DocumentIndex, file_store: FileStore, column: str
) -> None:
    """Only that row, whether it comes before or after the others of its blob."""
    rows = [document(file_store, b"shared", unique_id) for unique_id in ("1.1", "1.2", "1.3")]
    for wrong in (rows[0], rows[2]):
        other = {
            "sha1": replace(wrong, sha1="0" * 40),
            "xxh3": replace(wrong, xxh3="0" * 32),
            "size": replace(wrong, size=7),
        }
        rows[rows.index(wrong)] = other[column]
    add(database, index, *rows)
    report = check(database, index, file_store)
    assert found(report) == [(ProblemKind.DAMAGED, "1.1"), (ProblemKind.DAMAGED, "1.3")]
    assert all(rows[0].sha256 in problem.detail for problem in report.problems)


def test_every_document_of_a_damaged_blob(
    database: Database, index: DocumentIndex, file_store: FileStore
) -> None:
    rows = [document(file_store, b"shared") for _ in range(3)]
    add(database, index, *rows)
    file_store.delete(rows[0].sha256)
    assert check(database, index, file_store).counts == {ProblemKind.DAMAGED: 3}


def test_entries_that_the_index_does_not_bear_out(
    database: Database, index: DocumentIndex, file_store: FileStore
) -> None:
    known, unknown = document(file_store, b"known"), document(file_store, b"unknown")
    add(database, index, known)
    register(database, 1, known, hash="0" * 40)
    register(database, 2, unknown)
    report = check(database, index, file_store, EARLIER)
    assert found(report) == [
        (ProblemKind.DIFFERENT, known.unique_id),
        (ProblemKind.DIFFERENT, unknown.unique_id),
    ]
    assert not report.is_sound


def test_left_over_but_sound(database: Database, index: DocumentIndex, file_store: FileStore) -> None:
    waiting = document(file_store, b"waiting")
    add(database, index, waiting, registered=False)
    orphan, part = stored(file_store, b"orphan"), staged(file_store, b"spooled")
    report = check(database, index, file_store)
    assert found(report) == [
        (ProblemKind.UNREGISTERED, waiting.unique_id),
        (ProblemKind.ORPHAN, orphan.sha256),
        (ProblemKind.STALE, part.token),
    ]
    assert report.is_sound
    young = check(database, index, file_store, EARLIER)
    assert found(young) == [(ProblemKind.UNREGISTERED, waiting.unique_id)]


def test_examples_are_limited_and_counts_are_not(
    database: Database, index: DocumentIndex, file_store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrub, "_EXAMPLES", 2)
    for number in range(5):
        stored(file_store, str(number).encode())
    report = check(database, index, file_store)
    assert len(report.problems) == 2
    assert report.counts == {ProblemKind.ORPHAN: 5}


class TestClean:
    def test_takes_what_is_left_over_and_nothing_else(
        self, database: Database, index: DocumentIndex, store: BlobStore
    ) -> None:
        index = DocumentIndex(lambda: LATER, store)
        kept, waiting = document(store, b"kept"), document(store, b"waiting")
        add(database, index, kept)
        add(database, index, waiting, registered=False)
        for number in range(45):
            stored(store, b"orphan %d" % number)
        staged(store, b"spooled")
        assert scrub.clean(store, index, database, EARLIER) == Cleaned(0, 0, 0)
        octets = sum(blob.size for blob in store.blobs() if blob.sha256 not in (kept.sha256, waiting.sha256))
        assert scrub.clean(store, index, database, LATER) == Cleaned(45, octets, 1)
        assert {blob.sha256 for blob in store.blobs()} == {kept.sha256, waiting.sha256}
        assert scrub.clean(store, index, database, LATER) == Cleaned(0, 0, 0)

    def test_a_row_that_appears_meanwhile_saves_its_blob(
        self,
        database: Database,
        index: DocumentIndex,
        file_store: FileStore,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        wanted = document(file_store, b"wanted again")
        real = index.deletion

        def deletion(database: Database) -> object:
            add(database, index, wanted)
            return real(database)

        monkeypatch.setattr(index, "deletion", deletion)
        assert scrub.clean(file_store, index, database, LATER) == Cleaned(0, 0, 0)
        assert file_store.read(wanted) == b"wanted again"

    def test_a_blob_that_is_committed_again_meanwhile_stays(
        self,
        database: Database,
        index: DocumentIndex,
        file_store: FileStore,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        orphan = stored(file_store, b"old orphan")
        long_ago = EARLIER.timestamp() - 1000
        os.utime(blob_path(tmp_path / "documents", orphan.sha256), (long_ago, long_ago))
        real = index.deletion

        def deletion(database: Database) -> object:
            stored(file_store, b"old orphan")
            return real(database)

        monkeypatch.setattr(index, "deletion", deletion)
        assert scrub.clean(file_store, index, database, EARLIER) == Cleaned(0, 0, 0)
        assert file_store.stat(orphan.sha256) is not None

    def test_no_success_without_octets_while_cleaning(
        self, database: Database, index: DocumentIndex, file_store: FileStore
    ) -> None:
        """Submitters and a scrubber that takes even the youngest: what was indexed is there."""
        stop = threading.Event()

        def sweep() -> int:
            removed = 0
            while not stop.is_set():
                removed += scrub.clean(file_store, index, database, LATER).blobs
            return removed

        def submit(number: int) -> str | None:
            for _ in range(15):
                try:
                    one = document(file_store, b"pair %d" % (number // 2))
                    time.sleep(0.002)  # time for a sweep between the blob and its row
                    add(database, index, one)
                except (Refused, FileNotFoundError):  # swept away: not acknowledged
                    continue
                return one.unique_id
            return None

        with ThreadPoolExecutor(5) as threads:
            sweeping = threads.submit(sweep)
            acknowledged = [one for one in threads.map(submit, range(40)) if one]
            stop.set()
            sweeping.result()
        report = check(database, index, file_store)
        assert report.is_sound
        assert report.documents == len(acknowledged) > 0
