"""Judges the attributes of one object: required, well-formed, codes known (ITI TF-3 4.2.3, Table 4.3.1-3)."""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from msim_xds.findings import Finding
from msim_xds.ihe.attributes import ATTRIBUTES, AUTHOR_SLOTS, Attribute, Owner, Use, Where
from msim_xds.ihe.codes import CodeTable
from msim_xds.ihe.names import ON_DEMAND_OBJECT_TYPE, AssociationType, Severity
from msim_xds.ihe.transactions import ITI_41, ITI_61, Transaction
from msim_xds.metadata.datatypes import checks, is_dtm, period
from msim_xds.metadata.hl7v2 import patient_info_field
from msim_xds.metadata.model import (
    Association,
    Author,
    Code,
    DocumentEntry,
    Folder,
    InternationalString,
    MetadataObject,
    RegistryObject,
    SubmissionSet,
)
from msim_xds.settings import Tolerances

CODE: Final = "XDSRegistryMetadataError"

_AUTHOR_VALUES: Final = attrgetter(*(field for _, field, _, _ in AUTHOR_SLOTS))
_SCHEME: Final = re.compile(r"[ -~]+")
_TYPES: Final = frozenset(AssociationType)
_ONCE: Final = ("PID-7", "PID-8")
_AUTHORS: Final = "ITI TF-3 4.2.3.1.4"
_CODES: Final = "ITI TF-3 4.2.3.1.2"
_ASSOCIATIONS: Final = "ITI TF-3 4.2.2"


class Judge:
    """Judges the objects of one submission.

    Args:
        transaction: says which attributes the sender owes.
        tolerances: how lenient to be.
        codes: the domain's codes.
        unknown_code: severity of a code outside of them; None does not look.
    """

    def __init__(
        self,
        transaction: Transaction,
        tolerances: Tolerances,
        codes: CodeTable,
        unknown_code: Severity | None,
    ) -> None:
        self._plans = _PLANS[_COLUMNS.get(transaction.name, "registry")]
        self._scheme_names = tolerances.scheme_names
        self._checks = checks(tolerances)
        self._codes = codes
        self._unknown_code = unknown_code
        self._place = ""
        self._found: list[Finding] = []

    def findings(self, obj: RegistryObject) -> list[Finding]:
        """What is wrong with the values of ``obj``."""
        self._found = []
        self._place = obj.place
        if isinstance(obj, Association):
            self._association(obj)
            return self._found
        if isinstance(obj, DocumentEntry):
            on_demand = obj.object_type == ON_DEMAND_OBJECT_TYPE
            self._attributes(obj, _ON_DEMAND if on_demand else self._plans[DocumentEntry])
            self._service_times(obj)
            self._patient_info(obj)
        else:
            self._attributes(obj, self._plans[type(obj)])
        return self._found

    def _attributes(self, obj: MetadataObject, plan: _Plan) -> None:
        steps, values_of = plan
        for (row, judge, required), value in zip(steps, values_of(obj), strict=True):
            if value:
                judge(self, row, value)
            elif required:
                self._missing(row)

    def _note(self, attribute: str, problem: str, seen: str | None, allowed: str, source: str) -> None:
        self._found.append(Finding(CODE, problem, self._place, attribute, seen, allowed, source))

    def _missing(self, row: Attribute) -> None:
        self._note(row.name, "required attribute is missing", None, row.where.value, row.section)

    def _value(self, row: Attribute, value: str) -> None:
        problem = self._checks[row.datatype](value)
        if problem is not None:
            self._note(row.name, problem.problem, value, problem.allowed, row.section)
        elif not self._codes.check(row.name, value):
            self._unknown(row.name, value)

    def _values(self, row: Attribute, values: tuple[str, ...]) -> None:
        for value in values:
            self._value(row, value)

    def _texts(self, row: Attribute, texts: InternationalString) -> None:
        check = self._checks[row.datatype]
        for text in texts:
            if (problem := check(text.value)) is not None:
                self._note(row.name, problem.problem, text.value, problem.allowed, row.section)

    def _required_texts(self, row: Attribute, texts: InternationalString) -> None:
        self._texts(row, texts)
        if not any(text.value for text in texts):
            self._missing(row)

    def _prohibited(self, row: Attribute, value: object) -> None:
        problem, allowed = "is not for an on-demand entry", "no such attribute"
        self._note(row.name, problem, value if isinstance(value, str) else None, allowed, row.section)

    def _code(self, row: Attribute, code: Code) -> None:
        self._coded(row.name, code)

    def _code_list(self, row: Attribute, codes: tuple[Code, ...]) -> None:
        for code in codes:
            self._coded(row.name, code)

    def _coded(self, attribute: str, code: Code) -> None:
        if not code.code:
            self._note(attribute, "has no code", "", "a nodeRepresentation", _CODES)
        if not code.display or not any([text.value for text in code.display]):
            self._note(attribute, "has no display name", code.code, "a Name with a text", _CODES)
        if not self._scheme_names and code.scheme and _SCHEME.fullmatch(code.scheme) is None:
            allowed = "an OID, URN or name in printable ASCII"
            self._note(attribute, "codingScheme is no identifier", code.scheme, allowed, _CODES)
        elif not self._codes.check(attribute, code.code, code.scheme, aliases=self._scheme_names):
            self._unknown(attribute, code.code, code.scheme)

    def _unknown(self, attribute: str, code: str, scheme: str = "") -> None:
        """A code outside the domain's table, with what comes closest."""
        if self._unknown_code is not None:
            self._found.append(
                Finding(
                    CODE,
                    "is not in this domain's codes",
                    self._place,
                    attribute,
                    f"{code}^^{scheme}" if scheme else code,
                    ", ".join(self._codes.nearest(attribute, code, scheme)),
                    "code table of the affinity domain",
                    self._unknown_code,
                )
            )

    def _authors(self, row: Attribute, authors: tuple[Author, ...]) -> None:
        for author in authors:
            if not (author.person or author.institutions or author.telecommunications):
                allowed = "at least one of authorPerson, authorInstitution, authorTelecommunication"
                self._note(row.name, "says nothing about who it was", None, allowed, _AUTHORS)
            for (name, _, datatype, most), value in zip(AUTHOR_SLOTS, _AUTHOR_VALUES(author), strict=True):
                if value:
                    check = self._checks[datatype]
                    for single in (value,) if most == 1 else value:
                        if (problem := check(single)) is not None:
                            self._note(name, problem.problem, single, problem.allowed, _AUTHORS)

    def _association(self, obj: Association) -> None:
        if obj.type not in _TYPES:
            problem, allowed = "is no association type of XDS.b", ", ".join(sorted(_TYPES))
            self._note("associationType", problem, obj.type, allowed, _ASSOCIATIONS)
        for name, datatype, value in (
            ("entryUUID", "entry_uuid", obj.entry_uuid),
            ("homeCommunityId", "home_community_id", obj.home),
        ):
            if value and (found := self._checks[datatype](value)) is not None:
                self._note(name, found.problem, value, found.allowed, _ASSOCIATIONS)
        for code in obj.documentation:
            self._coded("associationDocumentation", code)

    def _service_times(self, entry: DocumentEntry) -> None:
        start, stop = entry.service_start_time, entry.service_stop_time
        if not start or not stop or start <= stop:  # in order as texts, and so as times
            return
        if is_dtm(start) and is_dtm(stop) and period(start).low > period(stop).high:
            problem, allowed = "service stops before it starts", f"{start} or later"
            self._note("serviceStopTime", problem, stop, allowed, "ITI TF-3 4.2.3.2.20")

    def _patient_info(self, entry: DocumentEntry) -> None:
        fields = [patient_info_field(value) for value in entry.source_patient_info]
        for name in _ONCE:
            if fields.count(name) > 1:
                problem = f"has {name} more than once"
                self._note("sourcePatientInfo", problem, None, "one", "ITI TF-3 4.2.3.2.23")


