"""Stored ebRIM fragments, compressed: zstd with a trained dictionary that lives in the database.

Entries of one domain are alike, so a dictionary takes an entry of 8 kB to a few hundred bytes. Each row names
its dictionary; dictionaries are never changed or removed. When the product ships a better one, it gets the
next number, and older rows stay readable.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sqlalchemy import insert, select
from zstandard import ZstdCompressionDict, ZstdCompressor, ZstdDecompressor, ZstdError

from msim_xds.database.engine import Database
from msim_xds.database.schema import fragment_dictionary

#: The dictionary that comes with this version, made by ``bench.train_dictionary``.
DICTIONARY: Final = Path(__file__).with_name("fragments.zdict")
#: Without entropy coding of literals: a quarter larger than level 3 and unpacked a third sooner, which every
#: hit of every query pays.
LEVEL: Final = -1

_ALL = select(fragment_dictionary.c.id, fragment_dictionary.c.content).order_by(fragment_dictionary.c.id)


class FragmentCodec:
    """Packs and unpacks fragments; safe to share between threads.

    Args:
        database: where the dictionaries are kept; its schema must be in place.
        dictionary: what new fragments are packed with; added to the database when it is not there yet.
    """

    def __init__(self, database: Database, dictionary: bytes | None = None) -> None:
        self._database = database
        self._dictionaries: dict[int, ZstdCompressionDict] = {}
        self._current, current = _install(
            database, DICTIONARY.read_bytes() if dictionary is None else dictionary
        )
        current.precompute_compress(level=LEVEL)
        self._dictionaries[self._current] = current
        self._threads = threading.local()

    def pack(self, fragment: bytes) -> tuple[int, bytes]:
        """Number of the dictionary used, and the compressed fragment."""
        try:
            compressor: ZstdCompressor = self._threads.compressor
        except AttributeError:
            compressor = self._threads.compressor = ZstdCompressor(
                level=LEVEL, dict_data=self._dictionaries[self._current], write_dict_id=False
            )
        return self._current, compressor.compress(fragment)

    def unpack(self, dictionary_id: int, data: bytes) -> bytes:
        """The fragment that ``pack`` was given.

        Raises:
            LookupError: the database has no such dictionary.
            ValueError: ``data`` is no compressed fragment.
        """
        try:
            return self.unpacker(dictionary_id)(data)
        except ZstdError as error:
            raise ValueError(f"a stored fragment is damaged: {error}") from error

    def unpacker(self, dictionary_id: int) -> Callable[[bytes], bytes]:
        """``unpack`` for many fragments of one dictionary, on this thread; it raises ZstdError.

        Raises:
            LookupError: the database has no such dictionary.
        """
        unpackers: dict[int, Callable[[bytes], bytes]] = self._threads.__dict__.setdefault("unpackers", {})
        if dictionary_id not in unpackers:
            if dictionary_id not in self._dictionaries:
                self._load(dictionary_id)
            # A decompressor may not be shared between threads.
            unpackers[dictionary_id] = ZstdDecompressor(
                dict_data=self._dictionaries[dictionary_id]
            ).decompress
        return unpackers[dictionary_id]

    def _load(self, dictionary_id: int) -> None:
        """Take in a dictionary that another version of the product, or another worker, has added."""
        with self._database.read() as connection:
            content = connection.execute(
                select(fragment_dictionary.c.content).where(fragment_dictionary.c.id == dictionary_id)
            ).scalar_one_or_none()
        if content is None:
            raise LookupError(f"fragment dictionary {dictionary_id} is not in the database")
        self._dictionaries[dictionary_id] = ZstdCompressionDict(content)


def _install(database: Database, content: bytes) -> tuple[int, ZstdCompressionDict]:
    """Number of this dictionary in the database, where it is added when it is missing."""
    with database.read() as connection:
        known = {bytes(row.content): row.id for row in connection.execute(_ALL)}
    if content not in known:
        with database.administration() as connection:
            known = {bytes(row.content): row.id for row in connection.execute(_ALL)}
            if content not in known:
                known[content] = max(known.values(), default=0) + 1
                connection.execute(insert(fragment_dictionary), {"id": known[content], "content": content})
    return known[content], ZstdCompressionDict(content)
