"""On-demand documents over HTTP: ITI-61, ITI-43 in MTOM, ITI-18, with and without persistence."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import as_file, files
from pathlib import Path

import pytest
from lxml import etree

from msim_xds.ihe.transactions import ITI_18, ITI_43, ITI_61
from msim_xds.metadata import cda
from msim_xds.wire import safexml
from tests.support import metadata
from tests.support.metadata import (
    APPROVED,
    ON_DEMAND,
    REPOSITORY,
    STABLE,
    document_entry,
    new_oid,
    new_uuid,
    on_demand_entry,
    original,
    submission_set,
    submit_objects,
)
from tests.support.paths import REPOSITORY as REPOSITORY_PATH
from tests.support.queries import many, one, request
from tests.support.server import ServerProcess, provide_message
from tests.test_repository.messages import XDS, XOP, retrieve, wanted
from tests.test_repository.on_demand_world import SUMMARY
from tests.test_server.soap import NS, Response, envelope, mtom

SNAPSHOT = "urn:ihe:iti:2010:AssociationType:IsSnapshotOf"
PERSON = ["PID-5|Żółcińska^Łucja", "PID-7|18580314", "PID-8|F"]


@pytest.fixture(scope="module", params=[True, False], ids=["kept", "unkept"])
def kept(request: pytest.FixtureRequest) -> bool:
    """Whether the server has the Persistence of Retrieved Documents option."""
    return bool(request.param)


@pytest.fixture(scope="module")
def server(
    kept: bool, module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    data = tmp_path_factory.mktemp("data")
    chosen = {"MSIM_ON_DEMAND__PERSIST": str(kept)}
    with ServerProcess(data, module_database_url, environment=chosen) as running:
        yield running


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    with as_file(files("msim_xds.schemas")) as folder:
        return etree.XMLSchema(etree.parse(Path(folder) / "XDS.b_DocumentRepository.xsd"))


class Hospital:
    """A patient of their own, and messages about them."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.patient = f"{new_oid().rpartition('.')[2]}-{new_uuid()[-12:]}^^^&1.2.616.1&ISO"

    def provide(self, title: str) -> str:
        """uniqueId of a document just stored."""
        unique_id = new_oid()
        message = submit_objects(
            submission_set(patient_id=self.patient),
            document_entry(
                unique_id=unique_id,
                patient_id=self.patient,
                title=title,
                slots={"sourcePatientInfo": PERSON},
            ),
            original(),
        )
        content_type, body = provide_message(message, {"Document01": b"hello"})
        assert _status(self.server.request("POST", REPOSITORY_PATH, body, content_type)) == "Success"
        return unique_id

    def on_demand(self) -> tuple[str, str]:
        """entryUUID and uniqueId of a summary just registered."""
        uuid, unique_id = new_uuid(), new_oid()
        message = submit_objects(
            submission_set(patient_id=self.patient),
            on_demand_entry(
                uuid, unique_id=unique_id, patient_id=self.patient, codes={"typeCode": SUMMARY}, title="Spis"
            ),
            original(uuid),
        )
        answer = self.server.ask(ITI_61.endpoint, ITI_61.action, message)
        assert answer.header("Action") == "urn:ihe:iti:2010:RegisterOnDemandDocumentResponse"
        assert _status(answer) == "Success", answer.root.decode()
        return uuid, unique_id

    def retrieve(self, *unique_ids: str) -> Response:
        message = retrieve(*(wanted(REPOSITORY, each) for each in unique_ids))
        content_type, body = mtom(envelope(message.decode(), ITI_43.action))
        answer = self.server.request("POST", ITI_43.endpoint, body, content_type)
        assert answer.is_mtom
        return answer

    def ask(self, query: str, *parameters: tuple[str, str]) -> list[etree._Element]:
        answer = self.server.ask(ITI_18.endpoint, ITI_18.action, request(query, parameters))
        return list(answer.xml().iterfind(".//{*}RegistryObjectList/*"))

    def find(self, *types: str) -> list[str]:
        """uniqueIds of the patient's Approved entries of these types."""
        parameters = [
            ("$XDSDocumentEntryPatientId", one(self.patient)),
            ("$XDSDocumentEntryStatus", many(APPROVED)),
        ]
        if types:
            parameters.append(("$XDSDocumentEntryType", many(*types)))
        found = self.ask("FindDocuments", *parameters)
        return sorted(
            each.get("value", "")
            for entry in found
            for each in entry.iterfind("{*}ExternalIdentifier")
            if each.get("identificationScheme", "").endswith("8640a32e42ab")
        )


def _status(answer: Response) -> str:
    (response,) = answer.xml().iter("{*}RegistryResponse")
    return response.get("status", "").rpartition(":")[2]


def _documents(answer: Response) -> list[tuple[dict[str, str], bytes]]:
    """Texts by element name, and octets, of each document."""
    parts = dict(answer.parts())
    found = []
    for each in answer.xml().iter(f"{{{XDS}}}DocumentResponse"):
        texts = {etree.QName(child).localname: child.text or "" for child in each}
        (reference,) = each.iter(f"{{{XOP}}}Include")
        cid = reference.get("href", "").removeprefix("cid:").replace("%40", "@")
        found.append((texts, parts[f"<{cid}>"]))
    return found