_Step = Callable[[Judge, Attribute, Any], None]
#: Each row with how to judge it and whether it is owed; and what takes the values out in that order.
_Plan = tuple[tuple[tuple[Attribute, _Step, bool], ...], Callable[[Any], tuple[Any, ...]]]

#: The column of the attribute table by transaction; every other one owes what ITI-42 owes.
_COLUMNS: Final = {ITI_41.name: "source", ITI_61.name: "on_demand"}


def _step(row: Attribute, use: Use) -> _Step:
    """How a row's value is judged, by its optionality and its place in ebRIM."""
    if use is Use.PROHIBITED:
        return Judge._prohibited
    if row.where is Where.CODE:
        return Judge._code if row.most == 1 else Judge._code_list
    if row.where is Where.AUTHOR:
        return Judge._authors
    if row.where in (Where.NAME, Where.DESCRIPTION):
        return Judge._required_texts if use is Use.REQUIRED else Judge._texts
    return Judge._value if row.most == 1 else Judge._values


def _plan(owner: Owner, column: str) -> _Plan:
    """How objects of one kind are judged by one column."""
    rows = ATTRIBUTES[owner]
    uses: list[Use] = [getattr(row, column) for row in rows]
    steps = ((row, _step(row, use), use is Use.REQUIRED) for row, use in zip(rows, uses, strict=True))
    return tuple(steps), attrgetter(*(row.field for row in rows))


_PLANS: Final = {
    column: {
        DocumentEntry: _plan(Owner.DOCUMENT_ENTRY, column),
        SubmissionSet: _plan(Owner.SUBMISSION_SET, column),
        Folder: _plan(Owner.FOLDER, column),
    }
    for column in ("source", "registry", "on_demand")
}
#: What an entry is decides, not how it comes: it has no hash when ITI-92 updates it, either.
_ON_DEMAND: Final = _PLANS["on_demand"][DocumentEntry]
