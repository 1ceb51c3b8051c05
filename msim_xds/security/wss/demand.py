"""Demands that whoever shows an assertion of certain issuers signs the whole message, too."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msim_xds.security.signatures.certificates import Certificate
from msim_xds.security.signatures.names import SIGNATURE
from msim_xds.security.wss.verification import BadSignature, verify
from msim_xds.security.xua.names import saml, text
from msim_xds.security.xua.refusal import Check, refuse

if TYPE_CHECKING:
    from lxml.etree import _Element


class SignedMessages:
    """Checks signatures over messages; safe to share between threads.

    Args:
        issuers: of whose assertions; messages with others, or without, are no business of this.
        trusted: who may sign, see ``verification.verify``.
        required: whether a message without a signature is refused; one that is there must hold in any case.
        clock: the time of day, UTC.
        skew: difference of clocks that is allowed for.
    """

    def __init__(
        self,
        issuers: Collection[str],
        trusted: Sequence[Certificate],
        *,
        required: bool,
        clock: Callable[[], datetime],
        skew: timedelta,
    ) -> None:
        self._issuers = frozenset(issuers)
        self._trusted = trusted
        self._required = required
        self._clock = clock
        self._skew = skew

    def check(self, assertion: _Element) -> None:
        """Whether the message that carries the assertion is signed as it must be.

        Args:
            assertion: a child of wsse:Security, in the tree of its message.

        Raises:
            SecurityFault: it is not; with the fault of WSS SOAP Message Security 1.1, 12.
        """
        if text(assertion.find(saml("Issuer"))) not in self._issuers:
            return
        security = assertion.getparent()
        if security is None or security.find(SIGNATURE) is None:
            if self._required:
                refuse(Check.SIGNED, "the message is not signed")
            return
        try:
            verify(assertion.getroottree().getroot(), self._trusted, self._clock(), self._skew)
        except BadSignature as error:
            refuse(error.check, f"signature of the message: {error}")
