"""What each stored query collects from the database (ITI TF-2 3.18.4.1.2.3.7)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection

from msim_xds.database.among import given as as_list
from msim_xds.database.driver import fetch
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import ObjectKind
from msim_xds.ihe.queries import ENTRIES, FOLDERS, SETS, TIMES, Match, Result
from msim_xds.registry import visibility
from msim_xds.registry.columns import APPROVED, ASSOCIATION_TYPE, DEPRECATED, STATUS, SUPERSEDED, fold
from msim_xds.registry.compile import (
    ID,
    PATIENT,
    Dialect,
    Scope,
    Shape,
    association_statement,
    object_statement,
    patient_statement,
    patients_statement,
)
from msim_xds.registry.query_reader import Criterion, Query
from msim_xds.wire.view import View

Rows = Sequence[tuple[Any, ...]]
Kinds = tuple[ObjectKind, ...]

#: Parameters that choose kinds, status or types: they shape statements instead of being bound.
_SHAPING: Final = frozenset(
    {Match.OBJECT_TYPE, Match.STATUS, Match.ASSOCIATION_TYPE, Match.ASSOCIATION_STATUS}
)

#: Objects that have versions.
_VERSIONED: Final = frozenset((*ENTRIES, *FOLDERS))

#: Of these, the latest versions.
_LATEST: Final = (APPROVED, DEPRECATED)

#: Results that one statement yields, so that no snapshot is needed.
SINGLE: Final = frozenset({Result.FIND, Result.OBJECTS})


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of objects and of associations, each object once."""

    objects: Rows
    associations: Rows = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """What every query is collected under.

    Attributes:
        dialect: how statements are written.
        expand: every spelling of ``code^^scheme`` that means the same.
    """

    dialect: Dialect
    expand: Callable[[str], Iterable[str]] | None


