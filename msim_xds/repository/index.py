"""Which octets answer for a DocumentUniqueId: the table ``stored_document``.

Why a row never loses its blob. A blob is committed before its row is written, and it is deleted only while
``deletion`` holds off every writer of this table and no row names it. A submission whose blob was deleted in
between finds it gone in ``add``, which looks after its own row has been written and before its transaction
commits: it is told to come again, and nothing of it stays. So neither order of the two can leave a committed
row without octets, whatever clocks and ages say.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, delete, func, not_, or_, select, text, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from msim_xds.database.driver import Prepared
from msim_xds.database.engine import Database
from msim_xds.database.schema import registry_object, removal, stored_document
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import ObjectKind
from msim_xds.ihe.transactions import ITI_86
from msim_xds.repository.blobs import BlobStore

_SECTION: Final = "ITI TF-2 3.41.4.1.3"


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """One document: its DocumentUniqueId, digests (lower-case hex) and size (octets) of its content.

    ``registered`` says that the registry has accepted its DocumentEntry.
    """

    unique_id: str
    sha256: str
    sha1: str
    xxh3: str
    size: int
    mime_type: str
    registered: bool = False


@dataclass(frozen=True, slots=True)
class EntryMismatch:
    """A DocumentEntry of this repository whose document the index does not have, or has differently."""

    entry_uuid: str
    unique_id: str
    problem: str


_COLUMNS: Final = (
    stored_document.c.unique_id,
    stored_document.c.sha256,
    stored_document.c.sha1,
    stored_document.c.xxh3,
    stored_document.c.size,
    stored_document.c.mime_type,
    stored_document.c.registered,
)


def _adding(insert: postgresql.Insert | sqlite.Insert) -> postgresql.Insert | sqlite.Insert:
    """Same uniqueId and content: harmless, and ``registered`` never goes back. Else no row is touched."""
    return insert.on_conflict_do_update(
        index_elements=[stored_document.c.unique_id],
        set_={"registered": or_(stored_document.c.registered, insert.excluded.registered)},
        where=stored_document.c.sha256 == insert.excluded.sha256,
    )


_ADD: Final = Prepared(
    {
        "sqlite": _adding(sqlite.insert(stored_document)).returning(stored_document.c.unique_id),
        "postgresql": _adding(postgresql.insert(stored_document)).returning(stored_document.c.unique_id),
    }
)
_ADD_ALL: Final = Prepared(
    {
        "sqlite": _adding(sqlite.insert(stored_document)),
        "postgresql": _adding(postgresql.insert(stored_document)),
    }
)
_FIND_ONE: Final = Prepared(select(*_COLUMNS).where(stored_document.c.unique_id == bindparam("unique_id")))
_FIND: Final = select(*_COLUMNS).where(
    stored_document.c.unique_id.in_(bindparam("unique_ids", expanding=True))
)
_COUNT: Final = select(func.count()).select_from(stored_document)
_LAST_OBJECT: Final = select(func.coalesce(func.max(registry_object.c.id), 0))
#: Waits for the transactions that have written rows, and lets no new one write; readers go on.
_HOLD_WRITERS: Final = text("LOCK TABLE stored_document IN SHARE ROW EXCLUSIVE MODE")
_PAGE_ROWS: Final = 500
_PAGE_OBJECTS: Final = 5000
_PAGE: Final = (
    select(*_COLUMNS)
    .where(
        tuple_(stored_document.c.sha256, stored_document.c.unique_id)
        > tuple_(bindparam("sha256"), bindparam("unique_id"))
    )
    .order_by(stored_document.c.sha256, stored_document.c.unique_id)
    .limit(bindparam("count"))
)
_REFERRED: Final = select(stored_document.c.sha256).where(
    stored_document.c.sha256.in_(bindparam("sha256s", expanding=True))
)
_REMOVE: Final = delete(stored_document).where(
    stored_document.c.unique_id == bindparam("of_unique_id"),
    stored_document.c.sha256 == bindparam("of_sha256"),
    not_(stored_document.c.registered),
)
_DELETE: Final = delete(stored_document).where(
    stored_document.c.unique_id.in_(bindparam("unique_ids", expanding=True))
)
_STORED_AT: Final = select(stored_document.c.unique_id, stored_document.c.stored_at).where(
    stored_document.c.unique_id.in_(bindparam("unique_ids", expanding=True))
)
#: Whether an entry's document was removed after the entry came: ids only ever grow.
_REMOVED: Final = (
    select(removal.c.id)
    .where(
        removal.c.unique_id == registry_object.c.unique_id,
        removal.c.transaction == ITI_86.name,
        removal.c.id > registry_object.c.id,
    )
    .exists()
)
_MISMATCHES: Final = (
    select(
        registry_object.c.entry_uuid,
        registry_object.c.unique_id,
        stored_document.c.unique_id.is_(None),
    )
    .select_from(
        registry_object.outerjoin(stored_document, stored_document.c.unique_id == registry_object.c.unique_id)
    )
    .where(
        registry_object.c.kind == ObjectKind.STABLE_DOCUMENT_ENTRY,
        registry_object.c.repository_unique_id == bindparam("repository_unique_id"),
        registry_object.c.id > bindparam("after"),
        registry_object.c.id <= bindparam("last"),
        or_(
            and_(stored_document.c.unique_id.is_(None), not_(_REMOVED)),
            stored_document.c.sha1 != func.lower(registry_object.c.hash),
            stored_document.c.size != registry_object.c.size,
        ),
    )
    .order_by(registry_object.c.id)
)


class DocumentIndex:
    """The rows of ``stored_document``. Writing methods belong to the caller's write transaction."""

    def __init__(self, clock: Callable[[], datetime], store: BlobStore) -> None:
        """An index of what ``store`` keeps; ``clock`` tells the time of day, UTC."""
        self._clock = clock
        self._store = store

    def find(self, connection: Connection, unique_ids: Collection[str]) -> dict[str, StoredDocument]:
        """The documents that are known, by uniqueId."""
        rows: Iterable[Sequence[Any]]
        if len(unique_ids) == 1:
            rows = _FIND_ONE.rows(connection, {"unique_id": next(iter(unique_ids))})
        else:
            rows = connection.execute(_FIND, {"unique_ids": list(unique_ids)}).all()
        return {row[0]: _document(row) for row in rows}

    def add(self, connection: Connection, documents: Sequence[StoredDocument], *, registered: bool) -> None:
        """Write the rows of committed blobs, or mark them registered.

        A document that is there with the same content is harmless; the mimeType first stored stays.

        Raises:
            Refused: a uniqueId has other content (XDSNonIdenticalHash, XDSNonIdenticalSize), or a blob was
                removed as an orphan since it was committed (XDSRepositoryBusy).
        """
        findings: list[Finding] = []
        for document in _ordered(documents):
            values = self._row(document, registered=registered)
            if not _ADD.rows(connection, values):
                findings += _conflict(
                    document, self.find(connection, [document.unique_id])[document.unique_id]
                )
            elif self._store.stat(document.sha256) is None:
                findings.append(_removed_meanwhile(document))
        if findings:
            raise Refused(findings)

    def add_together(self, connection: Connection, documents: Sequence[StoredDocument]) -> bool:
        """Like ``add`` for the documents of many submissions that the registry has accepted.

        Returns:
            False where one of them cannot be kept: the caller undoes this and adds them one by one.
        """
        rows = [self._row(document, registered=True) for document in _ordered(documents)]
        written = _ADD_ALL.run(connection, rows) if rows else 0
        return written == len(rows) and all(self._store.stat(each.sha256) for each in documents)

    def remove(self, connection: Connection, documents: Sequence[StoredDocument]) -> None:
        """Take back rows that the registry has refused; registered ones stay."""
        for document in documents:
            connection.execute(_REMOVE, {"of_unique_id": document.unique_id, "of_sha256": document.sha256})

    def delete(self, connection: Connection, unique_ids: Sequence[str]) -> None:
        """Delete rows for good, registered or not; their blobs stay until somebody looks who needs them."""
        connection.execute(_DELETE, {"unique_ids": unique_ids})

    def years(self, connection: Connection, unique_ids: Collection[str]) -> dict[str, int]:
        """In which year each document was first stored, by uniqueId."""
        rows = connection.execute(_STORED_AT, {"unique_ids": list(unique_ids)})
        return {unique_id: int(stored_at[:4]) for unique_id, stored_at in rows}

    def count(self, connection: Connection) -> int:
        """Number of rows."""
        return connection.execute(_COUNT).scalar_one()

    def documents(self, connection: Connection) -> Iterator[StoredDocument]:
        """Every row, those of one blob in succession; read page by page."""
        last = ("", "")
        while True:
            page = {"sha256": last[0], "unique_id": last[1], "count": _PAGE_ROWS}
            rows = [_document(row) for row in connection.execute(_PAGE, page)]
            yield from rows
            if len(rows) < _PAGE_ROWS:
                return
            last = (rows[-1].sha256, rows[-1].unique_id)

    def mismatches(self, connection: Connection, repository_unique_id: str) -> Iterator[EntryMismatch]:
        """DocumentEntries of this repository in the registry in process that the index does not bear out.

        That an entry has no document is right where the document was removed (ITI-86).
        """
        end = connection.execute(_LAST_OBJECT).scalar_one()
        for after in range(0, end, _PAGE_OBJECTS):
            page = {
                "repository_unique_id": repository_unique_id,
                "after": after,
                "last": after + _PAGE_OBJECTS,
            }
            for entry_uuid, unique_id, absent in connection.execute(_MISMATCHES, page).all():
                problem = "has no document" if absent else "has another hash or size than its document"
                yield EntryMismatch(entry_uuid, unique_id, problem)

    def referred(self, connection: Connection, sha256s: Collection[str]) -> set[str]:
        """Those of the blobs that a row names."""
        return set(connection.execute(_REFERRED, {"sha256s": list(sha256s)}).scalars())

    def _row(self, document: StoredDocument, *, registered: bool) -> dict[str, Any]:
        return {
            "unique_id": document.unique_id,
            "sha256": document.sha256,
            "sha1": document.sha1,
            "xxh3": document.xxh3,
            "size": document.size,
            "mime_type": document.mime_type,
            "registered": registered,
            "stored_at": self._clock().isoformat(timespec="seconds"),
        }

    @contextmanager
    def deletion(self, database: Database) -> Iterator[Connection]:
        """A transaction in which blobs that no row names may be deleted; keep it short, writers wait."""
        with database.write() as connection:  # on SQLite there is one writer anyway
            if not database.is_sqlite:
                connection.execute(_HOLD_WRITERS)
            yield connection


