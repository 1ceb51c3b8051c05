"""The file store: order of a commit, permissions, failing disks."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from msim_xds.repository.blobs import CHUNK, CorruptDocument
from msim_xds.repository.files import FileStore
from tests.test_repository.stores import blob_path, staged, stored, until_damage


@pytest.fixture
def root(tmp_path: Path, file_store: FileStore) -> Path:
    return tmp_path / "documents"


def test_commit_syncs_before_and_after_the_rename(
    root: Path, file_store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[tuple[str, str]] = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(fd: int) -> None:
        events.append(("fsync", os.readlink(f"/proc/self/fd/{fd}")))
        real_fsync(fd)

    def rename(source: str, target: str) -> None:
        events.append(("rename", target))
        real_rename(source, target)

    parts = [staged(file_store, content) for content in (b"one", b"two", b"one")]
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    file_store.commit(parts)
    files = [("fsync", str(root / "tmp" / part.token)) for part in parts]
    names = [("rename", str(blob_path(root, part.sha256))) for part in parts]
    assert events[:6] == files + names
    folders = {("fsync", str(blob_path(root, part.sha256).parent)) for part in parts}
    assert len(events[6:]) == len(folders) == 2
    assert set(events[6:]) == folders


def test_folders_are_there_in_advance_and_private(root: Path) -> None:
    assert sorted(path.name for path in root.iterdir()) == [*(f"{n:02x}" for n in range(256)), "tmp"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (root, *root.iterdir())} == {0o700}


def test_blobs_are_private(root: Path, file_store: FileStore) -> None:
    path = blob_path(root, stored(file_store, b"secret").sha256)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_second_process_opens_the_same_store(root: Path, file_store: FileStore) -> None:
    part = stored(file_store, b"shared")
    assert FileStore(root).read(part) == b"shared"


@pytest.mark.parametrize("size", [100, 3 * CHUNK])
@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "empty"])
def test_damage_is_found_and_mended_by_the_same_content(
    root: Path, file_store: FileStore, size: int, damage: str
) -> None:
    content = os.urandom(size)
    part = stored(file_store, content)
    bad = {
        "flip": content[:50] + bytes([content[50] ^ 1]) + content[51:],
        "cut": content[:-1],
        "grow": content + b"x",
        "empty": b"",
    }
    blob_path(root, part.sha256).write_bytes(bad[damage])
    with pytest.raises(CorruptDocument):
        file_store.read(part)
    assert len(until_damage(file_store.open(part))) < size
    stored(file_store, content)
    assert file_store.read(part) == content


def test_foreign_files_are_no_blobs(root: Path, file_store: FileStore) -> None:
    (root / "aa" / "README").write_text("by hand")
    (root / "aa" / ("A" * 64)).write_text("by hand")
    assert list(file_store.blobs()) == []


def test_a_full_disk_leaves_nothing_behind(
    root: Path, file_store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    sink = file_store.stage()
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        sink.write(b"abc")
    assert list((root / "tmp").iterdir()) == []
    sink.discard()


def test_short_writes_are_continued(file_store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
    part = staged(file_store, b"0123456789")
    monkeypatch.undo()
    file_store.commit([part])
    assert file_store.read(part) == b"0123456789"


def test_many_at_once(file_store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [b"%d" % number for number in range(100)]
    parts = [staged(file_store, content) for content in contents]
    synced: list[int] = []
    real = os.fsync

    def noted(fd: int) -> None:
        synced.append(fd)
        real(fd)

    monkeypatch.setattr(os, "fsync", noted)
    file_store.commit(parts)
    folders = {part.sha256[:2] for part in parts}
    assert len(synced) == len(parts) + len(folders)
    assert [file_store.read(part) for part in parts] == contents


def test_one_failed_sync_of_many_is_no_commit(file_store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [staged(file_store, b"%d" % number) for number in range(100)]
    real, turns = os.fsync, iter(range(1000))

    def broken(fd: int) -> None:
        if next(turns) == 50:
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        file_store.commit(parts)
    monkeypatch.undo()
    assert list(file_store.blobs()) == []
    file_store.commit(parts)
    assert len(list(file_store.blobs())) == 100


def test_failed_sync_is_no_commit(file_store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    part = staged(file_store, b"abc")
    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        file_store.commit([part])
    monkeypatch.undo()
    assert file_store.stat(part.sha256) is None
    file_store.commit([part])
    assert file_store.read(part) == b"abc"


def test_reading_closes_its_file_when_the_consumer_leaves(file_store: FileStore) -> None:
    before = len(os.listdir("/proc/self/fd"))
    chunks = iter(file_store.open(stored(file_store, bytes(4 * CHUNK))))
    next(chunks)
    del chunks
    assert len(os.listdir("/proc/self/fd")) == before
