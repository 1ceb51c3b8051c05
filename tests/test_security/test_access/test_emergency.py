"""Who may declare an emergency."""

from __future__ import annotations

from typing import Any

import pytest

from msim_xds.ihe.transactions import ITI_18, ITI_43
from msim_xds.security.access import emergency
from msim_xds.security.access.policy import Emergency, Policy
from tests.test_security.test_access.worlds import HOSPITAL_A, HOSPITAL_B, subject

BTG = frozenset([("BTG", "1.2")])


def rules(*organizations: str) -> Policy:
    declared = Emergency(frozenset(["BTG"]), frozenset(["medical doctor"]), frozenset(organizations))
    return Policy((), otherwise=False, emergency=declared)


def test_declared_by_purpose() -> None:
    assert emergency.is_declared(rules(), subject(purposes=BTG))
    assert not emergency.is_declared(rules(), subject())
    assert not emergency.is_declared(Policy((), otherwise=False), subject(purposes=BTG))
    assert emergency.in_emergency(subject()).emergency


def test_all_that_is_needed() -> None:
    assert not emergency.findings(rules(), subject(), "unconscious", ITI_18)
    assert not emergency.findings(rules(HOSPITAL_A), subject(), "unconscious", ITI_18)


@pytest.mark.parametrize(
    ("given", "reason", "problem"),
    [
        ({"roles": frozenset([("nurse", "")])}, "r", "role may not declare an emergency"),
        ({"organization": ""}, "r", "organization-id is not proven"),
        ({"organization": HOSPITAL_B}, "r", "organization-id may not declare an emergency"),
        ({}, "", "reason is missing"),
        ({}, "r" * 1001, "reason is too long"),
    ],
)
def test_what_is_missing(given: dict[str, Any], reason: str, problem: str) -> None:
    (finding,) = emergency.findings(rules(HOSPITAL_A), subject(**given), reason, ITI_43)
    assert finding.code == "XDSRepositoryError"
    assert finding.problem == problem
