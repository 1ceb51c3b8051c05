"""Acknowledgements of HL7 v3 messages: MCCI_IN000002UV01 (ITI TF-2 Appendix O.1.2; HL7 V3 NE2008)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from msim_xds.findings import Finding
from msim_xds.ihe.acknowledgements import REJECTING, Acknowledged
from msim_xds.wire.hl7v3 import answer_to, detail, instance_id

if TYPE_CHECKING:
    from datetime import datetime

    from lxml.etree import _Element

INTERACTION: Final = "MCCI_IN000002UV01"


def acknowledgement(
    original: _Element | None, findings: Sequence[Finding] = (), created: datetime | None = None
) -> bytes:
    """Accept (CA) where no finding is an error; otherwise error (CE) or, for what nobody reads, reject (CR).

    Args:
        original: the message that is acknowledged, such as a PRPA_IN201301UV02; None where it is lost.
        findings: become acknowledgementDetails.
        created: now, UTC; None where the clock is out of reach, as after an internal failure.
    """
    return (
        f"{answer_to(original, INTERACTION, created)}"
        f'<acknowledgement><typeCode code="{_outcome(findings).v3}"/>'
        f"<targetMessage>{instance_id(original, 'id')}</targetMessage>"
        f"{''.join(map(detail, findings))}</acknowledgement></{INTERACTION}>"
    ).encode()


def _outcome(findings: Sequence[Finding]) -> Acknowledged:
    wrong = [finding.code for finding in findings if finding.is_error]
    if not wrong:
        return Acknowledged.ACCEPT
    return Acknowledged.REJECT if any(code in REJECTING for code in wrong) else Acknowledged.ERROR
