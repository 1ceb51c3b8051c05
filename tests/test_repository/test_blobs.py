"""What every kind of store promises, and the verification they share."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msim_xds.repository.blobs import CHUNK, BlobStore, CorruptDocument, check_whole, open_store, verified
from msim_xds.repository.files import FileStore
from msim_xds.repository.sealing import sealed_size
from msim_xds.settings import RepositorySettings, Settings
from msim_xds.wire.exchange import PartSink, StagedPart
from tests.support.parts import part_of
from tests.test_repository.stores import staged, stored, until_damage

ABSENT = part_of(b"never stored")


class TestStore:
    """The contract of ``BlobStore``, once for each store."""

    @pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK, (9 << 20) + 7])
    def test_octets_come_back_exactly(self, store: BlobStore, size: int) -> None:
        content = os.urandom(size)
        part = staged(store, content[: size // 3], content[size // 3 :])
        assert part == part_of(content, part.token)
        store.commit([part])
        chunks = list(store.open(part))
        assert b"".join(chunks) == content
        assert all(len(chunk) <= CHUNK for chunk in chunks)
        assert store.read(part) == content
        blob = store.stat(part.sha256)
        assert blob is not None
        assert blob.sha256 == part.sha256
        assert blob.size == (sealed_size(size) if store.key_id(part) else size)
        assert abs(datetime.now(UTC) - blob.modified) < timedelta(minutes=5)

    @pytest.mark.parametrize("size", [0, 1, CHUNK, 3 * CHUNK + 7])
    def test_a_part_that_is_taken_is_gone_from_the_spool(self, store: BlobStore, size: int) -> None:
        content = os.urandom(size)
        part = staged(store, content)
        octets = store.take(part)
        assert list(store.stale(datetime.now(UTC) + timedelta(hours=1))) == []
        for _ in range(2):
            chunks = list(octets)
            assert b"".join(chunks) == content
            assert all(len(chunk) <= CHUNK for chunk in chunks)
        store.discard(part)
        with pytest.raises(FileNotFoundError):
            store.take(part)
        assert store.stat(part.sha256) is None

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(pieces=st.lists(st.binary(max_size=3000), max_size=6))
    def test_pieces_of_any_cut(self, store: BlobStore, pieces: list[bytes]) -> None:
        part = staged(store, *pieces)
        store.commit([part])
        assert store.read(part) == b"".join(pieces)

    def test_same_content_again_is_harmless(self, store: BlobStore) -> None:
        first, second = staged(store, b"twice"), staged(store, b"twice")
        store.commit([first, first, second])
        store.commit([staged(store, b"twice")])
        assert [blob.sha256 for blob in store.blobs()] == [first.sha256]
        assert store.read(first) == b"twice"

    def test_same_content_from_many_threads(self, store: BlobStore) -> None:
        content = os.urandom(20_000)
        start = threading.Barrier(6)

        def upload(_: int) -> bytes:
            part = staged(store, content)
            start.wait()
            store.commit([part])
            return store.read(part)

        with ThreadPoolExecutor(6) as threads:
            assert set(threads.map(upload, range(6))) == {content}
        assert len(list(store.blobs())) == 1

    def test_absent_blob(self, store: BlobStore) -> None:
        assert store.stat(ABSENT.sha256) is None
        with pytest.raises(CorruptDocument, match="absent"):
            store.read(ABSENT)
        with pytest.raises(CorruptDocument, match="absent"):
            list(store.open(ABSENT))
        store.delete(ABSENT.sha256)

    @pytest.mark.parametrize("size", [2, 4])
    def test_wrong_size_is_noticed(self, store: BlobStore, size: int) -> None:
        wrong = replace(stored(store, b"abc"), size=size)
        with pytest.raises(CorruptDocument):
            store.read(wrong)
        with pytest.raises(CorruptDocument):
            list(store.open(wrong))

    def test_wrong_digest_is_noticed(self, store: BlobStore) -> None:
        wrong = replace(stored(store, b"abc"), xxh3="0" * 32)
        with pytest.raises(CorruptDocument, match="XXH3"):
            store.read(wrong)
        with pytest.raises(CorruptDocument, match="XXH3"):
            list(store.open(wrong))

    def test_commit_renews_the_age(self, store: BlobStore) -> None:
        name = stored(store, b"old").sha256
        first = store.stat(name)
        stored(store, b"old")
        second = store.stat(name)
        assert first is not None
        assert second is not None
        assert first.modified <= second.modified

    def test_delete(self, store: BlobStore) -> None:
        kept, gone = stored(store, b"kept"), stored(store, b"gone")
        store.delete(gone.sha256)
        assert list(store.blobs()) == [store.stat(kept.sha256)]

    def test_nothing_is_a_blob_before_its_commit(self, store: BlobStore) -> None:
        part = staged(store, b"waiting")
        assert store.stat(part.sha256) is None
        assert list(store.blobs()) == []
        store.discard(part)
        store.discard(part)
        with pytest.raises(OSError):
            store.commit([part])

    def test_discard_after_commit_is_harmless(self, store: BlobStore) -> None:
        part = staged(store, b"kept")
        store.commit([part])
        store.discard(part)
        assert store.read(part) == b"kept"

    def test_a_sink_may_be_discarded_at_any_time(self, store: BlobStore) -> None:
        open_sink, ended = store.stage(), store.stage()
        open_sink.write(b"abc")
        ended.finish()
        for sink in (open_sink, ended):
            sink.discard()
            sink.discard()
        assert list(store.stale(datetime.now(UTC) + timedelta(hours=1))) == []

    def test_stale_spool_files(self, store: BlobStore) -> None:
        part = staged(store, b"left behind")
        assert list(store.stale(datetime.now(UTC) - timedelta(hours=1))) == []
        later = datetime.now(UTC) + timedelta(hours=1)
        assert list(store.stale(later)) == [part.token]
        assert store.remove_stale(later) == 1
        assert store.remove_stale(later) == 0


class TestVerified:
    """No consumer gets a damaged document whole."""

    @settings(max_examples=50)
    @given(chunks=st.lists(st.binary(min_size=1, max_size=20), max_size=6))
    def test_passes_what_is_right(self, chunks: list[bytes]) -> None:
        assert list(verified(chunks, part_of(b"".join(chunks)))) == chunks

    @settings(max_examples=50)
    @given(chunks=st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=6), data=st.data())
    def test_withholds_the_end_of_what_is_wrong(self, chunks: list[bytes], data: st.DataObject) -> None:
        content = b"".join(chunks)
        right = bytearray(content)
        place = data.draw(st.integers(0, len(content) - 1))
        right[place] ^= data.draw(st.integers(1, 255))
        sent = until_damage(verified(chunks, part_of(bytes(right))))
        assert len(sent) == len(content) - len(chunks[-1])

    def test_stops_at_the_size(self) -> None:
        def endless() -> Iterator[bytes]:
            while True:
                yield b"more"

        with pytest.raises(CorruptDocument, match="octets"):
            list(verified(endless(), ABSENT))

    def test_check_whole(self) -> None:
        check_whole(b"abc", part_of(b"abc"))
        with pytest.raises(CorruptDocument, match="digest"):
            check_whole(b"abd", part_of(b"abc"))


def test_open_store_takes_a_directory(tmp_path: Path) -> None:
    assert isinstance(open_store(Settings(data=tmp_path)), FileStore)
    assert (tmp_path / "documents" / "tmp").is_dir()
    elsewhere = Settings(data=tmp_path, repository=RepositorySettings(store=str(tmp_path / "else")))
    open_store(elsewhere)
    assert (tmp_path / "else" / "ff").is_dir()


def test_sinks_and_parts_keep_the_wire_contract(file_store: FileStore) -> None:
    sink: PartSink = file_store.stage()
    part: StagedPart = sink.finish()
    assert part.size == 0