def _validated(answer: Response, schema: etree.XMLSchema) -> None:
    """The payload as a schema sees it: the octets where XOP took them out."""
    body = answer.xml().find("s:Body", NS)
    assert body is not None
    payload = etree.fromstring(etree.tostring(body[0]))
    for include in list(payload.iter(f"{{{XOP}}}Include")):
        parent = include.getparent()
        assert parent is not None
        parent.remove(include)
        parent.text = base64.b64encode(b"octets").decode()
    schema.assertValid(payload)


def test_the_summary_follows_the_registry(server: ServerProcess, schema: etree.XMLSchema, kept: bool) -> None:
    hospital = Hospital(server)
    _, unique_id = hospital.on_demand()
    ids = []
    for title in ("Karta <1> & „żółta”", "Wynik 'badania' \"ŻÓŁĆ\""):
        stable = hospital.provide(title)
        answer = hospital.retrieve(unique_id, stable)
        assert _status(answer) == "Success"
        _validated(answer, schema)
        (made, octets), (other, content) = _documents(answer)
        assert content == b"hello"
        assert "NewDocumentUniqueId" not in other
        assert made["DocumentUniqueId"] == unique_id
        assert ("NewRepositoryUniqueId" in made) is kept
        root = safexml.parse(octets)
        assert cda.read(root).unique_id == made["NewDocumentUniqueId"]
        assert cda.read(root).patient_info[0].startswith("PID-5|Żółcińska^Łucja")
        assert title in [cell.text for cell in root.iter("{*}td")]
        assert stable in [cell.text for cell in root.iter("{*}td")]
        ids.append(made["NewDocumentUniqueId"])
        ((again, same),) = _documents(hospital.retrieve(unique_id))
        assert (again["NewDocumentUniqueId"], same) == (ids[-1], octets)
    assert ids[0] != ids[1]


def test_queries_name_it_only_when_asked(server: ServerProcess, kept: bool) -> None:
    hospital = Hospital(server)
    stable, (_, unique_id) = hospital.provide("Karta"), hospital.on_demand()
    assert hospital.find() == [stable]
    assert hospital.find(ON_DEMAND) == [unique_id]
    ((made, _),) = _documents(hospital.retrieve(unique_id))
    snapshot = made["NewDocumentUniqueId"]
    assert hospital.find(STABLE, ON_DEMAND) == sorted([stable, unique_id, *([snapshot] if kept else [])])


def test_snapshots_are_found_and_retrieved(server: ServerProcess, kept: bool) -> None:
    hospital = Hospital(server)
    uuid, unique_id = hospital.on_demand()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: hospital.retrieve(unique_id), range(4)))
    documents = [_documents(answer)[0] for answer in answers]
    snapshot = documents[0][0]["NewDocumentUniqueId"]
    assert {each[0]["NewDocumentUniqueId"] for each in documents} == {snapshot}
    related = hospital.ask(
        "GetRelatedDocuments",
        ("$XDSDocumentEntryEntryUUID", one(uuid)),
        ("$AssociationTypes", many(SNAPSHOT)),
        ("$XDSDocumentEntryType", many(STABLE, ON_DEMAND)),
    )
    kinds = sorted(etree.QName(each).localname for each in related)
    assert kinds == (["Association", "ExtrinsicObject", "ExtrinsicObject"] if kept else [])
    answer = hospital.retrieve(snapshot)
    if kept:
        ((texts, octets),) = _documents(answer)
        assert octets == documents[0][1]
        assert texts["DocumentUniqueId"] == snapshot
    else:
        assert _status(answer) == "Failure"


def test_failures_leave_the_others(server: ServerProcess, schema: etree.XMLSchema) -> None:
    hospital = Hospital(server)
    stable, uuid, unclaimed = hospital.provide("Karta"), new_uuid(), new_oid()
    message = submit_objects(
        submission_set(patient_id=hospital.patient),
        on_demand_entry(uuid, unique_id=unclaimed, patient_id=hospital.patient),
        original(uuid),
    )
    assert _status(server.ask(ITI_61.endpoint, ITI_61.action, message)) == "Success"
    answer = hospital.retrieve(unclaimed, stable)
    _validated(answer, schema)
    assert _status(answer) == "PartialSuccess"
    (error,) = answer.xml().iter("{*}RegistryError")
    assert (error.get("errorCode"), error.get("location")) == ("XDSRepositoryError", unclaimed)
    assert [octets for _, octets in _documents(answer)] == [b"hello"]


def test_the_log_tells_nothing_of_the_patient(server: ServerProcess) -> None:
    hospital = Hospital(server)
    hospital.provide("Karta tajna")
    hospital.retrieve(hospital.on_demand()[1])
    for secret in (hospital.patient.partition("^")[0], "Żółcińska", "Karta tajna", metadata.AUTHOR):
        assert secret not in server.log
