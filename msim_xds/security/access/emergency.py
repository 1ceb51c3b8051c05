"""Emergency access (break-glass): who may declare it, and what must be said with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from msim_xds.findings import Finding
from msim_xds.ihe.transactions import Transaction
from msim_xds.security.access.policy import Policy, matches
from msim_xds.security.access.subject import Subject

LONGEST_REASON: Final = 1000
_SOURCE: Final = "policy of this exchange"


def is_declared(policy: Policy, subject: Subject) -> bool:
    """Whether a purpose of use declares an emergency."""
    return any(matches(*purpose, policy.emergency.purposes) for purpose in subject.purposes)


def in_emergency(subject: Subject) -> Subject:
    """The same caller, with what emergency access gives."""
    return replace(subject, emergency=True)


def findings(policy: Policy, subject: Subject, reason: str, row: Transaction) -> tuple[Finding, ...]:
    """What is missing for a declared emergency; it says nothing about documents.

    An answer without what an emergency would show would look complete, so the request is refused instead.
    """
    rules, found = policy.emergency, []
    if not any(matches(*role, rules.roles) for role in subject.roles):
        seen = ", ".join(sorted(code for code, _ in subject.roles))
        found.append(("role", "may not declare an emergency", seen, "a role that the policy lists"))
    if not subject.organization:
        found.append(("organization-id", "is not proven", "", "the id of the user's organization"))
    elif rules.organizations and subject.organization not in rules.organizations:
        seen, allowed = subject.organization, "an organization that the policy lists"
        found.append(("organization-id", "may not declare an emergency", seen, allowed))
    if not reason:
        found.append(("reason", "is missing", "", "why this is an emergency, as text in the assertion"))
    elif len(reason) > LONGEST_REASON:
        found.append(("reason", "is too long", str(len(reason)), f"up to {LONGEST_REASON} characters"))
    return tuple(
        Finding(row.failure, f"{attribute} {problem}", "emergency access", attribute, seen, allowed, _SOURCE)
        for attribute, problem, seen, allowed in found
    )
