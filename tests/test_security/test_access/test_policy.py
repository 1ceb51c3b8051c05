"""Decisions: the shipped sample, the order of rules, levels, times, own documents, emergencies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from msim_xds.metadata.model import Author, Code, DocumentEntry
from msim_xds.metadata.period import Period
from msim_xds.security.access.document import Consent, Document, shows
from msim_xds.security.access.explain import explain
from msim_xds.security.access.policy import Policy, ownership
from msim_xds.security.access.reader import SAMPLE, read
from msim_xds.security.access.subject import Subject, subject_of
from msim_xds.wire.exchange import Caller, System, SystemKind
from tests.support.decisions import document_of
from tests.test_security.test_access.worlds import (
    CODES,
    DISCHARGE,
    HOSPITAL_A,
    HOSPITAL_B,
    LEVELS,
    document,
    policy,
    subject,
)

OPTED_OUT = [Consent(False)]


def sees(rules: Policy, who: Subject, what: Document) -> bool:
    """The decision by view; the explanation must agree."""
    view = rules.view(who)
    decision = view is None or shows(view, what)
    assert explain(rules, who, what).permit is decision
    return decision


@pytest.fixture(scope="module")
def sample() -> Policy:
    return read(SAMPLE, CODES)


NURSE = subject(roles=frozenset([("nurse", "")]))
RESEARCHER = subject(purposes=frozenset([("RESEARCH", "")]))
EMERGENCY = subject(emergency=True)
NOBODY = Subject("ITI-18")


@pytest.mark.parametrize(
    ("who", "what", "expected"),
    [
        (subject(), document("N"), True),
        (NURSE, document("N"), True),
        (RESEARCHER, document("N"), False),
        (NOBODY, document("N"), False),
        (subject(), document("R"), True),
        (NURSE, document("R"), False),
        (subject(roles=frozenset([("112247003", "2.16.840.1.113883.6.96")])), document("R"), True),
        (subject(roles=frozenset([("112247003", "1.2.3")])), document("R"), False),
        (subject(), document("V"), False),
        (EMERGENCY, document("V"), True),
        (subject(), document("V", by=[HOSPITAL_A]), True),
        (subject(), document("V", by=[HOSPITAL_B, HOSPITAL_A]), True),
        (subject(), document("N", "V"), False),
        (NURSE, document("N", "R"), False),
        (subject(), document("X"), False),
        (subject(), document("N", "X"), False),
        (subject(), document(), False),
        (subject(), document("N", consents=OPTED_OUT), False),
        (subject(), document("N", by=[HOSPITAL_A], consents=OPTED_OUT), True),
        (EMERGENCY, document("N", consents=OPTED_OUT), True),
        (subject(kind="administrator", institutions=frozenset()), document("V", consents=OPTED_OUT), True),
    ],
)
def test_sample(sample: Policy, who: Subject, what: Document, expected: bool) -> None:
    assert sees(sample, who, what) is expected


def test_administrators_pay_nothing(sample: Policy) -> None:
    assert sample.view(subject(kind="administrator")) is None


def test_views_are_kept(sample: Policy) -> None:
    assert sample.view(subject()) is sample.view(subject())


@pytest.mark.parametrize(
    ("levels", "seen"),
    [
        (["N"], "N"),
        (["R"], "R"),
        (["V"], "VX"),
        (["N", "R"], "NR"),
        (["R", "V"], "RVX"),
        (["N", "R", "V"], "NRVX"),
    ],
)
def test_levels(tmp_path: Path, levels: list[str], seen: str) -> None:
    rules = policy(
        tmp_path,
        f'{LEVELS}\n[[rule]]\nname = "a"\neffect = "permit"\ndocument.confidentiality = {levels}'.replace(
            "'", '"'
        ),
    )
    for level in "NRVX":
        assert sees(rules, subject(), document(level)) is (level in seen)
    assert sees(rules, subject(), document()) is ("V" in levels)


@pytest.mark.parametrize(
    ("effect", "created", "fits"),
    [
        ("permit", "2020", True),
        ("permit", "20201231", True),
        ("permit", "2021", False),
        ("permit", "202106", True),
        ("permit", "20210701", False),
        ("permit", "2019", False),
        ("permit", None, False),
        ("deny", "2021", True),
        ("deny", "20210701", False),
        ("deny", "2019", False),
        ("deny", None, True),
    ],
)
def test_times_in_doubt_deny(tmp_path: Path, effect: str, created: str | None, fits: bool) -> None:
    other = "deny" if effect == "permit" else "permit"
    rules = policy(
        tmp_path,
        f'default = "{other}"\n[[rule]]\nname = "a"\neffect = "{effect}"\n'
        'document.created_from = "2020"\ndocument.created_to = "202106"',
    )
    assert sees(rules, subject(), document("N", created=created)) is ((effect == "permit") is fits)


@pytest.mark.parametrize(
    ("consent", "said"),
    [
        (Consent(False), True),
        (Consent(False, frozenset([DISCHARGE])), True),
        (Consent(False, frozenset(["00.60^^x"])), False),
        (Consent(False, None, HOSPITAL_B), True),
        (Consent(False, frozenset([DISCHARGE]), HOSPITAL_A), False),
        (Consent(False, created=Period(20260914120000, 20260914999999)), True),
        (Consent(False, created=Period(20260915000000, 20260915999999)), False),
        (Consent(True), False),
    ],
)
def test_opting_out(tmp_path: Path, consent: Consent, said: bool) -> None:
    rules = policy(
        tmp_path, 'default = "permit"\n[[rule]]\nname = "a"\neffect = "deny"\ndocument.opted_out = true'
    )
    assert sees(rules, subject(), document("N", consents=[consent])) is not said


def test_opting_in_must_be_sure(tmp_path: Path) -> None:
    rules = policy(tmp_path, '[[rule]]\nname = "a"\neffect = "permit"\ndocument.opted_in = true')
    day = Consent(True, created=Period(20260914000000, 20260914999999))
    assert sees(rules, subject(), document("N", consents=[day]))
    assert not sees(rules, subject(), document("N", created="2026", consents=[day]))
    assert not sees(rules, subject(), document("N", consents=[Consent(False)]))


ABSOLUTE = """
default = "permit"
[emergency]
purposes = ["BTG"]
roles = ["medical doctor"]
[[rule]]
name = "absolute"
effect = "deny"
absolute = {absolute}
document.opted_out = true
[[rule]]
name = "not allowed"
effect = "deny"
document.opted_in = false
document.institutions = ["Szpital^^^^^^^^^1.2.616.9"]
"""


@pytest.mark.parametrize("absolute", ["true", "false"])
def test_emergencies_override_consent_but_not_what_is_absolute(tmp_path: Path, absolute: str) -> None:
    rules = policy(tmp_path, ABSOLUTE.format(absolute=absolute))
    assert not sees(rules, subject(), document("N", consents=OPTED_OUT))
    assert sees(rules, EMERGENCY, document("N", consents=OPTED_OUT)) is (absolute == "false")
    without = document("N", by=["1.2.616.9"])
    assert not sees(rules, subject(), without)
    assert sees(rules, EMERGENCY, without)


def test_not_own(tmp_path: Path) -> None:
    rules = policy(
        tmp_path, 'default = "permit"\n[[rule]]\nname = "a"\neffect = "deny"\ndocument.own = false'
    )
    assert sees(rules, subject(), document("N", by=[HOSPITAL_A]))
    assert not sees(rules, subject(), document("N"))
    assert not sees(rules, subject(institutions=frozenset()), document("N", by=[HOSPITAL_A]))


def test_ownership() -> None:
    view = ownership(subject())
    assert shows(view, document("V", by=[HOSPITAL_A, HOSPITAL_B]))
    assert not shows(view, document("N"))
    assert ownership(NOBODY).shows_nothing


DOCTOR = Caller("a", (("r", "s", "t"),), (("p", "s", ""),), "Szpital", "", HOSPITAL_A)


def _system(institutions: frozenset[str] | None) -> System:
    return System("his", SystemKind.HOSPITAL, institutions=institutions)


def test_subject_of_nobody() -> None:
    assert subject_of("ITI-43", None, None) == Subject("ITI-43")


@pytest.mark.parametrize(
    ("caller", "system", "organization", "institutions"),
    [
        (DOCTOR, None, HOSPITAL_A, {HOSPITAL_A}),
        (DOCTOR, _system(None), HOSPITAL_A, {HOSPITAL_A}),
        (DOCTOR, _system(frozenset([HOSPITAL_A, HOSPITAL_B])), HOSPITAL_A, {HOSPITAL_A}),
        (DOCTOR, _system(frozenset([HOSPITAL_B])), "", set()),
        (None, _system(frozenset([HOSPITAL_B])), "", {HOSPITAL_B}),
        (None, _system(None), "", set()),
        (replace(DOCTOR, organization_id=""), _system(None), "", set()),
    ],
)
def test_whose_documents_are_own(
    caller: Caller | None, system: System | None, organization: str, institutions: set[str]
) -> None:
    made = subject_of("ITI-18", caller, system)
    assert made.organization == organization
    assert made.institutions == institutions


def test_subject_has_codes_without_their_texts() -> None:
    made = subject_of("ITI-18", DOCTOR, _system(None))
    assert made.roles == {("r", "s")}
    assert made.purposes == {("p", "s")}
    assert (made.system, made.kind) == ("his", "hospital")


def test_document_of_an_entry() -> None:
    entry = DocumentEntry(
        entry_uuid="urn:uuid:1",
        class_code=Code("00.20", "2.16.840.1.113883.3.4424.11.1.32"),
        confidentiality_codes=(Code("N", "2.16.840.1.113883.5.25"),),
        authors=(Author(institutions=("Szpital^^^^^^^^^1.2.616.2",)), Author()),
    )
    created = Period(20260914000000, 20260914999999)
    assert document_of(entry, created) == document("N")