def _document(row: Sequence[Any]) -> StoredDocument:
    unique_id, sha256, sha1, xxh3, size, mime_type, registered = row
    return StoredDocument(unique_id, sha256, sha1, xxh3, size, mime_type, bool(registered))


def _ordered(documents: Iterable[StoredDocument]) -> list[StoredDocument]:
    """In one order for all, so that two submissions of the same documents cannot wait for each other."""
    return sorted(documents, key=lambda each: each.unique_id)


def _conflict(document: StoredDocument, other: StoredDocument) -> Iterator[Finding]:
    """Findings for a uniqueId whose content is another; equal SHA-1 of unequal content is a forgery."""
    rows = [("XDSNonIdenticalHash", "hash", document.sha1, other.sha1)]
    if document.size != other.size:
        rows.append(("XDSNonIdenticalSize", "size", str(document.size), str(other.size)))
    for code, attribute, seen, allowed in rows:
        yield Finding(
            code,
            "the uniqueId belongs to a document of other content",
            attribute=attribute,
            seen=seen,
            allowed=allowed,
            source=_SECTION,
            context=document.unique_id,
        )


def _removed_meanwhile(document: StoredDocument) -> Finding:
    return Finding(
        "XDSRepositoryBusy",
        "the same content was just being removed from the store; send the submission again",
        attribute="uniqueId",
        seen=document.unique_id,
    )
