"""Fragments packed and unpacked, by any thread, version and dictionary."""

from __future__ import annotations

import threading

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from msim_xds.database.engine import Database
from msim_xds.database.schema import fragment_dictionary
from msim_xds.metadata import ebrim, fragments
from msim_xds.registry.fragment_codec import DICTIONARY, FragmentCodec
from msim_xds.settings import LimitSettings
from msim_xds.wire import safexml
from tests.support.metadata import single_document

_OTHER = zstandard.train_dictionary(
    1024, [f"sample {n} of other data {n * n}".encode() * 4 for n in range(200)]
)


@pytest.fixture
def codec(database: Database) -> FragmentCodec:
    return FragmentCodec(database)


def stored_numbers(database: Database) -> list[int]:
    with database.read() as connection:
        return list(connection.execute(select(fragment_dictionary.c.id)).scalars())


def test_whatever_goes_in_comes_out(migrated: Database) -> None:
    codec = FragmentCodec(migrated)

    @settings(max_examples=50, deadline=None)
    @given(st.binary(max_size=4096))
    def check(fragment: bytes) -> None:
        assert codec.unpack(*codec.pack(fragment)) == fragment

    check()


def test_an_entry_shrinks_to_an_eighth(codec: FragmentCodec) -> None:
    reading = ebrim.read(safexml.parse(single_document()), LimitSettings())
    fragment = fragments.write(reading.submission.entries[0])
    assert len(codec.pack(fragment)[1]) < len(fragment) / 8


def test_the_dictionary_is_installed_once(database: Database) -> None:
    first, second = FragmentCodec(database), FragmentCodec(database)
    number, packed = first.pack(b"<rim:ExtrinsicObject/>")
    assert second.unpack(number, packed) == b"<rim:ExtrinsicObject/>"
    assert stored_numbers(database).count(number) == 1


def test_a_newer_dictionary_leaves_older_rows_readable(database: Database, codec: FragmentCodec) -> None:
    old = codec.pack(b"<rim:Association/>")
    newer = FragmentCodec(database, _OTHER.as_bytes())
    new = newer.pack(b"<rim:RegistryPackage/>")
    assert new[0] > old[0]
    assert newer.unpack(*old) == b"<rim:Association/>"
    assert codec.unpack(*new) == b"<rim:RegistryPackage/>"  # learnt while running
    assert FragmentCodec(database).pack(b"")[0] == old[0]


def test_workers_that_start_at_once_agree(database: Database) -> None:
    content = DICTIONARY.read_bytes() + b"\0"
    numbers: list[int] = []

    def start() -> None:
        numbers.append(FragmentCodec(database, content).pack(b"")[0])

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(numbers) == 6
    assert len(set(numbers)) == 1


def test_threads_do_not_disturb_each_other(codec: FragmentCodec) -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        for turn in range(200):
            fragment = f"<rim:Slot name='{number}'>{turn}</rim:Slot>".encode() * 20
            if codec.unpack(*codec.pack(fragment)) != fragment:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_an_unknown_dictionary_is_told(codec: FragmentCodec) -> None:
    with pytest.raises(LookupError, match="dictionary 99 is not in the database"):
        codec.unpack(99, b"")


@pytest.mark.parametrize("data", [b"", b"no zstd frame", b"\x28\xb5\x2f\xfd\x20\x05abc"])
def test_damaged_data_is_told(codec: FragmentCodec, data: bytes) -> None:
    number, _ = codec.pack(b"")
    with pytest.raises(ValueError, match="damaged"):
        codec.unpack(number, data)
