"""A view of the documents as SQL conditions; ``security.access.document`` says the same of one document.

What is no document shows itself with documents: a SubmissionSet or Folder is hidden when it holds entries and
all of them are hidden, an Association when an entry at one of its ends is, or what contains it. The text
depends on a view's outline only, so that callers share statements; values are bound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Connection,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    not_,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.sql.selectable import NamedFromClause

from msim_xds.database.access_tables import consent
from msim_xds.database.among import among, as_parameter
from msim_xds.database.schema import association, object_code, registry_object
from msim_xds.ihe.names import AssociationType, ObjectKind
from msim_xds.ihe.queries import ENTRIES
from msim_xds.registry.columns import ASSOCIATION_TYPE, CODE_ATTRIBUTE, INSTITUTION, SUPERSEDED
from msim_xds.registry.literals import number, one_of
from msim_xds.wire.view import Fact, Form, Outline, View

Flag = ColumnElement[bool]
#: A table or an alias of one.
Entry = NamedFromClause
#: An entry's columns, and the name of what the condition's values are bound to.
_Written = Callable[[Entry, str], Flag]

_KINDS: Final = tuple(int(kind) for kind in ENTRIES)
_FOLDER: Final = int(ObjectKind.FOLDER)
_HAS_MEMBER: Final = ASSOCIATION_TYPE[AssociationType.HAS_MEMBER]
_KEPT: Final = 1024  # views whose values are at hand
_NUMBERS: Final = frozenset({Fact.CREATED_SURELY, Fact.CREATED_PERHAPS})


def bound(connection: Connection, view: View) -> dict[str, Any]:
    """The values that a statement with this view binds."""
    return {**_bound(view, is_sqlite=connection.dialect.name == "sqlite")}


@lru_cache(_KEPT)
def _bound(view: View, *, is_sqlite: bool) -> Mapping[str, Any]:
    parameters: dict[str, Any] = {}
    for (clause, position), values in view.values:
        name = _name(clause, position)
        if view.clauses[clause].tests[position].fact in _NUMBERS:
            parameters[f"{name}_low"], parameters[f"{name}_high"] = values
        else:
            parameters[name] = as_parameter([str(value) for value in values], is_sqlite=is_sqlite)
    return parameters


def of_objects(outline: Outline, kinds: tuple[int, ...]) -> Flag:
    """That a row of registry_object, of one of these kinds, may be shown."""
    if outline.shows_nothing:
        return false()
    entry, container = shown(outline, registry_object), _container(outline, registry_object)
    entries = [kind for kind in kinds if kind in _KINDS]
    if len(entries) == len(kinds):
        return entry
    if not entries:
        return container
    is_entry = one_of(registry_object.c.kind, _KINDS)
    return or_(and_(is_entry, entry), and_(not_(is_entry), container))


def of_associations(outline: Outline) -> Flag:
    """That a row of association may be shown."""
    if outline.shows_nothing:
        return false()
    link = association
    entry, folder, holder = (registry_object.alias(f"end_{name}") for name in ("entry", "folder", "holder"))
    hidden_entry = _exists(link, entry.c.id.in_(ends(link)), _is_entry(entry), not_(shown(outline, entry)))
    holds_folder = _exists(link, folder.c.id == link.c.target_object, one_of(folder.c.kind, (_FOLDER,)))
    hidden_holder = _exists(
        link,
        holder.c.id.in_([link.c.source_object, link.c.target_object]),
        not_(_is_entry(holder)),
        not_(_container(outline, holder)),
    )
    return and_(not_(hidden_entry), or_(not_(holds_folder), not_(hidden_holder)))


def owned(outline: Outline, keys: CompoundSelect[Any], thing: Entry) -> Flag:
    """That there are entries among the keys that belong to ``thing``, and that all of them may be shown."""
    entry, other = registry_object.alias("owned_entry"), registry_object.alias("other_entry")
    return and_(
        _exists(thing, entry.c.id.in_(keys), _is_entry(entry)),
        not_(_exists(thing, other.c.id.in_(keys), _is_entry(other), not_(shown(outline, other)))),
    )


def shown(outline: Outline, entry: Entry) -> Flag:
    """That an entry may be shown. One that was superseded needs all later versions to be shown as well."""
    if outline.shows_nothing:
        return false()
    later = registry_object.alias(f"{entry.name}_later")
    hidden_later = _exists(
        entry,
        later.c.logical_id == entry.c.logical_id,
        later.c.logical_id != later.c.entry_uuid,
        later.c.version > entry.c.version,
        not_(_decision(outline, later)),
    )
    current = entry.c.status != number(SUPERSEDED)
    return and_(_decision(outline, entry), or_(current, not_(hidden_later)))


def contents(thing: Entry) -> CompoundSelect[Any]:
    """Keys of an object and what it contains: members, those of its Folders, ends of its Associations."""
    member, inner = (association.alias(f"{thing.name}_{name}") for name in ("member", "inner"))
    held = (member.c.source_object == thing.c.id, member.c.type == number(_HAS_MEMBER))
    is_folders = (inner.c.source_object == member.c.target_object, inner.c.type == number(_HAS_MEMBER))
    is_member = inner.c.id == member.c.target_object
    return union_all(
        select(thing.c.id).correlate(thing),
        select(member.c.target_object).where(*held).correlate(thing),
        select(inner.c.target_object).where(*held, *is_folders).correlate(thing),
        select(inner.c.source_object).where(*held, is_member).correlate(thing),
        select(inner.c.target_object).where(*held, is_member).correlate(thing),
    )


def ends(link: Entry) -> CompoundSelect[Any]:
    """Keys at an Association's ends; where one is an Association, also those at its ends."""
    inner = association.alias(f"{link.name}_nested")
    nested = inner.c.id == link.c.target_object
    return union_all(
        select(link.c.source_object).correlate(link),
        select(link.c.target_object).correlate(link),
        select(inner.c.source_object).where(nested).correlate(link),
        select(inner.c.target_object).where(nested).correlate(link),
    )


