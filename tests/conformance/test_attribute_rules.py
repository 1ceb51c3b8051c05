"""ITI-42: the attributes of each object, row by row (ITI TF-3 4.2.3, Table 4.3.1-3)."""

# ruff: noqa: E501 - tables: one row, one line

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.node import FAILURE, SUCCESS, Node
from tests.conformance.world import held, submission
from tests.support.metadata import (
    AUTHOR,
    CODES,
    DEPRECATED,
    SCHEMES,
    association,
    classification,
    document_entry,
    folder,
    identifier,
    original,
    slot,
    submission_set,
    submit_objects,
)

FORMATS = ("1.3.6.1.4.1.19376.1.2.3", "mimeType Sufficient")
LONG = "1.2." + "3" * 60
OLD_ORDER = (
    '<rim:Classification classificationScheme="urn:uuid:{scheme}" classifiedObject="Document01"'
    ' nodeRepresentation="00.20"><rim:Name><rim:LocalizedString value="Karta"/></rim:Name>'
    '<rim:Slot name="codingScheme"><rim:ValueList><rim:Value>1.2.3</rim:Value></rim:ValueList></rim:Slot>'
    "</rim:Classification>"
)


def author(*slots: str, representation: str = ' nodeRepresentation=""') -> str:
    return (
        f'<rim:Classification id="au" classificationScheme="urn:uuid:{SCHEMES["author"]}"'
        f' classifiedObject="Document01"{representation}>{"".join(slots)}</rim:Classification>'
    )


def node(owner: str, uuid: str) -> str:
    return f'<rim:Classification id="m" classifiedObject="{owner}" classificationNode="urn:uuid:{uuid}"/>'


def code(attribute: str, body: str, representation: str = "N") -> str:
    return (
        f'<rim:Classification id="c" classificationScheme="urn:uuid:{SCHEMES[attribute]}"'
        f' classifiedObject="Document01" nodeRepresentation="{representation}">{body}</rim:Classification>'
    )


NAME = '<rim:Name><rim:LocalizedString value="normal"/></rim:Name>'
SCHEME = slot("codingScheme", "2.16.840.1.113883.5.25")

