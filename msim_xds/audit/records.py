"""From what happened to its audit messages: one for each patient, outcome and action (ITI TF-2 3.20.7.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from msim_xds.audit.message import (
    AuditMessage,
    AuditSource,
    Detail,
    LifeCycle,
    ObjectRole,
    ObjectType,
    Participant,
    ParticipantObject,
)
from msim_xds.findings import Finding
from msim_xds.ihe import audit
from msim_xds.ihe.audit import Action, AuditRow, Coded, Outcome, Subject
from msim_xds.ihe.names import ResponseStatus
from msim_xds.wire.exchange import Concerns, HandOver, Named

_LONGEST_DESCRIPTION: Final = 1000
_KEPT: Final = 1024  # participants whose role is remembered


class Asked(NamedTuple):
    """A stored query: AdhocQuery/@id and @home as sent, empty where absent, and the whole request as XML."""

    id: str
    home: str
    xml: bytes


class Scene(NamedTuple):
    """Who took part in a transaction, and when; ``query`` is the request where the record carries it.

    ``client`` and ``server`` are without a role, which is the row's.
    """

    time: datetime
    source: AuditSource
    client: Participant
    server: Participant
    humans: tuple[Participant, ...] = ()
    purposes: tuple[Coded, ...] = ()
    query: Asked | None = None


class Record(NamedTuple):
    """A message, and the patient's CX by whom it is looked for; empty where there is none."""

    patient: str
    message: AuditMessage


class _Verdict(NamedTuple):
    """What became of a part of the request, and which things belong to that part."""

    outcome: Outcome
    description: str | None
    things: tuple[Named, ...]


def records(
    row: AuditRow, scene: Scene, concerns: Concerns, status: ResponseStatus, findings: Sequence[Finding]
) -> Iterator[Record]:
    """The records of one transaction, in order."""
    for verdict in _verdicts(concerns, status, findings):
        for action, patient, objects in _parts(row, scene, concerns, verdict):
            message = AuditMessage(
                event=row.event,
                action=action,
                time=scene.time,
                outcome=verdict.outcome,
                types=(row.type,),
                source=scene.source,
                participants=_participants(row, scene),
                objects=tuple(objects),
                purposes=scene.purposes,
                description=verdict.description,
            )
            yield Record(patient, message)


def handed_over(scene: Scene, copy: HandOver, *, by_client: bool) -> Scene:
    """The scene in the form that somebody else wants; ``by_client``: whether this server is its client."""
    client, server = scene.client, scene.server
    if copy.other and by_client:
        server = server._replace(alternative_user_id=copy.other)
    elif copy.other:
        client = client._replace(alternative_user_id=copy.other)
    humans = scene.humans
    if copy.human:
        humans = tuple(each._replace(user_id=copy.human) for each in humans)
    return scene._replace(source=AuditSource(copy.source), client=client, server=server, humans=humans)


def activity(kind: Coded, time: datetime, source: AuditSource, application: Participant) -> Record:
    """That the application has started or stopped (DICOM PS3.15 A.5.3.1)."""
    message = AuditMessage(
        event=audit.APPLICATION_ACTIVITY,
        action=Action.EXECUTE,
        time=time,
        outcome=Outcome.SUCCESS,
        types=(kind,),
        source=source,
        participants=(application._replace(roles=(audit.APPLICATION,)),),
    )
    return Record("", message)


def _verdicts(concerns: Concerns, status: ResponseStatus, findings: Sequence[Finding]) -> Iterator[_Verdict]:
    """Part of a request can succeed, part fail; each has its own records (ITI TF-2 3.18.5.1, 3.43.6.1)."""
    if status is not ResponseStatus.FAILURE:
        yield _Verdict(Outcome.SUCCESS, None, concerns.done)
    if status is not ResponseStatus.SUCCESS:
        errors = [finding for finding in findings if finding.is_error]
        only_warnings = bool(findings) and not errors
        outcome = Outcome.MINOR_FAILURE if only_warnings else Outcome.SERIOUS_FAILURE
        first = next(iter(errors or findings), None)
        description = None if first is None else first.code_context[:_LONGEST_DESCRIPTION]
        yield _Verdict(outcome, description, concerns.refused)


