"""Link changes: a local id belongs to another patient of the domain from now on (ITI-64, A43).

The entries of that local id get a new version each, which names the new patient and the new local id; the
version before is deprecated, and found at $MetadataLevel 2 only, as a metadata update would leave it.
Associations between entries that move are made anew between the new versions. Where the patient stays the
same, as when two local ids are merged, so are those to other entries and from Folders. The old Associations
stay what they are, and so that they lead somewhere, a version before that has any is found at both levels.
SubmissionSets stay what they are, too: what was submitted, and when.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import BindParameter, Connection, Row, bindparam, exists, insert, or_, select

from msim_xds.database.among import among, given
from msim_xds.database.engine import allocate
from msim_xds.database.schema import (
    association,
    object_author,
    object_code,
    object_reference,
    registry_object,
)
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.acknowledgements import Condition
from msim_xds.ihe.names import ObjectKind
from msim_xds.metadata import fragments
from msim_xds.metadata.identity import Domain, LinkChange
from msim_xds.metadata.model import DocumentEntry
from msim_xds.registry import records
from msim_xds.registry.columns import APPROVED, SUPERSEDED
from msim_xds.registry.fragment_codec import FragmentCodec
from msim_xds.registry.stored import stored_association, stored_entry

_SOURCE: Final = "ITI TF-2 3.64.4.1.2"

_ENTRIES: Final = (ObjectKind.STABLE_DOCUMENT_ENTRY, ObjectKind.ON_DEMAND_DOCUMENT_ENTRY)
_LATER: Final = registry_object.alias("later")
#: Later versions have a lid that is not their own id, and are found by it (uq_registry_object_version).
_LATEST: Final = select(registry_object).where(
    registry_object.c.patient_id == bindparam("patient"),
    registry_object.c.kind.in_(_ENTRIES),
    registry_object.c.status != SUPERSEDED,
    ~exists().where(
        _LATER.c.logical_id == registry_object.c.logical_id,
        _LATER.c.logical_id != _LATER.c.entry_uuid,
        _LATER.c.version > registry_object.c.version,
    ),
)
_GIVEN: Final[BindParameter[Any]] = bindparam("given")
#: With the kind of the source, which tells a SubmissionSet's membership from a Folder's.
_ASSOCIATIONS: Final = (
    select(association, registry_object.c.kind.label("source_kind"))
    .join(registry_object, registry_object.c.id == association.c.source_object)
    .where(
        association.c.status == APPROVED,
        registry_object.c.kind != ObjectKind.SUBMISSION_SET,
        or_(among(association.c.source_object, _GIVEN), among(association.c.target_object, _GIVEN)),
    )
)
_DETAILS: Final = (object_code, object_author, object_reference)
_COPY_DETAILS: Final = {table: select(table).where(among(table.c.object_id, _GIVEN)) for table in _DETAILS}


class Link(NamedTuple):
    """Which entries move, by their sourcePatientId, and what it is afterwards."""

    previous: str
    local: str


class _Moved(NamedTuple):
    """The new version of an entry."""

    id: int
    entry_uuid: str


class Relinker:
    """Makes the new versions of a link change.

    Args:
        codec: unpacks and packs fragments.
        clock: the time of day, UTC.
        new_uuid: makes ``urn:uuid:`` ids.
    """

    def __init__(
        self,
        codec: FragmentCodec,
        clock: Callable[[], datetime],
        new_uuid: Callable[[], str],
    ) -> None:
        self._codec = codec
        self._clock = clock
        self._new_uuid = new_uuid

    def link(self, domain: Domain, change: LinkChange, *, changes_patient: bool) -> Link:
        """What the local ids of a message mean.

        Raises:
            Refused: there is none, or nothing would change.
        """
        local, previous = domain.local(change.local), domain.local(change.previous_local)
        now = local or previous
        if now is None:
            raise Refused([_no_local_id(change.local.place)])
        before = previous or now
        if before == now and not changes_patient:
            raise Refused([_no_change(change.local.place, now)])
        return Link(before, now)

    def relink(self, connection: Connection, link: Link, cx: str, patient_id: int, previous_id: int) -> int:
        """Make new versions of the previous patient's entries with the link's local id.

        Args:
            connection: of a write transaction in which both patients are locked.
            link: the local ids.
            cx: the patient that the entries belong to now.
            patient_id: its key.
            previous_id: key of the patient that they belonged to.

        Returns:
            How many there are.
        """
        entries = [
            (row, entry)
            for row in connection.execute(_LATEST, {"patient": previous_id})
            if (entry := self._entry(row)).source_patient_id == link.previous
        ]
        moved = {
            row.id: _Moved(key, self._new_uuid())
            for key, (row, _) in zip(allocate(connection, len(entries)), entries, strict=True)
        }
        if not moved:
            return 0
        related = connection.execute(_ASSOCIATIONS, {"given": given(connection, moved)}).all()
        ends = {end for row in related for end in (row.source_object, row.target_object)}
        records.deprecate(connection, moved.keys() & ends)
        records.supersede(connection, moved.keys() - ends)
        connection.execute(
            insert(registry_object),
            [
                self._new_version(row, entry, moved[row.id], link.local, cx, patient_id)
                for row, entry in entries
            ],
        )
        _copy_details(connection, moved)
        kept = [
            row
            for row in related
            if patient_id == previous_id or (row.source_object in moved and row.target_object in moved)
        ]
        self._copy_associations(connection, kept, moved, patient_id)
        return len(moved)

    def _entry(self, row: Row[Any]) -> DocumentEntry:
        return stored_entry(self._codec.unpack, ObjectKind(row.kind), row.dictionary_id, row.fragment)

    def _new_version(
        self, row: Row[Any], entry: DocumentEntry, new: _Moved, local: str, cx: str, patient_id: int
    ) -> dict[str, Any]:
        changed = replace(
            entry,
            entry_uuid=new.entry_uuid,
            logical_id=row.logical_id,
            version=str(row.version + 1),
            patient_id=cx,
            source_patient_id=local,
        )
        dictionary_id, fragment = self._codec.pack(fragments.write(changed))
        return {
            **row._mapping,
            "id": new.id,
            "entry_uuid": new.entry_uuid,
            "version": row.version + 1,
            "patient_id": patient_id,
            "submitted_patient_id": None,
            "dictionary_id": dictionary_id,
            "fragment": fragment,
        }

    def _copy_associations(
        self, connection: Connection, found: Sequence[Row[Any]], moved: Mapping[int, _Moved], patient_id: int
    ) -> None:
        if not found:
            return
        keys = allocate(connection, len(found))
        copies = [self._copy(row, key, moved, patient_id) for row, key in zip(found, keys, strict=True)]
        connection.execute(insert(association), copies)
        folders = {row.source_object for row in found if row.source_kind == ObjectKind.FOLDER}
        records.touch_folders(connection, folders, self._clock().strftime("%Y%m%d%H%M%S"))

    def _copy(self, row: Row[Any], key: int, moved: Mapping[int, _Moved], patient_id: int) -> dict[str, Any]:
        link = stored_association(self._codec.unpack, row.dictionary_id, row.fragment)
        source, target = moved.get(row.source_object), moved.get(row.target_object)
        copy = replace(
            link,
            entry_uuid=self._new_uuid(),
            source=source.entry_uuid if source else link.source,
            target=target.entry_uuid if target else link.target,
        )
        dictionary_id, fragment = self._codec.pack(fragments.write(copy))
        return {
            **{column.name: row._mapping[column.name] for column in association.columns},
            "id": key,
            "patient_id": patient_id,
            "entry_uuid": copy.entry_uuid,
            "source_object": source.id if source else row.source_object,
            "target_object": target.id if target else row.target_object,
            "dictionary_id": dictionary_id,
            "fragment": fragment,
        }


def _copy_details(connection: Connection, moved: Mapping[int, _Moved]) -> None:
    """What is searched for in tables of its own does not change."""
    for table, of_these in _COPY_DETAILS.items():
        rows = connection.execute(of_these, {"given": given(connection, moved)}).mappings()
        copies = [{**row, "object_id": moved[row["object_id"]].id} for row in rows]
        if copies:
            connection.execute(insert(table), copies)


def _no_local_id(place: str) -> Finding:
    return Finding(
        Condition.REQUIRED_FIELD_MISSING,
        "no local patient id",
        attribute=place,
        allowed="the id whose link changes, behind that of the affinity domain",
        source=_SOURCE,
    )


def _no_change(place: str, seen: str) -> Finding:
    return Finding(
        Condition.DUPLICATE_KEY,
        "neither the patient nor the local id changes",
        attribute=place,
        seen=seen,
        allowed="another patient or another local id",
        source=_SOURCE,
    )
