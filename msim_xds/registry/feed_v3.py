"""Patient Identity Feed HL7 V3 at the registry (ITI-44, ITI TF-2 3.44)."""

from __future__ import annotations

from msim_xds.ihe.names import ResponseStatus
from msim_xds.metadata import hl7v3
from msim_xds.metadata.identity import Merge
from msim_xds.registry.identity import PatientIdentity
from msim_xds.wire.acknowledgement import acknowledgement
from msim_xds.wire.exchange import Answer, Request


class PatientFeed:
    """Handles the three messages of ITI-44."""

    def __init__(self, identity: PatientIdentity) -> None:
        self._identity = identity

    def carry_out(self, request: Request) -> Answer:
        """Announce or merge; the acknowledgement accepts what is committed. Raises Refused."""
        message = hl7v3.read(request.body)
        if isinstance(message.change, Merge):
            self._identity.merge(message.change, message.message_id)
            warnings = []
        else:
            warnings = self._identity.announce(message.change)
        return Answer([acknowledgement(request.body, warnings)], ResponseStatus.SUCCESS, warnings)
