"""ITI-55 queries from the sender's side, written independently of the product."""

from __future__ import annotations

from xml.sax.saxutils import escape

from tests.support.hl7v3 import HL7, RECEIVER, SENDER, device, ii

QUERY = "PRPA_IN201305UV02"
ANSWER = "PRPA_IN201306UV02"
ACTION = f"urn:hl7-org:v3:{QUERY}:CrossGatewayPatientDiscovery"
PESEL = "2.16.840.1.113883.3.4424.1.1.616"


def parameter(name: str, *values: str) -> str:
    """One parameter; ``values`` are ready elements."""
    return f"<{name}>{''.join(values)}<semanticsText>{name}</semanticsText></{name}>"


def subject_id(*ids: tuple[str, str]) -> str:
    """livingSubjectId, each (root, extension) a parameter of its own."""
    return "".join(
        parameter("livingSubjectId", f'<value root="{root}" extension="{extension}"/>')
        for root, extension in ids
    )


def subject_name(family: str, given: str) -> str:
    """livingSubjectName."""
    value = f"<value><given>{escape(given)}</given><family>{escape(family)}</family></value>"
    return parameter("livingSubjectName", value)


def born(time: str) -> str:
    """livingSubjectBirthTime."""
    return parameter("livingSubjectBirthTime", f'<value value="{time}"/>')


def gender(code: str) -> str:
    """livingSubjectAdministrativeGender."""
    return parameter("livingSubjectAdministrativeGender", f'<value code="{code}"/>')


def query(*parameters: str, priority: str = "I") -> str:
    """A PRPA_IN201305UV02; ``parameters`` in any order."""
    return (
        f'<{QUERY} xmlns="{HL7}" ITSVersion="XML_1.0">{ii("1.2.3.4.5", "Q1")}<creationTime value="20260914113000"/>'
        f'<interactionId root="2.16.840.1.113883.1.6" extension="{QUERY}"/><processingCode code="P"/>'
        '<processingModeCode code="T"/><acceptAckCode code="AL"/>'
        f"{device('receiver', 'RCV', RECEIVER)}{device('sender', 'SND', SENDER)}"
        '<controlActProcess classCode="CACT" moodCode="EVN"><code code="PRPA_TE201305UV02"/><queryByParameter>'
        '<queryId root="1.2.3.4.6" extension="7"/><statusCode code="new"/><responseModalityCode code="R"/>'
        f'<responsePriorityCode code="{priority}"/><parameterList>{"".join(parameters)}</parameterList>'
        f"</queryByParameter></controlActProcess></{QUERY}>"
    )
