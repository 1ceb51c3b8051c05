"""ITI-43 under P1's rules: documents are handed out when SOZ permits it to the bearer of P1's assertion.

Anything but Permit refuses. That SOZ does not answer is an error of its own, neither a Deny nor a Permit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import structlog
from lxml import etree
from structlog.typing import FilteringBoundLogger

from msim_xds.federation.answers import RemoteError
from msim_xds.federation.p1 import hand_over
from msim_xds.federation.p1.decisions import Decision, Decisions
from msim_xds.federation.p1.providers import Provider
from msim_xds.findings import Finding
from msim_xds.p1_settings import P1Settings
from msim_xds.repository.requests import Wanted
from msim_xds.security.xua import header as security_header
from msim_xds.security.xua.names import saml, text
from msim_xds.wire.exchange import Request

if TYPE_CHECKING:
    from lxml.etree import _Element

_log: FilteringBoundLogger = structlog.get_logger()

_SOURCE: Final = "P1, ITI TF-2 3.43.4.1.3"
_REFUSED: Final = "XDSDocumentUniqueIdError"  # which covers 'not authorised' (ITI TF-3 Table 4.2.4.1-2)
_FAILED: Final = "XDSRepositoryError"
_REASONS: Final = {
    Decision.DENY: "P1 denies access to this document (SOZ: Deny)",
    Decision.NOT_APPLICABLE: "P1 has no rule that permits access to this document (SOZ: NotApplicable)",
    Decision.INDETERMINATE: "P1 could not decide on access to this document (SOZ: Indeterminate)",
}
_NO_ANSWER: Final = "P1 was asked whether access is permitted and did not answer; ask again later"
_NO_REASON: Final = "emergency by its purpose of use, without a decision of P1"
_NO_ASSERTION: Final = "only with an assertion of P1 is access to this document decided"


class ConsentOfP1:
    """Asks SOZ about retrievals; a ``repository.decisions.DecisionService``.

    Args:
        settings: section ``p1``.
        decisions: SOZ.
        provider: whose repository this is.
        repository: its repositoryUniqueId.
    """

    def __init__(
        self, settings: P1Settings, decisions: Decisions, provider: Provider, repository: str
    ) -> None:
        self._settings = settings
        self._issuers = frozenset(settings.issuers)
        self._decisions = decisions
        self._provider = provider
        self._repository = repository

    def refused(self, request: Request, wanted: Sequence[Wanted]) -> Mapping[Wanted, Finding]:
        """What SOZ does not permit, and everything where it cannot be asked.

        Raises:
            TimeoutError, OSError: an emergency cannot be recorded, so nothing may be handed out.
        """
        ours = [each for each in wanted if each.repository_unique_id == self._repository]
        assertion = self._assertion(request)
        if not ours:
            return {}
        if assertion is None:
            always = self._settings.decisions == "always"
            return {each: _finding(each, _REFUSED, _NO_ASSERTION) for each in ours} if always else {}
        if self._settings.audit and request.recorder is not None:
            request.recorder.hand_over(hand_over.of_repository(self._provider, request.caller))
        if self._settings.emergency_without_soz and self._is_emergency(request):
            _tell(request, len(ours))
            return {}
        return self._asked(ours, etree.tostring(assertion, with_tail=False))

    def _assertion(self, request: Request) -> _Element | None:
        """The assertion, if it is verified and P1's."""
        found = None if request.caller is None else security_header.find(request.header)
        if found is None or found.assertion is None:
            return None
        return found.assertion if text(found.assertion.find(saml("Issuer"))) in self._issuers else None

    def _is_emergency(self, request: Request) -> bool:
        purposes = request.caller.purposes if request.caller is not None else ()
        return any(code in self._settings.emergency_codes for code, _, _ in purposes)

    def _asked(self, ours: Sequence[Wanted], assertion: bytes) -> dict[Wanted, Finding]:
        """All in one question; where that is not permitted each alone, so that others can be handed out."""
        findings: dict[Wanted, Finding] = {}
        try:
            decision = self._ask(ours, assertion)
            if decision is Decision.PERMIT:
                return {}
            for each in ours:
                alone = decision if len(ours) == 1 else self._ask([each], assertion)
                if alone is not Decision.PERMIT:
                    findings[each] = _finding(each, _REFUSED, _REASONS[alone])
        except RemoteError as error:
            _log.error("no decision of P1", reason=str(error))
            return {each: _finding(each, _FAILED, _NO_ANSWER) for each in ours}
        return findings

    def _ask(self, wanted: Sequence[Wanted], assertion: bytes) -> Decision:
        return self._decisions.ask([each.unique_id for each in wanted], assertion, self._provider)


def _tell(request: Request, documents: int) -> None:
    """Say that an emergency opens documents; where the gate has let it pass as one, the gate records it."""
    _log.warning("emergency access without a decision of P1", documents=documents)
    if request.recorder is not None and not request.emergency:
        reason = "" if request.caller is None else request.caller.reason.strip()
        request.recorder.emergency(reason or _NO_REASON)


def _finding(wanted: Wanted, code: str, problem: str) -> Finding:
    return Finding(
        code,
        problem,
        attribute="DocumentUniqueId",
        seen=wanted.unique_id,
        source=_SOURCE,
        location=wanted.unique_id,
    )
