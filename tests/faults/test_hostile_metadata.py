"""Hostile text in every place of a submission: refused and forgotten, or kept and returned as it was sent."""

from __future__ import annotations

import itertools

import pytest
from lxml import etree

from msim_xds.ihe.transactions import ITI_18
from tests.faults.hostile import hostile
from tests.faults.target import Target, verdict
from tests.support.metadata import (
    APPROVED,
    PATIENT,
    association,
    document_entry,
    folder,
    original,
    submission_set,
    submit_objects,
    text,
)
from tests.support.paths import REGISTRY, REPOSITORY
from tests.support.queries import many, one, request
from tests.support.server import provide_message
from tests.test_server.soap import envelope

pytestmark = pytest.mark.no_cover  # the gates hold without it, and tracing doubles its time

#: An attribute of an element, or its text (None).
Place = tuple[etree._Element, str | None]

_OBJECTS = 7
_numbers = itertools.count(1)


def submission(patient: str, content: bytes) -> etree._Element:
    """One object of every kind, with attributes in places of every kind."""
    entry = document_entry(
        patient_id=patient,
        content=content,
        repository=None,
        comments="uwagi",
        slots={
            "sourcePatientInfo": ["PID-5|Wzorcowa^Anna^^^", "PID-8|F"],
            "serviceStartTime": "202609",
            "serviceStopTime": "20260914",
            "legalAuthenticator": "1^Nowak^Jan^^^^^^&1.2.3&ISO",
            "urn:ihe:iti:xds:2013:referenceIdList": "1^^^&1.2.3&ISO^urn:ihe:iti:xds:2013:accession",
            "urn:extpl:klucz": "wartość",
            "URI": "a.xml",
        },
        codes={"eventCodeList": ("T-D1100", "1.2.3", "zdarzenie")},
        attributes=f' status="{APPROVED}" home="urn:oid:1.2.3"',
    )
    return etree.fromstring(
        submit_objects(
            submission_set(patient_id=patient, slots={"intendedRecipient": "|^Nowak^Jan"}),
            entry,
            folder(patient_id=patient),
            original(),
            association("SubmissionSet01", "Folder01"),
            association("Folder01", "Document01", id="Member01", extra=text("Name", "w teczce")),
            association("SubmissionSet01", "Member01"),
        )
    )


def places(root: etree._Element) -> list[Place]:
    """Each attribute that says something and each text; those that are read alike, once for each object."""
    found: dict[tuple[str, ...], Place] = {}
    for element in root[0].iterdescendants():
        *_, owner, _, _ = [str(each.tag) for each in (element, *element.iterancestors())]
        attributes: list[str | None] = [str(name) for name, value in element.items() if value]
        texts = [None] if etree.QName(element).localname == "Value" else []
        for place in ((element, attribute) for attribute in attributes + texts):
            role = _role(element) if is_value(place) else ()
            found[owner, str(element.tag), place[1] or "", *role] = place
    return list(found.values())


def _role(element: etree._Element) -> list[str]:
    """Names and schemes of the elements around a value, which say what it is."""
    around = [element, *element.iterancestors()]
    names = ("name", "classificationScheme", "identificationScheme")
    return [each.tag + each.get(name, "") for each in around for name in names]


def is_value(place: Place) -> bool:
    """Whether it is a value of metadata, to be returned as it was sent. An identifier's Name is fixed."""
    element, attribute = place
    match etree.QName(element).localname:
        case "Value":
            return attribute is None
        case "LocalizedString":
            return attribute == "value" and not list(element.iterancestors("{*}ExternalIdentifier"))
        case "ExternalIdentifier":
            return attribute == "value"
        case "Classification":
            return attribute == "nodeRepresentation"
    return False


def put(place: Place, value: str) -> None:
    element, attribute = place
    if attribute is None:
        element.text = value
    else:
        element.set(attribute, value)


def submit(target: Target, root: etree._Element, content: bytes) -> str:
    content_type, body = provide_message(etree.tostring(root), {"Document01": content})
    return verdict(target.post(REPOSITORY, body, content_type))


def returned(target: Target, patient: str) -> set[str]:
    """Everything that GetAll says of the patient, whose one submission is complete."""
    names = ("$XDSDocumentEntryStatus", "$XDSSubmissionSetStatus", "$XDSFolderStatus")
    parameters = [("$patientId", one(patient)), *((name, many(APPROVED)) for name in names)]
    answer = target.post(REGISTRY, envelope(request("GetAll", parameters).decode(), ITI_18.action))
    assert verdict(answer) == "Success"
    assert len(answer.xml().findall(".//{*}RegistryObjectList/*")) == _OBJECTS
    return {value for each in answer.xml().iter() for value in (each.text or "", *map(str, each.values()))}


@hostile
def test_in_every_place(target: Target, value: str) -> None:
    kept = target.kept()
    for number in range(len(places(submission(PATIENT, b"")))):
        patient, content = f"{next(_numbers)}^^^&1.2.3&ISO", str(next(_numbers)).encode()
        root = submission(patient, content)
        place = places(root)[number]
        put(place, value)
        seen = submit(target, root, content)
        if seen == "Success":
            texts = returned(target, patient)
            assert value in texts or not is_value(place), place
            kept = target.kept()
        else:
            assert seen == "Failure"
            assert target.kept() == kept, place


@pytest.mark.parametrize("start", ["'; DROP TABLE patient; --", "%", "_", "../etc", "\\ud83d", "\x7f\u202e"])
def test_in_patient_ids_of_proper_form(target: Target, start: str) -> None:
    patient = f"{start}{next(_numbers)}^^^&1.2.3&ISO"
    for each in (patient, f"x{next(_numbers)}^^^&1.2.3&ISO"):
        assert submit(target, submission(each, b"hello"), b"hello") == "Success"
    assert patient in returned(target, patient)
