"""Judges the attributes of one object: required, well-formed, codes known (ITI TF-3 4.2.3, Table 4.3.1-3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any, Final

from msim_xds.findings import Finding
from msim_xds.ihe.attributes import ATTRIBUTES, AUTHOR_SLOTS, Attribute, Owner, Use, Where
from msim_xds.ihe.codes import CodeTable
from msim_xds.ihe.names import AssociationType, Severity
from msim_xds.ihe.transactions import ITI_41, Transaction
from msim_xds.metadata.datatypes import checks, is_dtm, period
from msim_xds.metadata.hl7v2 import patient_info_field
from msim_xds.metadata.model import (
    Association,
    Author,
    Code,
    DocumentEntry,
    Folder,
    InternationalString,
    RegistryObject,
    SubmissionSet,
)
from msim_xds.settings import Tolerances

CODE: Final = "XDSRegistryMetadataError"

_TABLES: Final = {
    DocumentEntry: ATTRIBUTES[Owner.DOCUMENT_ENTRY],
    SubmissionSet: ATTRIBUTES[Owner.SUBMISSION_SET],
    Folder: ATTRIBUTES[Owner.FOLDER],
}
_VALUES: Final[dict[type, Callable[[Any], tuple[Any, ...]]]] = {
    kind: attrgetter(*(row.field for row in rows)) for kind, rows in _TABLES.items()
}
_AUTHOR_VALUES: Final = attrgetter(*(field for _, field, _, _ in AUTHOR_SLOTS))
_SCHEME: Final = re.compile(r"[ -~]+")
_TYPES: Final = frozenset(AssociationType)
_TEXTS: Final = frozenset({Where.NAME, Where.DESCRIPTION})
_ONCE: Final = frozenset({"PID-7", "PID-8"})
_AUTHORS: Final = "ITI TF-3 4.2.3.1.4"
_CODES: Final = "ITI TF-3 4.2.3.1.2"
_ASSOCIATIONS: Final = "ITI TF-3 4.2.2"


class Judge:
    """Judges objects of one submission.

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
        self._use: Callable[[Attribute], Use] = attrgetter("source" if transaction is ITI_41 else "registry")
        self._tolerances = tolerances
        self._checks = checks(tolerances)
        self._codes = codes
        self._unknown_code = unknown_code

    def findings(self, obj: RegistryObject) -> Iterator[Finding]:
        """What is wrong with the values of ``obj``."""
        if isinstance(obj, Association):
            yield from self._association(obj)
            return
        kind = type(obj)
        for row, value in zip(_TABLES[kind], _VALUES[kind](obj), strict=True):
            if value:
                yield from self._attribute(obj.place, row, value)
            elif self._use(row) is Use.REQUIRED:
                yield _missing(obj.place, row)
        if isinstance(obj, DocumentEntry):
            yield from _service_times(obj)
            yield from _repeated_patient_info(obj)

    def _attribute(self, place: str, row: Attribute, value: Any) -> Iterator[Finding]:  # noqa: ANN401
        """``value`` is of the type that the row's place in ebRIM has."""
        if row.where is Where.CODE:
            for code in (value,) if row.most == 1 else value:
                yield from self._code(place, row.name, code)
        elif row.where is Where.AUTHOR:
            for author in value:
                yield from self._author(place, author)
        elif row.where in _TEXTS:
            yield from self._text(place, row, value)
        else:
            check = self._checks[row.datatype]
            for single in (value,) if row.most == 1 else value:
                if (problem := check(single)) is not None:
                    yield Finding(
                        CODE, problem.problem, place, row.name, single, problem.allowed, row.section
                    )
                elif not self._codes.check(row.name, single):
                    yield from self._unknown(place, row.name, single)

    def _text(self, place: str, row: Attribute, texts: InternationalString) -> Iterator[Finding]:
        check = self._checks[row.datatype]
        for text in texts:
            if (problem := check(text.value)) is not None:
                yield Finding(
                    CODE, problem.problem, place, row.name, text.value, problem.allowed, row.section
                )
        if self._use(row) is Use.REQUIRED and not any(text.value for text in texts):
            yield _missing(place, row)

    def _code(self, place: str, attribute: str, code: Code) -> Iterator[Finding]:
        if not code.code:
            yield Finding(CODE, "has no code", place, attribute, "", "a nodeRepresentation", _CODES)
        if not any(text.value for text in code.display):
            yield Finding(
                CODE, "has no display name", place, attribute, code.code, "a Name with a text", _CODES
            )
        if not self._tolerances.scheme_names and code.scheme and _SCHEME.fullmatch(code.scheme) is None:
            yield Finding(
                CODE,
                "codingScheme is no identifier",
                place,
                attribute,
                code.scheme,
                "an OID, URN or name in printable ASCII",
                _CODES,
            )
        elif not self._codes.check(attribute, code.code, code.scheme, aliases=self._tolerances.scheme_names):
            yield from self._unknown(place, attribute, code.code, code.scheme)

    def _unknown(self, place: str, attribute: str, code: str, scheme: str = "") -> Iterator[Finding]:
        """A code outside the domain's table, with what comes closest."""
        if self._unknown_code is not None:
            yield Finding(
                CODE,
                "is not in this domain's codes",
                place,
                attribute,
                f"{code}^^{scheme}" if scheme else code,
                ", ".join(self._codes.nearest(attribute, code, scheme)),
                "code table of the affinity domain",
                self._unknown_code,
            )

    def _author(self, place: str, author: Author) -> Iterator[Finding]:
        if not (author.person or author.institutions or author.telecommunications):
            yield Finding(
                CODE,
                "says nothing about who it was",
                place,
                "author",
                allowed="at least one of authorPerson, authorInstitution, authorTelecommunication",
                source=_AUTHORS,
            )
        for (name, _, datatype, most), value in zip(AUTHOR_SLOTS, _AUTHOR_VALUES(author), strict=True):
            if value:
                check = self._checks[datatype]
                for single in (value,) if most == 1 else value:
                    if (problem := check(single)) is not None:
                        yield Finding(CODE, problem.problem, place, name, single, problem.allowed, _AUTHORS)

    def _association(self, obj: Association) -> Iterator[Finding]:
        if obj.type not in _TYPES:
            yield Finding(
                CODE,
                "is no association type of XDS.b",
                obj.place,
                "associationType",
                obj.type,
                ", ".join(_TYPES),
                _ASSOCIATIONS,
            )
        for name, datatype, value in (
            ("entryUUID", "entry_uuid", obj.entry_uuid),
            ("availabilityStatus", "status", obj.status),
            ("homeCommunityId", "home_community_id", obj.home),
        ):
            if value and (problem := self._checks[datatype](value)) is not None:
                yield Finding(CODE, problem.problem, obj.place, name, value, problem.allowed, _ASSOCIATIONS)
        for code in obj.documentation:
            yield from self._code(obj.place, "associationDocumentation", code)


def _missing(place: str, row: Attribute) -> Finding:
    return Finding(
        CODE, "required attribute is missing", place, row.name, allowed=row.where.value, source=row.section
    )


def _service_times(entry: DocumentEntry) -> Iterator[Finding]:
    start, stop = entry.service_start_time, entry.service_stop_time
    if start and stop and is_dtm(start) and is_dtm(stop) and period(start).low > period(stop).high:
        yield Finding(
            CODE,
            "service stops before it starts",
            entry.place,
            "serviceStopTime",
            stop,
            f"{start} or later",
            "ITI TF-3 4.2.3.2.20",
        )


def _repeated_patient_info(entry: DocumentEntry) -> Iterator[Finding]:
    fields = [patient_info_field(value) for value in entry.source_patient_info]
    for name in sorted(_ONCE):
        if fields.count(name) > 1:
            yield Finding(
                CODE,
                f"has {name} more than once",
                entry.place,
                "sourcePatientInfo",
                allowed="one",
                source="ITI TF-3 4.2.3.2.23",
            )
