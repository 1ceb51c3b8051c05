"""SOAP 1.2 faults as values and as envelopes (SOAP 1.2 Part 1, section 5.4; WS-Addressing SOAP Binding 6)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from msim_xds.ihe.names import SOAP, WSA, WSSE
from msim_xds.wire.exchange import ReplyAddress
from msim_xds.wire.xmltext import escape

FAULT_ACTION: Final = f"{WSA}/soap/fault"
"""wsa:Action of faults that SOAP defines."""
WSA_FAULT_ACTION: Final = f"{WSA}/fault"
"""wsa:Action of faults that WS-Addressing defines."""

_UPGRADE: Final = (
    '<soap:Upgrade><soap:SupportedEnvelope qname="soap:Envelope"/></soap:Upgrade>'  # SOAP 1.2 Part 1, 5.4.7
)

_PREFIXES: Final = {WSA: "wsa", WSSE: "wsse"}


class FaultCode(StrEnum):
    """Values of soap:Code (SOAP 1.2 Part 1, section 5.4.6)."""

    SENDER = "Sender"
    RECEIVER = "Receiver"
    VERSION_MISMATCH = "VersionMismatch"
    MUST_UNDERSTAND = "MustUnderstand"


class SoapFault(Exception):
    """A request that gets a fault instead of an answer.

    Attributes:
        code: soap:Code.
        reason: English text for people.
        subcodes: Clark names, the outermost first.
        detail: XML for soap:Detail; may use the prefixes soap and wsa.
        not_understood: Clark names of the header blocks of a MustUnderstand fault.
        http_status: 400 for Sender, else 500, unless given (SOAP 1.2 Part 2, Table 20).
        relates_to: MessageID of the request where it is known.
        destination: where the request's headers send the fault; None is the connection of the request, and
            that is where a fault goes whose request could not be read so far.
    """

    def __init__(
        self,
        code: FaultCode,
        reason: str,
        *,
        subcodes: Sequence[str] = (),
        detail: str = "",
        not_understood: Sequence[str] = (),
        http_status: int | None = None,
        relates_to: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.subcodes = tuple(subcodes)
        self.detail = detail
        self.not_understood = tuple(not_understood)
        self.http_status = http_status or (400 if code is FaultCode.SENDER else 500)
        self.relates_to = relates_to
        self.destination: ReplyAddress | None = None

    @property
    def action(self) -> str:
        """The fault's wsa:Action."""
        of_addressing = any(name.startswith(f"{{{WSA}}}") for name in self.subcodes)
        return WSA_FAULT_ACTION if of_addressing else FAULT_ACTION


def sender_fault(reason: str, http_status: int = 400) -> SoapFault:
    """The fault for a message that is broken before any rule of XDS applies."""
    return SoapFault(FaultCode.SENDER, reason, http_status=http_status)


def fault_envelope(fault: SoapFault, relates_to: str | None = None, message_id: str = "") -> bytes:
    """The whole envelope of a fault.

    Args:
        fault: what to say.
        relates_to: MessageID of the request, where the fault does not carry it.
        message_id: MessageID of a fault that is sent to its ``destination``.
    """
    return (
        f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}"><soap:Header>'
        f'<wsa:Action soap:mustUnderstand="1">{fault.action}</wsa:Action>'
        f"{_header(fault, relates_to, message_id)}"
        f"</soap:Header><soap:Body><soap:Fault><soap:Code><soap:Value>soap:{fault.code}</soap:Value>"
        f"{_subcode(fault.subcodes)}</soap:Code>"
        f'<soap:Reason><soap:Text xml:lang="en">{escape(fault.reason)}</soap:Text></soap:Reason>'
        + (f"<soap:Detail>{fault.detail}</soap:Detail>" if fault.detail else "")
        + "</soap:Fault></soap:Body></soap:Envelope>"
    ).encode()


def _header(fault: SoapFault, relates_to: str | None, message_id: str) -> str:
    own = f"<wsa:MessageID>{escape(message_id)}</wsa:MessageID>" if message_id else ""
    to = fault.destination.headers() if message_id and fault.destination else ""
    relates_to = fault.relates_to or relates_to
    related = f"<wsa:RelatesTo>{escape(relates_to)}</wsa:RelatesTo>" if relates_to else ""
    upgrade = _UPGRADE if fault.code is FaultCode.VERSION_MISMATCH else ""
    missed = (_qname(name) for name in fault.not_understood)
    blocks = "".join(f'<soap:NotUnderstood {declared} qname="{name}"/>' for declared, name in missed)
    return own + related + to + upgrade + blocks


def _subcode(names: Sequence[str]) -> str:
    if not names:
        return ""
    declared, name = _qname(names[0])
    inner = _subcode(names[1:])
    return f"<soap:Subcode><soap:Value {declared}>{name}</soap:Value>{inner}</soap:Subcode>"


def _qname(clark: str) -> tuple[str, str]:
    """A Clark name as a namespace declaration and a prefixed name; a name in no namespace takes no prefix."""
    namespace, _, local = clark.rpartition("}")
    if not namespace:
        return "", escape(local)
    prefix = _PREFIXES.get(namespace[1:], "n")
    return f'xmlns:{prefix}="{escape(namespace[1:])}"', f"{prefix}:{escape(local)}"
