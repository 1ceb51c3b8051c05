"""Remove Metadata (ITI-62): a set of objects goes as a whole, or nothing does.

What stays must be whole as well: no Association may lead to something removed, and nothing may be left
without the Association that must hold it. Nothing goes before its time, unless an operator says why.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from msim_xds.database.engine import Database
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import RIM, RS, ObjectKind, ResponseStatus
from msim_xds.ihe.queries import ENTRIES
from msim_xds.ihe.transactions import ITI_62
from msim_xds.metadata.values import LONGEST, is_uuid
from msim_xds.registry import dependents, disclosure, erasure, holdings, patients, records
from msim_xds.registry.dependents import KIND_NAMES, Thing
from msim_xds.registry.erasure import Note, Remover
from msim_xds.registry.holdings import Held
from msim_xds.registry.retention import Period, Retention, last_day, must_be_kept
from msim_xds.settings import LimitSettings
from msim_xds.wire.answers import registry_response
from msim_xds.wire.exchange import Answer, Concerns, Named, Request
from msim_xds.wire.view import View

if TYPE_CHECKING:
    from lxml.etree import _Element

#: Chooses what is to go, by key. Asked twice, before and after the locks are taken.
Choice = Callable[[Connection], Collection[int]]

_SOURCE: Final = ITI_62.section
_PLACE: Final = "RemoveObjectsRequest"
_REFERENCES: Final = f"{{{RIM}}}ObjectRefList"
_REFERENCE: Final = f"{{{RIM}}}ObjectRef"
_IGNORED: Final = frozenset({f"{{{RS}}}RequestSlotList"})
_DELETE_ALL: Final = "urn:oasis:names:tc:ebxml-regrep:DeletionScopeType:DeleteAll"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a removal would do.

    Attributes:
        things: what would go, in the order of the keys.
        periods: by key, how long the entries among them are kept that have a period.
        findings: what speaks against it whoever asks.
        early: what speaks against it before its time.
    """

    things: tuple[Thing, ...]
    periods: Mapping[int, Period]
    findings: tuple[Finding, ...]
    early: tuple[Finding, ...]

    @property
    def named(self) -> tuple[Named, ...]:
        """What would go, as audit records name it."""
        return tuple(Named(thing.entry_uuid, thing.patient) for thing in self.things)