#: Options of a DocumentEntry, and the attribute that the refusal names; None is accepted.
ENTRIES: dict[str, tuple[dict[str, object], str | None]] = {
    "complete": ({}, None),
    **{f"without {name}": ({"slots": {name: None}}, name) for name in ("creationTime", "languageCode", "sourcePatientId", "hash", "size", "repositoryUniqueId")},
    **{f"without {name}": ({"codes": {name: None}}, name) for name in ("classCode", "typeCode", "formatCode", "healthcareFacilityTypeCode", "practiceSettingCode", "confidentialityCode")},
    "without patientId": ({"patient_id": None}, "patientId"),
    "without uniqueId": ({"unique_id": None}, "uniqueId"),
    "without mimeType": ({"mime_type": None}, "mimeType"),
    "without title, author": ({"title": None, "authors": ()}, None),
    **{f"two of {name}": ({"codes": {name: [CODES[name]] * 2}}, name) for name in ("classCode", "typeCode", "formatCode", "healthcareFacilityTypeCode", "practiceSettingCode")},
    "two confidentialityCodes": ({"codes": {"confidentialityCode": [CODES["confidentialityCode"], ("R", "2.16.840.1.113883.5.25", "restricted")]}}, None),
    "two eventCodes": ({"codes": {"eventCodeList": [("89.00", "2.16.840.1.113883.3.4424.11.2.6", "a"), ("88.7", "2.16.840.1.113883.3.4424.11.2.6", "b")]}}, None),
    "code without scheme": ({"extra": code("confidentialityCode", NAME)}, "confidentialityCode"),
    "code with two schemes": ({"extra": code("confidentialityCode", slot("codingScheme", "1.2", "1.3") + NAME)}, "codingScheme"),
    "code without a text": ({"extra": code("confidentialityCode", SCHEME + NAME, "")}, "confidentialityCode"),
    "code without a name": ({"extra": code("confidentialityCode", SCHEME)}, "confidentialityCode"),
    "code with an empty name": ({"extra": code("confidentialityCode", SCHEME + NAME.replace("normal", ""))}, "confidentialityCode"),
    "scheme of a Folder": ({"extra": classification("Document01", SCHEMES["codeList"], ("a", "1.2", "b"))}, "classificationScheme"),
    "code of another object": ({"extra": classification("Document02", SCHEMES["eventCodeList"], ("a", "1.2", "b"))}, "classifiedObject"),
    "code by an older message": ({"codes": {"classCode": None}, "extra": OLD_ORDER.format(scheme=SCHEMES["classCode"])}, None),
    **{f"creationTime {value}": ({"slots": {"creationTime": value}}, None) for value in ("2026", "202609", "20260914", "2026091411", "202609141130", " 20260914113000\n")},
    **{f"creationTime {value}": ({"slots": {"creationTime": value}}, "creationTime") for value in ("20260230", "2026091", "20260914113000.5", "20260914113000+0200", "2026-09-14", "20261301", "202609142460")},
    "two creationTimes": ({"slots": {"creationTime": ["2026", "2027"]}}, "creationTime"),
    "slot twice": ({"extra": slot("languageCode", "pl-PL")}, "languageCode"),
    "start before stop": ({"slots": {"serviceStartTime": "20260908", "serviceStopTime": "20260914"}}, None),
    "start is stop": ({"slots": {"serviceStartTime": "20260908", "serviceStopTime": "20260908"}}, None),
    "start within stop": ({"slots": {"serviceStartTime": "20260908", "serviceStopTime": "2026"}}, None),
    "stop before start": ({"slots": {"serviceStartTime": "20260908", "serviceStopTime": "20260907"}}, "serviceStopTime"),
    "hash in capitals": ({"slots": {"hash": "A" * 40}}, None),
    "hash too short": ({"slots": {"hash": "a" * 39}}, "hash"),
    "hash no hex": ({"slots": {"hash": "g" * 40}}, "hash"),
    "size no number": ({"slots": {"size": "5 kB"}}, "size"),
    "size negative": ({"slots": {"size": "-5"}}, "size"),
    "size 0": ({"slots": {"size": "0"}}, None),
    "language en-us": ({"slots": {"languageCode": "en-us"}}, None),
    "language with _": ({"slots": {"languageCode": "pl_PL"}}, "languageCode"),
    "mimeType text/goofy": ({"mime_type": "text/goofy"}, None),
    "mimeType application/dicom+json": ({"mime_type": "application/dicom+json"}, None),
    "mimeType without subtype": ({"mime_type": "text"}, "mimeType"),
    "patientId without authority": ({"patient_id": "58831404726"}, "patientId"),
    "patientId with a namespace": ({"patient_id": "1^^^A&1.2.3&ISO"}, "patientId"),
    "patientId with a type": ({"patient_id": "1^^^&1.2.3&ISO^PI"}, "patientId"),
    "patientId with a DNS authority": ({"patient_id": "1^^^&a.example&DNS"}, "patientId"),
    "sourcePatientId without authority": ({"slots": {"sourcePatientId": "104233"}}, "sourcePatientId"),
    "sourcePatientInfo": ({"slots": {"sourcePatientInfo": ["PID-3|pid1^^^&1.2.3&ISO", "PID-5|Doe^John^^^", "PID-7|19560527", "PID-8|M", "PID-11|100 Main St^^Metropolis^Il^44130^USA"]}}, None),
    "sourcePatientInfo names twice": ({"slots": {"sourcePatientInfo": ["PID-5|Doe^John", "PID-5|Doe^Jack~Roe^J"]}}, None),
    "sourcePatientInfo PID-7 twice": ({"slots": {"sourcePatientInfo": ["PID-7|1956", "PID-7|1957"]}}, "sourcePatientInfo"),
    **{f"sourcePatientInfo PID-{n}": ({"slots": {"sourcePatientInfo": f"PID-{n}|x"}}, "sourcePatientInfo") for n in (2, 4, 12, 19)},
    "sourcePatientInfo in words": ({"slots": {"sourcePatientInfo": "John Doe"}}, "sourcePatientInfo"),
    "legalAuthenticator": ({"slots": {"legalAuthenticator": "^Welby^Marcus^^^ Dr^MD"}}, None),
    "two legalAuthenticators": ({"slots": {"legalAuthenticator": [AUTHOR, AUTHOR]}}, "legalAuthenticator"),
    "legalAuthenticator without a name": ({"slots": {"legalAuthenticator": "^^Marcus"}}, "legalAuthenticator"),
    "title of 128": ({"title": "t" * 128}, None),
    "title of 129": ({"title": "t" * 129}, "title"),
    "URI http://": ({"slots": {"URI": "http://"}}, None),
    "URI in parts": ({"slots": {"URI": ["1|http://a.example/", "2|b.xml"]}}, None),
    "URI with a blank": ({"slots": {"URI": "http://a.example/a b"}}, "URI"),
    "documentAvailability": ({"slots": {"documentAvailability": "urn:ihe:iti:2010:DocumentAvailability:Online"}}, None),
    "documentAvailability unknown": ({"slots": {"documentAvailability": "Online"}}, "documentAvailability"),
    "referenceIdList": ({"slots": {"urn:ihe:iti:xds:2013:referenceIdList": ["2013001^^^&1.2.3&ISO^urn:ihe:iti:xds:2013:accession", "1.2.3.4^^^^urn:ihe:iti:xds:2013:uniqueId", "7^^^&1.2.3&ISO^urn:ihe:iti:xds:2013:order^urn:oid:1.2.3"]}}, None),
    "referenceIdList without a type": ({"slots": {"urn:ihe:iti:xds:2013:referenceIdList": "7^^^&1.2.3&ISO"}}, "referenceIdList"),
    "accession without authority": ({"slots": {"urn:ihe:iti:xds:2013:referenceIdList": "7^^^^urn:ihe:iti:xds:2013:accession"}}, "referenceIdList"),
    "uniqueId with an extension": ({"unique_id": "1.2.9.1^1234567890123456"}, None),
    "uniqueId with a long extension": ({"unique_id": "1.2.9.1^12345678901234567"}, "uniqueId"),
    "uniqueId as a URN": ({"unique_id": "urn:uuid:0b9b1f6e-5d5c-4f0e-9a34-7d0f3f2a1c11"}, None),
    "uniqueId below the address of a network": ({"unique_id": "129.6.58.92.7001"}, None),
    "repositoryUniqueId as a URN": ({"repository": "urn:oid:1.2.3"}, "repositoryUniqueId"),
    "homeCommunityId": ({"attributes": ' home="urn:oid:1.2.3"'}, None),
    "homeCommunityId as an OID": ({"attributes": ' home="1.2.3"'}, "homeCommunityId"),
    "status Deprecated": ({"attributes": f' status="{DEPRECATED}"'}, None),
    "status of one's own": ({"attributes": ' status="Approved"'}, None),
    "limitedMetadata": ({"extra": node("Document01", "ab9b591b-83ab-4d03-8f5d-f93b1fb92e85")}, "limitedMetadata"),
    "marker of a SubmissionSet": ({"extra": node("Document01", "a54d6aa5-d40d-43f9-88c5-b4633d873bdd")}, "classificationNode"),
    "two authors": ({"authors": (AUTHOR, "^Nowak^Ewa")}, None),
    "author: institution": ({"extra": author(slot("authorInstitution", "Szpital", "Szpital^^^^^^^^^1.2.3", "Szpital^^^^^&1.2.3&ISO^^^^7"))}, None),
    "author: telecommunication": ({"extra": author(slot("authorTelecommunication", "^PRN^PH^^48^12^3456789", "^^Internet^a@b.example", "^EMR^PH^^^^^^^^^+48123456789"))}, None),
    "author: role and specialty": ({"extra": author(slot("authorRole", "a"), slot("authorSpecialty", "b"))}, "author"),
    "author: two persons": ({"extra": author(slot("authorPerson", AUTHOR, AUTHOR))}, "authorPerson"),
    "author: person of too little": ({"extra": author(slot("authorPerson", "^^Adam"))}, "authorPerson"),
    "author: institution without a name": ({"extra": author(slot("authorInstitution", "^^^^^&1.2.3&ISO^^^^7"))}, "authorInstitution"),
    "author: institution with an id of nobody": ({"extra": author(slot("authorInstitution", "Szpital^^^^^^^^^seven"))}, "authorInstitution"),
    "author: no telephone": ({"extra": author(slot("authorPerson", AUTHOR), slot("authorTelecommunication", "^PRN^FX^^48^12^3456789"))}, "authorTelecommunication"),
    "author without nodeRepresentation": ({"extra": author(slot("authorPerson", AUTHOR), representation="")}, "author"),
    "extra metadata": ({"slots": {"urn:example:ward": ["a", "b"]}}, None),
    "extra metadata, shortest name": ({"slots": {"urn:ward": "a"}}, None),
    "extra metadata of IHE": ({"slots": {"urn:ihe:iti:ward": "a"}}, "urn:ihe:iti:ward"),
    "slot without a URN": ({"slots": {"ward": "a"}}, "ward"),
    "slot with a URL": ({"slots": {"http://a.example/ward": "a"}}, "http://a.example/ward"),
    "value of 257": ({"slots": {"urn:example:ward": "a" * 257}}, "urn:example:ward"),
    "empty optional slot": ({"slots": {"serviceStartTime": []}}, None),
    "empty required slot": ({"slots": {"languageCode": []}}, "languageCode"),
    "child of no schema": ({"extra": "<rim:Title/>"}, "Title"),
}  # fmt: skip

