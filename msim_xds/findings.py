"""What is wrong with a message, as a value: collected, reported together, never half the story."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from msim_xds.ihe.names import Severity

_SEEN_LIMIT: Final = 120


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: which object, which attribute, what was seen, what is allowed, which rule.

    Attributes:
        code: error code of ``ihe.errors``.
        problem: what is wrong, one sentence without a full stop.
        place: the object, such as ``DocumentEntry Document01``.
        attribute: the attribute or parameter, such as ``typeCode``.
        seen: the value found (shortened when shown).
        allowed: what would be right.
        source: the rule, such as ``ITI TF-3 4.2.3.2.3``.
        severity: Error refuses the message, Warning travels with Success.
        context: fixed codeContext where the framework prescribes it (ITI TF-3 Table 4.2.4.1-2).
        location: fixed location where the framework prescribes it (the DocumentUniqueId in ITI-43).
    """

    code: str
    problem: str
    place: str = ""
    attribute: str = ""
    seen: str | None = None
    allowed: str = ""
    source: str = ""
    severity: Severity = Severity.ERROR
    context: str = ""
    location: str = ""

    @property
    def is_error(self) -> bool:
        """Whether this finding refuses the message."""
        return self.severity is Severity.ERROR

    def text(self) -> str:
        """The finding as one line for people."""
        where = ", ".join(filter(None, (self.place, self.attribute)))
        parts = [f"{where}: {self.problem}" if where else self.problem]
        if self.seen is not None:
            parts.append(f"seen {shorten(self.seen)!r}")
        if self.allowed:
            parts.append(f"allowed: {self.allowed}")
        line = "; ".join(parts)
        return f"{line} ({self.source})" if self.source else line

    def record(self) -> dict[str, str | None]:
        """Everything that it says, part by part."""
        return {
            "severity": "error" if self.is_error else "warning",
            "code": self.code,
            "object": self.place,
            "attribute": self.attribute,
            "problem": self.problem,
            "seen": self.seen,
            "allowed": self.allowed,
            "source": self.source,
        }

    @property
    def code_context(self) -> str:
        """Text of RegistryError/@codeContext."""
        return self.context or self.text()

    @property
    def error_location(self) -> str:
        """Text of RegistryError/@location; carries the explanation where codeContext is prescribed."""
        if self.location:
            return self.location
        return self.text() if self.context else ""


class Refused(Exception):
    """The message is refused for these findings; nothing of it was kept."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(f"{f.code}: {f.place} {f.attribute}".strip() for f in self.findings))


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that refuse a message."""
    return [finding for finding in findings if finding.is_error]


def shorten(value: str, limit: int = _SEEN_LIMIT) -> str:
    """``value`` cut to ``limit`` characters, with control characters made visible-safe."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value[: limit + 1])
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
