"""Audit messages as DICOM writes them (DICOM PS3.15 A.5.1; ITI TF-2 3.20.7): a model and its one writer."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from datetime import datetime
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

from msim_xds.ihe.audit import APPLICATION_SERVER, Action, Coded, Outcome
from msim_xds.wire.xmltext import escape

#: Codes and participants of which the XML is kept at hand: most records name the same few.
_KEPT: Final = 1024
_LONGEST_KEPT: Final = 512  # characters of a UserID: senders choose some of them


class Network(IntEnum):
    """NetworkAccessPointTypeCode."""

    NAME = 1
    ADDRESS = 2


class ObjectType(IntEnum):
    """ParticipantObjectTypeCode."""

    PERSON = 1
    SYSTEM = 2


class ObjectRole(IntEnum):
    """ParticipantObjectTypeCodeRole."""

    PATIENT = 1
    REPORT = 3
    SECURITY_RESOURCE = 13
    JOB = 20
    QUERY = 24


class LifeCycle(IntEnum):
    """ParticipantObjectDataLifeCycle."""

    ORIGINATION = 1
    LOGICAL_DELETION = 14
    PERMANENT_ERASURE = 15


class Participant(NamedTuple):
    """ActiveParticipant: a node, an application or a person that took part.

    ``network`` is the address with its kind; ``roles`` are RoleIDCodes.
    """

    user_id: str
    is_requestor: bool
    alternative_user_id: str | None = None
    user_name: str | None = None
    roles: tuple[Coded, ...] = ()
    network: tuple[str, Network] | None = None

    @property
    def is_short(self) -> bool:
        """Whether what is made of it may be kept at hand."""
        return len(self.user_id) <= _LONGEST_KEPT


class Detail(NamedTuple):
    """ParticipantObjectDetail; the value is written as base64."""

    type: str
    value: str


class ParticipantObject(NamedTuple):
    """ParticipantObjectIdentification: whom or what it was about. ``query`` is the payload of a query."""

    id: str
    id_type: Coded
    type: ObjectType
    role: ObjectRole
    life_cycle: LifeCycle | None = None
    query: bytes | None = None
    details: tuple[Detail, ...] = ()


class AuditSource(NamedTuple):
    """AuditSourceIdentification of an application server; ``site`` is the enterprise site's id."""

    id: str
    site: str | None = None


class AuditMessage(NamedTuple):
    """One record. ``time`` is aware; ``description`` says why something failed."""

    event: Coded
    action: Action
    time: datetime
    outcome: Outcome
    types: tuple[Coded, ...]
    source: AuditSource
    participants: tuple[Participant, ...]
    objects: tuple[ParticipantObject, ...] = ()
    purposes: tuple[Coded, ...] = ()
    description: str | None = None


def write(message: AuditMessage) -> bytes:
    """The message as UTF-8 XML without a declaration, children in schema order.

    originalText is written beside displayName, which alone would break the schema (DICOM PS3.15 A.5.1).
    """
    parts = [
        "<AuditMessage>",
        f'<EventIdentification EventActionCode="{message.action}"'
        f' EventDateTime="{message.time.isoformat(timespec="milliseconds")}"'
        f' EventOutcomeIndicator="{int(message.outcome)}">',
        _coded("EventID", message.event),
        *_all("EventTypeCode", message.types),
    ]
    if message.description:
        parts.append(f"<EventOutcomeDescription>{escape(message.description)}</EventOutcomeDescription>")
    parts += [*_all("PurposeOfUse", message.purposes), "</EventIdentification>"]
    parts += map(_participant, message.participants)
    parts.append(
        f"<AuditSourceIdentification{_optional('AuditEnterpriseSiteID', message.source.site)}"
        f' AuditSourceID="{escape(message.source.id)}">'
        f"{_coded('AuditSourceTypeCode', APPLICATION_SERVER)}</AuditSourceIdentification>"
    )
    parts += map(_object, message.objects)
    parts.append("</AuditMessage>")
    return "".join(parts).encode()


@lru_cache(_KEPT)
def _coded(element: str, value: Coded) -> str:
    text = escape(value.text)
    return (
        f'<{element} csd-code="{escape(value.code)}" codeSystemName="{escape(value.system)}"'
        f' originalText="{text}" displayName="{text}"/>'
    )


def _all(element: str, values: Iterable[Coded]) -> Iterable[str]:
    return (_coded(element, value) for value in values)


def _optional(name: str, value: object) -> str:
    return "" if value is None else f' {name}="{escape(str(value))}"'


def _participant(participant: Participant) -> str:
    return (_kept_participant if participant.is_short else _participant_anew)(participant)


def _participant_anew(participant: Participant) -> str:
    address, kind = participant.network or (None, None)
    return (
        f'<ActiveParticipant UserID="{escape(participant.user_id)}"'
        f"{_optional('AlternativeUserID', participant.alternative_user_id)}"
        f"{_optional('UserName', participant.user_name)}"
        f' UserIsRequestor="{str(participant.is_requestor).lower()}"'
        f"{_optional('NetworkAccessPointID', address)}"
        f"{_optional('NetworkAccessPointTypeCode', None if kind is None else int(kind))}>"
        f"{''.join(_all('RoleIDCode', participant.roles))}</ActiveParticipant>"
    )


_kept_participant: Final = lru_cache(_KEPT)(_participant_anew)


def _object(thing: ParticipantObject) -> str:
    life_cycle = None if thing.life_cycle is None else int(thing.life_cycle)
    query = (
        ""
        if thing.query is None
        else f"<ParticipantObjectQuery>{_base64(thing.query)}</ParticipantObjectQuery>"
    )
    details = "".join(
        f'<ParticipantObjectDetail type="{escape(detail.type)}" value="{_base64(detail.value.encode())}"/>'
        for detail in thing.details
    )
    return (
        f'<ParticipantObjectIdentification ParticipantObjectID="{escape(thing.id)}"'
        f' ParticipantObjectTypeCode="{int(thing.type)}" ParticipantObjectTypeCodeRole="{int(thing.role)}"'
        f"{_optional('ParticipantObjectDataLifeCycle', life_cycle)}>"
        f"{_coded('ParticipantObjectIDTypeCode', thing.id_type)}{query}{details}"
        "</ParticipantObjectIdentification>"
    )


def _base64(octets: bytes) -> str:
    return b64encode(octets).decode("ascii")