class Collector:
    """Collects one query's objects on one connection.

    Args:
        connection: a snapshot, unless the query's result is in ``SINGLE``.
        terms: dialect and code spellings.
        query: the query.
        limit: how many objects the answer may hold.
        at_hand: whether texts of these patients are likely to be on the shelf.
        view: what of the documents may be shown; None is everything.
    """

    def __init__(
        self,
        connection: Connection,
        terms: Terms,
        query: Query,
        limit: int,
        at_hand: Callable[[Collection[int]], bool],
        view: View | None = None,
    ) -> None:
        self._connection = connection
        self._at_hand = at_hand
        self._terms = terms
        self._query = query
        self._limit = limit
        self._patients: list[int] = []
        self._whole = False
        self._view = None if view is None else view.outline
        self._shown = {} if view is None else visibility.bound(connection, view)

    def unknown_patients(self) -> Sequence[str]:
        """Take the patients that the query names; those that the registry does not know come back.

        One that was merged into another is not known any more (ITI TF-2 3.8.4.2.4).
        """
        names = self._query.patients
        dialect = self._terms.dialect
        if len(names) == 1:
            one = {"cx": names[0].strip(), "limit": 1}
            self._patients = [key for (key,) in fetch(self._connection, patient_statement(dialect), one)]
            return () if self._patients else names
        listed = {"given": as_list(self._connection, [cx.strip() for cx in names]), "limit": len(names)}
        known = {cx: key for key, cx in fetch(self._connection, patients_statement(dialect), listed)}
        self._patients = [*known.values()]
        return [cx for cx in names if cx.strip() not in known]

    def collect(self) -> Found:
        """Everything that the query asks for; nothing when it names patients of whom none is known.

        Rows bring their fragments along where these are not at hand: one statement costs less than two.

        Raises:
            Refused: XDSTooManyResults.
        """
        if not self._patients and self._query.patients:
            return Found(())
        self._whole = self._query.leaf and not self._at_hand(self._patients)
        found = _COLLECT[self._query.row.result](self)
        self._check(len(found.objects) + len(found.associations))
        return found

    def _find(self) -> Found:
        return Found(self._objects(self._query.row.kinds))

    def _all(self) -> Found:
        objects = [row for kinds in (SETS, ENTRIES, FOLDERS) for row in self._objects(kinds)]
        self._check(len(objects))
        return Found(objects, self._associations(Scope.TOUCHING, given=_ids(objects)))

    def _associations_of(self) -> Found:
        uuids = self._query.values(Match.EQUAL)
        objects = self._objects((*ENTRIES, *SETS, *FOLDERS), leaf=False)
        links = self._associations(Scope.NAMED, leaf=False, given=uuids)
        return Found((), self._associations(Scope.TOUCHING, given=_ids(objects) + _ids(links)))

    def _documents_and_associations(self) -> Found:
        entries = self._objects(ENTRIES)
        return Found(entries, self._associations(Scope.TOUCHING, given=_ids(entries)))

    def _sets_of(self) -> Found:
        members = self._objects((*ENTRIES, *FOLDERS), leaf=False)
        sets = self._objects(SETS, Scope.CONTAINERS, _ids(members))
        return Found(sets, self._associations(Scope.LINKS, given=_ids(sets), targets=_ids(members)))

    def _set_contents(self) -> Found:
        sets = self._objects(SETS)
        entries = self._objects(ENTRIES, Scope.MEMBERS, _ids(sets))
        folders = self._objects(FOLDERS, Scope.MEMBERS, _ids(sets))
        inner = self._associations(
            Scope.LINKS_WITHIN, given=_ids(folders), targets=_ids(entries), holders=_ids(sets)
        )
        members = _ids(entries) + _ids(folders) + _ids(inner)
        outer = self._associations(Scope.LINKS, given=_ids(sets), targets=members)
        return Found([*sets, *entries, *folders], [*outer, *inner])

    def _folder_contents(self) -> Found:
        folders = self._objects(FOLDERS)
        entries = self._objects(ENTRIES, Scope.MEMBERS, _ids(folders))
        links = self._associations(Scope.LINKS, given=_ids(folders), targets=_ids(entries))
        return Found([*folders, *entries], links)

    def _folders_of(self) -> Found:
        entries = self._objects(ENTRIES, leaf=False)
        return Found(self._objects(FOLDERS, Scope.CONTAINERS, _ids(entries)))

    def _related(self) -> Found:
        entries = self._objects(ENTRIES, leaf=False)
        wanted = self._query.values(Match.ASSOCIATION_TYPE)
        types = [ASSOCIATION_TYPE[kind] for kind in wanted if kind in ASSOCIATION_TYPE]
        links = self._associations(Scope.RELATING, given=_ids(entries), types=types)
        return Found(self._objects(ENTRIES, Scope.ENDS, _ids(links)), links)

    def _objects(
        self, kinds: Kinds, scope: Scope = Scope.CRITERIA, given: Sequence[int] = (), leaf: bool | None = None
    ) -> Rows:
        """Objects of these kinds in the scope that match the parameters which restrict these kinds."""
        if scope is not Scope.CRITERIA and not given:
            return ()
        query = self._query
        entry_kinds = query.entry_kinds
        criteria = [c for c in query.criteria if self._restricts(c, kinds, scope)]
        bound = [c for c in criteria if c.param.match not in _SHAPING]
        shape = Shape(
            scope,
            query.leaf if leaf is None else leaf,
            () if scope is Scope.CRITERIA else self._links(),
            kinds=tuple([kind.value for kind in kinds if kind not in ENTRIES or kind in entry_kinds]),
            statuses=self._statuses(kinds, scope, criteria),
            query=query.row.id,
            params=tuple([(c.param.name, len(c.groups)) for c in bound]),
            whole=self._whole,
            view=self._view,
        )
        parameters: dict[str, Any] = {"given": as_list(self._connection, given)} if given else {}
        for position, criterion in enumerate(bound):
            self._bind(parameters, f"p{position}", criterion)
        return self._bounded(object_statement(self._terms.dialect, shape), parameters)

    def _statuses(self, kinds: Kinds, scope: Scope, criteria: Sequence[Criterion]) -> tuple[int, ...]:
        """The stored statuses that count: those asked for, without superseded versions at level 1.

        At level 1 a superseded version is found by its entryUUID, and at the end of an association so found.
        """
        everything = self._query.level > 1
        for criterion in criteria:
            if criterion.param.match is Match.STATUS:
                asked = {STATUS[status] for status in criterion.groups[0]}
                return tuple(sorted(asked | {SUPERSEDED} if everything and DEPRECATED in asked else asked))
        named = any([criterion.param.attribute == "entry_uuid" for criterion in criteria])
        if everything or named or scope is Scope.ENDS or _VERSIONED.isdisjoint(kinds):
            return ()
        return _LATEST

    def _links(self) -> tuple[int, ...]:
        """The stored statuses of associations that count."""
        if self._query.level == 1:
            return (APPROVED,)
        return tuple(sorted({STATUS[status] for status in self._query.values(Match.ASSOCIATION_STATUS)}))

    def _restricts(self, criterion: Criterion, kinds: Kinds, scope: Scope) -> bool:
        """Whether a parameter restricts objects of these kinds; identifiers say only where to begin."""
        if scope is not Scope.CRITERIA and criterion.param.name in self._query.row.identifiers:
            return False
        return any([kind in kinds for kind in criterion.param.kinds])

    def _associations(self, scope: Scope, *, leaf: bool | None = None, **lists: Sequence[Any]) -> Rows:
        """Associations in the scope; ``lists`` are what its statement binds."""
        if not all(lists.values()):
            return ()
        query = self._query
        shape = Shape(
            scope,
            query.leaf if leaf is None else leaf,
            self._links(),
            latest=query.level == 1,
            kinds=tuple([kind.value for kind in query.entry_kinds]) if scope is Scope.RELATING else (),
            whole=self._whole,
            view=self._view,
        )
        parameters = {name: as_list(self._connection, values) for name, values in lists.items()}
        return self._bounded(association_statement(self._terms.dialect, shape), parameters)

    def _bind(self, parameters: dict[str, Any], name: str, criterion: Criterion) -> None:
        """The bind parameters of one criterion, by group."""
        param, terms = criterion.param, self._terms
        for number, group_values in enumerate(criterion.groups):
            values: Sequence[Any] = group_values
            group = f"{name}_{number}"
            if param.attribute == "patient_id":
                known = self._patients
                parameters[group] = as_list(self._connection, known) if param.many else known[0]
                continue
            if param.match in TIMES:
                parameters[f"{group}_low"], parameters[f"{group}_high"] = values[0]
                continue
            if param.match is Match.CODE and terms.expand is not None:
                values = [same for code in values for same in terms.expand(code)]
            elif param.match is Match.LIKE and terms.dialect.folded:
                values = [fold(pattern) for pattern in values]
            parameters[group] = as_list(self._connection, values)

    def _bounded(self, statement: str, parameters: dict[str, Any]) -> Rows:
        parameters["limit"] = self._limit + 1
        if self._shown:
            parameters |= self._shown
        rows = fetch(self._connection, statement, parameters)
        self._check(len(rows))
        return rows

    def _check(self, count: int) -> None:
        if count > self._limit:
            raise Refused([_too_many(self._query, self._limit)])


