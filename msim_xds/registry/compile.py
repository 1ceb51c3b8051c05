"""From a stored query to SQL: one statement for each shape of query, values only as bind parameters.

A shape says which parameters are given, with how many AND groups each. Statements are kept by shape as the
driver's own text, so that a query costs little more than its execution. Every list of values travels as one
bind parameter, so that the text does not depend on its length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    FromClause,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    not_,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from msim_xds.database.among import among
from msim_xds.database.schema import (
    association,
    object_author,
    object_code,
    object_reference,
    patient,
    registry_object,
)
from msim_xds.ihe.names import AssociationType, ObjectKind
from msim_xds.ihe.queries import QUERIES, TIMES, Match, Param
from msim_xds.registry import visibility
from msim_xds.registry.columns import ASSOCIATION_TYPE, CODE_ATTRIBUTE, SUPERSEDED
from msim_xds.registry.literals import number, one_of
from msim_xds.wire.view import Outline

Condition = ColumnElement[bool]
Columns = tuple[ColumnElement[Any], ...]

#: Places in a row. Behind them a row of an ObjectRef has home and entryUUID; a row of a LeafClass has status,
#: lastUpdateTime and the result of its signatures, which is all that can change in an object's text. A whole
#: row has behind these what the text is made of: kind, home, dictionary, fragment, and the key of the patient
#: whom the fragment names, where a merge has changed the object's.
ID, PATIENT = range(2)


class Scope(Enum):
    """Where the candidates of a statement come from; ``given`` are ids passed along."""

    CRITERIA = auto()  # objects: what the query's own parameters select
    MEMBERS = auto()  # objects that are members of the given objects
    CONTAINERS = auto()  # objects that have a given object as a member
    ENDS = auto()  # objects at either end of the given associations
    NAMED = auto()  # associations by their entryUUID
    TOUCHING = auto()  # associations from or to the given objects
    RELATING = auto()  # the same, of the types asked for, between DocumentEntries of the kinds
    LINKS = auto()  # HasMembers from the given objects to the targets
    LINKS_WITHIN = auto()  # the same, which are themselves members of the holders


@dataclass(frozen=True, slots=True)
class Shape:
    """What the text of a statement depends on; everything else is bound.

    Attributes:
        scope: where candidates come from.
        leaf: whether whole objects are wanted, or only their entryUUIDs.
        links: stored availabilityStatus numbers of the associations that count, empty for any.
        latest: associations of a superseded version do not count, unless it is one of the given objects.
        kinds: kinds of objects; their numbers stand in the text, so that the database can plan with them.
        statuses: stored availabilityStatus numbers, empty for any; in the text for the same reason.
        query: id of the row that the parameters belong to.
        params: parameters given, with their number of AND groups.
        whole: whether rows of whole objects bring along what their texts are made of.
        view: what of the documents may be shown; None is everything.
    """

    scope: Scope
    leaf: bool
    links: tuple[int, ...] = ()
    latest: bool = False
    kinds: tuple[int, ...] = ()
    statuses: tuple[int, ...] = ()
    query: str = ""
    params: tuple[tuple[str, int], ...] = ()
    whole: bool = False
    view: Outline | None = None


_TIMES: Final[Mapping[str, str]] = {
    "creation_time": "time",
    "submission_time": "time",
    "last_update_time": "time",
    "service_start_time": "start",
    "service_stop_time": "stop",
}
_ACTIVE: Final = select(patient.c.id).where(patient.c.survivor_id.is_(None))
_HAS_MEMBER: Final = ASSOCIATION_TYPE[AssociationType.HAS_MEMBER]
_PARAMS: Final = {(row.id, param.name): param for row in QUERIES.values() for param in row.params}
_OBJECT, _LINK = registry_object.c, association.c
_SQLITE: Final = SQLiteDialect_pysqlite(paramstyle="named")
_POSTGRESQL: Final = PGDialect_psycopg()  # type: ignore[no-untyped-call]  # psycopg's


@dataclass(frozen=True, slots=True)
class Dialect:
    """How statements are written.

    Attributes:
        is_sqlite: for SQLite instead of PostgreSQL.
        folded: author patterns are matched without case and diacritics; they must be folded themselves.
    """

    is_sqlite: bool
    folded: bool

    def text(self, statement: Select[Any]) -> str:
        """The statement as the driver takes it, with named parameters, one of them ``limit``."""
        bounded = statement.limit(bindparam("limit", type_=BigInteger)).offset(literal_column("0"))
        return str(bounded.compile(dialect=_SQLITE if self.is_sqlite else _POSTGRESQL))

    def like_any(self, column: Column[Any], owner: Column[Any], name: str) -> Condition:
        """That one of an object's rows matches one of a list parameter's patterns; no escape character."""
        if self.is_sqlite:
            patterns = func.json_each(bindparam(name)).table_valued("value")
            matches = column.like(patterns.c.value)
        else:
            listed = func.unnest(bindparam(name, type_=ARRAY(Text())))
            patterns = listed.table_valued("value").render_derived()
            matches = column.like(patterns.c.value, escape="")
        return _has(owner == _OBJECT.id, matches)


@lru_cache(maxsize=2)
def patient_statement(dialect: Dialect) -> str:
    """SQL for the key of a patient who was not merged into another; binds ``cx`` and ``limit``."""
    return dialect.text(_ACTIVE.where(patient.c.cx == bindparam("cx")))


@lru_cache(maxsize=2)
def patients_statement(dialect: Dialect) -> str:
    """SQL for key and CX of several such patients; binds ``given``, their CX strings, and ``limit``."""
    return dialect.text(_ACTIVE.add_columns(patient.c.cx).where(among(patient.c.cx, bindparam("given"))))


@lru_cache(maxsize=1024)
def object_statement(dialect: Dialect, shape: Shape) -> str:
    """SQL for DocumentEntries, SubmissionSets and Folders.

    Binds ``p<n>_<group>`` for the n-th parameter of the shape (``…_low`` and ``…_high`` for a time),
    ``given`` for the scope's ids, what ``visibility.bound`` gives for its view, and ``limit``.
    """
    conditions = [one_of(_OBJECT.kind, shape.kinds)]
    if shape.statuses:
        conditions.append(one_of(_OBJECT.status, shape.statuses))
    for position, (name, groups) in enumerate(shape.params):
        param = _PARAMS[shape.query, name]
        conditions += [
            _condition(dialect, param, f"p{position}_{group}", shape.kinds) for group in range(groups)
        ]
    if shape.scope is not Scope.CRITERIA:
        conditions.append(_object_scope(shape))
    if shape.view is not None:
        conditions.append(visibility.of_objects(shape.view, shape.kinds))
    changing = (_OBJECT.status, _OBJECT.last_update_time, _OBJECT.signature_id)
    return dialect.text(select(*_row(shape, registry_object, changing)).where(*conditions))


@lru_cache(maxsize=256)
def association_statement(dialect: Dialect, shape: Shape) -> str:
    """SQL for Associations; binds ``given``, ``limit``, by scope ``targets``, ``holders`` or ``types``."""
    conditions = _association_scope(shape)
    if shape.view is not None:
        conditions.append(visibility.of_associations(shape.view))
    changing = (_LINK.status, null(), null())
    return dialect.text(select(*_row(shape, association, changing)).where(*conditions))


@lru_cache(maxsize=4)
def fragment_statement(dialect: Dialect, table: Table) -> str:
    """SQL for the keys of objects or associations, and what their texts are made of, by ``given`` keys."""
    return dialect.text(select(table.c.id, *_made_of(table)).where(among(table.c.id, bindparam("given"))))


def _row(shape: Shape, table: Table, changing: Columns) -> Columns:
    """The columns of an object's row; ``changing`` is what can change in its text."""
    c = table.c
    if not shape.leaf:
        return (c.id, c.patient_id, c.home, c.entry_uuid)
    return (c.id, c.patient_id, *changing, *(_made_of(table) if shape.whole else ()))


