"""Answers of Cross Gateway Patient Discovery: PRPA_IN201306UV02 (ITI TF-2 3.55.4.2).

Children stand in the order of the HL7 v3 schema: registrations, reasonOf, queryAck, and the query as it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from lxml import etree

from msim_xds.findings import Finding
from msim_xds.ihe.acknowledgements import NAMES
from msim_xds.ihe.discovery import (
    ANSWER_INTERACTION,
    ANSWER_TRIGGER,
    MANAGEMENT_CODES,
    REQUESTED_CODES,
    Management,
    QueryResponse,
)
from msim_xds.ihe.names import HL7V3
from msim_xds.wire.hl7v3 import BUSY, INTERACTIONS, answer_to, detail, instance_id

if TYPE_CHECKING:
    from datetime import datetime

    from lxml.etree import _Element

_QUERY: Final = "controlActProcess/queryByParameter"


def found(
    original: _Element,
    registrations: Iterable[bytes],
    created: datetime,
    requested: str = "",
) -> list[bytes]:
    """The patients that match, or that none does (cases 1 to 4).

    Args:
        original: the PRPA_IN201305UV02.
        registrations: ``subject`` elements, ready as octets.
        created: now, UTC.
        requested: what the sender should tell besides, a code of ``REQUESTED_CODES`` (case 3).
    """
    subjects = list(registrations)
    issue = ""
    if requested:
        issue = _issue(
            '<triggerFor typeCode="TRIG"><actOrderRequired classCode="ACT" moodCode="RQO">'
            f'<code code="{requested}" codeSystem="{REQUESTED_CODES}"/></actOrderRequired></triggerFor>'
        )
    outcome = QueryResponse.FOUND if subjects or requested else QueryResponse.NOT_FOUND
    head = _head(original, "AA", (), created)
    return [head.encode(), *subjects, (issue + _tail(original, outcome)).encode()]


def failed(
    original: _Element | None, findings: Sequence[Finding], created: datetime | None = None
) -> list[bytes]:
    """That there is no answer, and why (case 5); ``created`` is None where the clock is out of reach."""
    issue = _issue(
        '<mitigatedBy typeCode="MITGT"><detectedIssueManagement classCode="ACT" moodCode="EVN">'
        f'<code code="{_management(findings)}" codeSystem="{MANAGEMENT_CODES}"/></detectedIssueManagement>'
        "</mitigatedBy>"
    )
    whole = _head(original, "AE", findings, created) + issue + _tail(original, QueryResponse.FAILED)
    return [whole.encode()]


def _management(findings: Sequence[Finding]) -> Management:
    codes = {finding.code for finding in findings if finding.is_error}
    if BUSY in codes:
        return Management.BUSY
    return Management.NOT_AVAILABLE if codes <= NAMES.keys() else Management.INTERNAL


def _head(
    original: _Element | None, outcome: str, findings: Sequence[Finding], created: datetime | None
) -> str:
    return (
        f"{answer_to(original, ANSWER_INTERACTION, created)}"
        f'<acknowledgement><typeCode code="{outcome}"/>'
        f"<targetMessage>{instance_id(original, 'id')}</targetMessage>{''.join(map(detail, findings))}"
        f'</acknowledgement><controlActProcess classCode="CACT" moodCode="EVN">'
        f'<code code="{ANSWER_TRIGGER}" codeSystem="{INTERACTIONS}"/>'
    )


def _tail(original: _Element | None, outcome: QueryResponse) -> str:
    query = None if original is None else original.find(_steps(_QUERY))
    copied = "" if query is None else etree.tostring(query, encoding="unicode", with_tail=False)
    return (
        f'<queryAck>{instance_id(query, "queryId")}<queryResponseCode code="{outcome}"/></queryAck>{copied}'
        f"</controlActProcess></{ANSWER_INTERACTION}>"
    )


def _issue(what: str) -> str:
    return (
        '<reasonOf typeCode="RSON"><detectedIssueEvent classCode="ALRT" moodCode="EVN">'
        '<code code="ActAdministrativeDetectedIssueCode" codeSystem="2.16.840.1.113883.5.4"/>'
        f"{what}</detectedIssueEvent></reasonOf>"
    )


def _steps(path: str) -> str:
    return "/".join(f"{{{HL7V3}}}{step}" for step in path.split("/"))
