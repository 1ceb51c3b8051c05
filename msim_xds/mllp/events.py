"""Trigger events of a patient feed, one row each: what a message of that event asks for.

Source: ITI TF-2 3.8.4.1 (A01, A04, A05, A08), 3.8.4.2 (A40), 3.64.4.1 (A43).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from msim_xds.findings import Finding, Refused
from msim_xds.ihe.acknowledgements import NAMES, Condition
from msim_xds.metadata.identity import Announcement, Demographics, Given, LinkChange, Merge
from msim_xds.metadata.period import is_dtm
from msim_xds.mllp.hl7v2 import Header, Message
from msim_xds.registry.identity import Change

_ADT: Final = "ADT"
_NAME_MOST: Final = 250
_SEX: Final = re.compile("[A-Z]")


class Event(NamedTuple):
    """A trigger event: its transaction, the segments without which it says nothing, and how it is read."""

    transaction: str
    segments: tuple[str, ...]
    read: Callable[[Message], Change]


def event_of(header: Header) -> Event:
    """The row of a message.

    Raises:
        Refused: nobody here reads this type or event (ITI TF-2 Appendix C.2.3).
    """
    if header.type != _ADT:
        raise Refused([_unsupported(Condition.UNSUPPORTED_MESSAGE, header.type, _ADT)])
    if header.event not in EVENTS:
        raise Refused([_unsupported(Condition.UNSUPPORTED_EVENT, header.event, ", ".join(EVENTS))])
    return EVENTS[header.event]


def read(message: Message, event: Event) -> Change:
    """What a decoded message asks for.

    Raises:
        Refused: a segment is missing, or there is more than one of it: one message is about one patient.
    """
    wrong = [_segment(name, count) for name in event.segments if (count := message.count(name)) != 1]
    if wrong:
        raise Refused(wrong)
    return event.read(message)


def _announcement(message: Message) -> Announcement:
    return Announcement(message.identifiers("PID", 3), _demographics(message))


def _merge(message: Message) -> Merge:
    return Merge(message.identifiers("PID", 3), message.identifiers("MRG", 1))


def _link_change(message: Message) -> LinkChange:
    """In both fields the id of the domain comes first, the local one second."""
    (patient, local), (previous, previous_local) = (
        _two(message, segment, field) for segment, field in (("PID", 3), ("MRG", 1))
    )
    return LinkChange(patient, previous, local, previous_local)


def _two(message: Message, segment: str, field: int) -> tuple[Given, Given]:
    given = message.identifiers(segment, field)
    return given._replace(identifiers=given.identifiers[:1]), given._replace(
        identifiers=given.identifiers[1:2]
    )


def _demographics(message: Message) -> Demographics:
    """Without what is malformed: the registry can do without (ITI TF-2 3.8.4.1.3)."""
    born, sex = message.text("PID", 7)[:8], message.text("PID", 8).upper()
    return Demographics(
        message.text("PID", 5)[:_NAME_MOST].strip() or None,
        message.text("PID", 5, 2)[:_NAME_MOST].strip() or None,
        born if is_dtm(born) else None,
        sex if _SEX.fullmatch(sex) else None,
    )


EVENTS: Final = {
    "A01": Event("ITI-8", ("PID",), _announcement),
    "A04": Event("ITI-8", ("PID",), _announcement),
    "A05": Event("ITI-8", ("PID",), _announcement),
    "A08": Event("ITI-8", ("PID",), _announcement),
    "A40": Event("ITI-8", ("PID", "MRG"), _merge),
    "A43": Event("ITI-64", ("PID", "MRG"), _link_change),
}
"""The events that are read; senders use A01, A04, A05 and A08 alike, also for patients announced before."""


def _unsupported(condition: Condition, seen: str, allowed: str) -> Finding:
    return Finding(
        condition,
        NAMES[condition].lower(),
        attribute="MSH-9",
        seen=seen,
        allowed=allowed,
        source="ITI TF-2 Appendix C.2.3",
    )


def _segment(name: str, count: int) -> Finding:
    return Finding(
        Condition.SEGMENT_SEQUENCE,
        "segment occurs more than once" if count else "segment is missing",
        attribute=name,
        seen=str(count),
        allowed="one",
        source="ITI TF-2 3.8.4",
    )