def _made_of(table: Table) -> Columns:
    """What a text is made of: kind, home, dictionary and fragment, and whom the fragment names."""
    c, is_link = table.c, table is association
    kind: ColumnElement[Any] = number(ObjectKind.ASSOCIATION) if is_link else c.kind
    submitted: ColumnElement[Any] = null() if is_link else c.submitted_patient_id
    return (kind, c.home, c.dictionary_id, c.fragment, submitted)


def _object_scope(shape: Shape) -> Condition:
    source, target = _LINK.source_object, _LINK.target_object
    if shape.scope is Scope.ENDS:
        given = among(_LINK.id, bindparam("given"))
        return _OBJECT.id.in_(select(source).where(given).union_all(select(target).where(given)))
    near, far = (source, target) if shape.scope is Scope.MEMBERS else (target, source)
    return _OBJECT.id.in_(select(far).where(among(near, bindparam("given")), *_has_member(shape)))


def _association_scope(shape: Shape) -> list[Condition]:
    if shape.scope is Scope.NAMED:
        return [among(_LINK.entry_uuid, bindparam("given"))]
    given = among(_LINK.source_object, bindparam("given"))
    if shape.scope in (Scope.TOUCHING, Scope.RELATING):
        touching = or_(given, among(_LINK.target_object, bindparam("given")))
        ends = _relating(shape) if shape.scope is Scope.RELATING else _without_superseded_ends(shape)
        return [touching, *ends, *_counts(shape)]
    conditions = [given, among(_LINK.target_object, bindparam("targets")), *_has_member(shape)]
    if shape.scope is Scope.LINKS_WITHIN:
        outer = association.alias("outer_link")
        within = select(outer.c.target_object).where(
            among(outer.c.source_object, bindparam("holders")), *_has_member(shape, outer)
        )
        conditions.append(_LINK.id.in_(within))
    return conditions


