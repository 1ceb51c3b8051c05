"""Acknowledgements of HL7 v3 messages: MCCI_IN000002UV01 (ITI TF-2 Appendix O.1.2; HL7 V3 NE2008).

Children stand in the order of the schema, ``acknowledgement`` behind ``sender``.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from msim_xds.findings import Finding
from msim_xds.ihe.acknowledgements import NAMES, REJECTING, TABLE_OID, Acknowledged, Condition
from msim_xds.ihe.names import HL7V3
from msim_xds.wire.xmltext import escape

if TYPE_CHECKING:
    from datetime import datetime

    from lxml.etree import _Element

INTERACTION: Final = "MCCI_IN000002UV01"

_INTERACTIONS: Final = "2.16.840.1.113883.1.6"
_DETAIL_CODES: Final = "2.16.840.1.113883.5.1100"
_BUSY: Final = "XDSRegistryBusy"
_NOTHING: Final = '<id nullFlavor="NI"/>'


def acknowledgement(
    original: _Element | None, findings: Sequence[Finding] = (), created: datetime | None = None
) -> bytes:
    """Accept (CA) where no finding is an error; otherwise error (CE) or, for what nobody reads, reject (CR).

    Args:
        original: the message that is acknowledged, such as a PRPA_IN201301UV02; None where it is lost.
        findings: become acknowledgementDetails.
        created: now, UTC; None where the clock is out of reach, as after an internal failure.
    """
    time = 'nullFlavor="NI"' if created is None else f'value="{created:%Y%m%d%H%M%S}+0000"'
    processing = escape(_attribute(original, "processingCode", "code") or "P")
    return (
        f'<{INTERACTION} xmlns="{HL7V3}" ITSVersion="XML_1.0"><id root="{uuid.uuid4()}"/>'
        f'<creationTime {time}/><interactionId root="{_INTERACTIONS}" extension="{INTERACTION}"/>'
        f'<processingCode code="{processing}"/><processingModeCode code="T"/><acceptAckCode code="NE"/>'
        f'<receiver typeCode="RCV">{_device(original, "sender")}</receiver>'
        f'<sender typeCode="SND">{_device(original, "receiver")}</sender>'
        f'<acknowledgement><typeCode code="{_outcome(findings).v3}"/>'
        f"<targetMessage>{_id(original, 'id')}</targetMessage>"
        f"{''.join(map(_detail, findings))}</acknowledgement></{INTERACTION}>"
    ).encode()


def _outcome(findings: Sequence[Finding]) -> Acknowledged:
    wrong = [finding.code for finding in findings if finding.is_error]
    if not wrong:
        return Acknowledged.ACCEPT
    return Acknowledged.REJECT if any(code in REJECTING for code in wrong) else Acknowledged.ERROR


def _detail(finding: Finding) -> str:
    location = f"<location>{escape(finding.attribute)}</location>" if finding.attribute else ""
    return (
        f'<acknowledgementDetail typeCode="{"E" if finding.is_error else "W"}">{_code(finding.code)}'
        f"<text>{escape(finding.text())}</text>{location}</acknowledgementDetail>"
    )


def _code(code: str) -> str:
    """Of HL7 table 0357; what went wrong inside is INTERR of HL7 v3, except that a busy server is a lock."""
    known = Condition.LOCKED if code == _BUSY else code
    if known not in NAMES:
        return f'<code code="INTERR" codeSystem="{_DETAIL_CODES}" displayName="Internal system error"/>'
    condition = Condition(known)
    return f'<code code="{condition}" codeSystem="{TABLE_OID}" displayName="{NAMES[condition]}"/>'


def _device(original: _Element | None, party: str) -> str:
    written = _id(original, f"{party}/{{{HL7V3}}}device/{{{HL7V3}}}id")
    return f'<device classCode="DEV" determinerCode="INSTANCE">{written}</device>'


def _id(original: _Element | None, path: str) -> str:
    root = _attribute(original, path, "root")
    if not root:
        return _NOTHING
    extension = _attribute(original, path, "extension")
    return f'<id root="{escape(root)}"' + (f' extension="{escape(extension)}"/>' if extension else "/>")


def _attribute(original: _Element | None, path: str, name: str) -> str:
    element = None if original is None else original.find(f"{{{HL7V3}}}{path}")
    return "" if element is None else element.get(name, "").strip()
