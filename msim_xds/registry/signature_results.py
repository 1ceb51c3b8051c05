"""Results of signature validation beside the registry's entries: kept as rows, shown as slots.

An entry's fragment is what was received. Which result is shown with it is one column of its row, so a new
result changes neither evidence nor text on any shelf: the column is part of what a text is known by.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, insert, select, update

from msim_xds.database.among import among, given
from msim_xds.database.driver import Prepared
from msim_xds.database.engine import allocate
from msim_xds.database.schema import registry_object, signature_result
from msim_xds.metadata.signature_slots import PENDING, SignatureResult


class SignedEntry(NamedTuple):
    """A stable entry whose document may be signed.

    Attributes:
        id: its key.
        entry_uuid: its entryUUID.
        unique_id: of its document.
        format_code: as ``code^^scheme``.
        class_code: likewise.
        signature_id: key of the result that is shown.
    """

    id: int
    entry_uuid: str
    unique_id: str
    format_code: str | None
    class_code: str | None
    signature_id: int | None


_VALUES: Final = tuple(signature_result.c[name] for name in SignatureResult._fields)
_ADD: Final = Prepared(insert(signature_result))
_FIND: Final = Prepared(
    select(signature_result.c.id, *_VALUES).where(among(signature_result.c.id, bindparam("given")))
)
_SHOW: Final = (
    update(registry_object)
    .where(registry_object.c.id == bindparam("key"))
    .values(signature_id=bindparam("result"))
)


def add(
    connection: Connection, moment: datetime, results: Sequence[tuple[str, SignatureResult]]
) -> list[int]:
    """Keep what was found at ``moment``, by the document's uniqueId; returns the keys.

    To show it is the caller's: the key belongs into ``signature_id`` of the entry that is being written.
    """
    keys = list(allocate(connection, len(results)))
    rows = [
        _row(key, moment, unique_id, result) for key, (unique_id, result) in zip(keys, results, strict=True)
    ]
    _ADD.run(connection, rows)
    return keys


def supersede(
    connection: Connection, moment: datetime, signed: SignedEntry, result: SignatureResult, revalidation: int
) -> bool:
    """Keep another result and show it from now on; False where the entry is gone."""
    (key,) = allocate(connection, 1)
    if connection.execute(_SHOW, {"key": signed.id, "result": key}).rowcount != 1:
        return False
    row = _row(key, moment, signed.unique_id, result)
    _ADD.run(connection, [{**row, "previous_id": signed.signature_id, "revalidation_id": revalidation}])
    return True


def find(connection: Connection, keys: Collection[int]) -> Mapping[int, SignatureResult]:
    """Results by key; PENDING where there is none.

    Results are never deleted before their entries. So a key without one is that of a pending_signature, or of
    one that was settled after the entry's row had been read.
    """
    if not keys:
        return {}
    rows: Sequence[Any] = _FIND.rows(connection, {"given": given(connection, keys)})
    found = dict.fromkeys(keys, PENDING)
    for key, indication, sub_indication, level, time, covers in rows:
        found[key] = SignatureResult(indication, sub_indication, level, time, bool(covers))
    return found


def _row(key: int, moment: datetime, unique_id: str, result: SignatureResult) -> dict[str, Any]:
    return {
        "id": key,
        "unique_id": unique_id,
        "validated_at": moment.isoformat(timespec="seconds"),
        "previous_id": None,
        "revalidation_id": None,
        **result._asdict(),
    }
