r"""HL7 v2 messages of a patient feed: reading them leniently, writing acknowledgements.

The only module that knows the HL7 library. What is taken leniently: line ends, absent segments and fields
that a registry does not need, version and processing id left empty, any delimiters that MSH names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

import hl7
import hl7.util

from msim_xds.findings import Finding, Refused
from msim_xds.ihe.acknowledgements import NAMES, TABLE, Acknowledged, Condition
from msim_xds.metadata.identity import Given, Identifier, escape

hl7.util.logger.disabled = True  # it quotes what it cannot read: patient data

_STANDARD: Final = "ITI TF-2 Appendix C.2"
_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")
_LINE_ENDS: Final = re.compile("[\r\n]+")
_VERSION: Final = re.compile(r"2\.[345](\.[0-9]+)?")
#: What is read of a message; the rest is not even taken apart.
_READ: Final = frozenset({"MSH", "PID", "MRG"})
_SEGMENT_MOST: Final = 16384
_REPETITIONS_MOST: Final = 200
#: MSH-18, HL7 table 0211, and what senders write instead.
_CHARACTER_SETS: Final = {
    "ASCII": "ascii",
    "UNICODE UTF-8": "utf-8",
    "UNICODE": "utf-8",
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
    "WINDOWS-1250": "cp1250",
    "CP1250": "cp1250",
    **{f"8859/{part}": f"iso8859-{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)},
}


class NotHl7(ValueError):
    """The octets do not begin with an MSH segment whose delimiters make sense."""


@dataclass(frozen=True, slots=True)
class Header:
    """What MSH says, as far as an acknowledgement repeats it; empty where absent."""

    sender: tuple[str, str] = ("", "")
    receiver: tuple[str, str] = ("", "")
    type: str = ""
    event: str = ""
    control_id: str = ""
    processing_id: str = ""
    version: str = ""
    character_set: str = ""

    @property
    def encoding(self) -> str:
        """Python's name of the character set; ASCII for one that nobody knows."""
        return _CHARACTER_SETS.get(self.character_set.upper(), "ascii")


class Message:
    """A message that has an MSH segment.

    Args:
        data: as received, or the beginning of it.
        character_set: that of messages which name none in MSH-18.

    Raises:
        NotHl7: it has not.
    """

    def __init__(self, data: bytes, character_set: str) -> None:
        # ISO 8859-1 takes any octet; of the header only MSH-18 is looked at before the right one is known.
        self.header = _header(_parsed(data.lstrip(b"\r\n \t").decode("iso8859-1"), frozenset({"MSH"})))
        named = self.header.character_set or character_set
        self._encoding = _CHARACTER_SETS.get(named.upper())
        self._data = data
        self._message: Any = None

    def decode(self) -> None:
        """Take the segments apart that the feed needs.

        Raises:
            Refused: the character set is unknown, the octets are not of it, or a segment is too large.
        """
        if self._encoding is None:
            raise Refused([_unknown_character_set(self.header.character_set)])
        try:
            text = self._data.decode(self._encoding)
        except UnicodeDecodeError:
            raise Refused([_wrong_character_set(self.header.character_set)]) from None
        self._message = _parsed(text.lstrip("\r\n \t"), _READ)
        self.header = _header(self._message)

    def count(self, segment: str) -> int:
        """How many segments of that name there are."""
        return sum(1 for each in self._message if str(each[0]) == segment)

    def text(self, segment: str, field: int, component: int = 1) -> str:
        """One component of the first repetition of a field; empty where absent."""
        return _at(self._message, segment, field, 1, component, 1)

    def identifiers(self, segment: str, field: int) -> Given:
        """The repetitions of a CX field (HL7 v2.5 2.A.14); those that are empty are not counted."""
        found = (self.identifier(segment, field, n + 1) for n in range(self._repetitions(segment, field)))
        return Given(f"{segment}-{field}", tuple(each for each in found if each.value.strip()))

    def identifier(self, segment: str, field: int, repetition: int) -> Identifier:
        """One repetition of a CX field."""

        def part(component: int, subcomponent: int = 1) -> str:
            return _at(self._message, segment, field, repetition, component, subcomponent).strip()

        return Identifier(part(1), part(4), part(4, 2), part(4, 3))

    def _repetitions(self, segment: str, field: int) -> int:
        try:
            return min(len(self._message.segment(segment)(field)), _REPETITIONS_MOST)
        except (KeyError, IndexError):
            return 0


def unsupported(header: Header) -> Finding | None:
    """What a version or processing id has wrong that nobody here reads (HL7 table 0357, 202 and 203)."""
    if header.version and not _VERSION.fullmatch(header.version):
        return _unsupported(Condition.UNSUPPORTED_VERSION, "MSH-12", header.version, "2.3 to 2.5.1")
    if header.processing_id not in ("", "P", "T", "D"):
        return _unsupported(Condition.UNSUPPORTED_PROCESSING_ID, "MSH-11", header.processing_id, "P, T, D")
    return None


