"""Unpacked fragments at hand: who opens a history asks for the same entries again within minutes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, Table

from msim_xds.database.among import given
from msim_xds.database.driver import fetch
from msim_xds.registry.compile import Dialect, fragment_statement
from msim_xds.registry.fragment_codec import FragmentCodec

_SHARE: Final = 4  # an answer that needs more than this part of the shelf is not put on it


class Shelf:
    """Takes fragments from the database and keeps the newest of them, in each worker.

    A fragment never changes, and no id is given twice: what is on the shelf is never out of date.

    Args:
        codec: unpacks fragments.
        dialect: how statements are written.
        capacity: most octets kept; 0 keeps none.
    """

    def __init__(self, codec: FragmentCodec, dialect: Dialect, capacity: int) -> None:
        self._codec = codec
        self._dialect = dialect
        self._capacity = capacity
        self._kept: dict[int, bytes] = {}
        self._size = 0
        self._changing = threading.Lock()

    def fragments(self, connection: Connection, table: Table, ids: Sequence[int]) -> list[bytes | None]:
        """The fragments of these objects, in this order; None for one that is gone."""
        found = list(map(self._kept.get, ids))
        if None in found:
            missing = [key for key, fragment in zip(ids, found, strict=True) if fragment is None]
            fresh = self._fetch(connection, table, missing)
            found = [
                fresh.get(key) if fragment is None else fragment
                for key, fragment in zip(ids, found, strict=True)
            ]
        return found

    def _fetch(self, connection: Connection, table: Table, ids: Sequence[int]) -> dict[int, bytes]:
        statement = fragment_statement(self._dialect, table)
        rows = fetch(connection, statement, {"given": given(connection, ids), "limit": len(ids)})
        unpackers = {dictionary: self._codec.unpacker(dictionary) for dictionary in {row[1] for row in rows}}
        fresh = {key: unpackers[dictionary](packed) for key, dictionary, packed in rows}
        self._keep(fresh)
        return fresh

    def _keep(self, fresh: dict[int, bytes]) -> None:
        size = sum(map(len, fresh.values()))
        if size * _SHARE > self._capacity:
            return
        with self._changing:
            self._size += size - sum(len(self._kept.pop(key, b"")) for key in fresh)
            self._kept.update(fresh)
            while self._size > self._capacity:
                self._size -= len(self._kept.pop(next(iter(self._kept))))