def _relating(shape: Shape) -> list[Condition]:
    end = [one_of(_OBJECT.kind, shape.kinds)]
    if shape.latest:
        end.append(or_(_OBJECT.status != number(SUPERSEDED), among(_OBJECT.id, bindparam("given"))))
    ends = (_LINK.source_object, _LINK.target_object)
    return [
        among(_LINK.type, bindparam("types")),
        *(exists().where(_OBJECT.id == key, *end) for key in ends),
    ]


def _without_superseded_ends(shape: Shape) -> list[Condition]:
    if not shape.latest:
        return []
    superseded = exists().where(
        _OBJECT.id.in_([_LINK.source_object, _LINK.target_object]),
        one_of(_OBJECT.status, (SUPERSEDED,)),
        not_(among(_OBJECT.id, bindparam("given"))),
    )
    return [not_(superseded)]


def _has_member(shape: Shape, link: FromClause = association) -> list[Condition]:
    """That an association is a membership that counts."""
    return [one_of(link.c.type, (_HAS_MEMBER,)), *_counts(shape, link)]


def _counts(shape: Shape, link: FromClause = association) -> list[Condition]:
    return [one_of(link.c.status, shape.links)] if shape.links else []


def _condition(dialect: Dialect, param: Param, name: str, kinds: tuple[int, ...]) -> Condition:
    """One AND group of one parameter."""
    if param.match in TIMES:
        return _time(param, name, kinds)
    matches = _matches(dialect, param, name)
    return matches.is_not(true()) if param.negated else matches


def _matches(dialect: Dialect, param: Param, name: str) -> Condition:
    """That an object has one of the parameter's values."""
    attribute = param.attribute
    match param.match:
        case Match.LIKE:
            person = object_author.c.person_folded if dialect.folded else object_author.c.person
            return dialect.like_any(person, object_author.c.object_id, name)
        case Match.REFERENCE:
            return dialect.like_any(object_reference.c.value, object_reference.c.object_id, name)
        case Match.CODE if attribute in CODE_ATTRIBUTE:
            return _has(
                object_code.c.object_id == _OBJECT.id,
                one_of(object_code.c.attribute, (CODE_ATTRIBUTE[attribute],)),
                among(object_code.c.code, bindparam(name)),
            )
        case Match.LOGICAL_ID:
            return _version_of(name)
    if attribute == "patient_id" and not param.many:
        return _OBJECT.patient_id == bindparam(name, type_=BigInteger)
    return among(_OBJECT[attribute], bindparam(name))


def _version_of(name: str) -> Condition:
    """That an object is a version of one of the given logical objects.

    First versions have their own entryUUID for logicalID. The others have an index of their own, which serves
    only where its condition is said.
    """
    first = _OBJECT.logical_id == _OBJECT.entry_uuid
    later = _OBJECT.logical_id != _OBJECT.entry_uuid
    given: ColumnElement[Any] = bindparam(name)
    return or_(and_(among(_OBJECT.entry_uuid, given), first), and_(among(_OBJECT.logical_id, given), later))


def _time(param: Param, name: str, kinds: tuple[int, ...]) -> Condition:
    """One end of a time range, From inclusive and To exclusive (ITI TF-2 3.18.4.1.2.3.4).

    Stored and asked times are periods, as long as their precision. The stored one must not end before From
    begins, nor begin after To ends, nor be To itself unless the registry's clock has set it. An object
    without the time is not excluded.
    """
    stem = _TIMES[param.attribute]
    low, high = _OBJECT[f"{stem}_low"], _OBJECT[f"{stem}_high"]
    to_low = bindparam(f"{name}_low", type_=BigInteger)
    to_high = bindparam(f"{name}_high", type_=BigInteger)
    within = high >= to_low if param.match is Match.TIME_FROM else low <= to_high
    if param.match is Match.TIME_TO:
        within = and_(within, not_(and_(low == to_low, high == to_high)))
    always_known = stem == "time" and ObjectKind.ON_DEMAND_DOCUMENT_ENTRY not in kinds
    return within if always_known else or_(low.is_(None), within)


def _has(*conditions: Condition) -> Condition:
    """That a row exists for an object already found by its patient.

    "IS TRUE" keeps PostgreSQL from making a join of it, which would cost it dear to plan when there are many.
    """
    return exists().where(*conditions).is_(true())
