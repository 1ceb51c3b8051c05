"""The registry's own objects as values, for parts of this server that need to know what is registered.

Stored queries answer in octets; here a few fixed questions are answered by frozen dataclasses, read back from
the same texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import Connection, Select, bindparam, or_, select

from msim_xds.database.driver import fetch
from msim_xds.database.engine import Database
from msim_xds.database.schema import association, registry_object
from msim_xds.ihe.names import RIM, AssociationType, ObjectKind
from msim_xds.metadata import ebrim
from msim_xds.metadata.model import DocumentEntry, Submission, SubmissionSet
from msim_xds.registry import patients, visibility
from msim_xds.registry.columns import APPROVED, ASSOCIATION_TYPE
from msim_xds.registry.compile import ID, Dialect
from msim_xds.registry.disclosure import EVERY_ROW, stable_entries
from msim_xds.registry.fragment_codec import FragmentCodec
from msim_xds.registry.shelf import Shelf
from msim_xds.settings import Settings
from msim_xds.wire import safexml
from msim_xds.wire.view import View

_BATCH: Final = 100  # objects unpacked and parsed at a time


class Holding(NamedTuple):
    """Where an entry stands: key, key of its patient, entryUUID, uniqueId, and whether it is Approved."""

    id: int
    patient_id: int
    entry_uuid: str
    unique_id: str
    approved: bool


_Object = TypeVar("_Object")
_object, _link = registry_object.c, association.c
_snapshot = registry_object.alias("snapshot")
_SNAPSHOT_OF: Final = ASSOCIATION_TYPE[AssociationType.IS_SNAPSHOT_OF]
#: What ``Shelf`` makes a text of.
_TEXT_ROW: Final = (
    _object.id,
    _object.patient_id,
    _object.status,
    _object.last_update_time,
    _object.signature_id,
)
_ON_DEMAND: Final = (
    select(_object.id, _object.patient_id, _object.entry_uuid, _object.unique_id, _object.status)
    .where(
        _object.unique_id == bindparam("unique_id"),
        _object.repository_unique_id == bindparam("repository_unique_id"),
        _object.kind == int(ObjectKind.ON_DEMAND_DOCUMENT_ENTRY),
    )
    .order_by(_object.id)
)
_BY_ID: Final = select(*_TEXT_ROW).where(_object.id == bindparam("key"))
#: Its first HasMember: the SubmissionSet with which it came.
_SET_OF: Final = (
    select(*_TEXT_ROW)
    .join_from(association, registry_object, _object.id == _link.source_object)
    .where(
        _link.target_object == bindparam("key"),
        _link.type == ASSOCIATION_TYPE[AssociationType.HAS_MEMBER],
        _object.kind == int(ObjectKind.SUBMISSION_SET),
        _object.patient_id == bindparam("patient_id"),
    )
    .order_by(_link.id)
    .limit(1)
)
_STABLE: Final = (
    select(*_TEXT_ROW)
    .where(
        _object.patient_id == bindparam("patient_id"),
        _object.kind == int(ObjectKind.STABLE_DOCUMENT_ENTRY),
        _object.status == APPROVED,
    )
    .order_by(_object.id)
)


def _snapshots() -> Select[Any]:
    """Snapshots, joined with the on-demand entries that they are of."""
    c = _snapshot.c
    return (
        select(c.id, c.patient_id, c.entry_uuid, c.unique_id, c.status)
        .join_from(registry_object, association, _link.target_object == _object.id)
        .join(_snapshot, c.id == _link.source_object)
        .where(_link.type == _SNAPSHOT_OF, _link.status == APPROVED)
        .order_by(c.id)
    )


_SNAPSHOTS_OF: Final = _snapshots().where(
    _object.id == bindparam("key"),
    or_(_snapshot.c.status == APPROVED, _snapshot.c.unique_id == bindparam("unique_id")),
)
_SNAPSHOTS_OF_PATIENT: Final = _snapshots().where(
    _object.patient_id == bindparam("patient_id"),
    _object.kind == int(ObjectKind.ON_DEMAND_DOCUMENT_ENTRY),
    _snapshot.c.status == APPROVED,
)


class RegistryReader:
    """Reads entries of the registry in this process.

    Args:
        database: where the registry is.
        codec: unpacks stored fragments.
        settings: limits and the homeCommunityId.
    """

    def __init__(self, database: Database, codec: FragmentCodec, settings: Settings) -> None:
        self._database = database
        self._limits = settings.limits
        self._batch = min(_BATCH, settings.limits.objects)
        home = settings.registry.home_community_id or None
        self._shelf = Shelf(codec, Dialect(database.is_sqlite, folded=False), home, 0)

    def on_demand(self, unique_id: str, repository_unique_id: str) -> list[Holding]:
        """The on-demand entries of that uniqueId and repository, of every patient and status."""
        given = {"unique_id": unique_id, "repository_unique_id": repository_unique_id}
        with self._database.read() as connection:
            return list(map(_holding, connection.execute(_ON_DEMAND, given)))

    def entry(self, holding: Holding) -> DocumentEntry:
        """The entry as answers show it. Raises LookupError when it was removed meanwhile."""
        with self._database.read() as connection:
            rows = connection.execute(_BY_ID, {"key": holding.id}).all()
            return _only(self._read(connection, rows).entries)

    def submission_set(self, holding: Holding) -> SubmissionSet:
        """The SubmissionSet with which an entry came. Raises LookupError when it was removed meanwhile."""
        given = {"key": holding.id, "patient_id": holding.patient_id}
        with self._database.read() as connection:
            rows = connection.execute(_SET_OF, given).all()
            return _only(self._read(connection, rows).submission_sets)

    def snapshots(self, holding: Holding, unique_id: str) -> list[Holding]:
        """An on-demand entry's Approved snapshots, and those of that uniqueId whatever their status."""
        with self._database.read() as connection:
            rows = connection.execute(_SNAPSHOTS_OF, {"key": holding.id, "unique_id": unique_id})
            return list(map(_holding, rows))

    def documents(self, patient_id: str, view: View | None = None) -> Iterator[DocumentEntry]:
        """The patient's Approved stable entries, oldest registration first, a hundred in memory at a time.

        Snapshots of on-demand entries are left out: they repeat what is registered already.

        Args:
            patient_id: CX string. One that the registry does not know has no documents.
            view: what may be shown of them; None is everything.
        """
        with self._database.snapshot() as connection:
            patient = patients.find(connection, patient_id)
            if patient is None:
                return
            given = {"patient_id": patient.id}
            repeated = {row.id for row in connection.execute(_SNAPSHOTS_OF_PATIENT, given)}
            found = (
                connection.execute(_STABLE, given) if view is None else _shown(connection, view, patient.id)
            )
            rows = [row for row in found if row[ID] not in repeated]
        for start in range(0, len(rows), self._batch):
            with self._database.read() as connection:
                entries = self._read(connection, rows[start : start + self._batch]).entries
            yield from entries

    def _read(self, connection: Connection, rows: Iterable[Sequence[Any]]) -> Submission:
        """The objects of these rows, without those that are gone."""
        texts = self._shelf.texts(connection, registry_object, [tuple(row) for row in rows])
        head = f'<r xmlns:rim="{RIM}"><rim:RegistryObjectList>'.encode()
        root = safexml.parse(b"".join((head, *texts, b"</rim:RegistryObjectList></r>")))
        return ebrim.read(root, self._limits).submission


def _shown(connection: Connection, view: View, patient_id: int) -> list[tuple[Any, ...]]:
    """Rows as of ``_STABLE`` that the view shows."""
    dialect = Dialect(connection.dialect.name == "sqlite", folded=False)
    parameters = visibility.bound(connection, view) | {"patient_id": patient_id, "limit": EVERY_ROW}
    return fetch(connection, stable_entries(dialect, view.outline), parameters)


def _holding(row: Sequence[Any]) -> Holding:
    key, patient_id, entry_uuid, unique_id, status = row
    return Holding(key, patient_id, entry_uuid, unique_id, status == APPROVED)


def _only(objects: Sequence[_Object]) -> _Object:
    if not objects:
        raise LookupError("the object was removed meanwhile")
    return objects[0]