def _container(outline: Outline, thing: Entry) -> Flag:
    """That a SubmissionSet or Folder shows something, or holds no entry at all."""
    entry, other = (registry_object.alias(f"{thing.name}_{name}") for name in ("entry", "other"))
    return or_(
        _exists(thing, entry.c.id.in_(contents(thing)), _is_entry(entry), shown(outline, entry)),
        not_(_exists(thing, other.c.id.in_(contents(thing)), _is_entry(other))),
    )


def _decision(outline: Outline, entry: Entry) -> Flag:
    """What the first clause that fits says of an entry."""
    cases = [
        (
            and_(*(_condition(form, entry, _name(at_clause, at)) for at, form in enumerate(forms))),
            number(permit),
        )
        for at_clause, (permit, forms) in enumerate(outline.clauses)
    ]
    otherwise = number(outline.otherwise)
    return (case(*cases, else_=otherwise) if cases else otherwise) == number(1)


def _condition(form: Form, entry: Entry, name: str) -> Flag:
    holds = _WRITTEN[form.fact](entry, name)
    return holds.is_not(true()) if form.negated else holds


def _confidentiality(entry: Entry, name: str) -> Flag:
    mine = (object_code.c.object_id == entry.c.id, _attribute(CODE_ATTRIBUTE["confidentiality_codes"]))
    strange = _exists(entry, *mine, not_(among(object_code.c.code, bindparam(name))))
    return and_(_exists(entry, *mine), not_(strange))


def _code(column: str) -> _Written:
    return lambda entry, name: among(entry.c[column], bindparam(name))


def _institution(entry: Entry, name: str) -> Flag:
    return _exists(
        entry,
        object_code.c.object_id == entry.c.id,
        _attribute(INSTITUTION),
        among(object_code.c.code, bindparam(name)),
    )


def _created(*, surely: bool) -> _Written:
    def written(entry: Entry, name: str) -> Flag:
        low, high = (bindparam(f"{name}_{end}", type_=BigInteger) for end in ("low", "high"))
        return _within(entry, low, high, surely=surely)

    return written


def _within(entry: Entry, low: ColumnElement[Any], high: ColumnElement[Any], *, surely: bool) -> Flag:
    begins, ends = entry.c.time_low, entry.c.time_high
    if surely:
        return func.coalesce(and_(begins >= low, ends <= high), false())
    return or_(begins.is_(None), and_(ends >= low, begins <= high))


def _consented(*, opt_in: bool) -> _Written:
    said = consent.c

    def written(entry: Entry, name: str) -> Flag:
        by = _exists(
            (entry, consent),
            object_code.c.object_id == entry.c.id,
            _attribute(INSTITUTION),
            object_code.c.code == said.institution,
        )
        event = _exists(
            (entry, consent),
            object_code.c.object_id == entry.c.id,
            _attribute(CODE_ATTRIBUTE["event_codes"]),
            object_code.c.code == said.event_code,
        )
        facility = entry.c.healthcare_facility_type_code
        within = _within(entry, said.created_low, said.created_high, surely=opt_in)
        return _exists(
            entry,
            said.patient_id == entry.c.patient_id,
            said.withdrawn_at.is_(None),
            said.opt_in if opt_in else not_(said.opt_in),
            or_(said.class_code.is_(None), said.class_code == entry.c.class_code),
            or_(said.facility_code.is_(None), said.facility_code == facility),
            or_(said.event_code.is_(None), event),
            or_(said.institution.is_(None), by),
            or_(said.created_low.is_(None), within),
        )

    return written


def _exists(outer: Entry | tuple[Entry, ...], *conditions: Flag) -> Flag:
    """That a row exists that stands so to rows of the statements around it."""
    around = outer if isinstance(outer, tuple) else (outer,)
    return exists().where(*conditions).correlate(*around)


def _is_entry(thing: Entry) -> Flag:
    return one_of(thing.c.kind, _KINDS)


def _attribute(which: int) -> Flag:
    return object_code.c.attribute == number(which)


def _name(clause: int, position: int) -> str:
    return f"view_{clause}_{position}"


_WRITTEN: Final[Mapping[Fact, _Written]] = {
    Fact.CONFIDENTIALITY: _confidentiality,
    Fact.CLASS: _code("class_code"),
    Fact.TYPE: _code("type_code"),
    Fact.PRACTICE_SETTING: _code("practice_setting_code"),
    Fact.FACILITY_TYPE: _code("healthcare_facility_type_code"),
    Fact.INSTITUTION: _institution,
    Fact.CREATED_SURELY: _created(surely=True),
    Fact.CREATED_PERHAPS: _created(surely=False),
    Fact.OPTED_OUT: _consented(opt_in=False),
    Fact.OPTED_IN: _consented(opt_in=True),
}
