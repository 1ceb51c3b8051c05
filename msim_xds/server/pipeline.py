"""The way of every decoded request: handler, refusals and failures as answers of the framework, one log line.

Only it and ``mllp.feed``, its like for HL7 v2, make answers of exceptions; ``front`` guards what
is around it. Whoever else catches broad exceptions says beside it why.
"""

from __future__ import annotations

import errno
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.audit.trail import Trail
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import ResponseStatus
from msim_xds.ihe.transactions import TRANSACTIONS, Endpoint, Transaction
from msim_xds.security.systems.rights import check_transaction
from msim_xds.wire import answers
from msim_xds.wire.exchange import Answer, Handler, Request

_log: FilteringBoundLogger = structlog.get_logger()

Run = Callable[[Request], Answer]
"""Carries out a request; never raises an Exception."""

BUSY: Final = "Busy"
"""A kind of failure, for ``failure_code``."""
_OUT_OF_RESOURCES: Final = "OutOfResources"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_PROBLEMS: Final = {
    BUSY: "too much to do at the moment; send the same message again later",
    _OUT_OF_RESOURCES: "out of disk space or memory; nothing was kept",
    "Error": "internal error",
}


class Pipeline:
    """Carries out requests with the handler of their transaction; never raises an Exception.

    Args:
        handlers: by transaction name, such as ``ITI-18``; one for each row of the endpoints that are offered.
        findings: most RegistryErrors in one answer.
        trail: the audit trail; None where nothing is recorded.
        homes: by transaction name, the homeCommunityId that each of its errors carries as its location
            (ITI TF-2 3.38.4.1.3).

    Raises:
        ValueError: a transaction of an endpoint that is offered has no handler.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        findings: int,
        trail: Trail | None = None,
        homes: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        endpoints = offered(handlers)
        missing = [row.name for row in TRANSACTIONS if row.endpoint in endpoints and row.name not in handlers]
        if missing:
            raise ValueError(f"no handler for {', '.join(missing)}")
        self._handlers = dict(handlers)
        self._findings = findings
        self._trail = trail
        self._homes = homes

    def run(self, request: Request) -> Answer:
        """The answer, whatever happens (ITI TF-3 4.2.4).

        A refused message is answered with its findings. Any other exception is answered with the row's error
        code and a reference, under which the log has the traceback.
        """
        row = request.transaction
        started = time.perf_counter()
        answer = self._carried_out(request) if self._trail is None else self._recorded(request, self._trail)
        _log.info(
            "request",
            transaction=row.name,
            status=answer.status.rpartition(":")[2],
            codes=_codes(answer.findings),
            ms=round((time.perf_counter() - started) * 1000, 2),
        )
        return answer

    def _carried_out(self, request: Request) -> Answer:
        row = request.transaction
        try:
            if request.system is not None:
                check_transaction(request.system, row)
            return self._handlers[row.name](request)
        except Refused as refused:
            return self._failure(request, refused.findings)
        except Exception as error:  # whatever it is, there is an answer
            return self._failure(request, (_internal(row, error),))

    def _recorded(self, request: Request, trail: Trail) -> Answer:
        """The answer, when its audit records are durable; a failure when they cannot be (ITI TF-2 3.20).

        Where too many records wait already, and the settings say so, nothing is carried out or recorded.
        """
        answer = None
        try:
            trail.backlog.admit()
            witness = request.recorder = trail.witness(request)
            answer = self._carried_out(request)
            witness.conclude(answer.status, answer.findings)
        except Exception as error:  # without its records there is no success
            if answer is not None and answer.close is not None:
                answer.close()
            return self._failure(request, (_internal(request.transaction, error),))
        finally:
            request.recorder = None  # which knows the request: without the circle both go at once
        return answer

    def _failure(self, request: Request, findings: Sequence[Finding]) -> Answer:
        home = self._homes.get(request.transaction.name)
        if home is not None:
            findings = [replace(each, location=each.location or home) for each in findings]
        payload = answers.failure(request.transaction, findings, self._findings, request.body)
        return Answer(payload, ResponseStatus.FAILURE, findings)


def offered(handlers: Mapping[str, Handler]) -> frozenset[Endpoint]:
    """The endpoints that these handlers serve."""
    return frozenset(row.endpoint for row in TRANSACTIONS if row.name in handlers)


def failure_code(row: Transaction, kind: str) -> str:
    """The error code of a transaction that failed in this way (ITI TF-3 Table 4.2.4.1-2)."""
    return row.failure.removesuffix("Error") + kind


def _internal(row: Transaction, error: Exception) -> Finding:
    """What the client learns of an exception: its kind, and a reference to what the log has of it."""
    reference = uuid.uuid4().hex
    kind = _kind(error)
    if kind == BUSY:
        _log.warning("busy", transaction=row.name, reference=reference, error=type(error).__name__)
    else:
        _log.error("failed", transaction=row.name, reference=reference, exc_info=error)
    return Finding(code=failure_code(row, kind), problem=f"{_PROBLEMS[kind]}; reference {reference}")


def _kind(error: Exception) -> str:
    """The end of the error code that an exception is answered with (ITI TF-3 Table 4.2.4.1-2)."""
    match error:
        case TimeoutError():
            return BUSY
        case MemoryError():
            return _OUT_OF_RESOURCES
        case OSError() if error.errno in _FULL:
            return _OUT_OF_RESOURCES
        case _:
            return "Error"


def _codes(findings: Iterable[Finding]) -> list[str]:
    """The distinct error codes, in order of appearance."""
    return list(dict.fromkeys(finding.code for finding in findings))
