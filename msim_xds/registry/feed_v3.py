"""Patient Identity Feed HL7 V3 at the registry (ITI-44, ITI TF-2 3.44)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import ResponseStatus
from msim_xds.metadata import hl7v3
from msim_xds.metadata.identity import Merge
from msim_xds.registry.identity import PatientIdentity
from msim_xds.wire.acknowledgement import acknowledgement
from msim_xds.wire.exchange import Answer, Request


class PatientFeed:
    """Handles the three messages of ITI-44.

    Args:
        identity: the registry's patients.
        clock: the time of day, UTC.
    """

    def __init__(self, identity: PatientIdentity, clock: Callable[[], datetime]) -> None:
        self._identity = identity
        self._clock = clock

    def carry_out(self, request: Request) -> Answer:
        """Announce or merge. The acknowledgement accepts what is committed, or says why nothing was."""
        status = ResponseStatus.SUCCESS
        try:
            findings = self._change(request)
        except Refused as refused:
            status, findings = ResponseStatus.FAILURE, refused.findings
        return Answer([acknowledgement(request.body, findings, self._clock())], status, findings)

    def _change(self, request: Request) -> Sequence[Finding]:
        """Warnings of a message that is carried out."""
        message = hl7v3.read(request.body)
        record = request.recorder
        if record is not None:
            request.concerns = self._identity.concerns(message.change, message.message_id)
        if isinstance(message.change, Merge):
            self._identity.merge(message.change, message.message_id, record)
            return ()
        return self._identity.announce(message.change, record)
