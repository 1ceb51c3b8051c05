"""Answers the messages of a patient feed: one change of the registry, one acknowledgement, one log line."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.audit.trail import Trail, Witness
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.acknowledgements import REJECTING, Acknowledged, Condition
from msim_xds.ihe.names import ResponseStatus
from msim_xds.metadata.identity import Announcement, Merge
from msim_xds.mllp.events import Event, event_of, read
from msim_xds.mllp.framing import Frame
from msim_xds.mllp.hl7v2 import Header, Message, NotHl7, acknowledgement, unsupported
from msim_xds.registry.identity import Change, PatientIdentity
from msim_xds.wire.exchange import NOTHING_KNOWN, Concerns, Recorder

_log: FilteringBoundLogger = structlog.get_logger()

_CONTROL_ID_LENGTH: Final = 20  # MSH-10 in HL7 v2.3.1


class _Outcome(NamedTuple):
    acknowledged: Acknowledged
    findings: Sequence[Finding] = ()
    transaction: str = ""


@dataclass(slots=True)
class _Case:
    """A message on its way; ``witness`` is None where it is not recorded, or belongs to no transaction."""

    address: str
    concerns: Concerns = NOTHING_KNOWN
    witness: Witness | None = None


class Feed:
    """Carries out HL7 v2 messages; safe to share between threads.

    Args:
        identity: the registry's patients.
        character_set: of messages that name none in MSH-18.
        clock: the time of day, UTC.
        trail: the audit trail; None where nothing is recorded.
    """

    def __init__(
        self,
        identity: PatientIdentity,
        character_set: str,
        clock: Callable[[], datetime],
        trail: Trail | None = None,
    ) -> None:
        self._identity = identity
        self._character_set = character_set
        self._clock = clock
        self._trail = trail

    def answer(self, frame: Frame, address: str = "") -> bytes:
        """The acknowledgement of a message from ``address``, never an Exception.

        It accepts only what is committed, and whatever it says is recorded in the audit trail before.
        """
        started = time.perf_counter()
        header = Header()
        case = _Case(address)
        try:
            message = Message(frame.data, self._character_set)
            header = message.header
            outcome = self._carry_out(message, frame, case)
        except NotHl7 as error:
            outcome = _refusal([Finding(Condition.SEGMENT_SEQUENCE, str(error), attribute="MSH")])
        except Refused as refused:
            outcome = _refusal(refused.findings)
        except Exception as error:  # whatever it is, there is an answer
            outcome = _refusal([_internal(error)])
        outcome = _recorded(case.witness, outcome)
        _log.info(
            "message",
            transaction=outcome.transaction or "HL7",
            trigger=f"{header.type}^{header.event}",
            status=outcome.acknowledged.value,
            codes=[finding.code for finding in outcome.findings],
            ms=round((time.perf_counter() - started) * 1000, 2),
        )
        control_id = uuid.uuid4().hex[:_CONTROL_ID_LENGTH]
        now = self._clock().strftime("%Y%m%d%H%M%S+0000")
        return acknowledgement(header, outcome.acknowledged, outcome.findings, control_id, now)

    def _carry_out(self, message: Message, frame: Frame, case: _Case) -> _Outcome:
        wrong = unsupported(message.header)
        if wrong is not None:
            raise Refused([wrong])
        event = event_of(message.header)
        self._attend(message.header, event, case)
        if not frame.whole:
            raise Refused([_too_large()])
        message.decode()
        change, message_id = read(message, event), message.header.control_id
        if case.witness is not None:
            case.concerns = self._identity.concerns(change, message_id)
        return _Outcome(
            Acknowledged.ACCEPT, self._change(change, message_id, case.witness), event.transaction
        )

    def _attend(self, header: Header, event: Event, case: _Case) -> None:
        """Have the message recorded from here on, as what its header says."""
        if self._trail is not None:
            self._trail.backlog.admit()
            case.concerns = Concerns(message_id=header.control_id)
            sender, receiver = ("|".join(reversed(party)) for party in (header.sender, header.receiver))
            name = f"{event.transaction} {header.event}"
            case.witness = self._trail.witness_of_feed(name, sender, receiver, case.address, case)

    def _change(self, change: Change, message_id: str, record: Recorder | None) -> Sequence[Finding]:
        if isinstance(change, Announcement):
            return self._identity.announce(change, record)
        if isinstance(change, Merge):
            self._identity.merge(change, message_id, record)
        else:
            self._identity.relink(change, message_id, record)
        return ()


def _recorded(witness: Witness | None, outcome: _Outcome) -> _Outcome:
    """The outcome, when its audit records are durable; a refusal when they cannot be."""
    if witness is None:
        return outcome
    accepted = outcome.acknowledged is Acknowledged.ACCEPT
    try:
        witness.conclude(ResponseStatus.SUCCESS if accepted else ResponseStatus.FAILURE, outcome.findings)
    except Exception as error:  # without its records there is no success
        return _refusal([_internal(error)])
    return outcome


def _refusal(findings: Sequence[Finding]) -> _Outcome:
    rejected = any(finding.code in REJECTING for finding in findings)
    return _Outcome(Acknowledged.REJECT if rejected else Acknowledged.ERROR, findings)


def _too_large() -> Finding:
    return Finding(Condition.DATA_TYPE, "the message is too large", source="settings mllp.message_bytes")


def _internal(error: Exception) -> Finding:
    """What the sender learns of an exception: whether to try again, and a reference to what the log has."""
    reference = uuid.uuid4().hex
    if isinstance(error, TimeoutError):
        _log.warning("busy", reference=reference, error=type(error).__name__)
        return Finding(
            Condition.LOCKED, f"too much to do at the moment; send the message again; reference {reference}"
        )
    _log.error("failed", reference=reference, exc_info=error)
    return Finding(Condition.INTERNAL, f"internal error; reference {reference}")
