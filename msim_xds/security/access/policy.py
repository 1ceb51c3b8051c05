"""The policy: an ordered table of rules, of which the first that fits decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from msim_xds.security.access.subject import Subject
from msim_xds.wire.view import Clause, Condition, Fact, View

#: Callers for whom a view is kept at hand.
_KEPT: Final = 1024


class CallerCondition(NamedTuple):
    """What a rule asks of the caller.

    Attributes:
        key: as the file calls it.
        allowed: one of these must be; of codes without scheme whatever scheme.
    """

    key: str
    allowed: frozenset[str]

    def holds(self, subject: Subject) -> bool:
        """Whether the caller is so."""
        return not self.allowed.isdisjoint(facts(self.key, subject))


class DocumentCondition(NamedTuple):
    """What a rule asks of the document.

    Attributes:
        key: as the file calls it.
        written: the value in the file.
        tests: what must hold, apart from ``own``.
        own: whether an author's institution must be the caller's own, or must not; None is not asked.
    """

    key: str
    written: str
    tests: tuple[Condition, ...] = ()
    own: bool | None = None

    def resolved(self, subject: Subject) -> tuple[Condition, ...] | None:
        """The tests for this caller; None where no document can meet them."""
        if self.own is None:
            return self.tests
        if not subject.institutions:
            return None if self.own else ()
        return (Condition(Fact.INSTITUTION, tuple(sorted(subject.institutions)), negated=not self.own),)


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    Attributes:
        name: as operators know it.
        place: where it stands, such as ``rule 3 'own documents' (line 40)``.
        permit: what it decides.
        absolute: it denies in emergencies as well.
        caller, document: its conditions, all of which must hold.
    """

    name: str
    place: str
    permit: bool
    absolute: bool
    caller: tuple[CallerCondition, ...]
    document: tuple[DocumentCondition, ...]

    @property
    def denies_by_consent(self) -> bool:
        """Whether it denies because of what the patient has said, or has not."""
        tests = (test for each in self.document for test in each.tests)
        return not self.permit and any(
            test in (Condition(Fact.OPTED_OUT), Condition(Fact.OPTED_IN, negated=True)) for test in tests
        )

    @property
    def conditions(self) -> tuple[str, ...]:
        """What it asks, as the file says it; nothing where it always fits."""
        asked = (f"caller.{each.key} {', '.join(sorted(each.allowed))}" for each in self.caller)
        return (*asked, *(f"document.{each.key} {each.written}" for each in self.document))

    def is_waived(self, subject: Subject) -> bool:
        """Whether emergency access passes it over."""
        return subject.emergency and self.denies_by_consent and not self.absolute


class Emergency(NamedTuple):
    """Who may declare an emergency (break-glass).

    Attributes:
        purposes: purposes of use that declare one.
        roles: of which the user must have one.
        organizations: of which the user's must be one; empty is any that is proven.
    """

    purposes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    organizations: frozenset[str] = frozenset()


NOBODY: Final = Emergency()


class Policy:
    """Decides what callers may see. Immutable; safe to share between threads.

    Args:
        rules: in their order.
        otherwise: what is decided where no rule fits.
        emergency: who may declare one.
    """

    def __init__(self, rules: Iterable[Rule], *, otherwise: bool, emergency: Emergency = NOBODY) -> None:
        self.rules = tuple(rules)
        self.otherwise = otherwise
        self.emergency = emergency
        self._views = lru_cache(maxsize=_KEPT)(self._view)

    def view(self, subject: Subject) -> View | None:
        """What this caller may see; None is everything."""
        return self._views(subject)

    def _view(self, subject: Subject) -> View | None:
        clauses = []
        for rule in self.rules:
            if rule.is_waived(subject) or not all(each.holds(subject) for each in rule.caller):
                continue
            resolved = [each.resolved(subject) for each in rule.document]
            tests = [each for each in resolved if each is not None]
            if len(tests) == len(resolved):
                clauses.append(Clause(rule.permit, tuple(test for each in tests for test in each), rule.name))
        view = View.of(clauses, otherwise=self.otherwise)
        return None if view.shows_all else view


def ownership(subject: Subject) -> View:
    """The documents that a hospital's system may change: those of its own institutions."""
    tests = (Condition(Fact.INSTITUTION, tuple(sorted(subject.institutions))),)
    return View.of([Clause(True, tests, "own documents")] if subject.institutions else (), otherwise=False)


def matches(code: str, scheme: str, wanted: Iterable[str]) -> bool:
    """Whether a code is among ``code^^scheme`` or bare codes."""
    return not _spellings([(code, scheme)]).isdisjoint(wanted)


def facts(key: str, subject: Subject) -> frozenset[str]:
    """What a condition on the caller looks at."""
    return FACTS[key](subject)


def _spellings(codes: Iterable[tuple[str, str]]) -> frozenset[str]:
    return frozenset(text for code, scheme in codes for text in (code, f"{code}^^{scheme}"))


def _one(text: str) -> frozenset[str]:
    return frozenset([text] if text else ())


FACTS: Final[Mapping[str, Callable[[Subject], frozenset[str]]]] = {
    "transactions": lambda subject: _one(subject.transaction),
    "systems": lambda subject: _one(subject.system),
    "kinds": lambda subject: _one(subject.kind),
    "roles": lambda subject: _spellings(subject.roles),
    "purposes": lambda subject: _spellings(subject.purposes),
    "organizations": lambda subject: _one(subject.organization),
    "emergency": lambda subject: frozenset([str(subject.emergency).lower()]),
}
"""By condition on the caller, as the file calls it: what it is compared with."""
