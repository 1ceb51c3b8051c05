"""Objects as answers carry them, at hand: who opens a history asks for the same again within minutes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, Table

from msim_xds.database.among import given
from msim_xds.database.driver import fetch
from msim_xds.ihe.names import ObjectKind, Status
from msim_xds.metadata.fragments import fill, home_attribute, opening, with_patient, with_slots
from msim_xds.registry import patients, signature_results
from msim_xds.registry.columns import STATUS, SUPERSEDED
from msim_xds.registry.compile import ID, PATIENT, Dialect, fragment_statement
from msim_xds.registry.fragment_codec import FragmentCodec

_STATUS: Final = {number: status for status, number in STATUS.items()} | {SUPERSEDED: Status.DEPRECATED}
_SHARE: Final = 4  # an answer that needs more than this part of the shelf is not put on it

Row = tuple[Any, ...]


class Shelf:
    """Makes objects' texts from the stored fragments, and keeps the newest of them in each worker.

    A text belongs to its row: id, patient, status, lastUpdateTime and the key of its signatures' result.
    Fragments and results never change, a patient's CX neither, and no id is given twice, so what is on the
    shelf is never out of date. Where a merge has given an object to another patient, its text names the
    patient of the row, also when the merge comes in between.

    Args:
        codec: unpacks fragments.
        dialect: how statements are written.
        home: homeCommunityId of objects that were submitted without.
        capacity: most octets kept; 0 keeps none.
    """

    def __init__(self, codec: FragmentCodec, dialect: Dialect, home: str | None, capacity: int) -> None:
        self._codec = codec
        self._dialect = dialect
        self._home = home
        self._capacity = capacity
        self._kept: dict[Row, bytes] = {}
        self._size = 0
        self._changing = threading.Lock()

    def texts(self, connection: Connection, table: Table, rows: Sequence[Row]) -> list[bytes]:
        """The objects of LeafClass rows, in this order, without those that are gone."""
        found = list(map(self._kept.get, rows))
        if None in found:
            missing = {row[ID]: row for row, text in zip(rows, found, strict=True) if text is None}
            fresh = dict(self._make(connection, table, missing))
            self._keep(fresh)
            found = [fresh.get(row) if text is None else text for row, text in zip(rows, found, strict=True)]
        return [text for text in found if text is not None]

    def _make(
        self, connection: Connection, table: Table, rows: dict[int, Row]
    ) -> Iterator[tuple[Row, bytes]]:
        statement = fragment_statement(self._dialect, table)
        parameters = {"given": given(connection, list(rows)), "limit": len(rows)}
        found = fetch(connection, statement, parameters)
        moved = {rows[row[ID]][PATIENT] for row in found if row[-1] is not None}
        names = patients.names(connection, moved)
        signatures = signature_results.find(connection, {row[-1] for row in rows.values()} - {None})
        for key, kind, home, dictionary, packed, submitted in found:
            row = rows[key]
            _, patient, status, last_update_time, signature = row
            fragment = self._codec.unpacker(dictionary)(packed)
            if submitted is not None:
                fragment = with_patient(fragment, ObjectKind(kind), names[patient])
            if last_update_time is not None:
                fragment = fill(fragment, last_update_time)
            if signature in signatures:
                fragment = with_slots(fragment, signatures[signature].slots())
            yield row, _opening(kind, status, home or self._home) + fragment

    def _keep(self, fresh: dict[Row, bytes]) -> None:
        size = sum(map(len, fresh.values()))
        if size * _SHARE > self._capacity:
            return
        with self._changing:
            self._size += size - sum(len(self._kept.pop(row, b"")) for row in fresh)
            self._kept.update(fresh)
            while self._size > self._capacity:
                self._size -= len(self._kept.pop(next(iter(self._kept))))


@lru_cache(maxsize=1024)
def _opening(kind: int, status: int, home: str | None) -> bytes:
    """How an object begins: element, status and homeCommunityId."""
    return opening(ObjectKind(kind), _STATUS[status]) + home_attribute(home)
