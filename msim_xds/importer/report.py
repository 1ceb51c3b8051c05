"""The report of an import: a file of JSON Lines, one for each submission that was not simply imported.

It holds metadata of patients, so only its owner may read it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from msim_xds.audit.operators import Deed
from msim_xds.findings import Finding
from msim_xds.ihe.names import ResponseStatus
from msim_xds.metadata.ebrim import Reading
from msim_xds.registry.concerned import submitted
from msim_xds.wire.exchange import NOTHING_KNOWN


class Outcome(StrEnum):
    """What became of a file or line."""

    IMPORTED = "imported"
    PRESENT = "present"
    REFUSED = "refused"
    SKIPPED = "skipped"


_STATUS: Final = {Outcome.IMPORTED: ResponseStatus.SUCCESS, Outcome.REFUSED: ResponseStatus.FAILURE}


@dataclass(frozen=True, slots=True)
class Remark:
    """A line of the report: what became of a submission, and why.

    Attributes:
        name: its file, or manifest and line.
        outcome: what became of it.
        findings: for which it was refused, or warnings.
        notes: what a person should know besides.
    """

    name: str
    outcome: Outcome
    findings: Sequence[Finding] = ()
    notes: Sequence[str] = ()

    def deed(self, reading: Reading | None) -> Deed | None:
        """The same for the audit trail, with what the submission says; None where nothing was done."""
        if self.outcome not in _STATUS:
            return None
        concerns = NOTHING_KNOWN if reading is None else submitted(reading.submission)
        return Deed(concerns, _STATUS[self.outcome], self.findings)

    def json(self) -> bytes:
        """As a line of the report."""
        value: dict[str, Any] = {"name": self.name, "outcome": self.outcome}
        if self.findings:
            value["findings"] = [finding.record() for finding in self.findings]
        if self.notes:
            value["notes"] = list(self.notes)
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n"


class Report:
    """The file, extended at a place that the caller knows; what stood behind that place is forgotten.

    So a report and a database row that holds its length agree after every crash.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, offset: int, remarks: Iterable[Remark]) -> int:
        """Put remarks at ``offset``; they are durable when this returns the new length.

        Raises:
            ValueError: the file is shorter than ``offset``: somebody has changed it.
            OSError: it cannot be written.
        """
        text = b"".join(remark.json() for remark in remarks)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(fd).st_size
            if size < offset:
                raise ValueError(f"{self._path}: the report was shortened or removed; --again starts over")
            if size > offset:
                os.ftruncate(fd, offset)
            if text:
                with os.fdopen(os.dup(fd), "wb") as file:
                    file.seek(offset)
                    file.write(text)
            if text or size > offset:
                os.fsync(fd)
        finally:
            os.close(fd)
        return offset + len(text)


_SUMMARY_CODES: Final = 20


def reasons(path: Path) -> list[tuple[str, int, str]]:
    """Why submissions were refused: each code with how many submissions have it, and one of its texts."""
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for entry in _entries(path):
        if entry["outcome"] != Outcome.REFUSED:
            continue
        errors = [each for each in entry.get("findings", ()) if each["severity"] == "error"]
        counts.update({each["code"] for each in errors})
        for each in errors:
            said = " ".join(filter(None, (each["object"], each["attribute"], each["problem"])))
            examples.setdefault(each["code"], f"{entry['name']}: {said}")
    return [(code, count, examples[code]) for code, count in counts.most_common(_SUMMARY_CODES)]


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for line in file:
            yield json.loads(line)