#: The same for a SubmissionSet.
SETS: dict[str, tuple[dict[str, object], str | None]] = {
    "without patientId": ({"patient_id": None}, "patientId"),
    "without sourceId": ({"source_id": None}, "sourceId"),
    "without uniqueId": ({"unique_id": None}, "uniqueId"),
    "without submissionTime": ({"submission_time": None}, "submissionTime"),
    "without contentTypeCode": ({"content_type": None}, "contentTypeCode"),
    "two contentTypeCodes": ({"extra": classification("SubmissionSet01", SCHEMES["contentTypeCode"], CODES["contentTypeCode"])}, "contentTypeCode"),
    "without title and author": ({"title": None, "authors": ()}, None),
    "title of 257": ({"title": "t" * 257}, "title"),
    "uniqueId with an extension": ({"unique_id": "1.2.3^4"}, "uniqueId"),
    "uniqueId as a UUID": ({"unique_id": "urn:uuid:0b9b1f6e-5d5c-4f0e-9a34-7d0f3f2a1c11"}, "uniqueId"),
    "uniqueId over 64": ({"unique_id": LONG + "4"}, "uniqueId"),
    "sourceId in words": ({"source_id": "HIS"}, "sourceId"),
    "sourceId with a leading zero": ({"source_id": "1.02"}, "sourceId"),
    "sourceId below the address of a network": ({"source_id": "129.6.58.92.1.1"}, None),
    "submissionTime of a day": ({"submission_time": "20260914"}, None),
    "submissionTime in words": ({"submission_time": "today"}, "submissionTime"),
    "intendedRecipients": ({"slots": {"intendedRecipient": ["Szpital^^^^^^^^^1.2.3|^Nowak^Ewa|^^Internet^a@b.example", "|^Nowak^Ewa", "Szpital"]}}, None),
    "intendedRecipient nobody": ({"slots": {"intendedRecipient": "||"}}, "intendedRecipient"),
    "limitedMetadata": ({"extra": node("SubmissionSet01", "5003a9db-8d8d-49e6-bf0c-990e34ac7707")}, "limitedMetadata"),
    "marked twice": ({"extra": node("SubmissionSet01", "d9d542f3-6cc4-48b6-8870-ea235fbc94c2")}, "classificationNode"),
    "sourceId twice": ({"extra": identifier("SubmissionSet01", "554ac39e-e3fe-47fe-b233-965d2a147832", "XDSSubmissionSet.sourceId", "1.2")}, "sourceId"),
}  # fmt: skip

