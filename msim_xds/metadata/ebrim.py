"""Reads lcm:SubmitObjectsRequest into frozen dataclasses, collecting whatever is wrong with its structure.

Tolerant where real senders differ from the schema: order of children, missing ids of sub-objects,
Classifications beside their object, rim:ObjectRef, white space around values (ITI TF-3 4.2.1, 4.2.3.1).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Final

from msim_xds.findings import Finding
from msim_xds.ihe.names import FOLDER_NODE, RIM, SUBMISSION_SET_NODE
from msim_xds.metadata import layout as layouts
from msim_xds.metadata.ebrim_object import CLASSIFICATION, SLOT, ObjectReader, Report
from msim_xds.metadata.layout import Layout
from msim_xds.metadata.model import (
    Association,
    DocumentEntry,
    Folder,
    RegistryObject,
    Submission,
    SubmissionSet,
)
from msim_xds.metadata.signature_slots import PREFIX, SignatureResult
from msim_xds.metadata.values import id_key
from msim_xds.settings import LimitSettings

if TYPE_CHECKING:
    from lxml.etree import _Element

_EXTRINSIC_OBJECT: Final = f"{{{RIM}}}ExtrinsicObject"
_REGISTRY_PACKAGE: Final = f"{{{RIM}}}RegistryPackage"
_ASSOCIATION: Final = f"{{{RIM}}}Association"
_LIST: Final = f"{{{RIM}}}RegistryObjectList"
_OBJECT_REF: Final = f"{{{RIM}}}ObjectRef"
_VALUE: Final = f"{{{RIM}}}Value"
_VALUE_LIST: Final = f"{{{RIM}}}ValueList"
_PACKAGES: Final = {SUBMISSION_SET_NODE: layouts.SUBMISSION_SET, FOLDER_NODE: layouts.FOLDER}


@dataclass(frozen=True, slots=True)
class Stored:
    """What the repository knows of a document that it keeps: SHA-1 in hex, octets, its own OID."""

    hash: str
    size: int
    repository_unique_id: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A request as read.

    Attributes:
        element: the lcm:SubmitObjectsRequest as received.
        submission: its objects.
        findings: what is wrong with its structure whatever the settings.
        lenient: findings that a tolerance lifts, by the name of its field in ``settings.Tolerances``.
        sequence: children out of schema order and missing ids; ``validation.sequence`` judges them.
        stored: what ``with_stored`` laid over it.
        signatures: what the documents' signatures came to, by id of the DocumentEntry.
    """

    element: _Element
    submission: Submission
    findings: tuple[Finding, ...] = ()
    lenient: tuple[tuple[str, Finding], ...] = ()
    sequence: tuple[Finding, ...] = ()
    stored: Mapping[str, Stored] = field(default_factory=dict)
    signatures: Mapping[str, SignatureResult] = field(default_factory=dict)

    def with_stored(self, stored: Mapping[str, Stored]) -> Reading:
        """The same with hash, size and repositoryUniqueId of the DocumentEntries whose ids are named."""
        entries = tuple(
            entry
            if (known := stored.get(entry.entry_uuid)) is None
            else replace(
                entry,
                hash=known.hash,
                size=str(known.size),
                repository_unique_id=known.repository_unique_id,
            )
            for entry in self.submission.entries
        )
        sent = self.submission
        submission = Submission(sent.submission_sets, entries, sent.folders, sent.associations)
        return Reading(
            self.element, submission, self.findings, self.lenient, self.sequence, stored, self.signatures
        )

    def outgoing(self) -> _Element:
        """A copy of ``element`` with ``stored`` and ``signatures`` laid over it, for another registry.

        Everything else is passed on as the sender wrote it (ITI TF-2 3.41.4.1.3).
        """
        element = copy.deepcopy(self.element)
        for entry in element.iter(_EXTRINSIC_OBJECT):
            known = self.stored.get(_id(entry))
            if known is not None:
                _set_slot(entry, "repositoryUniqueId", known.repository_unique_id)
                _set_slot(entry, "size", str(known.size))
                _set_slot(entry, "hash", known.hash)
            _remove_slots(entry, PREFIX)
            found = self.signatures.get(_id(entry))
            for slot in found.slots() if found is not None else ():
                _set_slot(entry, slot.name, slot.values[0])
        return element


def _remove_slots(entry: _Element, prefix: str) -> None:
    for old in entry.findall(SLOT):
        if old.get("name", "").strip().startswith(prefix):
            entry.remove(old)


def _set_slot(entry: _Element, name: str, value: str) -> None:
    """Replace the slot ``name``, or add it where the schema wants slots: first."""
    for old in entry.findall(SLOT):
        if old.get("name", "").strip() == name:
            entry.remove(old)
    slot = entry.makeelement(SLOT, {"name": name})
    values = slot.makeelement(_VALUE_LIST)
    text = slot.makeelement(_VALUE)
    text.text = value
    values.append(text)
    slot.append(values)
    entry.insert(0, slot)


