"""Sealed blobs: they come back exactly, stream, and no change to one goes unnoticed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msim_xds.repository.blobs import CHUNK, CorruptDocument
from msim_xds.repository.files import FileStore
from msim_xds.repository.keyring import KeyRing, add_key
from msim_xds.repository.sealing import HEADER, Sealer, key_id, opened, sealed_size
from tests.test_repository.stores import NOW, blob_path, staged, stored, until_damage

FRAME = 256 * 1024
SEALED_FRAME = FRAME + 16


@pytest.fixture
def ring(key_file: Path) -> KeyRing:
    return KeyRing(key_file)


def sealed(ring: KeyRing, *pieces: bytes) -> bytes:
    sealer = Sealer(ring.newest)
    return b"".join([sealer.header, *map(sealer.update, pieces), sealer.finish()])


def cut(octets: bytes, size: int) -> Iterator[bytes]:
    return (octets[start : start + size] for start in range(0, len(octets), size))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.one_of(st.integers(0, 3000), st.integers(FRAME - 2, FRAME + 2), st.integers(0, 3 * FRAME)),
    first=st.floats(0, 1),
    chunk=st.integers(1000, 2 * CHUNK),
)
def test_what_is_sealed_comes_back(ring: KeyRing, size: int, first: float, chunk: int) -> None:
    content = os.urandom(size)
    blob = sealed(ring, content[: int(first * size)], content[int(first * size) :])
    assert len(blob) == sealed_size(size) > size
    assert key_id(blob) == ring.newest.id
    assert b"".join(opened(cut(blob, chunk), ring, "x")) == content


def test_equal_documents_look_different(ring: KeyRing) -> None:
    content = b"the same letter"
    assert sealed(ring, content)[HEADER:] != sealed(ring, content)[HEADER:]


def _flip(blob: bytes, at: int) -> bytes:
    changed = bytearray(blob)
    changed[at] ^= 1
    return bytes(changed)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "magic": lambda blob: _flip(blob, 0),
    "key id": lambda blob: _flip(blob, 9),
    "wrapped key": lambda blob: _flip(blob, HEADER - 1),
    "first octet": lambda blob: _flip(blob, HEADER),
    "last octet": lambda blob: _flip(blob, len(blob) - 1),
    "last frame gone": lambda blob: blob[: HEADER + 2 * SEALED_FRAME],
    "frames swapped": lambda blob: (
        blob[:HEADER]
        + blob[HEADER + SEALED_FRAME : HEADER + 2 * SEALED_FRAME]
        + blob[HEADER : HEADER + SEALED_FRAME]
        + blob[HEADER + 2 * SEALED_FRAME :]
    ),
    "cut in a frame": lambda blob: blob[:-100],
    "more at the end": lambda blob: blob + b"x",
    "header only": lambda blob: blob[:HEADER],
    "half a header": lambda blob: blob[:20],
    "nothing": lambda blob: b"",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_every_change_is_found(ring: KeyRing, name: str) -> None:
    content = os.urandom(2 * FRAME + 77)
    damaged = DAMAGE[name](sealed(ring, content))
    received = until_damage(opened(cut(damaged, CHUNK), ring, "0815"))
    assert len(received) < len(content)
    assert content.startswith(received)


def test_a_frame_of_another_blob_is_found(ring: KeyRing) -> None:
    ours, theirs = sealed(ring, b"ours"), sealed(ring, b"them")
    with pytest.raises(CorruptDocument, match="not as it was encrypted"):
        list(opened([ours[:HEADER] + theirs[HEADER:]], ring, "x"))


def test_without_its_key_nothing_is_read(ring: KeyRing, tmp_path: Path) -> None:
    add_key(tmp_path / "other", NOW)
    with pytest.raises(CorruptDocument, match=f"cannot be decrypted: .*other has no key {ring.newest.id}"):
        list(opened([sealed(ring, b"letter")], KeyRing(tmp_path / "other"), "x"))


class TestFiles:
    """Encrypted and other blobs beside each other in one store."""

    CONTENT = b"Rozpoznanie: K35.8" * 40_000

    def test_neither_spool_nor_blob_shows_the_document(self, tmp_path: Path, ring: KeyRing) -> None:
        store = FileStore(tmp_path / "documents", ring)
        part = staged(store, self.CONTENT)
        assert b"Rozpoznanie" not in (tmp_path / "documents" / "tmp" / part.token).read_bytes()
        assert b"".join(store.staged(part)) == self.CONTENT
        store.commit([part])
        assert b"Rozpoznanie" not in blob_path(tmp_path / "documents", part.sha256).read_bytes()

    def test_what_was_there_before_is_still_read(self, tmp_path: Path, ring: KeyRing) -> None:
        part = stored(FileStore(tmp_path / "documents"), self.CONTENT)
        store = FileStore(tmp_path / "documents", ring)
        assert store.key_id(part) == ""
        assert store.read(part) == b"".join(store.open(part)) == self.CONTENT

    def test_a_document_that_looks_encrypted_is_none(self, tmp_path: Path, ring: KeyRing) -> None:
        content = sealed(ring, b"a forgery")
        part = stored(FileStore(tmp_path / "documents"), content)
        store = FileStore(tmp_path / "documents", ring)
        assert store.key_id(part) == ""
        assert store.read(part) == b"".join(store.open(part)) == content

    def test_without_keys_it_is_damaged(self, tmp_path: Path, ring: KeyRing) -> None:
        part = stored(FileStore(tmp_path / "documents", ring), self.CONTENT)
        store = FileStore(tmp_path / "documents")
        with pytest.raises(CorruptDocument):
            store.read(part)
        with pytest.raises(CorruptDocument):
            list(store.open(part))
