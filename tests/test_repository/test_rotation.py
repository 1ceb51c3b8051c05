"""Rotation: every blob under the newest key, whole at every moment, nothing left of what was removed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from msim_xds.database.engine import Database
from msim_xds.repository.blobs import BlobStore
from msim_xds.repository.files import FileStore
from msim_xds.repository.index import DocumentIndex, StoredDocument
from msim_xds.repository.keyring import KeyRing, add_key
from msim_xds.repository.objects import ObjectStore
from msim_xds.repository.rotation import rotate
from msim_xds.settings import Settings
from msim_xds.wire.exchange import StagedPart
from tests.test_repository.stores import NOW, blob_path, document


class _Stores:
    """One place, opened with and without keys."""

    def __init__(self, request: pytest.FixtureRequest, kind: str) -> None:
        self._root = request.getfixturevalue("tmp_path") / "documents"
        self._s3: Settings | None = request.getfixturevalue("s3_settings") if kind == "s3" else None

    def open(self, ring: KeyRing | None) -> BlobStore:
        if self._s3 is None:
            return FileStore(self._root, ring)
        return ObjectStore.from_settings(self._s3, ring)


@pytest.fixture(params=["files", "s3"])
def stores(request: pytest.FixtureRequest) -> _Stores:
    return _Stores(request, request.param)


def _index(database: Database, store: BlobStore, *documents: StoredDocument) -> DocumentIndex:
    index = DocumentIndex(lambda: NOW, store)
    with database.write() as connection:
        index.add(connection, documents, registered=True)
    return index


def test_everything_comes_under_the_newest_key(stores: _Stores, database: Database, key_file: Path) -> None:
    plain = document(stores.open(None), b"kept as it came" * 50_000)
    old_ring = KeyRing(key_file)
    old = document(stores.open(old_ring), b"under the old key")
    twin = StoredDocument("1.2.3.999", old.sha256, old.sha1, old.xxh3, old.size, old.mime_type)
    add_key(key_file, NOW)
    ring = KeyRing(key_file)
    store = stores.open(ring)
    new = document(store, b"under the new key")
    index = _index(database, store, plain, old, twin, new)
    seen: list[tuple[int, int]] = []
    result = rotate(store, index, database, ring, lambda done, total: seen.append((done, total)))
    assert result.before == {"": 1, old_ring.newest.id: 1, ring.newest.id: 1}
    assert (result.changed, result.octets, result.damaged) == (2, plain.size + old.size, ())
    assert seen[-1] == (4, 4)
    assert {store.key_id(row) for row in (plain, old, new)} == {ring.newest.id}
    assert store.read(plain) == b"kept as it came" * 50_000
    assert b"".join(store.open(old)) == b"under the old key"
    again = rotate(store, index, database, ring)
    assert (again.changed, again.before) == (0, {ring.newest.id: 3})


def test_damage_is_told_and_stays_as_it_is(tmp_path: Path, database: Database, key_file: Path) -> None:
    root = tmp_path / "documents"
    good, bad, gone = (document(FileStore(root), content) for content in (b"good", b"bad", b"gone"))
    store = FileStore(root, KeyRing(key_file))
    index = _index(database, store, good, bad, gone)
    blob_path(root, bad.sha256).write_bytes(b"BAD")
    blob_path(root, gone.sha256).unlink()
    result = rotate(store, index, database, KeyRing(key_file))
    assert result.changed == 1
    assert sorted(message.split()[1] for message in result.damaged) == sorted([bad.sha256, gone.sha256])
    assert blob_path(root, bad.sha256).read_bytes() == b"BAD"
    assert list((root / "tmp").iterdir()) == []


class _RemovedMeanwhile(FileStore):
    """A store in which somebody removes the document while it is read."""

    index: DocumentIndex
    database: Database
    row: StoredDocument

    def commit(self, parts: Sequence[StagedPart]) -> None:
        with self.index.deletion(self.database) as connection:
            self.index.delete(connection, [self.row.unique_id])
            self.delete(self.row.sha256)
        super().commit(parts)


def test_a_document_removed_meanwhile_does_not_come_back(
    tmp_path: Path, database: Database, key_file: Path
) -> None:
    root = tmp_path / "documents"
    row = document(FileStore(root), b"removed")
    store = _RemovedMeanwhile(root, KeyRing(key_file))
    store.index, store.database, store.row = _index(database, store, row), database, row
    rotate(store, store.index, database, KeyRing(key_file))
    assert store.stat(row.sha256) is None


def test_a_full_disk_ends_it_with_every_blob_whole(
    tmp_path: Path, database: Database, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "documents"
    rows = [document(FileStore(root), content) for content in (b"one", b"two")]
    store = FileStore(root, KeyRing(key_file))
    index = _index(database, store, *rows)

    def full(_: object) -> Iterator[None]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "commit", full)
    with pytest.raises(OSError, match="No space left"):
        rotate(store, index, database, KeyRing(key_file))
    assert [FileStore(root).read(row) for row in rows] == [b"one", b"two"]
    assert list((root / "tmp").iterdir()) == []
