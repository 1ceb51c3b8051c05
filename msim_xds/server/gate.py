"""Stands before the handlers: says what of the documents each request may see and change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.database.engine import Database
from msim_xds.findings import Refused
from msim_xds.ihe.transactions import (
    ITI_18,
    ITI_18_GATEWAY,
    ITI_38,
    ITI_39,
    ITI_41,
    ITI_42,
    ITI_43,
    ITI_43_GATEWAY,
    ITI_51,
    ITI_57,
    ITI_61,
    ITI_62,
    ITI_86,
    ITI_92,
)
from msim_xds.registry import emergencies
from msim_xds.registry.emergencies import Emergency
from msim_xds.security.access import emergency
from msim_xds.security.access.policy import Policy, ownership
from msim_xds.security.access.setup import access_policy
from msim_xds.security.access.subject import Subject, subject_of
from msim_xds.settings import Settings
from msim_xds.wire.exchange import Answer, Handler, Request, SystemKind

_log: FilteringBoundLogger = structlog.get_logger()

_GATEWAY: Final = {ITI_18_GATEWAY.name: ITI_18.name, ITI_43_GATEWAY.name: ITI_43.name}
_READING: Final = frozenset([*_GATEWAY, *(row.name for row in (ITI_18, ITI_38, ITI_39, ITI_43, ITI_51))])
_CHANGING: Final = frozenset(row.name for row in (ITI_57, ITI_62, ITI_86, ITI_92))
_SUBMITTING: Final = frozenset(row.name for row in (ITI_41, ITI_42, ITI_61))
_UNKNOWN: Final = "unknown"


def open_gate(settings: Settings, database: Database, clock: Callable[[], datetime]) -> Gate | None:
    """The gate of the policy that the settings name, if they name one. Raises as ``access_policy``."""
    policy = access_policy(settings)
    return None if policy is None else Gate(policy, database, clock)


class Gate:
    """Decides by a policy; the decision about single documents is left to those who find them.

    Args:
        policy: the rules.
        database: where emergencies are recorded.
        clock: the time of day, UTC.
    """

    def __init__(self, policy: Policy, database: Database, clock: Callable[[], datetime]) -> None:
        self._policy = policy
        self._database = database
        self._clock = clock

    def before(self, handlers: Mapping[str, Handler]) -> Mapping[str, Handler]:
        """The same handlers, asked after the policy."""
        return {name: self._guarded(name, handler) for name, handler in handlers.items()}

    def _guarded(self, name: str, handler: Handler) -> Handler:
        if name in _READING:
            return lambda request: self._read(request, handler)
        if name in _CHANGING:
            return lambda request: self._change(request, handler)
        return (lambda request: self._submit(request, handler)) if name in _SUBMITTING else handler

    def _read(self, request: Request, handler: Handler) -> Answer:
        """Carry out what only reads; what emergency access was used for is recorded before it is answered."""
        subject = self._subject(request)
        if not emergency.is_declared(self._policy, subject):
            request.view = self._policy.view(subject)
            return handler(request)
        reason = "" if request.caller is None else request.caller.reason.strip()
        findings = emergency.findings(self._policy, subject, reason, request.transaction)
        if findings:
            raise Refused(findings)
        request.view = self._policy.view(emergency.in_emergency(subject))
        request.emergency = True
        answer = handler(request)
        self._record(request, subject, reason)
        return answer

    def _change(self, request: Request, handler: Handler) -> Answer:
        """Carry out what changes documents: those of one's own institutions, or as an administrator."""
        subject = self._subject(request)
        request.view = self._policy.view(subject)
        request.owned = None if subject.kind == SystemKind.ADMINISTRATOR else ownership(subject)
        return handler(request)

    def _submit(self, request: Request, handler: Handler) -> Answer:
        """Carry out a submission, which may refer to what its sender finds, and replace what is its own.

        What it finds is judged as if it asked by ITI-18: rules name transactions that show documents.
        """
        subject = self._subject(request)
        if subject.kind != SystemKind.ADMINISTRATOR:
            request.view = self._policy.view(replace(subject, transaction=ITI_18.name))
            request.owned = ownership(subject)
        return handler(request)

    def _subject(self, request: Request) -> Subject:
        name = request.transaction.name
        return subject_of(_GATEWAY.get(name, name), request.caller, request.system)

    def _record(self, request: Request, subject: Subject, reason: str) -> None:
        documents = [each.id for each in request.concerns.done]
        with self._database.write() as connection:
            concerned = {*request.concerns.patients, *emergencies.patients_of(connection, documents)}
            happened = Emergency(
                happened_at=self._clock().isoformat(timespec="seconds"),
                transaction=request.transaction.name,
                patient="",
                caller=_UNKNOWN if request.caller is None else request.caller.user,
                organization=subject.organization,
                system=subject.system,
                roles=" ".join(sorted(code for code, _ in subject.roles)),
                purposes=" ".join(sorted(code for code, _ in subject.purposes)),
                reason=reason,
                documents=len(documents),
            )
            emergencies.record(connection, happened, concerned)
        if request.recorder is not None:
            told = request.concerns
            request.concerns = told._replace(patients=tuple(sorted(concerned)))
            request.recorder.emergency(reason)
            request.concerns = told
        _log.warning("emergency access", transaction=request.transaction.name, system=subject.system)
