"""Takes objects out of the registry for good, and notes that it was done."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import BindParameter, Connection, bindparam, delete, insert, not_, select, text, update
from sqlalchemy.sql.dml import Delete

from msim_xds.database.among import among, given
from msim_xds.database.driver import Prepared
from msim_xds.database.engine import allocate
from msim_xds.database.schema import (
    association,
    object_author,
    object_code,
    object_reference,
    registry_object,
    removal,
    signature_result,
    unique_identity,
)
from msim_xds.ihe.names import ObjectKind
from msim_xds.ihe.transactions import Transaction
from msim_xds.registry.columns import DEPRECATED, SUPERSEDED
from msim_xds.registry.dependents import Thing


class Remover(NamedTuple):
    """Who removes; ``reason`` is why a period of retention does not count, which only an operator may say."""

    name: str
    reason: str | None = None


class Note(NamedTuple):
    """One thing removed, as the table ``removal`` remembers it."""

    kind: ObjectKind | None
    entry_uuid: str | None
    unique_id: str | None
    patient: str | None
    keep_until: str | None


def hold_registrations(connection: Connection) -> None:
    """Wait for the submissions that are being written, and let none begin until this transaction ends.

    Every submission claims its uniqueIds before it looks at what the registry holds. So none can come to
    refer to an object that is on its way out, nor count on a uniqueId that is being given back, whosever
    patient it is about. Lock the patients first: submissions do the same.
    """
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        connection.execute(_HOLD)


def erase(connection: Connection, things: Collection[Thing]) -> None:
    """Delete objects and Associations with everything that is kept about them.

    A uniqueId that nothing else of the registry has is free again, and what its signatures came to is gone:
    its first use is no longer there to be held against anybody, and a submission sent again after its removal
    is a new one and no retry. An older version whose later ones are gone stops being superseded; it stays
    Deprecated.
    """
    ids = given(connection, [thing.id for thing in things])
    for statement in _DELETE:
        connection.execute(statement, {"given": ids})
    unique_ids = {thing.unique_id for thing in things if thing.unique_id is not None}
    for statement in _FREE:
        connection.execute(statement, {"given": given(connection, unique_ids)})
    _advance(connection, {thing.logical_id for thing in things if thing.logical_id is not None})


def note(
    connection: Connection,
    transaction: Transaction,
    remover: Remover,
    moment: datetime,
    notes: Iterable[Note],
) -> None:
    """Remember what was removed, by whom and why."""
    notes = list(notes)
    common = {
        "removed_at": moment.isoformat(timespec="seconds"),
        "transaction": transaction.name,
        "override_reason": remover.reason,
        "remover": remover.name,
    }
    rows = [
        {"id": key, **common, **each._asdict()}
        for key, each in zip(allocate(connection, len(notes)), notes, strict=True)
    ]
    if rows:
        connection.execute(insert(removal), rows)


def _advance(connection: Connection, logical_ids: Collection[str]) -> None:
    """Unmark the versions that are now the latest of their logical objects."""
    latest: dict[str, tuple[int, int, int]] = {}
    rows: Sequence[Any] = _VERSIONS.rows(connection, {"given": given(connection, logical_ids)})
    for logical_id, *row in rows:
        version, key, status = row
        latest[logical_id] = max((version, key, status), latest.get(logical_id, (0, 0, 0)))
    unmarked = [key for _, key, status in latest.values() if status == SUPERSEDED]
    if unmarked:
        connection.execute(_UNMARK, {"given": given(connection, unmarked)})


_object = registry_object.c
_GIVEN: Final[BindParameter[Any]] = bindparam("given")
_HOLD: Final = text("LOCK TABLE unique_identity IN SHARE ROW EXCLUSIVE MODE")
_DELETE: Final[tuple[Delete, ...]] = tuple(
    delete(column.table).where(among(column, _GIVEN))
    for column in (
        object_code.c.object_id,
        object_author.c.object_id,
        object_reference.c.object_id,
        association.c.id,
        _object.id,
    )
)
_FREE: Final[tuple[Delete, ...]] = tuple(
    delete(column.table).where(
        among(column, _GIVEN), not_(select(_object.id).where(_object.unique_id == column).exists())
    )
    for column in (unique_identity.c.unique_id, signature_result.c.unique_id)
)
_VERSION: Final = select(_object.logical_id, _object.version, _object.id, _object.status)
#: First versions have their entryUUID for a logicalID, the others an index of their own.
_VERSIONS: Final = Prepared(
    _VERSION.where(among(_object.entry_uuid, _GIVEN), _object.logical_id == _object.entry_uuid).union_all(
        _VERSION.where(among(_object.logical_id, _GIVEN), _object.logical_id != _object.entry_uuid)
    )
)
_UNMARK: Final = update(registry_object).where(among(_object.id, _GIVEN)).values(status=DEPRECATED)