def several_patients(found: Found) -> bool:
    """Whether the objects belong to more than one patient."""
    return len({row[PATIENT] for row in found.objects}) > 1


def _ids(rows: Rows) -> list[int]:
    return [row[ID] for row in rows]


def _too_many(query: Query, limit: int) -> Finding:
    given = {criterion.param.name for criterion in query.criteria}
    narrowing = [p.name for p in query.row.params if p.name not in given and p.match is not Match.LEVEL]
    advice = ["returnType ObjectRef"] if query.leaf else []
    return Finding(
        "XDSTooManyResults",
        f"the answer would hold more than {limit} objects",
        place=f"AdhocQuery {query.row.name}",
        allowed="narrow it by "
        + ", ".join([n for n in narrowing if n not in query.row.identifiers] + advice),
        source="ITI TF-2 3.18.4.1.3",
    )


_COLLECT: Final[Mapping[Result, Callable[[Collector], Found]]] = {
    Result.FIND: Collector._find,
    Result.ALL: Collector._all,
    Result.OBJECTS: Collector._find,
    Result.ASSOCIATIONS: Collector._associations_of,
    Result.DOCUMENTS_AND_ASSOCIATIONS: Collector._documents_and_associations,
    Result.SETS_OF: Collector._sets_of,
    Result.SET_CONTENTS: Collector._set_contents,
    Result.FOLDER_CONTENTS: Collector._folder_contents,
    Result.FOLDERS_OF: Collector._folders_of,
    Result.RELATED: Collector._related,
}
