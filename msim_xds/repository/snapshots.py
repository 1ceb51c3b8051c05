"""Persistence of Retrieved Documents: what was made on demand is stored and registered (ITI TF-2 3.43.4.1.3).

A snapshot's uniqueId is made from its entry and its content, and the uniqueId of its SubmissionSet from that
and from what it replaces. So whoever registers the same snapshot second is refused by the registry, looks
again and finds it there: any number of requests, or retries after a crash, make one.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from msim_xds.database.engine import Database
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import STABLE_OBJECT_TYPE, AssociationType
from msim_xds.metadata import ebrim, fragments
from msim_xds.metadata.ebrim import Reading
from msim_xds.metadata.model import Association, DocumentEntry, LocalizedString, Submission, SubmissionSet
from msim_xds.registry.reading import Holding, RegistryReader
from msim_xds.repository.assembly import Assembled
from msim_xds.repository.blobs import BlobStore
from msim_xds.repository.index import DocumentIndex, StoredDocument
from msim_xds.repository.registrar import Registrar
from msim_xds.settings import Settings
from msim_xds.wire import safexml
from msim_xds.wire.exchange import StagedPart

#: What the registry says to the second of two that register one snapshot, or replace one.
_RACES: Final = frozenset({"XDSDuplicateUniqueIdInRegistry", "XDSRegistryDeprecatedDocumentError"})
_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Clerk:
    """What new metadata is made with.

    Attributes:
        clock: the time of day, UTC.
        new_uuid: makes ``urn:uuid:`` ids.
        zone_for: the zone in which a source, by its sourceId, gives times; None is UTC.
    """

    clock: Callable[[], datetime]
    new_uuid: Callable[[], str]
    zone_for: Callable[[str | None], ZoneInfo | None]


class Snapshots:
    """Stores and registers what was made on demand.

    Args:
        reader: the registry, for the snapshots that there are.
        registrar: registers new ones.
        store: keeps their octets.
        index: what is kept.
        database: where the index is.
        settings: limits and the repositoryUniqueId.
        clerk: clock and ids.
    """

    def __init__(
        self,
        reader: RegistryReader,
        registrar: Registrar,
        store: BlobStore,
        index: DocumentIndex,
        database: Database,
        settings: Settings,
        clerk: Clerk,
    ) -> None:
        self._reader = reader
        self._registrar = registrar
        self._store = store
        self._index = index
        self._database = database
        self._limits = settings.limits
        self._repository = settings.repository.unique_id
        self._clerk = clerk

    def keep(self, made: Assembled) -> StoredDocument | None:
        """The snapshot as it is kept, registered now unless it was before.

        None for one whose octets an administrator has removed since: its id is not used again.

        Raises:
            Refused: the registry does not take it.
            OSError, TimeoutError: store or database cannot do it now.
        """
        commit = _Once(self._store, made.part)
        part = made.part
        document = StoredDocument(
            made.unique_id, part.sha256, part.sha1, part.xxh3, part.size, made.mime_type, registered=True
        )
        for attempt in range(1, _ATTEMPTS + 1):
            held = self._reader.snapshots(made.holding, made.unique_id)
            same = [each for each in held if each.unique_id == made.unique_id]
            others = [each for each in held if each.unique_id != made.unique_id]  # Approved, so outdated now
            if same and (not others or any(each.approved for each in same)):
                return self._found(made)
            try:
                self._registrar.register(self._reading(made, others), [document], commit)
            except Refused as refused:
                if attempt == _ATTEMPTS or not _RACES.intersection(each.code for each in refused.findings):
                    raise
            else:
                return document
        raise AssertionError("the last attempt returns or raises")

    def _found(self, made: Assembled) -> StoredDocument | None:
        """What is kept under the snapshot's id. Raises Refused when that is something else."""
        with self._database.read() as connection:
            kept = self._index.find(connection, [made.unique_id]).get(made.unique_id)
        if kept is not None and kept.sha256 != made.part.sha256:
            raise Refused(
                [
                    Finding(
                        "XDSNonIdenticalHash",
                        "the source has given this id to another content before",
                        attribute="hash",
                        seen=made.part.sha1,
                        allowed=kept.sha1,
                        context=made.unique_id,
                    )
                ]
            )
        return kept

    def _reading(self, made: Assembled, outdated: Sequence[Holding]) -> Reading:
        """The submission of a new snapshot that replaces the outdated ones."""
        batch, entry = self._set(made, outdated), self._entry(made)

        def link(
            kind: AssociationType, source: str, target: str, status: tuple[str, ...] = ()
        ) -> Association:
            return Association(
                entry_uuid=self._clerk.new_uuid(),
                type=kind,
                source=source,
                target=target,
                submission_set_status=status,
            )

        links = (
            link(AssociationType.HAS_MEMBER, batch.entry_uuid, entry.entry_uuid, ("Original",)),
            link(AssociationType.IS_SNAPSHOT_OF, entry.entry_uuid, made.holding.entry_uuid),
            *(link(AssociationType.RPLC, entry.entry_uuid, each.entry_uuid) for each in outdated),
        )
        submission = Submission((batch,), (entry,), (), links)
        return ebrim.read(safexml.parse(fragments.submit_objects(submission)), self._limits)

    def _set(self, made: Assembled, outdated: Sequence[Holding]) -> SubmissionSet:
        """As the on-demand entry came: by the same source, of the same kind."""
        replaced = sorted(each.entry_uuid for each in outdated)
        seed = hashlib.sha256(" ".join((made.unique_id, made.holding.entry_uuid, *replaced)).encode())
        return replace(
            made.submission,
            entry_uuid=self._clerk.new_uuid(),
            status=None,
            logical_id=None,
            version=None,
            title=_title(made),
            comments=(),
            patient_id=made.entry.patient_id,
            unique_id=f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, seed.hexdigest()).int}",
            submission_time=self._now(made),
            intended_recipients=(),
            extra=(),
        )

    def _entry(self, made: Assembled) -> DocumentEntry:
        """The on-demand entry with what only content has (ITI TF-3 Table 4.3.1-3)."""
        return replace(
            made.entry,
            entry_uuid=self._clerk.new_uuid(),
            object_type=STABLE_OBJECT_TYPE,
            status=None,
            logical_id=None,
            version=None,
            title=_title(made),
            mime_type=made.mime_type,
            unique_id=made.unique_id,
            repository_unique_id=self._repository,
            creation_time=self._now(made),
            hash=made.part.sha1,
            size=str(made.part.size),
            uri=(),
        )

    def _now(self, made: Assembled) -> str:
        """This moment as the source of the on-demand entry writes times."""
        zone = self._clerk.zone_for(made.submission.source_id)
        return self._clerk.clock().astimezone(zone or UTC).strftime("%Y%m%d%H%M%S")


class _Once:
    """Makes a staged part a blob at the first call, and has nothing left to do at the next."""

    def __init__(self, store: BlobStore, part: StagedPart) -> None:
        self._store = store
        self._part: StagedPart | None = part

    def __call__(self) -> None:
        if self._part is not None:
            self._store.commit([self._part])
            self._part = None


def _title(made: Assembled) -> tuple[LocalizedString, ...]:
    if made.title is None:
        return made.entry.title
    return (LocalizedString(made.title, made.entry.language_code, "UTF-8"),)
