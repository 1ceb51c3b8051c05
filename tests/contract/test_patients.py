"""Patient feeds into a real server by a stranger's clients: zeep with nothing but our ?wsdl, and MLLP."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
import zeep
from lxml import etree

from tests.support import metadata
from tests.support.metadata import DEPRECATED, OTHER_PATIENT, PATIENT, single_document
from tests.support.paths import REGISTRY
from tests.support.queries import find_documents
from tests.support.server import ServerProcess, free_port
from tests.test_mllp.conftest import Line
from tests.test_mllp.messages import announcement, merge, segments
from tests.test_server.soap import NS

PATIENTS = "/xds/registry/patients"
AUTHORITY = "2.16.840.1.113883.3.4424.1.1.616"
QUERY_ACTION = "urn:ihe:iti:2007:RegistryStoredQuery"
REGISTER_ACTION = "urn:ihe:iti:2007:RegisterDocumentSet-b"


@pytest.fixture(scope="module")
def mllp_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(
    module_database_url: str, tmp_path_factory: pytest.TempPathFactory, mllp_port: int
) -> Iterator[ServerProcess]:
    """Two workers and a feed, for announced patients only."""
    environment = {"MSIM_PATIENTS__POLICY": "known", "MSIM_MLLP__PORT": str(mllp_port)}
    data = tmp_path_factory.mktemp("data")
    with ServerProcess(data, module_database_url, workers=2, environment=environment) as running:
        yield running


@pytest.fixture
def line(server: ServerProcess, mllp_port: int) -> Iterator[Line]:
    with socket.create_connection(("127.0.0.1", mllp_port), 20) as connection:
        yield Line(connection)


def outcome(line: Line, message: bytes) -> str:
    return segments(line.exchange(message))["MSA"][1]


def register(server: ServerProcess, cx: str) -> tuple[str, list[str]]:
    """Status and error codes of a registration."""
    root = server.ask(REGISTRY, REGISTER_ACTION, single_document(patient_id=cx)).xml().find("s:Body", NS)
    assert root is not None
    codes = [each.get("errorCode", "") for each in root.iter("{*}RegistryError")]
    return root[0].get("status", "").rpartition(":")[2], codes


def found(server: ServerProcess, cx: str) -> list[etree._Element]:
    """The entries that FindDocuments finds."""
    answer = server.ask(
        REGISTRY, QUERY_ACTION, find_documents(patient=cx, status=(metadata.APPROVED, DEPRECATED))
    )
    return list(answer.xml().iter(f"{{{metadata.RIM}}}ExtrinsicObject"))


def patient_ids(entries: list[etree._Element]) -> set[str]:
    scheme = "urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427"
    path = f"{{{metadata.RIM}}}ExternalIdentifier[@identificationScheme='{scheme}']"
    return {each.get("value", "") for entry in entries for each in entry.findall(path)}


def test_merge_by_mllp_then_queries_with_both_ids(server: ServerProcess, line: Line) -> None:
    assert register(server, PATIENT) == ("Failure", ["XDSUnknownPatientId"])
    for cx in (PATIENT, OTHER_PATIENT):
        assert outcome(line, announcement(cx)) == "AA"
        assert register(server, cx)[0] == "Success"
    assert outcome(line, merge(PATIENT, OTHER_PATIENT)) == "AA"
    entries = found(server, PATIENT)
    assert len(entries) == 2
    assert patient_ids(entries) == {PATIENT}
    assert found(server, OTHER_PATIENT) == []
    assert register(server, OTHER_PATIENT) == ("Failure", ["XDSUnknownPatientId"])
    assert register(server, PATIENT)[0] == "Success"
    assert outcome(line, merge(PATIENT, OTHER_PATIENT)) == "AE"


def feed_v3(server: ServerProcess, kind: str, patient: str, prior: str | None = None) -> Any:
    """The acknowledgement of a message that zeep has made from our WSDL."""
    client = zeep.Client(f"{server.url}{PATIENTS}?wsdl")  # type: ignore[no-untyped-call]
    device = {"classCode": "DEV", "determinerCode": "INSTANCE", "id": [{"root": "1.2.3.4"}]}
    person = {
        "classCode": "PSN",
        "determinerCode": "INSTANCE",
        "name": [{"_value_1": [{"family": {"_value_1": "Żółcińska"}}, {"given": {"_value_1": "Łucja"}}]}],
        "birthTime": {"value": "18580314"},
    }
    event: dict[str, Any] = {
        "classCode": "REG",
        "moodCode": "EVN",
        "statusCode": {"code": "active"},
        "subject1": {
            "typeCode": "SBJ",
            "patient": {
                "classCode": "PAT",
                "id": [{"root": AUTHORITY, "extension": patient}],
                "statusCode": {"code": "active"},
                "patientPerson": person,
            },
        },
    }
    if prior is not None:
        role = {"classCode": "PAT", "id": [{"root": AUTHORITY, "extension": prior}]}
        registration = {
            "classCode": "REG",
            "moodCode": "EVN",
            "statusCode": {"code": "obsolete"},
            "subject1": {"typeCode": "SBJ", "priorRegisteredRole": role},
        }
        event["replacementOf"] = [{"typeCode": "RPLC", "priorRegistration": registration}]
    return client.service[f"DocumentRegistry_{kind}"](
        ITSVersion="XML_1.0",
        id={"root": "1.2.3.4.5", "extension": "M1"},
        creationTime={"value": "20260914113000"},
        interactionId={"root": "2.16.840.1.113883.1.6", "extension": kind},
        processingCode={"code": "P"},
        processingModeCode={"code": "T"},
        acceptAckCode={"code": "AL"},
        receiver=[{"typeCode": "RCV", "device": device}],
        sender={"typeCode": "SND", "device": device},
        controlActProcess={
            "classCode": "CACT",
            "moodCode": "EVN",
            "subject": [{"typeCode": "SUBJ", "registrationEvent": event}],
        },
    )


def acknowledged(answer: Any) -> tuple[str, list[str]]:
    (acknowledgement,) = answer.acknowledgement
    assert acknowledgement.targetMessage.id.extension == "M1"
    details = acknowledgement.acknowledgementDetail
    return acknowledgement.typeCode.code, [detail.code.code for detail in details]


def test_feed_by_zeep(server: ServerProcess) -> None:
    first, second = "90863000244", "58631404720"
    merge_message = ("PRPA_IN201304UV02", first, second)
    assert acknowledged(feed_v3(server, *merge_message)) == ("CE", ["204", "204"])
    assert acknowledged(feed_v3(server, "PRPA_IN201301UV02", first)) == ("CA", [])
    assert acknowledged(feed_v3(server, "PRPA_IN201302UV02", second)) == ("CA", [])
    cx = f"{second}^^^&{AUTHORITY}&ISO"
    assert register(server, cx)[0] == "Success"
    assert acknowledged(feed_v3(server, *merge_message)) == ("CA", [])
    assert len(found(server, f"{first}^^^&{AUTHORITY}&ISO")) == 1
    assert found(server, cx) == []
    assert acknowledged(feed_v3(server, *merge_message)) == ("CE", ["204"])
