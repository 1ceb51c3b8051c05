"""From query:AdhocQueryRequest to a checked, typed query (ITI TF-2 3.18.4.1.2, 3.51.4.1.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from unicodedata import normalize

from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import (
    ON_DEMAND_OBJECT_TYPE,
    QUERY,
    RIM,
    STABLE_OBJECT_TYPE,
    AssociationType,
    ObjectKind,
    Status,
)
from msim_xds.ihe.queries import ENTRIES, QUERIES, TIMES, Match, Param, StoredQuery
from msim_xds.metadata.datatypes import Period, is_dtm, period
from msim_xds.registry.columns import code_text
from msim_xds.registry.value_syntax import BadValue, parse
from msim_xds.settings import LimitSettings

if TYPE_CHECKING:
    from lxml.etree import _Element

_OPTION: Final = f"{{{QUERY}}}ResponseOption"
_ADHOC: Final = f"{{{RIM}}}AdhocQuery"
_SLOT: Final = f"{{{RIM}}}Slot"
_VALUE: Final = f"{{{RIM}}}Value"
_RETURN_TYPES: Final = {"LeafClass": True, "ObjectRef": False}
_SYNTAX: Final = "ITI TF-2 3.18.4.1.2.3"

#: Slots of one name: each makes the SQL longer, while a handful is what people ask for.
MOST_GROUPS: Final = 32

#: Text of a Slot that is worth remembering.
_KEPT_CHARS: Final = 1024

#: Parameters whose values are numbers or times, and so may stand without quotes.
_BARE: Final = TIMES | {Match.LEVEL}

_STATUSES: Final = {status.value: status for status in Status}

#: Parameters with a closed set of values. A value outside is ignored, as newer senders may know more
#: (ITI TF-2 3.18.4.1.2.3.7); nothing but such values is a fault.
_CLOSED: Final[Mapping[Match, Mapping[str, object]]] = {
    Match.STATUS: _STATUSES,
    Match.ASSOCIATION_STATUS: _STATUSES,
    Match.OBJECT_TYPE: {
        STABLE_OBJECT_TYPE: ObjectKind.STABLE_DOCUMENT_ENTRY,
        ON_DEMAND_OBJECT_TYPE: ObjectKind.ON_DEMAND_DOCUMENT_ENTRY,
    },
    Match.AVAILABILITY: {
        urn: urn
        for urn in (
            "urn:ihe:iti:2010:DocumentAvailability:Online",
            "urn:ihe:iti:2010:DocumentAvailability:Offline",
        )
    },
    Match.ASSOCIATION_TYPE: {kind.value: kind for kind in AssociationType},
}

_LEVEL: Final = "$MetadataLevel"

#: Queries that have $XDSDocumentEntryType.
_TYPED: Final = frozenset(r.id for r in QUERIES.values() for p in r.params if p.match is Match.OBJECT_TYPE)


@dataclass(frozen=True, slots=True)
class Criterion:
    """One parameter as given: every group must match (AND), by any of its values (OR).

    Times are ``Period``, closed sets of values their enumeration (see ``_CLOSED``), the rest strings in NFC.
    """

    param: Param
    groups: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A stored query with its parameters, checked.

    Attributes:
        row: which query.
        leaf: whole objects (LeafClass) instead of ObjectRefs.
        criteria: the parameters given, in the order of the row.
        level: $MetadataLevel; 1 knows the latest versions and no deprecated Association, 2 knows all.
    """

    row: StoredQuery
    leaf: bool
    criteria: tuple[Criterion, ...]
    level: int

    def values(self, match: Match) -> tuple[Any, ...]:
        """The values of the first parameter that matches so; empty when it is absent."""
        return next((c.groups[0] for c in self.criteria if c.param.match is match), ())

    @property
    def patients(self) -> tuple[str, ...]:
        """The patients asked for; none for a query by id, or about all patients (ITI-51)."""
        for criterion in self.criteria:
            if criterion.param.attribute == "patient_id":
                return criterion.groups[0]
        return ()

    @property
    def entry_kinds(self) -> tuple[ObjectKind, ...]:
        """The DocumentEntries asked for: where $XDSDocumentEntryType exists, its absence means stable."""
        if self.row.id not in _TYPED:
            return ENTRIES
        given = self.values(Match.OBJECT_TYPE) or ENTRIES[:1]
        return tuple([kind for kind in ENTRIES if kind in given])


