"""Callers and documents for tests of access, and policies as files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msim_xds.ihe.codes import CodeTable
from msim_xds.metadata.period import period
from msim_xds.security.access.document import Document
from msim_xds.security.access.policy import Policy
from msim_xds.security.access.reader import read
from msim_xds.security.access.subject import Subject
from msim_xds.wire.view import Fact

LEVELS = """
[[confidentiality]]
name = "N"
codes = ["N^^2.16.840.1.113883.5.25", "1^^levels"]
[[confidentiality]]
name = "R"
codes = ["R^^2.16.840.1.113883.5.25"]
[[confidentiality]]
name = "V"
codes = ["V^^2.16.840.1.113883.5.25"]
"""
CODES = CodeTable.load()
DISCHARGE = "00.20^^2.16.840.1.113883.3.4424.11.1.32"
HOSPITAL_A, HOSPITAL_B = "1.2.616.1", "1.2.616.2"


def policy(tmp_path: Path, text: str) -> Policy:
    """The policy of a file with this text."""
    path = tmp_path / "policy.toml"
    path.write_text(text, "utf-8")
    return read(path, CODES)


def subject(**given: Any) -> Subject:
    """A doctor of hospital A who treats; ``given`` over it."""
    usual: dict[str, Any] = {
        "transaction": "ITI-18",
        "system": "his-a",
        "kind": "hospital",
        "roles": frozenset([("medical doctor", "")]),
        "purposes": frozenset([("TREATMENT", "2.16.840.1.113883.3.18.7.1")]),
        "organization": HOSPITAL_A,
        "institutions": frozenset([HOSPITAL_A]),
    }
    return Subject(**{**usual, **given})


def document(
    *levels: str,
    by: Iterable[str] = (HOSPITAL_B,),
    class_code: str = DISCHARGE,
    created: str | None = "20260914",
    consents: Any = (),
) -> Document:
    """A document of hospital B with these confidentialityCodes of HL7."""
    return Document(
        frozenset(f"{level}^^2.16.840.1.113883.5.25" for level in levels),
        {Fact.CLASS: class_code},
        frozenset(by),
        None if created is None else period(created),
        tuple(consents),
    )
