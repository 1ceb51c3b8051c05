"""Calls of P1's own services: hand-made envelopes, signed, with bounded answers.

Transactions of IHE go through ``federation.client`` instead.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lxml import etree

from msim_xds.federation.answers import content
from msim_xds.federation.transport import Channel, Options
from msim_xds.ihe.names import SOAP, SOAP11, WSA, WSA_ANONYMOUS, WSSE
from msim_xds.wire import safexml
from msim_xds.wire.mtom import SOAP_TYPE
from msim_xds.wire.staging import NoDocuments

if TYPE_CHECKING:
    from lxml.etree import _Element

_VERSIONS: Final = {"1.1": SOAP11, "1.2": SOAP}
_NO_DOCUMENTS: Final = NoDocuments()


@dataclass(frozen=True, slots=True)
class Service:
    """A service of P1.

    Attributes:
        url: its address.
        soap: version of SOAP, ``1.1`` or ``1.2``.
        addressing: whether it wants WS-Addressing headers.
    """

    url: str
    soap: str
    addressing: bool = False

    def call(self, action: str, payload: _Element, options: Options) -> _Element:
        """One request and the child of its answer's soap:Body.

        Args:
            action: of the operation, for SOAPAction and wsa:Action.
            payload: the child of the request's soap:Body.
            options: how to talk; its assertion and its signature go into the message.

        Raises:
            RemoteFault: answered by a SOAP fault.
            RemoteUnavailable: no usable answer.
        """
        envelope = self._envelope(action, payload, options.assertion)
        if options.sign is not None:
            options.sign(envelope)
        with Channel(self.url, options) as channel:
            message = channel.ask(etree.tostring(envelope), self._headers(action), _NO_DOCUMENTS)
        return content(message.root, self.url)

    def _envelope(self, action: str, payload: _Element, assertion: bytes) -> _Element:
        soap = _VERSIONS[self.soap]
        envelope = etree.Element(f"{{{soap}}}Envelope", nsmap={"soap": soap})
        header = etree.SubElement(envelope, f"{{{soap}}}Header")
        if self.addressing:
            _address(header, action, self.url)
        if assertion:
            security = etree.SubElement(header, f"{{{WSSE}}}Security")
            security.append(safexml.parse_signed(assertion))
        etree.SubElement(envelope, f"{{{soap}}}Body").append(payload)
        return envelope

    def _headers(self, action: str) -> dict[str, str]:
        if self.soap == "1.2":
            return {"Content-Type": f'{SOAP_TYPE}; charset=UTF-8; action="{action}"'}
        return {"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": f'"{action}"'}


def _address(header: _Element, action: str, url: str) -> None:
    for name, text in (("Action", action), ("MessageID", f"urn:uuid:{uuid.uuid4()}"), ("To", url)):
        etree.SubElement(header, f"{{{WSA}}}{name}", nsmap={"wsa": WSA}).text = text
    reply_to = etree.SubElement(header, f"{{{WSA}}}ReplyTo", nsmap={"wsa": WSA})
    etree.SubElement(reply_to, f"{{{WSA}}}Address").text = WSA_ANONYMOUS
