"""Explanations name every rule passed over and the condition that failed."""

from __future__ import annotations

from pathlib import Path

from msim_xds.security.access.document import Consent
from msim_xds.security.access.explain import explain
from msim_xds.security.access.reader import SAMPLE, read
from tests.test_security.test_access.worlds import CODES, document, policy, subject


def test_every_rule_on_the_way() -> None:
    explanation = explain(read(SAMPLE, CODES), subject(roles=frozenset([("nurse", "")])), document("R"))
    lines = list(explanation.lines())
    assert "caller.kinds is none of administrator; it is hospital" in lines[0]
    assert "document.own is not true; authors' institutions: 1.2.616.2; the caller's: 1.2.616.1" in lines[1]
    assert "caller.emergency is none of true; it is false" in lines[2]
    assert "document.opted_out is not true; consents in force: 0" in lines[3]
    assert "document.confidentiality is not N; its codes: R^^2.16.840.1.113883.5.25" in lines[4]
    assert (
        "caller.roles is none of 112247003^^2.16.840.1.113883.6.96, medical doctor; it is nurse" in lines[5]
    )
    assert lines[6:] == ["no rule fits: the default decides", "DENY"]


def test_the_rule_that_decides() -> None:
    explanation = explain(read(SAMPLE, CODES), subject(), document("N", consents=[Consent(False)]))
    assert not explanation.by_default
    decision = f"{explanation.steps[-1].rule}: decides: document.opted_out true"
    assert list(explanation.lines())[-2:] == [decision, "DENY"]
    assert explanation.steps[-1].rule.startswith("rule 4 'opted out' (line ")


def test_waived_times_and_codes(tmp_path: Path) -> None:
    rules = policy(
        tmp_path,
        '[[rule]]\nname = "a"\neffect = "deny"\ndocument.opted_out = true\n'
        '[[rule]]\nname = "b"\neffect = "deny"\ndocument.created_to = "2020"\n'
        '[[rule]]\nname = "c"\neffect = "deny"\n'
        'document.class_code = ["00.60^^2.16.840.1.113883.3.4424.11.1.32"]',
    )
    steps = explain(rules, subject(emergency=True), document("N", consents=[Consent(False)])).steps
    assert steps[0].reason == "it denies by consent, which emergency access overrides"
    assert steps[1].reason == "document.created is not … to 2020; creationTime: 20260914000000"
    assert steps[2].reason.endswith("it is 00.20^^2.16.840.1.113883.3.4424.11.1.32")


def test_a_rule_without_conditions(tmp_path: Path) -> None:
    rules = policy(tmp_path, '[[rule]]\nname = "all"\neffect = "permit"')
    assert list(explain(rules, subject(), document("V")).lines()) == [
        "rule 1 'all' (line 1): decides",
        "PERMIT",
    ]