def read(submit_objects: _Element, limits: LimitSettings) -> Reading:
    """The objects of a lcm:SubmitObjectsRequest, with every structural finding.

    ``rules.findings`` judges the result as a whole.
    """
    report = Report(limits.findings)
    submission = _Reader(limits, report).submission(submit_objects)
    return Reading(
        submit_objects, submission, tuple(report.findings), tuple(report.lenient), tuple(report.sequence)
    )


class _Reader:
    """Sorts the members of the RegistryObjectList and reads each."""

    def __init__(self, limits: LimitSettings, report: Report) -> None:
        self._limits = limits
        self._report = report
        self._objects = ObjectReader(limits, report)
        self._beside: dict[str, list[_Element]] = {}

    def submission(self, root: _Element) -> Submission:
        """Everything below ``root``."""
        members = self._members(root)
        if len(members) > self._limits.objects:
            self._report(
                "SubmitObjectsRequest",
                "RegistryObjectList",
                "has too many objects",
                str(len(members)),
                f"at most {self._limits.objects}",
            )
            return Submission()
        elements = [(_id(member), member) for member in members if not self._set_aside(member)]
        self._check_ids([name for name, _ in elements])
        by_kind: dict[type, list[RegistryObject]] = {kind: [] for kind in _KINDS}
        for name, element in elements:
            beside = self._beside.get(name, ())
            layout = self._layout(element, name, beside)
            if layout is not None:
                obj = self._objects.read(element, name, layout, beside)
                by_kind[type(obj)].append(obj)
        return Submission(*(tuple(by_kind[kind]) for kind in _KINDS))  # type: ignore[arg-type]  # its fields' order

    def _members(self, root: _Element) -> list[_Element]:
        lists = root.findall(_LIST)
        if len(lists) != 1:
            problem = "occurs more than once" if lists else "is missing"
            self._report("SubmitObjectsRequest", "RegistryObjectList", problem, allowed="exactly one")
        return [member for each in lists for member in each if isinstance(member.tag, str)]

    def _set_aside(self, member: _Element) -> bool:
        """Whether ``member`` is no object itself; a Classification is kept for the object that it names."""
        if member.tag == CLASSIFICATION:
            self._beside.setdefault(member.get("classifiedObject", "").strip(), []).append(member)
            return True
        return bool(member.tag == _OBJECT_REF)

    def _check_ids(self, names: list[str]) -> None:
        """No id twice, and no Classification for an object that is not here."""
        seen: set[str] = set()
        for name in filter(None, names):
            key = id_key(name)
            if key in seen:
                self._report(
                    "SubmitObjectsRequest",
                    "entryUUID",
                    "the same id occurs twice",
                    name,
                    "an id of its own for each object",
                    "ITI TF-3 4.2.3.2.7",
                )
            seen.add(key)
        for owner in self._beside.keys() - set(names):
            self._report("Classification", "classifiedObject", "names no object of the submission", owner)

    def _layout(self, element: _Element, name: str, beside: Sequence[_Element]) -> Layout | None:
        """What kind of object ``element`` is; None where that cannot be said."""
        if element.tag == _EXTRINSIC_OBJECT:
            return layouts.DOCUMENT_ENTRY
        if element.tag == _ASSOCIATION:
            return layouts.ASSOCIATION
        if element.tag == _REGISTRY_PACKAGE:
            return self._package(element, name, beside)
        self._report(
            name,
            "",
            "is no registry object of XDS",
            str(element.tag),
            "rim:ExtrinsicObject, rim:RegistryPackage, rim:Association",
            "ITI TF-3 4.2.1",
        )
        return None

    def _package(self, element: _Element, name: str, beside: Sequence[_Element]) -> Layout | None:
        """SubmissionSet or Folder, by the one marker that a package must have."""
        nodes = {
            node.get("classificationNode", "").strip()
            for node in chain(element.iterchildren(CLASSIFICATION), beside)
        }
        marked = nodes & _PACKAGES.keys()
        if len(marked) == 1:
            return _PACKAGES[marked.pop()]
        self._report(
            f"RegistryPackage {name}",
            "classificationNode",
            "is marked as SubmissionSet and as Folder" if marked else "has no marker of its kind",
            allowed=f"{SUBMISSION_SET_NODE} (SubmissionSet) or {FOLDER_NODE} (Folder)",
            source="ITI TF-3 4.2.1.2",
        )
        return None


def _id(element: _Element) -> str:
    return element.get("id", "").strip()


_KINDS: Final = (SubmissionSet, DocumentEntry, Folder, Association)  # in the order of Submission's fields
