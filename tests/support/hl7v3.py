"""ITI-44 messages from the sender's side, written independently of the product."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

HL7 = "urn:hl7-org:v3"
ADD, REVISE, MERGE = (f"PRPA_IN20130{number}UV02" for number in (1, 2, 4))
ACK = "MCCI_IN000002UV01"
AUTHORITY = "2.16.840.1.113883.3.4424.1.1.616"
SENDER, RECEIVER = "1.2.3.4", "1.2.3.5"


def ii(root: str, extension: str = "") -> str:
    """An id."""
    return (
        f"<id root={quoteattr(root)} extension={quoteattr(extension)}/>"
        if extension
        else f"<id root={quoteattr(root)}/>"
    )


def device(party: str, code: str, root: str) -> str:
    """Sender or receiver."""
    return f'<{party} typeCode="{code}"><device classCode="DEV" determinerCode="INSTANCE">{ii(root)}</device></{party}>'


def person(family: str = "Żółcińska", given: str = "Łucja", more: str = "") -> str:
    """patientPerson."""
    return (
        '<patientPerson classCode="PSN" determinerCode="INSTANCE">'
        f"<name><given>{given}</given><family>{family}</family></name>"
        f'<administrativeGenderCode code="F"/><birthTime value="18580314"/>{more}</patientPerson>'
    )


def replacement(*ids: str) -> str:
    """replacementOf with these subsumed ids, each a ready element."""
    return (
        '<replacementOf typeCode="RPLC"><priorRegistration classCode="REG" moodCode="EVN"><statusCode code="obsolete"/>'
        f'<subject1 typeCode="SBJ"><priorRegisteredRole classCode="PAT">{"".join(ids)}</priorRegisteredRole></subject1>'
        "</priorRegistration></replacementOf>"
    )


def patient_message(
    *ids: str,
    kind: str = ADD,
    interaction: str | None = None,
    details: str | None = None,
    more: str = "",
    message_id: str = ii("1.2.3.4.5", "MSG1"),
    processing: str = "P",
) -> str:
    """A message; ``ids`` are the patient's, ready elements; ``more`` stands at the end of registrationEvent."""
    return (
        f'<{kind} xmlns="{HL7}" ITSVersion="XML_1.0">{message_id}<creationTime value="20260914113000"/>'
        f'<interactionId root="2.16.840.1.113883.1.6" extension="{interaction or kind}"/>'
        f'<processingCode code="{processing}"/><processingModeCode code="T"/><acceptAckCode code="AL"/>'
        f"{device('receiver', 'RCV', RECEIVER)}{device('sender', 'SND', SENDER)}"
        '<controlActProcess classCode="CACT" moodCode="EVN">'
        f'<code code="{kind.replace("IN", "TE")}" codeSystem="2.16.840.1.113883.1.6"/>'
        '<subject typeCode="SUBJ"><registrationEvent classCode="REG" moodCode="EVN"><statusCode code="active"/>'
        f'<subject1 typeCode="SBJ"><patient classCode="PAT">{"".join(ids)}<statusCode code="active"/>'
        f"{person() if details is None else details}"
        f'<providerOrganization classCode="ORG" determinerCode="INSTANCE">{ii(AUTHORITY)}<contactParty classCode="CON"/>'
        "</providerOrganization></patient></subject1>"
        f'<custodian typeCode="CST"><assignedEntity classCode="ASSIGNED">{ii(SENDER)}</assignedEntity></custodian>'
        f"{more}</registrationEvent></subject></controlActProcess></{kind}>"
    )
