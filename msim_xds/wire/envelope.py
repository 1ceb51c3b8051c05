"""SOAP 1.2 envelopes with WS-Addressing headers, in and out (ITI TF-2 Appendix V.3; SOAP 1.2 Part 1)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Final

from lxml import etree
from lxml.etree import _Element

from msim_xds.findings import shorten
from msim_xds.ihe.names import SOAP, SOAP11, WSA, WSA_ANONYMOUS, WSA_NONE, WSSE
from msim_xds.wire.exchange import Addressing, ReplyAddress
from msim_xds.wire.faults import FaultCode, SoapFault, sender_fault
from msim_xds.wire.xmltext import escape

_ENVELOPE: Final = f"{{{SOAP}}}Envelope"
_HEADER: Final = f"{{{SOAP}}}Header"
_BODY: Final = f"{{{SOAP}}}Body"
_MUST_UNDERSTAND: Final = f"{{{SOAP}}}mustUnderstand"
_ROLE: Final = f"{{{SOAP}}}role"
_OUR_ROLES: Final = frozenset({None, "", f"{SOAP}/role/next", f"{SOAP}/role/ultimateReceiver"})
_SPACE: Final = " \t\r\n"

_ONCE: Final = {
    f"{{{WSA}}}{name}": name for name in ("Action", "MessageID", "To", "ReplyTo", "From", "FaultTo")
}
_RELATES_TO: Final = f"{{{WSA}}}RelatesTo"
_NAMED_MISSES: Final = 20  # of the header blocks not understood, so many are named
_ADDRESS: Final = f"{{{WSA}}}Address"
_PARAMETERS: Final = f"{{{WSA}}}ReferenceParameters"
_IS_PARAMETER: Final = f"{{{WSA}}}IsReferenceParameter"
_PARAMETER_CHARS: Final = 8192  # of one endpoint reference
_TO_SENDER: Final = f"<wsa:To>{WSA_ANONYMOUS}</wsa:To>"

AddressCheck = Callable[[str], str | None]
"""What is wrong with an address to which an answer is wanted, None when answers may go there."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A request's envelope taken apart."""

    addressing: Addressing
    header: _Element | None
    payload: _Element


def read(
    root: _Element, understood: Collection[str] = frozenset(), check_address: AddressCheck | None = None
) -> Envelope:
    """Take a request's envelope apart and check all that SOAP and WS-Addressing say of it.

    Args:
        root: the document element.
        understood: Clark names of header blocks understood besides those of WS-Addressing.
        check_address: judges addresses in ReplyTo and FaultTo that are neither anonymous nor none; without it
            only anonymous is allowed.

    Raises:
        SoapFault: VersionMismatch, MustUnderstand or Sender, with the request's MessageID if it has one.
    """
    header, body = _split(root)
    blocks = _Blocks()
    if header is not None:
        blocks.sort(header, understood)
    try:
        blocks.check()
        addressing = _addressing(blocks.addressing, check_address)
        if len(body) != 1:
            raise sender_fault(f"soap:Body must hold one element; it holds {len(body)}")
    except SoapFault as fault:
        message_id = blocks.addressing.get("MessageID")
        fault.relates_to = None if message_id is None else _text(message_id) or None
        raise
    return Envelope(addressing, header, body[0])


def read_again(root: _Element) -> Envelope:
    """Take apart an envelope that ``read`` has let pass before."""
    header, body = _split(root)
    blocks = _Blocks()
    if header is not None:
        blocks.sort(header, ())
    return Envelope(_addressing(blocks.addressing, lambda _: None), header, body[0])


def blocks(header: _Element, tag: str) -> list[_Element]:
    """The header blocks of this name that are meant for us."""
    return [block for block in header.iterchildren(tag) if block.get(_ROLE) in _OUR_ROLES]


