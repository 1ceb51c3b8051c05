"""Records of what is no transaction: refused nodes and users, emergencies, settings (DICOM PS3.15 A.5.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from msim_xds.audit.message import (
    AuditMessage,
    AuditSource,
    Detail,
    ObjectRole,
    ObjectType,
    Participant,
    ParticipantObject,
)
from msim_xds.audit.records import Record, Scene
from msim_xds.ihe import audit
from msim_xds.ihe.audit import Action, Coded, Outcome


def user_refused(
    time: datetime, source: AuditSource, client: Participant, server: Participant, reason: str
) -> Record:
    """That an assertion was missing or refused (ITI TF-2 3.40). It names no user: none is proven."""
    message = AuditMessage(
        event=audit.USER_AUTHENTICATION,
        action=Action.EXECUTE,
        time=time,
        outcome=Outcome.SERIOUS_FAILURE,
        types=(audit.LOGIN,),
        source=source,
        participants=(client._replace(roles=(audit.SOURCE,)), server._replace(roles=(audit.DESTINATION,))),
        description=reason,
    )
    return Record("", message)


def node_refused(
    time: datetime, source: AuditSource, here: Participant, peer: Participant, reason: str
) -> Record:
    """That another system was not let in by its certificate (ITI TF-2 3.19)."""
    node = _resource(peer.user_id, audit.NODE_ID, reason)
    return _alert(
        audit.NODE_AUTHENTICATION, time, source, Outcome.SERIOUS_FAILURE, (here, peer), (node,), reason
    )


def settings_changed(time: datetime, source: AuditSource, here: Participant, names: Sequence[str]) -> Record:
    """That the server has started with other settings than before; ``names`` are theirs."""
    thing = _resource(here.user_id, audit.URI, f"changed: {', '.join(names)}")
    return _alert(audit.SECURITY_CONFIGURATION, time, source, Outcome.SUCCESS, (here,), (thing,))


def emergency(scene: Scene, patients: Sequence[str], reason: str) -> Iterator[Record]:
    """That somebody has declared an emergency: one record for each patient, before the access itself."""
    participants = (
        scene.client._replace(roles=(audit.SOURCE,)),
        *scene.humans,
        scene.server._replace(roles=(audit.DESTINATION,)),
    )
    for patient in patients or ("",):
        thing = ParticipantObject(
            id=patient,
            id_type=audit.PATIENT_NUMBER,
            type=ObjectType.PERSON,
            role=ObjectRole.PATIENT,
            details=(Detail(audit.ALERT_DETAIL, reason),),
        )
        record = _alert(
            audit.EMERGENCY_STARTED,
            scene.time,
            scene.source,
            Outcome.SUCCESS,
            participants,
            (thing,) if patient else (),
        )
        yield Record(patient, record.message._replace(purposes=scene.purposes))


def _alert(
    kind: Coded,
    time: datetime,
    source: AuditSource,
    outcome: Outcome,
    participants: tuple[Participant, ...],
    objects: tuple[ParticipantObject, ...],
    description: str | None = None,
) -> Record:
    message = AuditMessage(
        event=audit.SECURITY_ALERT,
        action=Action.EXECUTE,
        time=time,
        outcome=outcome,
        types=(kind,),
        source=source,
        participants=participants,
        objects=objects,
        description=description,
    )
    return Record("", message)


def _resource(name: str, id_type: Coded, alert: str) -> ParticipantObject:
    return ParticipantObject(
        id=name,
        id_type=id_type,
        type=ObjectType.SYSTEM,
        role=ObjectRole.SECURITY_RESOURCE,
        details=(Detail(audit.ALERT_DETAIL, alert),),
    )
