"""importer.report: a file and a row that agree after every crash."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from msim_xds.findings import Finding
from msim_xds.ihe.names import Severity
from msim_xds.importer.report import Outcome, Remark, Report, reasons

REFUSED = Remark(
    "ż.xml", Outcome.REFUSED, [Finding("XDSMissingDocument", "is not there", "Document d", "path")]
)


def test_what_stands_behind_the_place_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "report"
    report = Report(path)
    assert report.write(0, []) == 0
    first = report.write(0, [REFUSED])
    assert first == path.stat().st_size
    second = report.write(first, [REFUSED, REFUSED])
    assert report.write(first, []) == first == path.stat().st_size
    assert report.write(first, [REFUSED, REFUSED]) == second
    assert [json.loads(line)["name"] for line in path.read_text().splitlines()] == ["ż.xml"] * 3


def test_a_report_that_lacks_something(tmp_path: Path) -> None:
    report = Report(tmp_path / "report")
    length = report.write(0, [REFUSED])
    (tmp_path / "report").write_bytes(b"short")
    with pytest.raises(ValueError, match="shortened"):
        report.write(length, [])


def test_reasons_count_submissions(tmp_path: Path) -> None:
    warning = Finding("XDSExtraMetadataNotSaved", "was not saved", severity=Severity.WARNING)
    twice = Remark("b", Outcome.REFUSED, [Finding("A", "first"), Finding("A", "second"), Finding("B", "x")])
    remarks = [
        twice,
        Remark("c", Outcome.REFUSED, [Finding("B", "y"), warning]),
        Remark("d", Outcome.IMPORTED, [warning], ["noted"]),
        Remark("e", Outcome.SKIPPED, notes=["nothing"]),
    ]
    Report(tmp_path / "report").write(0, remarks)
    assert reasons(tmp_path / "report") == [("B", 2, "b: x"), ("A", 1, "b: first")]
