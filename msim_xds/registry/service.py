"""The Document Registry's side of registration: stable and on-demand entries (ITI TF-2 3.42, 3.61)."""

from __future__ import annotations

from msim_xds.database.engine import Database
from msim_xds.ihe.names import ResponseStatus
from msim_xds.metadata import ebrim
from msim_xds.registry.concerned import submitted
from msim_xds.registry.reach import reach_of
from msim_xds.registry.registration import Registration
from msim_xds.security.systems.rights import check_submission
from msim_xds.settings import LimitSettings
from msim_xds.wire.answers import registry_response
from msim_xds.wire.exchange import Answer, Request


class RegistryService:
    """Handles ITI-42 and ITI-61, which differ only in their rows: which entries, with which attributes."""

    def __init__(self, database: Database, registration: Registration, limits: LimitSettings) -> None:
        self._database = database
        self._registration = registration
        self._limits = limits

    def register_document_set(self, request: Request) -> Answer:
        """Register a submission; the answer carries warnings. Raises Refused, and then nothing is kept."""
        reading = ebrim.read(request.body, self._limits)
        request.concerns = submitted(reading.submission)
        check_submission(request, reading)
        draft = self._registration.draft(reading, request.transaction)
        with self._database.write() as connection:
            self._registration.register(connection, draft, reach_of(request))
            request.record(connection, draft.findings)
        status = ResponseStatus.SUCCESS
        return Answer([registry_response(status, draft.findings)], status, draft.findings)