class _Blocks:
    """The header blocks meant for us: those of WS-Addressing, and what is wrong with the rest."""

    __slots__ = ("addressing", "missed", "repeated")

    def __init__(self) -> None:
        self.addressing: dict[str, _Element] = {}
        self.missed: list[str] = []
        self.repeated: str | None = None

    def sort(self, header: _Element, understood: Collection[str]) -> None:
        for block in header:
            if block.get(_ROLE) not in _OUR_ROLES:
                continue
            tag = str(block.tag)
            name = _ONCE.get(tag)
            if name is None:
                must = block.get(_MUST_UNDERSTAND, "").strip(_SPACE) in ("1", "true")
                if must and tag != _RELATES_TO and tag not in understood:
                    self.missed.append(tag)
            elif name in self.addressing:
                self.repeated = name
            else:
                self.addressing[name] = block

    def check(self) -> None:
        """Raises SoapFault for a block that is not understood, then for one that is repeated."""
        if self.missed:
            raise SoapFault(
                FaultCode.MUST_UNDERSTAND,
                f"header block {shorten(self.missed[0])} has mustUnderstand and is not understood here",
                not_understood=self.missed[:_NAMED_MISSES],
            )
        if self.repeated:
            reason = f"wsa:{self.repeated} occurs more than once; allowed: once"
            raise _invalid(self.repeated, "InvalidCardinality", reason)


def answer_envelope_parts(
    action: str,
    relates_to: str | None,
    message_id: str,
    to: ReplyAddress | None = None,
    further: str = "",
) -> tuple[bytes, bytes]:
    """What stands before and behind an answer's payload.

    Args:
        action: wsa:Action of the answer.
        relates_to: MessageID of the request, None where it had none.
        message_id: MessageID of the answer.
        to: where it is sent; None is the connection of the request.
        further: header blocks besides those of WS-Addressing.
    """
    related = "" if relates_to is None else f"<wsa:RelatesTo>{escape(relates_to)}</wsa:RelatesTo>"
    destination = _TO_SENDER if to is None else to.headers()
    head = (
        f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}"><soap:Header>'
        f'<wsa:Action soap:mustUnderstand="1">{escape(action)}</wsa:Action>'
        f"<wsa:MessageID>{escape(message_id)}</wsa:MessageID>{related}{destination}{further}"
        "</soap:Header><soap:Body>"
    )
    return head.encode(), b"</soap:Body></soap:Envelope>"


def request_envelope_parts(
    action: str, message_id: str, to: str, assertion: bytes = b""
) -> tuple[bytes, bytes]:
    """What stands before and behind the payload of a request that is answered on its connection.

    Args:
        action: wsa:Action of the request.
        message_id: its MessageID.
        to: where it is sent.
        assertion: a SAML assertion that goes along (ITI TF-2 3.40); empty for none.
    """
    head = (
        f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}"><soap:Header>'
        f'<wsa:Action soap:mustUnderstand="1">{escape(action)}</wsa:Action>'
        f"<wsa:MessageID>{escape(message_id)}</wsa:MessageID><wsa:To>{escape(to)}</wsa:To>"
        f"<wsa:ReplyTo><wsa:Address>{WSA_ANONYMOUS}</wsa:Address></wsa:ReplyTo>"
    ).encode()
    if assertion:
        opening = f'<wsse:Security xmlns:wsse="{WSSE}" soap:mustUnderstand="1">'
        head += opening.encode() + assertion + b"</wsse:Security>"
    return head + b"</soap:Header><soap:Body>", b"</soap:Body></soap:Envelope>"


def action_not_supported(action: str, supported: Collection[str]) -> SoapFault:
    """The fault for a wsa:Action that this endpoint does not serve (WS-Addressing SOAP Binding 6.4.3)."""
    return SoapFault(
        FaultCode.SENDER,
        f"wsa:Action {shorten(action)!r} is not served here; allowed: {', '.join(sorted(supported))}",
        subcodes=[f"{{{WSA}}}ActionNotSupported"],
        detail=f"<wsa:ProblemAction><wsa:Action>{escape(shorten(action))}</wsa:Action></wsa:ProblemAction>",
    )


def _split(root: _Element) -> tuple[_Element | None, _Element]:
    if root.tag != _ENVELOPE:
        seen = "SOAP 1.1" if root.tag == f"{{{SOAP11}}}Envelope" else shorten(str(root.tag))
        raise SoapFault(
            FaultCode.VERSION_MISMATCH, f"the message is {seen}; allowed: an Envelope of SOAP 1.2 ({SOAP})"
        )
    children = list(root)
    match [child.tag for child in children]:
        case [header, body] if header == _HEADER and body == _BODY:
            return children[0], children[1]
        case [body] if body == _BODY:
            return None, children[0]
    raise sender_fault(
        "soap:Envelope must hold one soap:Body, after at most one soap:Header, and nothing else"
    )


