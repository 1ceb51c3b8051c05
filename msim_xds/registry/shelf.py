"""Objects as answers carry them, at hand: who opens a history asks for the same again within minutes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

from sqlalchemy import Connection, Table

from msim_xds.database.among import given
from msim_xds.database.driver import fetch
from msim_xds.ihe.names import ObjectKind
from msim_xds.metadata.fragments import fill, home_attribute, opening, with_patient, with_slots
from msim_xds.registry import patients, signature_results
from msim_xds.registry.columns import STATUS_OF
from msim_xds.registry.compile import ID, PATIENT, Dialect, fragment_statement
from msim_xds.registry.fragment_codec import FragmentCodec

_SHARE: Final = 4  # an answer that needs more than this part of the shelf is not put on it

Row = tuple[Any, ...]
#: An object's text: its opening, which many share, and the rest.
Text = tuple[bytes, bytes]

#: Of a whole row, what a text belongs to; behind it, what the text is made of (see ``compile``).
_KEY: Final = slice(5)
_SIGNATURE, _DICTIONARY, _SUBMITTED = 4, 7, 9


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
        self._kept: dict[Row, Text] = {}
        self._patients: Counter[int] = Counter()  # how many texts of each are kept
        self._size = 0
        self._changing = threading.Lock()

    def has_any(self, patients: Collection[int]) -> bool:
        """Whether a text of one of these patients is kept; of anybody, where none is named."""
        return any([patient in self._patients for patient in patients]) if patients else bool(self._kept)

    def texts(self, connection: Connection, table: Table, rows: Sequence[Row]) -> list[bytes]:
        """The objects of LeafClass rows, in this order and in pieces, without those that are gone.

        Rows may be whole, all of them: then no statement is needed.
        """
        if rows and len(rows[0]) > _SUBMITTED:
            made = self._make(connection, rows)
            if self._capacity:
                self._keep(dict(zip([row[_KEY] for row in rows], made, strict=True)))
            return list(chain.from_iterable(made))
        found = list(map(self._kept.get, rows))
        if None in found:
            missing = self._completed(
                connection, table, [row for row, text in zip(rows, found, strict=True) if text is None]
            )
            made = self._make(connection, missing)
            fresh = dict(zip([row[_KEY] for row in missing], made, strict=True))
            self._keep(fresh)
            found = [fresh.get(row) if text is None else text for row, text in zip(rows, found, strict=True)]
        return list(chain.from_iterable([text for text in found if text is not None]))

    def _completed(self, connection: Connection, table: Table, rows: Sequence[Row]) -> list[Row]:
        """Whole rows for those that have only what a text belongs to, without those that are gone."""
        known = {row[ID]: row for row in rows}
        parameters = {"given": given(connection, list(known)), "limit": len(known)}
        found = fetch(connection, fragment_statement(self._dialect, table), parameters)
        return [(*known[key], *made_of) for key, *made_of in found]

    def _make(self, connection: Connection, rows: Sequence[Row]) -> list[Text]:
        """The texts of whole rows."""
        moved = {row[PATIENT] for row in rows if row[_SUBMITTED] is not None}
        names = patients.names(connection, moved)
        signatures = signature_results.find(connection, {row[_SIGNATURE] for row in rows} - {None})
        unpack = {number: self._codec.unpacker(number) for number in {row[_DICTIONARY] for row in rows}}
        made = []
        for _, patient, status, updated, signature, kind, home, dictionary, packed, submitted in rows:
            fragment = unpack[dictionary](packed)
            if submitted is not None:
                fragment = with_patient(fragment, ObjectKind(kind), names[patient])
            if updated is not None:
                fragment = fill(fragment, updated)
            if signature is not None and signature in signatures:
                fragment = with_slots(fragment, signatures[signature].slots())
            made.append((_opening(kind, status, home or self._home), fragment))
        return made

    def _keep(self, fresh: dict[Row, Text]) -> None:
        size = sum([len(fragment) for _, fragment in fresh.values()])
        if size * _SHARE > self._capacity:
            return
        with self._changing:
            for row in fresh:
                if row in self._kept:
                    self._drop(row)
            self._kept.update(fresh)
            self._patients.update([row[PATIENT] for row in fresh])
            self._size += size
            while self._size > self._capacity:
                self._drop(next(iter(self._kept)))

    def _drop(self, row: Row) -> None:
        self._size -= len(self._kept.pop(row)[1])
        patient = row[PATIENT]
        self._patients[patient] -= 1
        if not self._patients[patient]:
            del self._patients[patient]


@lru_cache(maxsize=1024)
def _opening(kind: int, status: int, home: str | None) -> bytes:
    """How an object begins: element, status and homeCommunityId."""
    return opening(ObjectKind(kind), STATUS_OF[status]) + home_attribute(home)
