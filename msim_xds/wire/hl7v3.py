"""What every HL7 v3 message of ours begins with (HL7 V3 NE2008; ITI TF-2 Appendix O.1.1).

Children stand in the order of the schema.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

from msim_xds.findings import Finding
from msim_xds.ihe.acknowledgements import NAMES, TABLE_OID, Condition
from msim_xds.ihe.names import HL7V3
from msim_xds.wire.xmltext import escape

if TYPE_CHECKING:
    from datetime import datetime

    from lxml.etree import _Element

INTERACTIONS: Final = "2.16.840.1.113883.1.6"
BUSY: Final = "XDSRegistryBusy"

_DETAIL_CODES: Final = "2.16.840.1.113883.5.1100"


def answer_to(original: _Element | None, interaction: str, created: datetime | None) -> str:
    """The tag of an answer and its children up to ``sender``; the parties have changed places.

    Args:
        original: the message that is answered; None where it is lost.
        interaction: the answer's own name.
        created: now, UTC; None where the clock is out of reach, as after an internal failure.
    """
    time = 'nullFlavor="NI"' if created is None else f'value="{created:%Y%m%d%H%M%S}+0000"'
    processing = escape(attribute(original, "processingCode", "code") or "P")
    return (
        f'<{interaction} xmlns="{HL7V3}" ITSVersion="XML_1.0"><id root="{uuid.uuid4()}"/>'
        f'<creationTime {time}/><interactionId root="{INTERACTIONS}" extension="{interaction}"/>'
        f'<processingCode code="{processing}"/><processingModeCode code="T"/><acceptAckCode code="NE"/>'
        f'<receiver typeCode="RCV">{_device(original, "sender")}</receiver>'
        f'<sender typeCode="SND">{_device(original, "receiver")}</sender>'
    )


def detail(finding: Finding) -> str:
    """An acknowledgementDetail."""
    location = f"<location>{escape(finding.attribute)}</location>" if finding.attribute else ""
    return (
        f'<acknowledgementDetail typeCode="{"E" if finding.is_error else "W"}">{_code(finding.code)}'
        f"<text>{escape(finding.text())}</text>{location}</acknowledgementDetail>"
    )


def instance_id(original: _Element | None, path: str) -> str:
    """A copy of the id at a path below ``original``."""
    name = path.rpartition("/")[2]
    root = attribute(original, path, "root")
    if not root:
        return f'<{name} nullFlavor="NI"/>'
    extension = attribute(original, path, "extension")
    return f'<{name} root="{escape(root)}"' + (f' extension="{escape(extension)}"/>' if extension else "/>")


def attribute(original: _Element | None, path: str, name: str) -> str:
    """An attribute of the element at a path below ``original``; empty where it is absent."""
    steps = "/".join(f"{{{HL7V3}}}{step}" for step in path.split("/"))
    element = None if original is None else original.find(steps)
    return "" if element is None else element.get(name, "").strip()


def _code(code: str) -> str:
    """Of HL7 table 0357; what went wrong inside is INTERR of HL7 v3, except that a busy server is a lock."""
    known = Condition.LOCKED if code == BUSY else code
    if known not in NAMES:
        return f'<code code="INTERR" codeSystem="{_DETAIL_CODES}" displayName="Internal system error"/>'
    condition = Condition(known)
    return f'<code code="{condition}" codeSystem="{TABLE_OID}" displayName="{NAMES[condition]}"/>'


def _device(original: _Element | None, party: str) -> str:
    written = instance_id(original, f"{party}/device/id")
    return f'<device classCode="DEV" determinerCode="INSTANCE">{written}</device>'
