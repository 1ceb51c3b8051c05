"""Messages of Cross Gateway Patient Discovery: what is asked, and what is told of patients (ITI TF-2 3.55.4).

Only what a registry needs is looked at; what it does not need may be absent or unknown.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from lxml import etree

from msim_xds.findings import Finding, Refused
from msim_xds.ihe.acknowledgements import Condition
from msim_xds.ihe.discovery import (
    LOCATOR_CODES,
    QUERY_INTERACTION,
    QUERY_TRIGGER,
    QueryResponse,
)
from msim_xds.ihe.names import HL7V3
from msim_xds.metadata.hl7v3 import SEXES, attribute, path
from msim_xds.metadata.identity import Demographics, Identifier, identifier
from msim_xds.metadata.period import is_dtm

if TYPE_CHECKING:
    from lxml.etree import _Element

_SOURCE: Final = "ITI TF-2 3.55.4.1.2"
_QUERY: Final = "controlActProcess/queryByParameter"
_PARAMETERS: Final = f"{_QUERY}/parameterList"
_INTERACTIONS: Final = "2.16.840.1.113883.1.6"
_GENDERS: Final = {sex: code for code, sex in SEXES.items()}
_NAMESPACES: Final = cast("dict[str, str]", {None: HL7V3})  # lxml-stubs know no default namespace
_MOST: Final = 50  # ids or names of one query; a person has few
_NAME_MOST: Final = 250


class PersonName(NamedTuple):
    """A name as it was asked for; empty where a part is absent."""

    family: str
    given: str


class Sought(NamedTuple):
    """A patient that another community looks for.

    Attributes:
        identifiers: ids that it knows the patient by, of any authority.
        names: alternatives.
        birth_date: eight digits; None where it is not given in full.
        sex: as in ``Demographics``; None where it is not given.
    """

    identifiers: tuple[Identifier, ...]
    names: tuple[PersonName, ...] = ()
    birth_date: str | None = None
    sex: str | None = None


class Candidate(NamedTuple):
    """A patient that a community offers: the OID of its homeCommunityId, and its id there."""

    home: str
    identifier: Identifier


def read_query(message: _Element) -> Sought:
    """What a PRPA_IN201305UV02 asks for.

    Raises:
        Refused: neither an id nor a name with a birth date (ITI TF-2 3.55.4.1.2.1), or an answer that shall
            come later, which this gateway does not offer.
    """
    if attribute(message, f"{_QUERY}/responsePriorityCode/@code") == "D":
        raise Refused([_wrong(f"{_QUERY}/responsePriorityCode/@code", "is not supported", "D", "I")])
    sought = Sought(
        tuple(_identifiers(message)),
        tuple(_names(message)),
        _birth_date(message),
        SEXES.get(attribute(message, f"{_PARAMETERS}/livingSubjectAdministrativeGender/value/@code")),
    )
    if not sought.identifiers and not (sought.names and sought.birth_date):
        allowed = "livingSubjectId, or livingSubjectName and a whole livingSubjectBirthTime"
        raise Refused([_wrong(_PARAMETERS, "does not say whom it is about", None, allowed)])
    return sought


def _identifiers(message: _Element) -> Iterator[Identifier]:
    for value in message.findall(path(f"{_PARAMETERS}/livingSubjectId/value"))[:_MOST]:
        found = Identifier(value.get("extension", "").strip(), "", value.get("root", "").strip(), "ISO")
        if found.value and found.universal_id:
            yield found


def _names(message: _Element) -> Iterator[PersonName]:
    for value in message.findall(path(f"{_PARAMETERS}/livingSubjectName/value"))[:_MOST]:
        name = PersonName(*(_text(value.find(path(part))) for part in ("family", "given")))
        if name.family:
            yield name


def _birth_date(message: _Element) -> str | None:
    date = attribute(message, f"{_PARAMETERS}/livingSubjectBirthTime/value/@value")[:8]
    return date if len(date) == len("20260914") and is_dtm(date) else None


def _text(element: _Element | None) -> str:
    if element is None:
        return ""
    return " ".join("".join(str(text) for text in element.itertext()).split())[:_NAME_MOST]


def registration(cx: str, demographics: Demographics, home: str, degree: int) -> bytes:
    """One patient of an answer: a ``subject`` (ITI TF-2 3.55.4.2.2).

    Args:
        cx: the patient's id here.
        demographics: what is known of the person.
        home: homeCommunityId.
        degree: how well it matches, 0 to 100.
    """
    subject = _e(
        "subject",
        _e(
            "registrationEvent",
            _e("statusCode", code="active"),
            _e(
                "subject1",
                _e(
                    "patient",
                    _id(identifier(cx)),
                    _e("statusCode", code="active"),
                    _person(demographics),
                    _e(
                        "subjectOf1",
                        _e(
                            "queryMatchObservation",
                            _e("code", code="IHE_PDQ"),
                            _value("INT", value=str(degree)),
                            classCode="COND",
                            moodCode="EVN",
                        ),
                    ),
                    classCode="PAT",
                ),
                typeCode="SBJ",
            ),
            _e(
                "custodian",
                _e(
                    "assignedEntity",
                    _e("id", root=home.removeprefix("urn:oid:")),
                    _e("code", code="NotHealthDataLocator", codeSystem=LOCATOR_CODES),
                    classCode="ASSIGNED",
                ),
                typeCode="CST",
            ),
            classCode="REG",
            moodCode="EVN",
        ),
        typeCode="SUBJ",
    )
    return etree.tostring(subject)


def _person(demographics: Demographics) -> _Element:
    person = _e("patientPerson", _name(demographics), classCode="PSN", determinerCode="INSTANCE")
    if demographics.sex:
        person.append(_e("administrativeGenderCode", code=_GENDERS[demographics.sex]))
    if demographics.birth_date:
        person.append(_e("birthTime", value=demographics.birth_date))
    return person


def _name(demographics: Demographics) -> _Element:
    parts = ("family", demographics.family_name), ("given", demographics.given_name)
    name = _e("name", *(_e(part, _printable(text)) for part, text in parts if text))
    if not len(name):
        name.set("nullFlavor", "UNK")
    return name


def _printable(text: str) -> str:
    """Without what XML cannot carry, which a feed of HL7 v2 may have brought."""
    return "".join(filter(str.isprintable, text))


def _id(found: Identifier) -> _Element:
    return _e("id", root=found.universal_id, extension=found.value)


def _value(kind: str, **attributes: str) -> _Element:
    value = _e("value", **attributes)
    value.set("{http://www.w3.org/2001/XMLSchema-instance}type", kind)
    return value


def query(cx: str, demographics: Demographics, sender: str, receiver: str, created: datetime) -> _Element:
    """A PRPA_IN201305UV02 that looks for one of our patients (ITI TF-2 3.55.4.1.2).

    Args:
        cx: the patient's id here; its authority is the one for a query the other way round.
        demographics: what is told of the person besides.
        sender: our homeCommunityId.
        receiver: the other's.
        created: now, UTC.
    """
    ours = identifier(cx)
    parameters = _e("parameterList")
    if demographics.sex:
        gender = _e("value", code=_GENDERS[demographics.sex])
        parameters.append(_parameter("livingSubjectAdministrativeGender", gender))
    if demographics.birth_date:
        birth = _e("value", value=demographics.birth_date)
        parameters.append(_parameter("livingSubjectBirthTime", birth))
    parameters.append(
        _parameter("livingSubjectId", _e("value", root=ours.universal_id, extension=ours.value))
    )
    if demographics.family_name:
        name = _name(demographics)
        name.tag = f"{{{HL7V3}}}value"
        parameters.append(_parameter("livingSubjectName", name))
    return _e(
        QUERY_INTERACTION,
        _e("id", root=str(uuid.uuid4())),
        _e("creationTime", value=f"{created:%Y%m%d%H%M%S}+0000"),
        _e("interactionId", root=_INTERACTIONS, extension=QUERY_INTERACTION),
        _e("processingCode", code="P"),
        _e("processingModeCode", code="T"),
        _e("acceptAckCode", code="AL"),
        _party("receiver", "RCV", receiver),
        _party("sender", "SND", sender),
        _e(
            "controlActProcess",
            _e("code", code=QUERY_TRIGGER, codeSystem=_INTERACTIONS),
            _e(
                "authorOrPerformer",
                _e("assignedDevice", _e("id", root=ours.universal_id), classCode="ASSIGNED"),
                typeCode="AUT",
            ),
            _e(
                "queryByParameter",
                _e("queryId", root=str(uuid.uuid4())),
                _e("statusCode", code="new"),
                _e("responseModalityCode", code="R"),
                _e("responsePriorityCode", code="I"),
                parameters,
            ),
            classCode="CACT",
            moodCode="EVN",
        ),
        ITSVersion="XML_1.0",
    )


def _parameter(name: str, value: _Element) -> _Element:
    return _e(name, value, _e("semanticsText", name))


def _e(name: str, *content: _Element | str, **attributes: str) -> _Element:
    """An element of HL7 v3 with children or text."""
    element = etree.Element(f"{{{HL7V3}}}{name}", attributes, nsmap=_NAMESPACES)
    for each in content:
        if isinstance(each, str):
            element.text = each
        else:
            element.append(each)
    return element


def _party(name: str, code: str, home: str) -> _Element:
    oid = home.removeprefix("urn:oid:")
    agent = _e(
        "asAgent",
        _e("representedOrganization", _e("id", root=oid), classCode="ORG", determinerCode="INSTANCE"),
        classCode="AGNT",
    )
    return _e(
        name,
        _e("device", _e("id", root=oid), agent, classCode="DEV", determinerCode="INSTANCE"),
        typeCode=code,
    )


def read_answer(message: _Element) -> tuple[Candidate, ...]:
    """The patients that a PRPA_IN201306UV02 offers; none where nobody matches.

    Raises:
        ValueError: it says that there is no answer, or lacks what makes it one; the message says what.
    """
    outcome = attribute(message, "controlActProcess/queryAck/queryResponseCode/@code")
    accepted = attribute(message, "acknowledgement/typeCode/@code")
    if accepted != "AA" or outcome not in (QueryResponse.FOUND, QueryResponse.NOT_FOUND):
        issue = "controlActProcess/reasonOf/detectedIssueEvent/mitigatedBy/detectedIssueManagement/code/@code"
        told = attribute(message, issue) or _text(
            message.find(path("acknowledgement/acknowledgementDetail/text"))
        )
        raise ValueError(f"it finds no patients: {accepted or '-'} {outcome or '-'} {told}".rstrip())
    events = message.findall(path("controlActProcess/subject/registrationEvent"))
    more = "controlActProcess/reasonOf/detectedIssueEvent/triggerFor/actOrderRequired/code/@code"
    if not events and (wanted := attribute(message, more)):  # ITI TF-2 3.55.4.2.3, case 3
        raise ValueError(f"it wants to know more of the patient: {wanted}")
    return tuple(_candidate(event) for event in events)


def _candidate(event: _Element) -> Candidate:
    ids = event.findall(path("subject1/patient/id"))
    home = attribute(event, "custodian/assignedEntity/id/@root")
    found = next((each for each in ids if each.get("extension") and each.get("root")), None)
    if found is None or not home:
        raise ValueError("a patient in its answer has no id, or no community (custodian)")
    return Candidate(
        f"urn:oid:{home}", Identifier(found.get("extension", ""), "", found.get("root", ""), "ISO")
    )


def _wrong(place: str, problem: str, seen: str | None, allowed: str) -> Finding:
    return Finding(
        Condition.REQUIRED_FIELD_MISSING, problem, attribute=place, seen=seen, allowed=allowed, source=_SOURCE
    )