#: The same for a Folder.
FOLDERS: dict[str, tuple[dict[str, object], str | None]] = {
    "complete": ({}, None),
    "without title": ({"title": None}, "title"),
    "without codes": ({"codes": ()}, "codeList"),
    "two codes": ({"codes": (CODES["codeList"], ("06.10", "2.16.840.1.113883.3.4424.11.1.32", "Wynik"))}, None),
    "without patientId": ({"patient_id": None}, "patientId"),
    "without uniqueId": ({"unique_id": None}, "uniqueId"),
    "lastUpdateTime": ({"extra": slot("lastUpdateTime", "20200101")}, None),
    "lastUpdateTime that is none": ({"extra": slot("lastUpdateTime", "yesterday")}, None),
    "sourceId": ({"extra": identifier("Folder01", "554ac39e-e3fe-47fe-b233-965d2a147832", "XDSSubmissionSet.sourceId", "1.2")}, "identificationScheme"),
    "limitedMetadata": ({"extra": node("Folder01", "2c144a76-29a9-4b7c-af54-b25409fe7d03")}, "limitedMetadata"),
}  # fmt: skip

#: Extra metadata on an Association is an attribute too.
ASSOCIATIONS: dict[str, tuple[dict[str, object], str | None]] = {
    "extra metadata": ({"slots": {"urn:example:why": "a"}}, None),
    "unknown slot": ({"slots": {"why": "a"}}, "why"),
    "SubmissionSetStatus twice": ({"extra": slot("SubmissionSetStatus", "Original")}, "SubmissionSetStatus"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Node:
    path: Path = tmp_path_factory.mktemp("node")
    return Node(path)


def _judge(server: Node, message: bytes, refused_for: str | None) -> None:
    outcome = server.register(message)
    if refused_for is None:
        assert outcome.short == (SUCCESS,), outcome.texts
    else:
        assert outcome.status == FAILURE
        assert "XDSRegistryMetadataError" in outcome.errors
        assert refused_for in outcome.texts


def _rows(table: dict[str, tuple[dict[str, object], str | None]]) -> pytest.MarkDecorator:
    rows = [pytest.param(options, refused, id=name) for name, (options, refused) in table.items()]
    return pytest.mark.parametrize(("options", "refused_for"), rows)


@_rows(ENTRIES)
def test_document_entries(server: Node, options: dict[str, object], refused_for: str | None) -> None:
    _judge(server, submission(document_entry(**options), original()), refused_for)  # type: ignore[arg-type]


@_rows(SETS)
def test_submission_sets(server: Node, options: dict[str, object], refused_for: str | None) -> None:
    message = submit_objects(submission_set(**options), document_entry(), original())  # type: ignore[arg-type]
    _judge(server, message, refused_for)


@_rows(FOLDERS)
def test_folders(server: Node, options: dict[str, object], refused_for: str | None) -> None:
    _judge(server, submission(folder(**options), held()), refused_for)  # type: ignore[arg-type]


@_rows(ASSOCIATIONS)
def test_associations(server: Node, options: dict[str, object], refused_for: str | None) -> None:
    member = association("SubmissionSet01", "Document01", status="Original", **options)  # type: ignore[arg-type]
    _judge(server, submission(document_entry(), member), refused_for)