def read(request: _Element, queries: Mapping[str, StoredQuery], limits: LimitSettings) -> Query:
    """The query of an AdhocQueryRequest.

    Args:
        request: the payload.
        queries: the rows that the transaction offers, by id.
        limits: bounds on Slots and values.

    Raises:
        Refused: with every finding: XDSUnknownStoredQuery, XDSStoredQueryMissingParam,
            XDSStoredQueryParamNumber, XDSRegistryError.
    """
    option, adhoc = _child(request, _OPTION), _child(request, _ADHOC)
    findings: list[Finding] = []
    return_type = "RegistryObject" if option is None else option.get("returnType", "RegistryObject")
    leaf = _RETURN_TYPES.get(return_type)
    if leaf is None:
        findings.append(_bad_return_type(return_type))
    query_id = None if adhoc is None else adhoc.get("id")
    row = None if query_id is None else queries.get(query_id.strip().lower())
    if row is None:
        findings.append(_unknown_query(query_id, queries))
    if row is None or adhoc is None:
        raise Refused(findings)
    reader = _Reader(row, limits)
    criteria = reader.criteria(_slots(adhoc))
    findings += reader.findings
    if findings or leaf is None:
        raise Refused(findings)
    return Query(row, leaf, criteria, reader.level)


def _child(request: _Element, tag: str) -> _Element | None:
    return next((child for child in request if child.tag == tag), None)


def _bad_return_type(seen: str) -> Finding:
    return Finding(
        "XDSRegistryError",
        "this returnType is not answered",
        place="ResponseOption",
        attribute="returnType",
        seen=seen,
        allowed="LeafClass or ObjectRef",
        source="ITI TF-2 3.18.4.1.2.2",
    )


def _unknown_query(seen: str | None, queries: Mapping[str, StoredQuery]) -> Finding:
    elsewhere = QUERIES.get((seen or "").strip().lower())
    if elsewhere is not None:
        switch = " and search.preview" if elsewhere.preview else ""
        problem = f"is {elsewhere.name}, which needs {elsewhere.transaction}{switch}"
    else:
        problem = "is not a stored query of this transaction" if seen else "is missing"
    return Finding(
        "XDSUnknownStoredQuery",
        problem,
        place="AdhocQuery",
        attribute="id",
        seen=seen,
        allowed=", ".join(f"{row.name} {row.id}" for row in queries.values()),
        source="ITI TF-2 3.18.4.1.2.4",
    )


def _slots(adhoc: _Element) -> Iterator[tuple[str, list[str]]]:
    for slot in adhoc.iterchildren(_SLOT):
        yield slot.get("name", ""), [value.text or "" for value in slot.iter(_VALUE)]


def _time(text: str) -> Period:
    if not is_dtm(text):
        raise BadValue("is not a DTM", text, "YYYY[MM[DD[hh[mm[ss]]]]], digits only")
    return period(text)


def _code(text: str) -> str:
    code, _, scheme = text.partition("^^")
    if not code or not scheme or "^" in code or "^" in scheme:
        raise BadValue("is not a coded value", text, "'code^^scheme'")
    return code_text(code, scheme)


def _level(text: str) -> int:
    if text not in ("1", "2"):
        raise BadValue("is not a metadata level", text, "1 or 2")
    return int(text)


def _text(text: str) -> str:
    if not text:
        raise BadValue("is empty", text, "a value, or no parameter at all")
    return normalize("NFC", text)


def _uuid(text: str) -> str:
    return _text(text).lower()


_CONVERT: Final[Mapping[Match, Callable[[str], object]]] = {
    Match.EQUAL: _text,
    Match.LIKE: _text,
    Match.REFERENCE: _text,
    Match.CODE: _code,
    Match.LOGICAL_ID: _uuid,
    **dict.fromkeys(TIMES, _time),
    Match.LEVEL: _level,
}


class _SeveralValues(Exception):
    """A single-valued parameter has several values."""


@dataclass(frozen=True, slots=True, eq=False)
class _Rule:
    """How one parameter is read: may it stand without quotes, and what its values are or become."""

    param: Param
    bare: bool
    known: Mapping[str, object] | None
    convert: Callable[[str], object]

    @classmethod
    def of(cls, param: Param) -> _Rule:
        known = _CLOSED.get(param.match)
        usual = _CONVERT.get(param.match, _text if known is None else str)
        return cls(param, param.match in _BARE, known, _uuid if param.attribute == "entry_uuid" else usual)


@lru_cache(maxsize=2048)
def _items(values: tuple[str, ...], rule: _Rule, most: int, longest: int) -> tuple[Any, ...]:
    """The converted items of one Slot; consumers send the same statuses, codes and times again and again.

    Raises:
        BadValue: the syntax, or an item, is wrong.
        _SeveralValues: there is more than the parameter takes.
    """
    items = parse(values, bare=rule.bare, most=most, longest=longest)
    if len(items) > 1 and not rule.param.many:
        raise _SeveralValues
    return tuple(map(rule.convert, items))