class MetadataRemoval:
    """Removes objects from the registry; safe to share between threads."""

    def __init__(
        self, database: Database, retention: Retention, limits: LimitSettings, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._retention = retention
        self._limits = limits
        self._clock = clock

    def remove_metadata(self, request: Request) -> Answer:
        """ITI-62. Raises Refused, and then nothing is removed."""
        uuids = requested(request.body, self._limits)

        def named(connection: Connection) -> list[int]:
            held = _visible(connection, request.view, holdings.objects(connection, uuids))
            unresolved = [uuid for uuid in uuids if uuid not in held]
            if unresolved:
                raise Refused(map(_unresolved, unresolved))
            if request.owned is not None:
                foreign = disclosure.foreign(connection, request.owned, {held[uuid].id for uuid in uuids})
                if foreign:
                    others = [uuid for uuid in uuids if held[uuid].id in foreign]
                    raise Refused(disclosure.not_owned(ITI_62, _PLACE, uuid) for uuid in others)
            return [held[uuid].id for uuid in uuids]

        def record(connection: Connection, plan: Plan) -> None:
            request.concerns = Concerns(done=plan.named)
            request.record(connection)

        request.concerns = Concerns(refused=tuple(map(Named, uuids)))
        self.remove(named, Remover(request.remote_address or "unknown"), record=record)
        return Answer([registry_response(ResponseStatus.SUCCESS)])

    def remove(
        self,
        choice: Choice,
        remover: Remover,
        *,
        rehearse: bool = False,
        record: Callable[[Connection, Plan], None] | None = None,
    ) -> Plan:
        """Remove them all; returns what was done, or in a rehearsal what would be, for or against it.

        ``record`` is called in the transaction that removes them.

        Raises:
            Refused: with everything that speaks against it; not in a rehearsal.
            TimeoutError: too much else is going on.
        """
        with self._database.write() as connection:
            plan = self._judged(connection, _locked(connection, choice))
            if rehearse:
                return plan
            found = plan.findings if remover.reason else (*plan.findings, *plan.early)
            if found:
                raise Refused(found)
            self._carry_out(connection, plan, remover)
            if record is not None:
                record(connection, plan)
        return plan

    def shared(self, plan: Plan) -> set[str]:
        """The uniqueIds of what would go that something that stays has as well."""
        unique_ids = {thing.unique_id for thing in plan.things if thing.unique_id is not None}
        with self._database.read() as connection:
            others = dependents.named(connection, unique_ids) - {thing.id for thing in plan.things}
            return {thing.unique_id or "" for thing in dependents.things(connection, others)}

    def _judged(self, connection: Connection, things: list[Thing]) -> Plan:
        entries = [thing for thing in things if thing.kind in ENTRIES]
        found = ((thing.id, self._retention.period(thing.as_entry())) for thing in entries)
        periods = {key: period for key, period in found if period is not None}
        early = tuple(
            must_be_kept("XDSRegistryError", thing.place, periods[thing.id], _SOURCE)
            for thing in entries
            if not self._retention.is_over(periods.get(thing.id))
        )
        return Plan(tuple(things), periods, tuple(_broken(connection, things)), early)

    def _carry_out(self, connection: Connection, plan: Plan, remover: Remover) -> None:
        moment = self._clock()
        sources = {thing.source for thing in plan.things if thing.source is not None}
        shrunk = {
            thing.id for thing in dependents.things(connection, sources) if thing.kind is ObjectKind.FOLDER
        }
        erasure.erase(connection, plan.things)
        records.touch_folders(connection, shrunk, moment.strftime("%Y%m%d%H%M%S"))
        notes = (
            Note(
                thing.kind,
                thing.entry_uuid,
                thing.unique_id,
                thing.patient,
                last_day(plan.periods.get(thing.id)),
            )
            for thing in plan.things
        )
        erasure.note(connection, ITI_62, remover, moment, notes)


def _visible(connection: Connection, view: View | None, held: dict[str, Held]) -> dict[str, Held]:
    """What of these the sender may know to be there."""
    if view is None:
        return held
    shown = disclosure.shown_objects(connection, view, {each.id for each in held.values()})
    return {uuid: each for uuid, each in held.items() if each.id in shown}


def everything(names: Collection[str]) -> Choice:
    """All that has one of these for its entryUUID or uniqueId, with all that must go along."""
    return lambda connection: dependents.complete(connection, dependents.named(connection, names))


def requested(body: _Element, limits: LimitSettings) -> list[str]:
    """The entryUUIDs of a lcm:RemoveObjectsRequest, each once.

    Raises:
        Refused: it asks for something else, or for too much.
    """
    findings = list(_foreign(body))
    references = body.findall(f"{_REFERENCES}/{_REFERENCE}")
    if not 1 <= len(references) <= limits.objects:
        problem = "are too many" if references else "there is none"
        allowed = f"1 to {limits.objects} references"
        raise Refused([*findings, _malformed("ObjectRef", problem, str(len(references)), allowed)])
    ids = [reference.get("id", "").strip() for reference in references]
    findings += (
        _malformed("ObjectRef/@id", "is no id of an object", each, "the entryUUID of an object")
        for each in ids
        if not 1 <= len(each) <= LONGEST
    )
    if findings:
        raise Refused(findings)
    return list(dict.fromkeys(each.lower() if is_uuid(each) else each for each in ids))


def _foreign(body: _Element) -> Iterator[Finding]:
    """What must not stand in the request: it would be asked for more, or for less, than is understood."""
    scope = body.get("deletionScope", _DELETE_ALL).strip()
    if scope != _DELETE_ALL:
        yield _malformed("deletionScope", "is not used", scope, _DELETE_ALL)
    lists = body.findall(_REFERENCES)
    if len(lists) > 1:
        yield _malformed("ObjectRefList", "occurs more than once", str(len(lists)), "exactly one")
    for child in body:
        if child.tag not in _IGNORED and child.tag != _REFERENCES:
            yield _malformed("", "is no part of this request", str(child.tag), "one rim:ObjectRefList")
    for child in (child for each in lists for child in each):
        if child.tag != _REFERENCE:
            yield _malformed("ObjectRefList", "holds something else", str(child.tag), "rim:ObjectRef")


def _locked(connection: Connection, choice: Choice) -> list[Thing]:
    """What is to go, with nobody else at it until this transaction ends.

    The patients are locked in the order of their ids, as a merge does it, then registration is held. What
    the choice gives may have changed before that, so it is made again.
    """
    locked = {thing.patient for thing in dependents.things(connection, choice(connection))}
    for cx in sorted(locked):
        patients.lock(connection, cx)
    erasure.hold_registrations(connection)
    things = dependents.things(connection, choice(connection))
    if not {thing.patient for thing in things} <= locked:
        raise TimeoutError("objects came to another patient while they were to be removed")
    return things


def _broken(connection: Connection, things: list[Thing]) -> Iterator[Finding]:
    """What the removal would leave broken (ITI-62, RMD supplement)."""
    by_id = {thing.id: thing for thing in things}
    for link in dependents.touching(connection, by_id):
        if link.id not in by_id:
            for end in sorted({link.source, link.target} & by_id.keys()):
                yield Finding(
                    "ReferencesExistException",
                    "an Association that would stay refers to it",
                    by_id[end].place,
                    seen=link.entry_uuid,
                    allowed="the Association in the same request, or the object left alone",
                    source=_SOURCE,
                )
    for left in dependents.stranded(connection, things):
        yield Finding(
            "XDSUnreferencedObjectException",
            _LEFT[left.kind],
            left.place,
            allowed="the object in the same request, or the membership left alone",
            source=_SOURCE,
        )


_LEFT: Final = {
    kind: "would be left without anything in it"
    if kind is ObjectKind.SUBMISSION_SET
    else "would be left outside every SubmissionSet"
    for kind in KIND_NAMES
}


def _unresolved(uuid: str) -> Finding:
    return Finding(
        "UnresolvedReferenceException",
        "is not in the registry",
        _PLACE,
        "ObjectRef/@id",
        uuid,
        "the entryUUID of a DocumentEntry, SubmissionSet, Folder or Association",
        _SOURCE,
    )


def _malformed(attribute: str, problem: str, seen: str, allowed: str) -> Finding:
    return Finding("XDSRegistryError", problem, _PLACE, attribute, seen, allowed, _SOURCE)
