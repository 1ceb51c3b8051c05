"""Which of given documents and objects a view shows, for whoever is about to deliver or change them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, Select, Table, bindparam, case, select

from msim_xds.database.among import among, given
from msim_xds.database.driver import fetch
from msim_xds.database.schema import association, registry_object
from msim_xds.findings import Finding
from msim_xds.ihe.names import ObjectKind
from msim_xds.ihe.queries import ENTRIES, FOLDERS, SETS
from msim_xds.ihe.transactions import ITI_92, Transaction
from msim_xds.registry import visibility
from msim_xds.registry.columns import APPROVED, SUPERSEDED
from msim_xds.registry.compile import Dialect
from msim_xds.registry.literals import number, one_of
from msim_xds.wire.view import Outline, View

_object: Final = registry_object.c
EVERY_ROW: Final = 1 << 62
_STABLE: Final = (int(ObjectKind.STABLE_DOCUMENT_ENTRY),)
_DOCUMENTS: Final = tuple(map(int, ENTRIES))
_OBJECTS: Final = tuple(map(int, (*ENTRIES, *SETS, *FOLDERS)))
_POLICY: Final = "policy of this exchange"


def shown_documents(connection: Connection, view: View, unique_ids: Collection[str]) -> set[str]:
    """Those of these uniqueIds whose entries may be shown.

    Where several entries have one uniqueId, all must be, apart from superseded versions: nobody opens a
    document by registering it once more.
    """
    rows = _ask(connection, _documents(_dialect(connection), view.outline), view, unique_ids)
    shown: dict[str, bool] = {}
    for unique_id, is_shown in rows:
        shown[unique_id] = shown.get(unique_id, True) and bool(is_shown)
    return {unique_id for unique_id, is_shown in shown.items() if is_shown}


def shown_objects(connection: Connection, view: View, keys: Collection[int]) -> set[int]:
    """Those of these objects and Associations that may be shown."""
    dialect = _dialect(connection)
    return set(
        _keys(connection, (_objects(dialect, view.outline), _links(dialect, view.outline)), view, keys)
    )


def foreign(connection: Connection, owned: View, keys: Collection[int]) -> set[int]:
    """Those of these objects and Associations that the caller may not change.

    An object belongs to those who own every entry in it, or at its ends; one without entries to nobody.
    """
    dialect = _dialect(connection)
    statements = (_owned_objects(dialect, owned.outline), _owned_links(dialect, owned.outline))
    return set(keys).difference(_keys(connection, statements, owned, keys))


def not_owned(row: Transaction, place: str, seen: str) -> Finding:
    """That an object is another institution's."""
    return Finding(
        "LocalPolicyRestrictionError" if row.name == ITI_92.name else row.failure,
        "belongs to another institution, or to none",
        place=place,
        seen=seen,
        allowed="objects of which all documents are of an institution of the caller, or an administrator",
        source=_POLICY,
    )


@lru_cache(maxsize=64)
def stable_entries(dialect: Dialect, outline: Outline) -> str:
    """SQL for LeafClass rows of a patient's Approved stable entries; binds ``patient_id`` and ``limit``."""
    whole = (_object.status, _object.last_update_time, _object.signature_id)
    statement = select(_object.id, _object.patient_id, *whole).where(
        _object.patient_id == bindparam("patient_id"),
        one_of(_object.kind, _STABLE),
        _object.status == number(APPROVED),
        visibility.of_objects(outline, _STABLE),
    )
    return dialect.text(statement.order_by(_object.id))


def _dialect(connection: Connection) -> Dialect:
    return Dialect(connection.dialect.name == "sqlite", folded=False)


def _keys(
    connection: Connection, statements: tuple[str, ...], view: View, keys: Collection[int]
) -> Iterator[int]:
    for statement in statements:
        for (key,) in _ask(connection, statement, view, keys):
            yield key


def _ask(
    connection: Connection, statement: str, view: View, values: Collection[int] | Collection[str]
) -> list[tuple[Any, ...]]:
    if not values:
        return []
    parameters = visibility.bound(connection, view)
    return fetch(connection, statement, parameters | {"given": given(connection, values), "limit": EVERY_ROW})


@lru_cache(maxsize=64)
def _documents(dialect: Dialect, outline: Outline) -> str:
    shown = visibility.of_objects(outline, _DOCUMENTS)
    return dialect.text(
        select(_object.unique_id, case((shown, number(1)), else_=number(0))).where(
            among(_object.unique_id, bindparam("given")),
            one_of(_object.kind, _DOCUMENTS),
            _object.status != number(SUPERSEDED),
        )
    )


@lru_cache(maxsize=64)
def _objects(dialect: Dialect, outline: Outline) -> str:
    return dialect.text(_given(registry_object).where(visibility.of_objects(outline, _OBJECTS)))


@lru_cache(maxsize=64)
def _links(dialect: Dialect, outline: Outline) -> str:
    return dialect.text(_given(association).where(visibility.of_associations(outline)))


@lru_cache(maxsize=8)
def _owned_objects(dialect: Dialect, outline: Outline) -> str:
    keys = visibility.contents(registry_object)
    return dialect.text(_given(registry_object).where(visibility.owned(outline, keys, registry_object)))


@lru_cache(maxsize=8)
def _owned_links(dialect: Dialect, outline: Outline) -> str:
    keys = visibility.ends(association)
    return dialect.text(_given(association).where(visibility.owned(outline, keys, association)))


def _given(table: Table) -> Select[Any]:
    return select(table.c.id).where(among(table.c.id, bindparam("given")))