def _parts(
    row: AuditRow, scene: Scene, concerns: Concerns, verdict: _Verdict
) -> Iterator[tuple[Action, str, list[ParticipantObject]]]:
    """Action, patient and objects of each record: at most one patient in a record (ITI TF-2 3.20.7.1)."""
    match row.subject:
        case Subject.SUBMISSION_SET:
            patient = next(iter(concerns.patients), "")
            yield row.action, patient, [*_patient(patient), *_submission_set(row, concerns)]
        case Subject.QUERY:
            for patient in concerns.patients or ("",):
                yield row.action, patient, [*_patient(patient), *_query(row, scene.query)]
        case Subject.DOCUMENTS | Subject.REFERENCES:
            for patient, things in _by_patient(verdict.things, concerns).items():
                yield row.action, patient, [*_patient(patient), *(_thing(row, each) for each in things)]
        case Subject.PATIENTS:
            details = _message_id(row, concerns)
            for patient in concerns.former:
                yield Action.DELETE, patient, _patient(patient, details)
            for patient in concerns.patients or ("",) * (not concerns.former):
                yield row.action, patient, _patient(patient, details)
        case Subject.LINK:
            patient = next(iter(concerns.patients), "")
            yield row.action, patient, [_linked(row, concerns, role, cx) for role, cx in concerns.linked]


def _participants(row: AuditRow, scene: Scene) -> tuple[Participant, ...]:
    """Source, people, Destination."""
    first, last = (scene.server, scene.client) if row.inverted else (scene.client, scene.server)
    return (
        _in_role(first, audit.SOURCE),
        *scene.humans,
        _in_role(last, audit.DESTINATION),
    )


def _in_role(participant: Participant, role: Coded) -> Participant:
    return (_kept_in_role if participant.is_short else _put_in_role)(participant, role)


def _put_in_role(participant: Participant, role: Coded) -> Participant:
    return participant._replace(roles=(role,))


_kept_in_role: Final = lru_cache(_KEPT)(_put_in_role)


def _by_patient(things: Sequence[Named], concerns: Concerns) -> Mapping[str, list[Named]]:
    """The things of each patient; of a request that names none there is a record all the same."""
    groups: dict[str, list[Named]] = {}
    for each in things:
        groups.setdefault(each.patient, []).append(each)
    return groups or {next(iter(concerns.patients), ""): []}


def _patient(cx: str, details: tuple[Detail, ...] = ()) -> list[ParticipantObject]:
    """The patient's object; none where no patient is known."""
    if not cx:
        return []
    return [
        ParticipantObject(
            id=cx,
            id_type=audit.PATIENT_NUMBER,
            type=ObjectType.PERSON,
            role=ObjectRole.PATIENT,
            details=details,
        )
    ]


def _submission_set(row: AuditRow, concerns: Concerns) -> Iterator[ParticipantObject]:
    if concerns.submission_set:
        yield ParticipantObject(
            id=concerns.submission_set,
            id_type=audit.SUBMISSION_SET_ID,
            type=ObjectType.SYSTEM,
            role=ObjectRole.JOB,
            details=(Detail(row.home, concerns.home),) if concerns.home else (),
        )


def _query(row: AuditRow, asked: Asked | None) -> Iterator[ParticipantObject]:
    if asked is not None:
        home = (Detail(row.home, asked.home),) if asked.home else ()
        yield ParticipantObject(
            id=asked.id,
            id_type=row.type,
            type=ObjectType.SYSTEM,
            role=ObjectRole.QUERY,
            query=asked.xml,
            details=(Detail(audit.ENCODING_DETAIL, "UTF-8"), *home),
        )


def _thing(row: AuditRow, named: Named) -> ParticipantObject:
    details = ((audit.REPOSITORY_DETAIL, named.repository), (row.home, named.home))
    return ParticipantObject(
        id=named.id,
        id_type=audit.REPORT_NUMBER if row.subject is Subject.DOCUMENTS else audit.OBJECT_REF,
        type=ObjectType.SYSTEM,
        role=ObjectRole.REPORT,
        life_cycle=LifeCycle.PERMANENT_ERASURE if row.erases else None,
        details=tuple(Detail(*each) for each in details if each[1]),
    )


def _message_id(row: AuditRow, concerns: Concerns) -> tuple[Detail, ...]:
    return (Detail(row.detail, concerns.message_id),) if concerns.message_id else ()


_LIFE_CYCLES: Final = {
    "localPatientId": LifeCycle.ORIGINATION,
    "subsumedPatientId": LifeCycle.LOGICAL_DELETION,
    "newPatientId": LifeCycle.ORIGINATION,
    "previousPatientId": LifeCycle.LOGICAL_DELETION,
}


def _linked(row: AuditRow, concerns: Concerns, role: str, cx: str) -> ParticipantObject:
    (patient,) = _patient(cx, (*_message_id(row, concerns), Detail(audit.LINK_DETAIL, role)))
    return patient._replace(life_cycle=_LIFE_CYCLES[role])
