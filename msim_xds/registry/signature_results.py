"""Results of signature validation beside the registry's entries: kept as rows, shown as slots.

An entry's fragment is what was received. Which result is shown with it is one column of its row, so a new
result changes neither evidence nor text on any shelf: the column is part of what a text is known by.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, insert, select, update

from msim_xds.database.among import among, given
from msim_xds.database.driver import Prepared
from msim_xds.database.engine import allocate
from msim_xds.database.schema import registry_object, signature_result
from msim_xds.metadata.signature_slots import SignatureResult

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
    connection: Connection,
    moment: datetime,
    results: Sequence[tuple[str, SignatureResult]],
    *,
    previous: int | None = None,
    revalidation: int | None = None,
) -> list[int]:
    """Keep results, by the document's uniqueId; returns their keys.

    Args:
        connection: of a write transaction.
        moment: when they were found.
        results: uniqueId and result.
        previous: key of the result that was shown before.
        revalidation: key of the run that found them.
    """
    keys = list(allocate(connection, len(results)))
    common = {
        "validated_at": moment.isoformat(timespec="seconds"),
        "previous_id": previous,
        "revalidation_id": revalidation,
    }
    rows = [
        {"id": key, "unique_id": unique_id, **common, **result._asdict()}
        for key, (unique_id, result) in zip(keys, results, strict=True)
    ]
    _ADD.run(connection, rows)
    return keys


def find(connection: Connection, keys: Collection[int]) -> Mapping[int, SignatureResult]:
    """Results by key."""
    if not keys:
        return {}
    rows: Sequence[Any] = _FIND.rows(connection, {"given": given(connection, keys)})
    return {
        key: SignatureResult(indication, sub_indication, level, time, bool(covers))
        for key, indication, sub_indication, level, time, covers in rows
    }


def show(connection: Connection, entry: int, result: int) -> bool:
    """Show a result with an entry from now on; False where the entry is gone."""
    return connection.execute(_SHOW, {"key": entry, "result": result}).rowcount == 1