_RULES: Final = {row.id: {p.name: _Rule.of(p) for p in row.params} for row in QUERIES.values()}


class _Reader:
    """Reads the parameters of one query, collecting findings."""

    def __init__(self, row: StoredQuery, limits: LimitSettings) -> None:
        self.row = row
        self.limits = limits
        self.level = 1
        self.findings: list[Finding] = []

    def criteria(self, slots: Iterator[tuple[str, list[str]]]) -> tuple[Criterion, ...]:
        """Every parameter that the slots give and the row has at this $MetadataLevel.

        Slots of other names are ignored; the level itself becomes ``level``.
        """
        given: dict[str, list[list[str]]] = {}
        for number, (name, values) in enumerate(slots):
            if number == self.limits.slots:
                self._find("XDSRegistryError", "", f"has more than {number} Slots")
                return ()
            if values:  # an empty ValueList says that the parameter is absent
                given.setdefault(name, []).append(values)
        rules = _RULES[self.row.id]
        if _LEVEL in given and _LEVEL in rules:
            groups = self._groups(rules[_LEVEL], given.pop(_LEVEL))
            self.level = groups[0][0] if groups and groups[0] else 1
        self._check_identifiers(given)
        self._check_choices(given)
        found: list[Criterion] = []
        for rule in rules.values():
            param = rule.param
            if param.name in given and param.level <= self.level:
                found.append(Criterion(param, self._groups(rule, given[param.name])))
            elif param.required:
                self._find("XDSStoredQueryMissingParam", param.name, "is required")
        return tuple(found)

    def _check_identifiers(self, given: Mapping[str, object]) -> None:
        if not self.row.identifiers:
            return
        levels = {name: _RULES[self.row.id][name].param.level for name in self.row.identifiers}
        names = [name for name, level in levels.items() if level <= self.level]
        if not self._at_most_one(names, given):
            higher = [f"{name} with {_LEVEL} {level}" for name, level in levels.items() if level > self.level]
            self._find(
                "XDSStoredQueryMissingParam",
                " or ".join(names),
                "exactly one of these is required",
                allowed=" or ".join([*names, *higher]),
            )

    def _check_choices(self, given: Mapping[str, object]) -> None:
        names = self.row.any_of
        if names and not any(name in given for name in names):
            self._find("XDSStoredQueryMissingParam", " or ".join(names), "at least one of these is required")
        for group in self.row.exclusive:
            self._at_most_one(group, given)

    def _at_most_one(self, names: Iterable[str], given: Mapping[str, object]) -> bool:
        """Whether one of the parameters is given; each further one is a fault."""
        present = [name for name in names if name in given]
        for name in present[1:]:
            self._find("XDSStoredQueryParamNumber", name, f"excludes {present[0]}")
        return bool(present)

    def _groups(self, rule: _Rule, slots: Sequence[list[str]]) -> tuple[tuple[Any, ...], ...]:
        if len(slots) > 1 and not rule.param.repeat:
            self._find("XDSStoredQueryParamNumber", rule.param.name, "may be given in one Slot only")
        if len(slots) > MOST_GROUPS:
            self._find("XDSRegistryError", rule.param.name, f"is given in more than {MOST_GROUPS} Slots")
            return ()
        return tuple([self._group(rule, values) for values in slots])

    def _group(self, rule: _Rule, values: Sequence[str]) -> tuple[Any, ...]:
        param, limits = rule.param, self.limits
        try:
            read = _items if sum(map(len, values)) <= _KEPT_CHARS else _items.__wrapped__
            items = read(tuple(values), rule, limits.values, limits.value_chars)
            return items if rule.known is None else self._known(param, items, rule.known)
        except _SeveralValues:
            self._find("XDSStoredQueryParamNumber", param.name, "takes a single value")
        except BadValue as bad:
            self._find("XDSRegistryError", param.name, str(bad), bad.seen, bad.allowed, _SYNTAX)
        return ()

    def _known(self, param: Param, items: Sequence[str], known: Mapping[str, object]) -> tuple[Any, ...]:
        values = tuple([known[item] for item in items if item in known])
        if not values:
            code = "XDSStoredQueryMissingParam" if param.required else "XDSRegistryError"
            self._find(code, param.name, "holds no known value", items[0], " or ".join(known))
        return values

    def _find(
        self, code: str, name: str, problem: str, seen: str | None = None, allowed: str = "", source: str = ""
    ) -> None:
        self.findings.append(
            Finding(
                code,
                problem,
                place=f"AdhocQuery {self.row.name}",
                attribute=name,
                seen=seen,
                allowed=allowed,
                source=source or self.row.section,
                context=name if code != "XDSRegistryError" else "",
            )
        )
