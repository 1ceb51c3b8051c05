"""Runs over all signed documents: how far each has come, and what it found to be otherwise than before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, func, insert, select, update

from msim_xds.database.among import among, given
from msim_xds.database.engine import allocate
from msim_xds.database.schema import association, registry_object, revalidation, signature_result
from msim_xds.ihe.names import AssociationType, ObjectKind
from msim_xds.metadata.signature_slots import SignatureResult
from msim_xds.registry.columns import ASSOCIATION_TYPE
from msim_xds.registry.signature_results import SignedEntry


class Run(NamedTuple):
    """A run.

    Attributes:
        id: its key.
        started_at: when it began.
        finished_at: when it came to the end; None for one that can go on.
        position: key of the last entry that was looked at.
        entries: how many were.
        signed: how many documents of these are signed.
        changed: how many results are otherwise than before.
        failed: how many documents could not be read or validated; what was shown stays.
    """

    id: int
    started_at: str
    finished_at: str | None = None
    position: int = 0
    entries: int = 0
    signed: int = 0
    changed: int = 0
    failed: int = 0


class Origin(NamedTuple):
    """sourceId and uniqueId of the SubmissionSet with which an entry came."""

    source_id: str | None = None
    set_unique_id: str | None = None


class Change(NamedTuple):
    """A result that is otherwise than before; None where there was none."""

    entry_uuid: str
    unique_id: str
    before: SignatureResult | None
    after: SignatureResult


def begin(connection: Connection, moment: datetime, *, again: bool) -> Run:
    """The newest run if it was interrupted, else a new one; a new one in any case where ``again``."""
    row = None if again else connection.execute(_NEWEST).one_or_none()
    if row is not None and row.finished_at is None:
        return Run(*row)
    (key,) = allocate(connection, 1)
    run = Run(key, moment.isoformat(timespec="seconds"))
    connection.execute(insert(revalidation), run._asdict())
    return run


def save(connection: Connection, run: Run) -> None:
    """How far it is now."""
    values = {f"new_{name}": value for name, value in run._asdict().items() if name in _CHANGING}
    connection.execute(_SAVE, {"key": run.id, **values})


def count(connection: Connection, repository: str, after: int) -> int:
    """Entries behind a position."""
    return connection.execute(_COUNT, {"repository": repository, "after": after}).scalar_one()


def page(connection: Connection, repository: str, after: int, most: int) -> list[SignedEntry]:
    """The next entries of a repository in the order of their keys, of every version and status."""
    rows = connection.execute(_PAGE, {"repository": repository, "after": after, "most": most})
    return [SignedEntry(*row) for row in rows]


def origins(connection: Connection, entries: Sequence[SignedEntry]) -> Mapping[int, Origin]:
    """Where entries come from, by key: of several SubmissionSets the first."""
    found: dict[int, Origin] = {}
    for key, *origin in connection.execute(_ORIGINS, {"given": given(connection, [e.id for e in entries])}):
        found.setdefault(key, Origin(*origin))
    return found


def changes(connection: Connection, run: int) -> Iterator[Change]:
    """What a run has changed and nothing has changed since, in the order in which it did."""
    for entry_uuid, unique_id, had_before, *values in connection.execute(_CHANGES, {"run": run}):
        half = len(SignatureResult._fields)
        before, after = values[:half], values[half:]
        yield Change(entry_uuid, unique_id, None if had_before is None else _result(before), _result(after))


def _result(values: Sequence[Any]) -> SignatureResult:
    indication, sub_indication, level, time, covers = values
    return SignatureResult(indication, sub_indication, level, time, bool(covers))


_CHANGING: Final = frozenset(Run._fields) - {"id", "started_at"}
_NEWEST: Final = (
    select(*(revalidation.c[name] for name in Run._fields)).order_by(revalidation.c.id.desc()).limit(1)
)
_SAVE: Final = (
    update(revalidation)
    .where(revalidation.c.id == bindparam("key"))
    .values({name: bindparam(f"new_{name}") for name in sorted(_CHANGING)})
)
_object = registry_object.c
_OURS: Final = (
    _object.kind == ObjectKind.STABLE_DOCUMENT_ENTRY,
    _object.repository_unique_id == bindparam("repository"),
    _object.id > bindparam("after"),
)
_COUNT: Final = select(func.count()).select_from(registry_object).where(*_OURS)
_PAGE: Final = (
    select(*(_object[name] for name in SignedEntry._fields))
    .where(*_OURS)
    .order_by(_object.id)
    .limit(bindparam("most"))
)
_ORIGINS: Final = (
    select(association.c.target_object, _object.source_id, _object.unique_id)
    .join_from(association, registry_object, _object.id == association.c.source_object)
    .where(
        among(association.c.target_object, bindparam("given")),
        association.c.type == ASSOCIATION_TYPE[AssociationType.HAS_MEMBER],
        _object.kind == ObjectKind.SUBMISSION_SET,
    )
    .order_by(association.c.id)
)
_BEFORE: Final = signature_result.alias("before")
_CHANGES: Final = (
    select(
        _object.entry_uuid,
        _object.unique_id,
        _BEFORE.c.id,
        *(_BEFORE.c[name] for name in SignatureResult._fields),
        *(signature_result.c[name] for name in SignatureResult._fields),
    )
    .join_from(signature_result, registry_object, _object.signature_id == signature_result.c.id)
    .outerjoin(_BEFORE, _BEFORE.c.id == signature_result.c.previous_id)
    .where(signature_result.c.revalidation_id == bindparam("run"))
    .order_by(signature_result.c.id)
)