def _addressing(found: Mapping[str, _Element], check_address: AddressCheck | None) -> Addressing:
    if "Action" not in found:
        raise _required("Action")
    action = _text(found["Action"])
    if not action:
        raise _invalid("Action", "InvalidAddress", "wsa:Action is empty")
    message_id = _text(found["MessageID"]) or None if "MessageID" in found else None
    reply_to = _destination(found, "ReplyTo", check_address)
    fault_to = _destination(found, "FaultTo", check_address) if "FaultTo" in found else reply_to
    if message_id is None and any(to is not None and not to.is_none for to in (reply_to, fault_to)):
        raise _required("MessageID")
    return Addressing(
        action=action,
        message_id=message_id,
        to=_text(found["To"]) if "To" in found else None,
        reply_to=reply_to,
        fault_to=fault_to,
    )


def _destination(
    found: Mapping[str, _Element], name: str, check_address: AddressCheck | None
) -> ReplyAddress | None:
    """Where ReplyTo or FaultTo sends something; None for the connection that brought the request."""
    if name not in found:
        return None
    addresses = [child for child in found[name] if child.tag == _ADDRESS]
    if len(addresses) != 1:
        raise _invalid(name, "MissingAddressInEPR", f"wsa:{name} must hold one wsa:Address")
    address = _text(addresses[0])
    if address == WSA_ANONYMOUS:
        return None
    if check_address is None:
        raise _invalid(
            name,
            "OnlyAnonymousAddressSupported",
            f"wsa:{name} is {shorten(address)!r}; allowed: {WSA_ANONYMOUS}",
        )
    if address == WSA_NONE:
        return ReplyAddress(address)
    problem = check_address(address)
    if problem is not None:
        raise _invalid(name, "InvalidAddress", f"wsa:{name} is {shorten(address)!r}: {problem}")
    return ReplyAddress(address, _parameters(found[name], name))


def _parameters(endpoint: _Element, name: str) -> str:
    """The reference parameters as header blocks of the answer (WS-Addressing SOAP Binding, section 3.4).

    They come from outside and stand among our own headers: those that could be taken for them are refused.
    """
    parents = endpoint.findall(_PARAMETERS)
    blocks = [deepcopy(block) for parent in parents for block in parent.iterchildren("*")]
    for block in blocks:
        if etree.QName(block).namespace in (WSA, SOAP):
            tag = shorten(str(block.tag))
            raise _invalid(name, "InvalidEPR", f"wsa:{name} has {tag} among its wsa:ReferenceParameters")
        block.set(_IS_PARAMETER, "true")
    text = "".join(etree.tostring(block, encoding="unicode", with_tail=False) for block in blocks)
    if len(text) > _PARAMETER_CHARS:
        reason = f"wsa:{name} has wsa:ReferenceParameters over {_PARAMETER_CHARS} characters"
        raise _invalid(name, "InvalidEPR", reason)
    return text


def _required(header: str) -> SoapFault:
    need = "; an answer that is sent to an address needs it" if header == "MessageID" else ""
    return _addressing_fault(
        header, ["MessageAddressingHeaderRequired"], f"the header wsa:{header} is missing ({WSA}){need}"
    )


def _invalid(header: str, subcode: str, reason: str) -> SoapFault:
    return _addressing_fault(header, ["InvalidAddressingHeader", subcode], reason)


def _addressing_fault(header: str, subcodes: Sequence[str], reason: str) -> SoapFault:
    return SoapFault(
        FaultCode.SENDER,
        reason,
        subcodes=[f"{{{WSA}}}{name}" for name in subcodes],
        detail=f"<wsa:ProblemHeaderQName>wsa:{header}</wsa:ProblemHeaderQName>",
    )


def _text(element: _Element) -> str:
    return (element.text or "").strip(_SPACE)
