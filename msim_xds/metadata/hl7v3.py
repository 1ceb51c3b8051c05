"""Reads HL7 v3 patient messages of ITI-44 (ITI TF-2 3.44.4; HL7 V3 NE2008).

Only what a registry needs is looked at; what it does not need may be absent or unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from msim_xds.findings import Finding, Refused
from msim_xds.ihe.acknowledgements import Condition
from msim_xds.ihe.names import HL7V3
from msim_xds.metadata.identity import Announcement, Demographics, Given, Identifier, Merge
from msim_xds.metadata.period import is_dtm

if TYPE_CHECKING:
    from lxml.etree import _Element

_SOURCE: Final = "ITI TF-2 3.44.4"
_MERGE: Final = "PRPA_IN201304UV02"
_EVENT: Final = "controlActProcess/subject/registrationEvent"
_PATIENT: Final = "subject1/patient"
_PRIOR: Final = "replacementOf/priorRegistration/subject1/priorRegisteredRole"
_PROCESSING: Final = frozenset({"P", "T", "D", ""})
_IDS_MOST: Final = 200
_NAME_MOST: Final = 250
#: administrativeGenderCode, and what ``Demographics`` says for it.
SEXES: Final = {"F": "F", "M": "M", "UN": "O"}


class PatientMessage(NamedTuple):
    """A message: its id ``root^extension``, and what it asks for."""

    message_id: str
    change: Announcement | Merge


def read(message: _Element) -> PatientMessage:
    """What a PRPA_IN201301UV02, PRPA_IN201302UV02 or PRPA_IN201304UV02 asks for.

    Raises:
        Refused: something that the registry needs is missing, or there is more of it than one.
    """
    interaction = message.tag.rpartition("}")[2]
    _check_interaction(message, interaction)
    event = _one(message, _EVENT)
    patient = _one(event, _PATIENT, _EVENT)
    given = _given(patient, f"{_EVENT}/{_PATIENT}/id")
    change = (
        Merge(given, _subsumed(event))
        if interaction == _MERGE
        else _announcement(event, patient, given, interaction)
    )
    identifier = _one(message, "id")
    return PatientMessage(
        "^".join(filter(None, (identifier.get("root"), identifier.get("extension")))), change
    )


def _check_interaction(message: _Element, interaction: str) -> None:
    named = _one(message, "interactionId").get("extension", "")
    if named != interaction:
        raise Refused(
            [_wrong("interactionId/@extension", "is not the message that it is in", named, interaction)]
        )
    processing = message.find(path("processingCode"))
    code = "" if processing is None else processing.get("code", "")
    if code not in _PROCESSING:
        condition = Condition.UNSUPPORTED_PROCESSING_ID
        raise Refused([_wrong("processingCode/@code", "is not supported", code, "P, T or D", condition)])


def _announcement(event: _Element, patient: _Element, given: Given, interaction: str) -> Announcement:
    if event.find(path("replacementOf")) is not None:
        raise Refused([_wrong(f"{_EVENT}/replacementOf", f"is not allowed in {interaction}", None, _MERGE)])
    return Announcement(given, _demographics(patient.find(path("patientPerson"))))


def _subsumed(event: _Element) -> Given:
    prior = _one(event, _PRIOR, _EVENT)
    place = f"{_EVENT}/{_PRIOR}/id"
    given = _given(prior, place)
    if len(given.identifiers) != 1:
        raise Refused(
            [_wrong(place, "occurs more than once" if given.identifiers else "is missing", None, "one")]
        )
    return given


def _given(role: _Element, place: str) -> Given:
    """The ids of a role; those without a value (nullFlavor) are not counted."""
    ids = role.findall(path("id"))[:_IDS_MOST]
    found = (Identifier(each.get("extension", ""), "", each.get("root", ""), "ISO") for each in ids)
    return Given(place, tuple(each for each in found if each.value.strip()))


def _demographics(person: _Element | None) -> Demographics:
    """Without what is malformed: the registry can do without."""
    if person is None:
        return Demographics()
    born, sex = (attribute(person, name) for name in ("birthTime/@value", "administrativeGenderCode/@code"))
    return Demographics(
        _name(person, "name/family"),
        _name(person, "name/given"),
        born[:8] if is_dtm(born[:8]) else None,
        SEXES.get(sex),
    )


def attribute(parent: _Element, place: str) -> str:
    """An attribute by its place below ``parent``, such as ``birthTime/@value``; empty where it is absent."""
    where, _, name = place.partition("/@")
    element = parent.find(path(where))
    return "" if element is None else element.get(name, "").strip()


def _name(person: _Element, steps: str) -> str | None:
    element = person.find(path(steps))
    text = "" if element is None else "".join(_texts(element))
    return " ".join(text.split())[:_NAME_MOST] or None


def _texts(element: _Element) -> Iterator[str]:
    return (str(text) for text in element.itertext())


def _one(parent: _Element, steps: str, above: str = "") -> _Element:
    """The element at ``steps``.

    Raises:
        Refused: there is none, or more than one.
    """
    found = parent.findall(path(steps))
    if len(found) != 1:
        place = "/".join(filter(None, (above, steps)))
        raise Refused(
            [_wrong(place, "occurs more than once" if found else "is missing", None, "exactly one")]
        )
    return found[0]


def path(steps: str) -> str:
    """The path of child elements, in HL7 v3's namespace."""
    return "/".join(f"{{{HL7V3}}}{step}" for step in steps.split("/"))


def _wrong(
    place: str,
    problem: str,
    seen: str | None,
    allowed: str,
    condition: Condition = Condition.REQUIRED_FIELD_MISSING,
) -> Finding:
    return Finding(condition, problem, attribute=place, seen=seen, allowed=allowed, source=_SOURCE)
