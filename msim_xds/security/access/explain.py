"""Why a decision is what it is: every rule up to the one that decides, with the condition that failed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from msim_xds.security.access.document import Document, holds
from msim_xds.security.access.policy import DocumentCondition, Policy, Rule, facts
from msim_xds.security.access.subject import Subject


class Step(NamedTuple):
    """A rule that was looked at.

    Attributes:
        rule: its place and name.
        decides: whether it decided.
        reason: why it did not fit; where it decided, its conditions, empty if it has none.
    """

    rule: str
    decides: bool
    reason: str


class Explanation(NamedTuple):
    """A decision and the way to it; the last step decided, unless ``by_default``."""

    permit: bool
    by_default: bool
    steps: tuple[Step, ...]

    def lines(self) -> Iterator[str]:
        """The same for people."""
        for step in self.steps:
            verdict = "decides" if step.decides else "passed over"
            yield f"{step.rule}: {verdict}" + (f": {step.reason}" if step.reason else "")
        if self.by_default:
            yield "no rule fits: the default decides"
        yield "PERMIT" if self.permit else "DENY"


def explain(policy: Policy, subject: Subject, document: Document) -> Explanation:
    """What the policy decides about a document for a caller, and why."""
    steps: list[Step] = []
    for rule in policy.rules:
        reason = _failed(rule, subject, document)
        if reason is not None:
            steps.append(Step(rule.place, False, reason))
        else:
            steps.append(Step(rule.place, True, "; ".join(rule.conditions)))
            return Explanation(rule.permit, False, tuple(steps))
    return Explanation(policy.otherwise, True, tuple(steps))


def _failed(rule: Rule, subject: Subject, document: Document) -> str | None:
    """The first condition that does not hold; None where all do."""
    if rule.is_waived(subject):
        return "it denies by consent, which emergency access overrides"
    for asked in rule.caller:
        if not asked.holds(subject):
            seen = ", ".join(sorted(facts(asked.key, subject))) or "nothing"
            return f"caller.{asked.key} is none of {', '.join(sorted(asked.allowed))}; it is {seen}"
    for condition in rule.document:
        tests = condition.resolved(subject)
        if tests is None or not all(holds(test, document) for test in tests):
            return (
                f"document.{condition.key} is not {condition.written}; {_seen(condition, subject, document)}"
            )
    return None


def _seen(condition: DocumentCondition, subject: Subject, document: Document) -> str:
    match condition.key:
        case "own" | "institutions":
            authors = ", ".join(sorted(document.institutions)) or "none"
            own = ", ".join(sorted(subject.institutions)) or "none"
            return f"authors' institutions: {authors}" + (
                f"; the caller's: {own}" * (condition.own is not None)
            )
        case "confidentiality":
            return f"its codes: {', '.join(sorted(document.confidentiality)) or 'none'}"
        case "opted_out" | "opted_in":
            return f"consents in force: {len(document.consents)}"
        case "created":
            return f"creationTime: {document.created.low if document.created else 'none'}"
    return f"it is {document.codes.get(condition.tests[0].fact, 'absent')}"
