"""The checks of an assertion in their order, and the fault for each (WSS SOAP Message Security 1.1, 12)."""

from __future__ import annotations

from enum import Enum
from typing import Final, NoReturn

from msim_xds.ihe.names import WSSE
from msim_xds.wire.faults import FaultCode, SoapFault

_REASONS: Final = {
    "SecurityTokenUnavailable": "Referenced security token could not be retrieved",
    "InvalidSecurity": "An error was discovered processing the wsse:Security header",
    "UnsupportedSecurityToken": "An unsupported token was provided",
    "InvalidSecurityToken": "An invalid security token was provided",
    "UnsupportedAlgorithm": "An unsupported signature or encryption algorithm was used",
    "FailedCheck": "The signature or decryption was invalid",
    "FailedAuthentication": "The security token could not be authenticated or authorized",
    "MessageExpired": "The message has expired",
}
"""WS-Security's own words and no others: a caller learns nothing of what failed but the code."""


class Check(Enum):
    """A check: its place in the order, and the local name of its fault."""

    PRESENT = (1, "SecurityTokenUnavailable")
    HEADER = (2, "InvalidSecurity")
    TOKEN = (3, "UnsupportedSecurityToken")
    FORM = (4, "InvalidSecurityToken")
    SIGNED = (5, "FailedAuthentication")
    ALGORITHM = (6, "UnsupportedAlgorithm")
    SIGNATURE = (7, "FailedCheck")
    SIGNER = (8, "FailedAuthentication")
    TIME = (9, "MessageExpired")
    LIFETIME = (9, "InvalidSecurityToken")
    AUDIENCE = (10, "InvalidSecurityToken")
    AUTHENTICATION = (11, "InvalidSecurityToken")
    AUTHENTICATION_CLASS = (11, "FailedAuthentication")
    CONFIRMATION = (12, "FailedAuthentication")
    REPLAY = (13, "InvalidSecurityToken")
    ATTRIBUTES = (14, "InvalidSecurityToken")

    @property
    def fault(self) -> str:
        """Local name of the fault's subcode."""
        return self.value[1]


class SecurityFault(SoapFault):
    """A request whose assertion is missing or refused. It never has a destination of its own.

    Attributes:
        check: which check failed.
        detail: why, for the log; names nothing of the user.
    """

    def __init__(self, check: Check, detail: str) -> None:
        subcode = f"{{{WSSE}}}{check.fault}"
        super().__init__(FaultCode.SENDER, _REASONS[check.fault], subcodes=[subcode])
        self.check = check
        self.detail = detail


def refuse(check: Check, detail: str) -> NoReturn:
    """Raises SecurityFault."""
    raise SecurityFault(check, detail)
