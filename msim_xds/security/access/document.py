"""A document as a decision looks at it, and whether a view shows it.

The SQL of ``registry.visibility`` says the same; a property test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from msim_xds.metadata.period import Period
from msim_xds.wire.view import Clause, Condition, Fact, View

SINGLE_CODES: Final = {
    Fact.CLASS: "class_code",
    Fact.TYPE: "type_code",
    Fact.PRACTICE_SETTING: "practice_setting_code",
    Fact.FACILITY_TYPE: "healthcare_facility_type_code",
}
"""The codes of which an entry has one: their names in the model, in columns and in policies."""


class Consent(NamedTuple):
    """What a patient has said of some of the documents; None leaves a side open.

    Attributes:
        opt_in: the patient allows; otherwise forbids.
        classes: classCodes, every spelling.
        institution: of an author.
        created: when the documents were made.
        facilities: healthcareFacilityTypeCodes, every spelling.
        events: codes of the eventCodeList, every spelling; a document must have one.
    """

    opt_in: bool
    classes: frozenset[str] | None = None
    institution: str | None = None
    created: Period | None = None
    facilities: frozenset[str] | None = None
    events: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A DocumentEntry as decisions look at it.

    Attributes:
        confidentiality: ``code^^scheme`` of each confidentialityCode.
        codes: ``code^^scheme`` of the codes of which an entry has one.
        institutions: of the authors.
        created: creationTime; None where there is none.
        consents: what the patient has said and not withdrawn.
        events: ``code^^scheme`` of the eventCodeList.
    """

    confidentiality: frozenset[str] = frozenset()
    codes: Mapping[Fact, str] = field(default_factory=dict)
    institutions: frozenset[str] = frozenset()
    created: Period | None = None
    consents: tuple[Consent, ...] = ()
    events: frozenset[str] = frozenset()


def deciding(view: View, document: Document) -> Clause | None:
    """The clause that decides about a document; None where it is the view's ``otherwise``."""
    return next((each for each in view.clauses if all(holds(test, document) for test in each.tests)), None)


def shows(view: View, document: Document) -> bool:
    """Whether the view shows the document."""
    clause = deciding(view, document)
    return view.otherwise if clause is None else clause.permit


def holds(test: Condition, document: Document) -> bool:
    """Whether a condition holds."""
    return _HOLDS[test.fact](test, document) is not test.negated


def _confidentiality(test: Condition, document: Document) -> bool:
    return bool(document.confidentiality) and document.confidentiality <= frozenset(test.values)


def _code(test: Condition, document: Document) -> bool:
    return document.codes.get(test.fact) in test.values


def _institution(test: Condition, document: Document) -> bool:
    return not document.institutions.isdisjoint(str(each) for each in test.values)


def _created(test: Condition, document: Document) -> bool:
    low, high = (int(each) for each in test.values)
    return _is_within(document.created, Period(low, high), surely=test.fact is Fact.CREATED_SURELY)


def _consented(test: Condition, document: Document) -> bool:
    opt_in = test.fact is Fact.OPTED_IN
    return any(each.opt_in is opt_in and concerns(each, document) for each in document.consents)


def concerns(consent: Consent, document: Document) -> bool:
    """Whether a consent is about a document; in doubt about its time a refusal is, a permission is not."""
    return (
        (consent.classes is None or document.codes.get(Fact.CLASS) in consent.classes)
        and (consent.institution is None or consent.institution in document.institutions)
        and (consent.facilities is None or document.codes.get(Fact.FACILITY_TYPE) in consent.facilities)
        and (consent.events is None or not consent.events.isdisjoint(document.events))
        and (consent.created is None or _is_within(document.created, consent.created, surely=consent.opt_in))
    )


def _is_within(moment: Period | None, span: Period, *, surely: bool) -> bool:
    if moment is None:
        return not surely
    if surely:
        return moment.low >= span.low and moment.high <= span.high
    return moment.high >= span.low and moment.low <= span.high


_HOLDS: Final[Mapping[Fact, Callable[[Condition, Document], bool]]] = {
    Fact.CONFIDENTIALITY: _confidentiality,
    **dict.fromkeys(SINGLE_CODES, _code),
    Fact.INSTITUTION: _institution,
    Fact.CREATED_SURELY: _created,
    Fact.CREATED_PERHAPS: _created,
    Fact.OPTED_OUT: _consented,
    Fact.OPTED_IN: _consented,
}
