"""Policy files: what is wrong is said with file, rule, line and value."""

from __future__ import annotations

from pathlib import Path

import pytest

from msim_xds.security.access.reader import SAMPLE, UnusablePolicy, read
from tests.test_security.test_access.worlds import CODES, LEVELS, policy

RULE = '[[rule]]\nname = "a"\neffect = "permit"\n'
EMERGENCY = '[emergency]\npurposes = ["BTG"]\nroles = ["r"]\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = \n", "line 1"),
        ("", "rule: Field required"),
        ("rule = []", "rule: Tuple should have at least 1 item"),
        ('default = "maybe"\n' + RULE, "default: Input should be 'permit' or 'deny'; seen: 'maybe'"),
        (RULE + '[[rule]]\nname = "b"\neffect = "allow"', "rule 2 (line 4): effect: Input should be"),
        (RULE + 'colour = "x"', "rule 1 (line 1): colour: Extra inputs are not permitted; seen: 'x'"),
        (RULE + "caller.roles = []", "rule 1 (line 1): caller.roles: Tuple should have at least 1 item"),
        (RULE + 'caller.roles = [""]', "caller.roles.0: String should have at least 1 character"),
        (RULE + 'document.own = "yes"', "document.own: Input should be a valid boolean; seen: 'yes'"),
        (
            RULE + "absolute = true",
            "rule 1 'a' (line 1): absolute: is only for rules that deny; seen: 'true'",
        ),
        (RULE + 'caller.transactions = ["ITI-1"]', "caller.transactions: is none of ITI-18, "),
        (
            RULE + 'caller.kinds = ["x"]',
            "caller.kinds: is none of administrator, gateway, hospital; seen: 'x'",
        ),
        (RULE + "caller.emergency = true", "caller.emergency: needs a table [emergency]; seen: 'true'"),
        (
            RULE + 'document.class_code = ["00.20"]',
            "document.class_code: is no 'code^^scheme'; seen: '00.20'",
        ),
        (
            RULE + 'document.class_code = ["00.2^^2.16.840.1.113883.3.4424.11.1.32"]',
            "is no classCode of the domain's code table; near: ",
        ),
        (
            RULE + 'document.confidentiality = ["N"]',
            "document.confidentiality: is no level; levels: none: there is no [[confidentiality]]; seen: 'N'",
        ),
        (LEVELS + RULE + 'document.confidentiality = ["Q"]', "is no level; levels: N, R, V; seen: 'Q'"),
        (
            LEVELS + RULE + 'document.confidentiality = ["V", "N"]',
            "must be neighbours; write two rules; seen:",
        ),
        (LEVELS.replace("R^^", "N^^") + RULE, "confidentiality 'R': codes: stands in two places; seen: 'N^^"),
        (LEVELS.replace('"R"', '"N"') + RULE, "confidentiality: name: is given twice; seen: 'N, N, V'"),
        (
            LEVELS.replace("1^^levels", "1") + RULE,
            "confidentiality 'N': codes: is no 'code^^scheme'; seen: '1'",
        ),
        (RULE + 'document.created_from = "abc"', "document.created_from: is no DTM"),
        (
            RULE + 'document.created_from = "2021"\ndocument.created_to = "2020"',
            "document.created_to: is before created_from 2021; seen: '2020'",
        ),
        (RULE + RULE, "rule 2 'a' (line 4): name: is that of rule 1 'a' (line 1) too; seen: 'a'"),
        (
            EMERGENCY + RULE + "caller.emergency = true\n"
            '[[rule]]\nname = "b"\neffect = "deny"\nabsolute = true\ndocument.own = false',
            "rule 2 'b' (line 8): absolute: stands after rule 1 'a' (line 4), which opens in emergencies",
        ),
        ('rule = [{name = "a", effect = "deny", absolute = 1}]', "rule 1: absolute: Input should be a valid"),
    ],
)
def test_what_is_wrong(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UnusablePolicy) as refused:
        policy(tmp_path, text)
    assert problem in str(refused.value)
    assert str(refused.value).startswith(str(tmp_path / "policy.toml"))


def test_no_utf8(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(b'\xff = "x"')
    with pytest.raises(UnusablePolicy, match="this is no UTF-8"):
        read(path, CODES)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.toml", CODES)


def test_spellings_of_schemes(tmp_path: Path) -> None:
    """A code means the same under every name of its scheme."""
    rules = policy(tmp_path, RULE + 'document.class_code = ["00.20^^KLAS_DOK_P1"]')
    (condition,) = rules.rules[0].document
    assert "00.20^^2.16.840.1.113883.3.4424.11.1.32" in condition.tests[0].values


def test_the_sample_can_be_used_with_what_it_shows_as_comments(tmp_path: Path) -> None:
    text = SAMPLE.read_text("utf-8")
    shown = "\n".join(
        line[2:] if line.startswith(("# [[rule", "# name", "# effect", "# absolute", "# document.")) else line
        for line in text.splitlines()
    )
    assert len(policy(tmp_path, shown).rules) == len(read(SAMPLE, CODES).rules) + 1
