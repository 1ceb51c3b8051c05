"""Recognises the operations of an update, and everything wrong with them that needs no store.

Source: ITI TF-2 3.57.4.1.3.1 (common rules), 3.57.4.1.3.3 (operations), 3.92.4.1.3.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from msim_xds.findings import Finding
from msim_xds.ihe import updates as ihe
from msim_xds.ihe.errors import ERRORS
from msim_xds.ihe.names import AssociationType, Status
from msim_xds.ihe.transactions import Transaction
from msim_xds.ihe.updates import ANNOTATION, Operation, Rule, SlotRow
from msim_xds.metadata import structure
from msim_xds.metadata.model import (
    Association,
    DocumentEntry,
    Folder,
    RegistryObject,
    Submission,
    SubmissionSet,
)
from msim_xds.metadata.structure import RELATIONSHIPS
from msim_xds.metadata.values import id_key, is_extra_metadata_name, is_urn, is_uuid
from msim_xds.settings import Tolerances

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}")
_TYPES: Final = frozenset(AssociationType)
_SUBMITTED: Final = RELATIONSHIPS | {AssociationType.HAS_MEMBER}


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A new version of a DocumentEntry or Folder.

    Attributes:
        thing: the version, whole, with the lid of its object.
        membership: the SubmissionSet's HasMember to it, which is kept.
        previous: the version that it follows.
        propagates: whether the Associations of that one go on to it.
    """

    thing: DocumentEntry | Folder
    membership: Association
    previous: int
    propagates: bool


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A change of availabilityStatus; ``trigger`` asks for it and is not kept."""

    trigger: Association
    original: Status
    new: Status

    @property
    def target(self) -> str:
        """Id of the object."""
        return self.trigger.target


@dataclass(frozen=True, slots=True)
class NewAssociation:
    """An Association between objects that are registered; ``trigger`` asks for it and is not kept."""

    trigger: Association
    link: Association


@dataclass(frozen=True, slots=True)
class Operations:
    """What one request asks for."""

    versions: tuple[NewVersion, ...] = ()
    statuses: tuple[StatusChange, ...] = ()
    associations: tuple[NewAssociation, ...] = ()

    @property
    def lasting(self) -> tuple[Association, ...]:
        """The request's Associations that are kept."""
        return (
            *(each.membership for each in self.versions),
            *(each.link for each in self.associations),
        )


def asks_for_update(submission: Submission) -> bool:
    """Whether a submission says by its Associations that it is an update; its message may not say which."""
    return any(
        link.type in (AssociationType.UPDATE_AVAILABILITY_STATUS, AssociationType.SUBMIT_ASSOCIATION)
        or any(slot.name == ihe.PREVIOUS_VERSION for slot in link.slots)
        for link in submission.associations
    )


def findings(submission: Submission, transaction: Transaction, tolerances: Tolerances) -> list[Finding]:
    """Everything wrong with an update that can be said without a store, attributes apart."""
    recognition = _Recognition(submission, transaction, tolerances)
    recognition.operations()
    return [*structure.whole(submission), *recognition.findings]


def recognise(submission: Submission, transaction: Transaction, tolerances: Tolerances) -> Operations:
    """The operations that can be made out; ``findings`` says what is wrong with the others."""
    return _Recognition(submission, transaction, tolerances).operations()


def refusal(
    rule: Rule,
    transaction: Transaction,
    place: str,
    attribute: str = "",
    seen: str | None = None,
    allowed: str = "",
) -> Finding:
    """The finding for a broken rule; where codeContext is prescribed it is the object's id as sent.

    Args:
        rule: a rule that holds in the transaction.
        transaction: ITI-57 or ITI-92.
        place: the object, its kind before its id.
        attribute: what is wrong about it.
        seen: the value found.
        allowed: what would be right, where the rule does not say it.
    """
    code = rule.code(transaction.name)
    context = place.partition(" ")[2] if ERRORS[code].context else ""
    source = rule.source(transaction.name)
    return Finding(
        code, rule.problem, place, attribute, seen, allowed or rule.allowed, source, context=context
    )


