"""The Initiating Gateway over three real communities (ITI TF-2 3.18, 3.38, 3.39, 3.43)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from lxml import etree
from structlog.testing import capture_logs

from msim_xds.gateway.initiating import OWN
from msim_xds.ihe.transactions import ITI_18_GATEWAY, Endpoint
from tests.support import metadata, queries
from tests.support.metadata import RIM, XDS
from tests.test_gateway.conftest import HOME, CommunityNode
from tests.test_gateway.test_responding import FAILURE, FOREIGN, PARTIAL, SUCCESS, by_id, errors, status
from tests.test_gateway.world import PESEL, gateway, neighbour, partner_toml
from tests.test_repository.messages import retrieve, wanted
from tests.test_server.soap import Response

NORTH, SOUTH = "urn:oid:1.2.616.2", "urn:oid:1.2.616.3"
LARGE = bytes(range(256)) * 8192


@dataclass
class Region:
    """Three communities, one document in each by its home."""

    here: CommunityNode
    north: CommunityNode
    south: CommunityNode
    documents: dict[str, tuple[str, bytes]]

    def query(self, payload: bytes) -> Response:
        return self.here.ask(Endpoint.INITIATING_GATEWAY, "RegistryStoredQuery", payload)

    def fetch(self, *requests: str) -> Response:
        return self.here.ask(Endpoint.INITIATING_GATEWAY, "RetrieveDocumentSet", retrieve(*requests))


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    folder = tmp_path_factory.mktemp("region")
    with (
        neighbour(folder / "north", NORTH) as (north, north_url),
        neighbour(folder / "south", SOUTH) as (south, south_url),
        gateway(
            folder / "here", partner_toml("north", NORTH, north_url) + partner_toml("south", SOUTH, south_url)
        ) as here,
    ):
        contents = {HOME: b"<a>here</a>", NORTH: b"<a>north</a>", SOUTH: LARGE}
        nodes = {HOME: here, NORTH: north, SOUTH: south}
        documents = {home: (nodes[home].publish(content), content) for home, content in contents.items()}
        yield Region(here, north, south, documents)


def homes(answer: Response, element: str = "ExtrinsicObject") -> list[str]:
    return sorted(each.get("home", "") for each in answer.xml().iter(f"{{{RIM}}}{element}"))


@pytest.mark.parametrize(
    ("returns", "element"), [("LeafClass", "ExtrinsicObject"), ("ObjectRef", "ObjectRef")]
)
def test_a_patient_is_asked_for_everywhere(region: Region, returns: str, element: str) -> None:
    answer = region.query(queries.find_documents(returns=returns))
    assert status(answer) == SUCCESS
    assert errors(answer) == []
    assert homes(answer, element) == sorted([HOME, NORTH, SOUTH])


def test_the_log_tells_how_long_each_community_took(region: Region) -> None:
    with capture_logs() as logs:
        region.query(queries.find_documents())
    asked = [each for each in logs if each["event"] == "community asked"]
    assert sorted(each["community"] for each in asked) == ["north", "south", OWN]
    assert {each["transaction"] for each in asked} == {ITI_18_GATEWAY.name}
    assert all(each["ms"] > 0 for each in asked)


@pytest.mark.parametrize("home", [HOME, NORTH, SOUTH])
def test_a_home_restricts_the_question(region: Region, home: str) -> None:
    payload = queries.find_documents().replace(
        b"<rim:AdhocQuery ", f'<rim:AdhocQuery home="{home}" '.encode()
    )
    assert homes(region.query(payload)) == [home]


@pytest.mark.parametrize("home", [HOME, NORTH, SOUTH])
def test_ids_are_asked_for_where_they_belong(region: Region, home: str) -> None:
    answer = region.query(by_id(region.documents[home][0], home))
    assert status(answer) == SUCCESS
    assert homes(answer) == [home]


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (by_id("1.2.3", ""), "XDSMissingHomeCommunityId"),
        (by_id("1.2.3", FOREIGN), "XDSUnknownCommunity"),
        (queries.request("GetAll"), "XDSStoredQueryMissingParam"),
        (queries.request("urn:uuid:00000000-0000-4000-8000-000000000000"), "XDSUnknownStoredQuery"),
    ],
)
def test_faulty_queries_are_refused_once(region: Region, payload: bytes, code: str) -> None:
    answer = region.query(payload)
    assert status(answer) == FAILURE
    assert {each[0] for each in errors(answer)} == {code}


def test_an_unknown_patient_is_no_error(region: Region) -> None:
    answer = region.query(queries.find_documents(patient=metadata.OTHER_PATIENT))
    assert (status(answer), homes(answer), errors(answer)) == (SUCCESS, [], [])


def test_a_patient_without_an_id_there_is_not_asked_for(region: Region) -> None:
    patient = "1^^^&1.2.3.4&ISO"
    region.here.publish(b"<own/>", patient_id=patient)
    region.north.publish(b"<other/>", patient_id=patient)
    assert homes(region.query(queries.find_documents(patient=patient))) == [HOME]


def test_what_a_community_adds_is_seen_at_once(region: Region) -> None:
    patient = f"80010100000^^^&{PESEL}&ISO"
    asked = queries.find_documents(patient=patient)
    for number in range(3):
        region.north.publish(b"<a>%d</a>" % number, patient_id=patient)
        for _ in range(2):
            assert homes(region.query(asked)) == [NORTH] * (number + 1)


def test_documents_come_from_where_they_are(region: Region) -> None:
    requests = [wanted(metadata.REPOSITORY, uid, home) for home, (uid, _) in region.documents.items()]
    answer = region.fetch(*requests)
    assert status(answer) == SUCCESS
    assert answer.headers["content-length"] == str(len(answer.body))
    found = answer.xml().findall(f".//{{{XDS}}}DocumentResponse")
    order = [each.findtext(f"{{{XDS}}}HomeCommunityId") or "" for each in found]
    assert sorted(order) == sorted(region.documents)
    assert [content for _, content in answer.parts()[1:]] == [region.documents[home][1] for home in order]


def test_own_document_needs_no_home(region: Region) -> None:
    uid, content = region.documents[HOME]
    answer = region.fetch(wanted(metadata.REPOSITORY, uid))
    assert status(answer) == SUCCESS
    assert answer.parts()[1][1] == content
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.xml().find(f".//{{{XDS}}}HomeCommunityId") is None


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (wanted("1.9.9", "1.2.3"), "XDSMissingHomeCommunityId"),
        (wanted("1.9.9", "1.2.3", FOREIGN), "XDSUnknownCommunity"),
        (wanted("1.9.9", "1.2.3", NORTH), "XDSUnknownRepositoryId"),
        (wanted(metadata.REPOSITORY, "1.2.3", SOUTH), "XDSDocumentUniqueIdError"),
        (wanted(metadata.REPOSITORY, "1.2.3", HOME), "XDSDocumentUniqueIdError"),
    ],
)
def test_one_document_that_fails_hides_no_other(region: Region, request_: str, code: str) -> None:
    alone = region.fetch(request_)
    assert status(alone) == FAILURE
    good = [wanted(metadata.REPOSITORY, region.documents[home][0], home) for home in (HOME, NORTH)]
    answer = region.fetch(good[0], request_, good[1])
    assert status(answer) == PARTIAL
    assert len(answer.parts()) == 3
    assert [each[0] for each in errors(alone)] == [each[0] for each in errors(answer)] == [code]


def test_answers_are_valid(region: Region) -> None:
    from tests.test_server.test_wsdl import schema

    answer = region.query(queries.find_documents())
    body = answer.xml().find("{*}Body")
    assert body is not None
    schema("query.xsd").assertValid(etree.fromstring(etree.tostring(body[0])))
    found = region.fetch(
        wanted(metadata.REPOSITORY, region.documents[NORTH][0], NORTH), wanted("1.9", "1.2", FOREIGN)
    )
    body = found.xml().find("{*}Body")
    assert body is not None
    for document in body.iter(f"{{{XDS}}}Document"):
        document.clear()
    schema("XDS.b_DocumentRepository.xsd").assertValid(etree.fromstring(etree.tostring(body[0])))
