"""HL7 v2 messages as hospital systems send them, written independently of the product."""

from __future__ import annotations

from collections.abc import Mapping

MSH = {
    3: "HIS",
    4: "KRK",
    5: "MSIM",
    6: "RHIE",
    7: "20260914113000",
    9: "ADT^A01",
    10: "MSG1",
    11: "P",
    12: "2.3.1",
}


def header(event: str = "A01", **fields: str) -> str:
    """An MSH segment; ``f18="8859/2"`` sets MSH-18."""
    given = MSH | {9: f"ADT^{event}"} | {int(name[1:]): value for name, value in fields.items()}
    values = [given.get(number, "") for number in range(3, max(given) + 1)]
    return "|".join(["MSH", "^~\\&", *values])


def message(*segments: str, encoding: str = "utf-8") -> bytes:
    """Segments as one message."""
    return "".join(f"{segment}\r" for segment in segments).encode(encoding)


def announcement(cx: str, event: str = "A01", name: str = "Kowalska^Anna", **fields: str) -> bytes:
    """A01, A04, A05 or A08."""
    pid = f"PID|1||{cx}||{name}||18580314|F"
    return message(header(event, **fields), f"EVN|{event}|20260914113000", pid, "PV1||I")


def merge(surviving: str, subsumed: str, **fields: str) -> bytes:
    """A40."""
    return message(header("A40", **fields), "EVN|A40|2026", f"PID|||{surviving}||X^Y", f"MRG|{subsumed}")


def link_change(patient: str, previous: str, **fields: str) -> bytes:
    """A43; each argument is the whole field, its repetitions behind ``~``."""
    fields = {"f9": "ADT^A43^ADT_A43", "f12": "2.5"} | fields
    return message(header("A43", **fields), "EVN|A43|2026", f"PID|||{patient}|| ", f"MRG|{previous}")


def segments(answer: bytes, encoding: str = "utf-8") -> Mapping[str, list[str]]:
    """The fields of each segment of an acknowledgement; those of MSH are numbered from its second."""
    return {line[:3]: line.split("|") for line in answer.decode(encoding).split("\r") if line}
