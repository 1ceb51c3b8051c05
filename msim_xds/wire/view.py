"""Which documents a request may be shown, as data: conditions about documents, the first that holds decides.

Whoever finds documents turns it into its own terms; ``security.access`` says where a view comes from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, auto
from typing import NamedTuple


class Fact(IntEnum):
    """What a condition looks at in a DocumentEntry."""

    CONFIDENTIALITY = auto()  # there are confidentialityCodes, and all of them are among the values
    CLASS = auto()  # classCode
    TYPE = auto()  # typeCode
    PRACTICE_SETTING = auto()  # practiceSettingCode
    FACILITY_TYPE = auto()  # healthcareFacilityTypeCode
    INSTITUTION = auto()  # one of the authors' institutions
    CREATED_SURELY = auto()  # creationTime at its precision lies wholly between the two values
    CREATED_PERHAPS = auto()  # creationTime may lie between them; also where there is none
    OPTED_OUT = auto()  # the patient has forbidden it
    OPTED_IN = auto()  # the patient has allowed it


class Condition(NamedTuple):
    """One condition: the fact is one of the values, or it holds; ``negated`` turns that round.

    Codes are ``code^^scheme`` in every spelling, institutions as ``metadata.institution`` spells them, times
    two integers YYYYMMDDhhmmss.
    """

    fact: Fact
    values: tuple[str | int, ...] = ()
    negated: bool = False


class Clause(NamedTuple):
    """If all tests hold, the document is shown or not; ``rule`` says who wants it so."""

    permit: bool
    tests: tuple[Condition, ...]
    rule: str = ""


class Form(NamedTuple):
    """A test without its values."""

    fact: Fact
    negated: bool


class Outline(NamedTuple):
    """A view without values and names: what the text of a statement depends on."""

    clauses: tuple[tuple[bool, tuple[Form, ...]], ...]
    otherwise: bool

    @property
    def shows_nothing(self) -> bool:
        """Whether it hides everything."""
        return not self.otherwise and not self.clauses


@dataclass(frozen=True, slots=True)
class View:
    """What of the documents may be shown. Build it with ``of``.

    Attributes:
        clauses: asked in this order.
        otherwise: whether a document is shown for which none decides.
        outline: the same without values.
        values: those of each clause's tests, by the numbers of clause and test.
    """

    clauses: tuple[Clause, ...]
    otherwise: bool
    outline: Outline
    values: tuple[tuple[tuple[int, int], tuple[str | int, ...]], ...]

    @classmethod
    def of(cls, clauses: Iterable[Clause], *, otherwise: bool) -> View:
        """A view of these clauses, without those that change nothing."""
        kept: list[Clause] = []
        for clause in clauses:
            if not clause.tests:
                otherwise = clause.permit
                break
            kept.append(clause)
        while kept and kept[-1].permit is otherwise:
            kept.pop()
        outline = Outline(
            tuple(
                (each.permit, tuple(Form(test.fact, test.negated) for test in each.tests)) for each in kept
            ),
            otherwise,
        )
        values = tuple(
            ((number, position), test.values)
            for number, clause in enumerate(kept)
            for position, test in enumerate(clause.tests)
            if test.values
        )
        return cls(tuple(kept), otherwise, outline, values)

    @property
    def shows_all(self) -> bool:
        """Whether it hides nothing."""
        return self.otherwise and not self.clauses

    @property
    def shows_nothing(self) -> bool:
        """Whether it hides everything."""
        return self.outline.shows_nothing