class _Recognition:
    """Sorts the objects of one request by the operations that they belong to."""

    def __init__(self, submission: Submission, transaction: Transaction, tolerances: Tolerances) -> None:
        self._submission = submission
        self._transaction = transaction
        self._tolerances = tolerances
        self._by_id: dict[str, RegistryObject] = {
            id_key(obj.entry_uuid): obj for obj in submission.objects() if obj.entry_uuid
        }
        self._things: tuple[DocumentEntry | Folder, ...] = (*submission.entries, *submission.folders)
        self._left = {id(obj): obj for obj in submission.associations}
        self.findings: list[Finding] = []

    def operations(self) -> Operations:
        """Every operation of the request."""
        associations = self._submission.associations
        if not any((self._submission.entries, self._submission.folders, associations)):
            self.findings.append(refusal(ihe.NOTHING, self._transaction, "SubmitObjectsRequest"))
        versions = [version for thing in self._things if (version := self._version(thing)) is not None]
        statuses = [
            change
            for trigger in self._triggers(ihe.UPDATE_STATUS)
            if (change := self._status(trigger)) is not None
        ]
        links = [
            new
            for trigger in self._triggers(ihe.SUBMIT_ASSOCIATION)
            if (new := self._association(trigger)) is not None
        ]
        for obj in self._left.values():
            self._note(ihe.LEFT_OVER, obj, "associationType", obj.type)
        self._contradictions(versions, statuses, links)
        changes = {id_key(change.target): change for change in statuses}
        submitted = {id_key(new.link.entry_uuid): new for new in links}
        return Operations(tuple(versions), tuple(changes.values()), tuple(submitted.values()))

    def _note(
        self, rule: Rule, obj: RegistryObject, attribute: str, seen: str | None = None, allowed: str = ""
    ) -> None:
        self.findings.append(refusal(rule, self._transaction, obj.place, attribute, seen, allowed))

    def _triggers(self, operation: Operation) -> list[Association]:
        """The Associations that ask for the operation, where the transaction knows it."""
        if self._transaction.name not in operation.transactions:
            return []
        return [obj for obj in self._submission.associations if obj.type == operation.trigger]

    def _object(self, reference: str) -> RegistryObject | None:
        return self._by_id.get(id_key(reference))

    # --- new versions -------------------------------------------------------------------------------

    def _version(self, thing: DocumentEntry | Folder) -> NewVersion | None:
        operation = ihe.UPDATE_FOLDER if isinstance(thing, Folder) else ihe.UPDATE_ENTRY
        memberships = [
            obj
            for obj in self._submission.associations
            if obj.type == operation.trigger
            and self._object(obj.target) is thing
            and isinstance(self._object(obj.source), SubmissionSet)
        ]
        for membership in memberships:
            self._left.pop(id(membership), None)
        if self._transaction.name not in operation.transactions:
            self._note(ihe.LEFT_OVER, thing, "", thing.kind.name)
            return None
        before = len(self.findings)
        self._logical_id(thing)
        if len(memberships) != 1:
            rule = ihe.SEVERAL_MEMBERSHIPS if memberships else ihe.NO_MEMBERSHIP
            self._note(rule, thing, "HasMember", str(len(memberships)))
            return None
        slots = self._slots(memberships[0], operation, thing)
        propagates = slots.get(ihe.PROPAGATION) != "no"
        if not propagates and ihe.PROPAGATION_ONLY.code(self._transaction.name):
            self._note(ihe.PROPAGATION_ONLY, thing, ihe.PROPAGATION, "no")
        if len(self.findings) > before:
            return None
        return NewVersion(thing, memberships[0], int(slots[ihe.PREVIOUS_VERSION]), propagates)

    def _logical_id(self, thing: DocumentEntry | Folder) -> None:
        lid = thing.logical_id
        if not lid:
            self._note(ihe.NO_LOGICAL_ID, thing, "logicalID")
        elif id_key(lid) == id_key(thing.entry_uuid):
            self._note(ihe.FIRST_VERSION, thing, "logicalID", lid)
        elif not is_uuid(lid) and not (self._tolerances.versioned_submission and is_urn(lid)):
            self._note(ihe.SYMBOLIC_LOGICAL_ID, thing, "logicalID", lid)

    # --- the other operations -----------------------------------------------------------------------

    def _status(self, trigger: Association) -> StatusChange | None:
        self._left.pop(id(trigger), None)
        before = len(self.findings)
        slots = self._slots(trigger, ihe.UPDATE_STATUS, trigger)
        self._from_set(trigger)
        if self._is_new(trigger.target) and slots.get(ihe.NEW_STATUS) == Status.APPROVED:
            self._note(ihe.APPROVED_ANYWAY, trigger, ihe.NEW_STATUS, Status.APPROVED)
        elif slots and slots.get(ihe.ORIGINAL_STATUS) == slots.get(ihe.NEW_STATUS):
            self._note(ihe.SAME_STATUS, trigger, ihe.NEW_STATUS, slots[ihe.NEW_STATUS])
        if len(self.findings) > before:
            return None
        return StatusChange(trigger, Status(slots[ihe.ORIGINAL_STATUS]), Status(slots[ihe.NEW_STATUS]))

    def _is_new(self, reference: str) -> bool:
        """Whether an object of this request is meant that will be Approved: a version, or an Association."""
        obj = self._object(reference)
        if isinstance(obj, Association):
            return any(
                id_key(each.target) == id_key(reference) for each in self._triggers(ihe.SUBMIT_ASSOCIATION)
            )
        return obj is not None and not isinstance(obj, SubmissionSet)

    def _association(self, trigger: Association) -> NewAssociation | None:
        self._left.pop(id(trigger), None)
        before = len(self.findings)
        self._slots(trigger, ihe.SUBMIT_ASSOCIATION, trigger)
        self._from_set(trigger)
        link = self._object(trigger.target)
        if not isinstance(link, Association) or (link.type in _TYPES and link.type not in _SUBMITTED):
            self._note(ihe.NO_NEW_ASSOCIATION, trigger, "targetObject", trigger.target)
            return None
        self._left.pop(id(link), None)
        if link.submission_set_status:
            self._note(ANNOTATION, link, ihe.SUBMISSION_SET_STATUS, ", ".join(link.submission_set_status))
        for slot in link.slots:
            if not is_extra_metadata_name(slot.name):
                self._note(ANNOTATION, link, slot.name, ", ".join(slot.values), "extra metadata")
        if len(link.documentation) > (link.type != AssociationType.HAS_MEMBER):
            codes = ", ".join(code.code for code in link.documentation)
            self._note(ihe.DOCUMENTATION, link, "associationDocumentation", codes)
        if len(self.findings) > before or link.type not in _SUBMITTED:
            return None
        return NewAssociation(trigger, link)

    def _from_set(self, trigger: Association) -> None:
        if not isinstance(self._object(trigger.source), SubmissionSet):
            self._note(ihe.NOT_FROM_SET, trigger, "sourceObject", trigger.source)

    # --- slots --------------------------------------------------------------------------------------

    def _slots(self, trigger: Association, operation: Operation, about: RegistryObject) -> dict[str, str]:
        """The value of each of the operation's slots that is right; what is wrong is said of ``about``."""
        given = {slot.name: tuple(map(str.strip, slot.values)) for slot in trigger.slots}
        if trigger.submission_set_status:
            given[ihe.SUBMISSION_SET_STATUS] = trigger.submission_set_status
        known = {row.name: row for row in operation.slots}
        for name in given.keys() - known.keys():
            if operation.trigger is not AssociationType.HAS_MEMBER or not is_extra_metadata_name(name):
                allowed = ", ".join(known) or "no slots"
                self._note(operation.wrong, about, name, ", ".join(given[name]), allowed)
        return dict(self._right(operation, given, about))

    def _right(
        self, operation: Operation, given: Mapping[str, tuple[str, ...]], about: RegistryObject
    ) -> Iterable[tuple[str, str]]:
        for row in operation.slots:
            values = given.get(row.name, ())
            if len(values) == 1 and _fits(row, values[0]):
                yield row.name, values[0]
            elif values:
                self._note(operation.wrong, about, row.name, ", ".join(values), f"one value, {_form(row)}")
            elif row.missing is not None:
                self._note(row.missing, about, row.name, None, _form(row))

    # --- operations together ------------------------------------------------------------------------

    def _contradictions(
        self,
        versions: list[NewVersion],
        statuses: list[StatusChange],
        links: list[NewAssociation],
    ) -> None:
        objects = Counter(id_key(thing.logical_id) for thing in self._things if thing.logical_id)
        for thing in self._things:
            if objects[id_key(thing.logical_id or "")] > 1:
                self._note(ihe.TWICE, thing, "logicalID", thing.logical_id)
        triggers = [change.trigger for change in statuses] + [new.trigger for new in links]
        targets = Counter((trigger.type, id_key(trigger.target)) for trigger in triggers)
        for trigger in triggers:
            if targets[trigger.type, id_key(trigger.target)] > 1:
                self._note(ihe.TWICE, trigger, "targetObject", trigger.target)
        going_on = {id_key(version.thing.entry_uuid) for version in versions if version.propagates}
        for link in (new.link for new in links):
            for attribute, end in (("sourceObject", link.source), ("targetObject", link.target)):
                if id_key(end) in going_on:
                    self._note(ihe.PROPAGATED_TOO, link, attribute, end)


def _fits(row: SlotRow, value: str) -> bool:
    return _NUMBER.fullmatch(value) is not None if row.values is None else value in row.values


def _form(row: SlotRow) -> str:
    return "a version number" if row.values is None else " or ".join(sorted(row.values))
