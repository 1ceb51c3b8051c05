"""Stands at an endpoint: nothing is carried out or kept before it has let the request pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.security.xua import header as security_header
from msim_xds.security.xua.refusal import Check, SecurityFault, refuse
from msim_xds.security.xua.validator import Validator
from msim_xds.wire.exchange import Caller

if TYPE_CHECKING:
    from lxml.etree import _Element

_log: FilteringBoundLogger = structlog.get_logger()


class MessageCheck(Protocol):
    """Looks at the whole message around an assertion."""

    def check(self, assertion: _Element) -> None:
        """Raises SecurityFault where the message must not be taken."""


class Guard:
    """Checks the assertions of requests to one endpoint.

    Args:
        validator: judges an assertion.
        required: whether there must be one.
        messages: demands that the messages around them be signed; None demands nothing.
    """

    def __init__(self, validator: Validator, *, required: bool, messages: MessageCheck | None = None) -> None:
        self._validator = validator
        self._required = required
        self._messages = messages

    def check(self, header: _Element | None, certificate: str = "") -> Caller | None:
        """Who sends the request; None where no assertion came and none is required.

        Args:
            header: the soap:Header in the tree of its message.
            certificate: the sender's TLS certificate, see ``conditions.Presented``.

        Raises:
            SecurityFault: the assertion is missing or refused.
            OSError: the record of assertions that are taken once is out of reach.
        """
        try:
            return self._check(header, certificate)
        except SecurityFault as fault:
            _log.warning(
                "assertion refused", check=fault.check.name, fault=fault.check.fault, reason=fault.detail
            )
            raise

    def recall(self, header: _Element | None) -> Caller | None:
        """Who sent a request that ``check`` has let pass before, whatever the time is now.

        Raises:
            SecurityFault: the assertion's issuer is not trusted any more.
        """
        found = security_header.find(header)
        if found is None or found.assertion is None:
            return None
        return self._validator.recall(found.assertion).caller

    def _check(self, header: _Element | None, certificate: str) -> Caller | None:
        found = security_header.find(header)
        if self._messages is not None and found is not None and found.assertion is not None:
            self._messages.check(found.assertion)
        claims = None if found is None else self._validator.check(found, certificate)
        if claims is None and self._required:
            refuse(Check.PRESENT, "there is no assertion")
        return None if claims is None else claims.caller