def acknowledgement(
    header: Header, outcome: Acknowledged, findings: Sequence[Finding], control_id: str, now: str
) -> bytes:
    """An ACK message (ITI TF-2 Appendix C.2.3), in the character set of the message that it answers.

    ERR is as HL7 v2.5 has it, which the framework prescribes; for older versions its first field says the
    same in their way.

    Args:
        header: of the message that is answered.
        outcome: MSA-1.
        findings: become ERR segments, unless the message is accepted; the first is MSA-3.
        control_id: MSH-10 of the answer, at most 20 characters.
        now: DTM of the answer.
    """
    version = header.version or "2.3.1"
    is_old = version < "2.5"
    kind = "ACK" if is_old else f"ACK^{escape(header.event)}^ACK"
    parties = *header.receiver, *header.sender
    head = ["MSH", "^~\\&", *parties, now, "", kind, control_id, header.processing_id or "P", version]
    segments = [
        [*map(_clean, head), "", "", "", "", "", escape(header.character_set)],
        ["MSA", outcome, _text(header.control_id), *(_text(each.text()) for each in findings[:1])],
    ]
    if outcome is not Acknowledged.ACCEPT:
        segments += (_err(finding, is_old=is_old) for finding in findings)
    message = hl7.parse("\r".join("|".join(fields).rstrip("|") for fields in segments))
    return str(message).encode(header.encoding, "replace")


def _err(finding: Finding, *, is_old: bool) -> list[str]:
    """ERR: the old way in field 1; place, condition, severity and words in 2, 3, 4 and 8."""
    name = NAMES[Condition(finding.code)]
    segment, _, field = finding.attribute.partition("-")
    place = f"{segment}^1^{field}" if field else segment
    if finding.code in (Condition.UNSUPPORTED_MESSAGE, Condition.UNSUPPORTED_EVENT):
        place += f"^1^{1 if finding.code == Condition.UNSUPPORTED_MESSAGE else 2}"
    old = f"{segment}^1^{field}^{finding.code}&{name}&{TABLE}" if is_old else ""
    condition = f"{finding.code}^{name}^{TABLE}"
    return ["ERR", old, place, condition, "E", "", "", "", _text(finding.text())]


def _parsed(text: str, wanted: Set[str]) -> Any:  # noqa: ANN401  # the library has no types
    """The MSH segment and others, taken apart. Raises NotHl7 and Refused."""
    lines = [line for line in _LINE_ENDS.split(text) if line[:3] in wanted]
    if text[:3] != "MSH" or not lines:
        raise NotHl7("a message begins with MSH")
    delimiters = lines[0][3:8]
    if len(set(delimiters[:5])) != 5 or any(c.isalnum() or c.isspace() for c in delimiters):
        raise NotHl7("MSH names no five different delimiters")
    for line in lines:
        if len(line) > _SEGMENT_MOST:
            raise Refused([_too_large(line[:3])])
    lines[0] += delimiters[0]  # behind the last field there may be none
    return hl7.parse("\r".join(lines))


def _header(message: hl7.Message) -> Header:
    def text(field: int, component: int = 1) -> str:
        return _at(message, "MSH", field, 1, component, 1).strip()

    def party(field: int) -> str:
        return "^".join(escape(text(field, component)) for component in (1, 2, 3)).rstrip("^")

    return Header(
        (party(3), party(4)),
        (party(5), party(6)),
        text(9),
        text(9, 2),
        text(10),
        text(11),
        text(12),
        text(18),
    )


def _at(message: hl7.Message, segment: str, *path: int) -> str:
    try:
        return str(message.extract_field(segment, 1, *path))
    except (KeyError, IndexError):
        return ""
    except ValueError:
        raise Refused([_unreadable(segment, path[0])]) from None


def _text(value: str) -> str:
    return _clean(escape(value))


def _clean(value: str) -> str:
    """``value`` without control characters, which would end a segment."""
    return _CONTROL.sub(" ", value)


def _unsupported(condition: Condition, place: str, seen: str, allowed: str) -> Finding:
    return Finding(
        condition, NAMES[condition].lower(), attribute=place, seen=seen, allowed=allowed, source=_STANDARD
    )


def _unknown_character_set(seen: str) -> Finding:
    allowed = "ASCII, UNICODE UTF-8, 8859/1 to 8859/9, 8859/15"
    return Finding(
        Condition.TABLE_VALUE, "unknown character set", "", "MSH-18", seen, allowed, "HL7 table 0211"
    )


def _wrong_character_set(seen: str) -> Finding:
    problem = "the message is not in the character set that MSH-18 names, or in that of the settings"
    return Finding(
        Condition.DATA_TYPE, problem, "", "MSH-18", seen, "such as UNICODE UTF-8 or 8859/2", _STANDARD
    )


def _too_large(segment: str) -> Finding:
    return Finding(
        Condition.DATA_TYPE,
        "the segment is too large",
        attribute=segment,
        allowed=f"at most {_SEGMENT_MOST} characters",
    )


def _unreadable(segment: str, field: int) -> Finding:
    return Finding(
        Condition.DATA_TYPE,
        "an escape sequence makes no sense",
        attribute=f"{segment}-{field}",
        source="HL7 v2.5 2.7",
    )
