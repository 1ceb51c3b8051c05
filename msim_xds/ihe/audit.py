"""Audit events, one row each: what a server's record says (ITI TF-2 3.20; DICOM PS3.15 A.5)."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

from msim_xds.ihe.names import SUBMISSION_SET_NODE


class Coded(NamedTuple):
    """A coded value of an audit message; ``text`` serves as originalText and displayName."""

    code: str
    system: str
    text: str


class Action(StrEnum):
    """EventActionCode."""

    CREATE = "C"
    READ = "R"
    UPDATE = "U"
    DELETE = "D"
    EXECUTE = "E"


class Outcome(IntEnum):
    """EventOutcomeIndicator, as far as this server uses it."""

    SUCCESS = 0
    MINOR_FAILURE = 4
    SERIOUS_FAILURE = 8


class Subject(StrEnum):
    """What a record names besides the patient."""

    SUBMISSION_SET = "SubmissionSet"
    QUERY = "query"
    DOCUMENTS = "documents"
    REFERENCES = "references"
    PATIENTS = "nothing but patients"
    LINK = "patients of a link change"


class AuditRow(NamedTuple):
    """What the server's records of one transaction say (ITI TF-2, 'Security Audit Considerations').

    Attributes:
        type: EventTypeCode.
        event: EventID.
        action: EventActionCode; a patient that a merge ends has a record of its own with D.
        subject: what is named besides the patient.
        inverted: the server is the Source and the client the Destination, as documents flow to the client.
        detail: type of the detail that gives a feed message's id; empty where there is none.
        erases: what is named is gone for good afterwards (ParticipantObjectDataLifeCycle 15).
        home: the detail that gives a document's or a request's homeCommunityId. The framework spells it in
            two ways and will not mend that (ITI TF-2 3.43.6.1).
    """

    type: Coded
    event: Coded
    action: Action
    subject: Subject
    inverted: bool = False
    detail: str = ""
    erases: bool = False
    home: str = "urn:ihe:iti:xca:2010:homeCommunityId"

    def of_client(self) -> AuditRow:
        """What the records of the other side say: it exports what a server imports, and the reverse."""
        event, action = _OTHER_SIDE.get((self.event, self.action), (self.event, self.action))
        return self._replace(event=event, action=action)


_DCM: Final = "DCM"
_METADATA: Final = "IHE XDS Metadata"
_RFC_3881: Final = "RFC-3881"

APPLICATION_ACTIVITY: Final = Coded("110100", _DCM, "Application Activity")
EXPORT: Final = Coded("110106", _DCM, "Export")
IMPORT: Final = Coded("110107", _DCM, "Import")
PATIENT_RECORD: Final = Coded("110110", _DCM, "Patient Record")
QUERY: Final = Coded("110112", _DCM, "Query")

SECURITY_ALERT: Final = Coded("110113", _DCM, "Security Alert")
USER_AUTHENTICATION: Final = Coded("110114", _DCM, "User Authentication")

_OTHER_SIDE: Final = {
    (IMPORT, Action.CREATE): (EXPORT, Action.READ),
    (IMPORT, Action.UPDATE): (EXPORT, Action.UPDATE),
    (EXPORT, Action.READ): (IMPORT, Action.CREATE),
}

APPLICATION_START: Final = Coded("110120", _DCM, "Application Start")
APPLICATION_STOP: Final = Coded("110121", _DCM, "Application Stop")
LOGIN: Final = Coded("110122", _DCM, "Login")
NODE_AUTHENTICATION: Final = Coded("110126", _DCM, "Node Authentication")
EMERGENCY_STARTED: Final = Coded("110127", _DCM, "Emergency Override Started")
SECURITY_CONFIGURATION: Final = Coded("110129", _DCM, "Security Configuration")

APPLICATION: Final = Coded("110150", _DCM, "Application")
DESTINATION: Final = Coded("110152", _DCM, "Destination Role ID")
SOURCE: Final = Coded("110153", _DCM, "Source Role ID")

APPLICATION_SERVER: Final = Coded("4", _DCM, "Application Server Process")

PATIENT_NUMBER: Final = Coded("2", _RFC_3881, "Patient Number")
REPORT_NUMBER: Final = Coded("9", _RFC_3881, "Report Number")
OBJECT_REF: Final = Coded("urn:ihe:iti:2017:ObjectRef", _METADATA, "registry object reference")
NODE_ID: Final = Coded("110182", _DCM, "Node ID")
URI: Final = Coded("12", _RFC_3881, "URI")
SUBMISSION_SET_ID: Final = Coded(SUBMISSION_SET_NODE, _METADATA, "submission set classificationNode")

REPOSITORY_DETAIL: Final = "Repository Unique Id"
ALERT_DETAIL: Final = "Alert Description"
ENCODING_DETAIL: Final = "QueryEncoding"
LINK_DETAIL: Final = "urn:ihe:iti:xpid:2017:patientIdentifierType"


def _type(name: str, title: str) -> Coded:
    return Coded(name, "IHE Transactions", title)


def _submission(name: str, title: str, action: Action = Action.CREATE) -> AuditRow:
    return AuditRow(_type(name, title), IMPORT, action, Subject.SUBMISSION_SET)


def _query(name: str, title: str) -> AuditRow:
    return AuditRow(_type(name, title), QUERY, Action.EXECUTE, Subject.QUERY)


def _removal(name: str, title: str, subject: Subject) -> AuditRow:
    return AuditRow(_type(name, title), PATIENT_RECORD, Action.DELETE, subject, erases=True)


_V2: Final = _type("ITI-8", "Patient Identity Feed")
_V3: Final = _type("ITI-44", "Patient Identity Feed HL7 V3")
_V2_ADD: Final = AuditRow(_V2, PATIENT_RECORD, Action.CREATE, Subject.PATIENTS, detail="MSH-10")
_V2_CHANGE: Final = _V2_ADD._replace(action=Action.UPDATE)
_V3_ADD: Final = AuditRow(_V3, PATIENT_RECORD, Action.CREATE, Subject.PATIENTS, detail="II")
_V3_CHANGE: Final = _V3_ADD._replace(action=Action.UPDATE)

_RETRIEVAL: Final = AuditRow(
    _type("ITI-43", "Retrieve Document Set"),
    EXPORT,
    Action.READ,
    Subject.DOCUMENTS,
    inverted=True,
    home="ihe:homeCommunityID",
)

#: By transaction name; those of HL7 v2 with the trigger event.
AUDIT_ROWS: Final = {
    "ITI-18": _query("ITI-18", "Registry Stored Query"),
    "ITI-18 gateway": _query("ITI-18", "Registry Stored Query"),
    "ITI-38": _query("ITI-38", "Cross Gateway Query"),
    "ITI-39": AuditRow(
        _type("ITI-39", "Cross Gateway Retrieve"),
        EXPORT,
        Action.READ,
        Subject.DOCUMENTS,
        inverted=True,
        home="ihe:homeCommunityID",
    ),
    "ITI-41": _submission("ITI-41", "Provide and Register Document Set-b"),
    "ITI-42": _submission("ITI-42", "Register Document Set-b"),
    "ITI-43": _RETRIEVAL,
    "ITI-43 gateway": _RETRIEVAL,
    "ITI-51": _query("ITI-51", "Multi-Patient Stored Query"),
    "ITI-55": _query("ITI-55", "Cross Gateway Patient Discovery")._replace(home="ihe:homeCommunityID"),
    "ITI-57": _submission("ITI-57", "Update Document Set", Action.UPDATE),
    "ITI-61": _submission("ITI-61", "Register On-Demand Document Entry"),
    "ITI-62": _removal("ITI-62", "Remove Metadata", Subject.REFERENCES),
    "ITI-86": _removal("ITI-86", "Remove Documents", Subject.DOCUMENTS),
    "ITI-92": _submission("ITI-92", "Restricted Update Document Set", Action.UPDATE),
    "ITI-44 add": _V3_ADD,
    "ITI-44 revise": _V3_CHANGE,
    "ITI-44 merge": _V3_CHANGE,
    "ITI-8 A01": _V2_ADD,
    "ITI-8 A04": _V2_ADD,
    "ITI-8 A05": _V2_ADD,
    "ITI-8 A08": _V2_CHANGE,
    "ITI-8 A40": _V2_CHANGE,
    "ITI-64 A43": AuditRow(
        _type("ITI-64", "Notify XAD-PID Link Change"),
        PATIENT_RECORD,
        Action.UPDATE,
        Subject.LINK,
        detail="MSH-10",
    ),
}
