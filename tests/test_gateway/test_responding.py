"""The Responding Gateway: whose homeCommunityId, on what, and what it refuses (ITI TF-2 3.38, 3.39)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from msim_xds.ihe.transactions import Endpoint
from msim_xds.settings import Settings
from tests.support import metadata, queries
from tests.support.metadata import RIM, XDS
from tests.test_gateway.conftest import EARLIER_HOME, HOME, CommunityNode, open_community
from tests.test_repository.messages import retrieve, wanted
from tests.test_server.soap import Response

RS = "urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0"
FOREIGN = "urn:oid:1.2.616.999"
SUCCESS = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Success"
PARTIAL = "urn:ihe:iti:2007:ResponseStatusType:PartialSuccess"
FAILURE = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Failure"
CONTENT = "<a>zażółć</a>".encode()


def errors(answer: Response) -> list[tuple[str, str, str]]:
    """errorCode, codeContext and location of each RegistryError."""
    found = answer.xml().iter(f"{{{RS}}}RegistryError")
    return [(e.get("errorCode", ""), e.get("codeContext", ""), e.get("location", "")) for e in found]


def status(answer: Response) -> str:
    holder = answer.xml().xpath("//*[@status][contains(local-name(), 'Response')]")
    assert isinstance(holder, list)
    element = holder[0]
    assert isinstance(element, etree._Element)
    return element.get("status", "")


def entries(answer: Response) -> list[str | None]:
    """Their ids."""
    return [each.get("id") for each in answer.xml().iter(f"{{{RIM}}}ExtrinsicObject")]


def query(community: CommunityNode, payload: bytes) -> Response:
    return community.ask(Endpoint.RESPONDING_GATEWAY, "CrossGatewayQuery", payload)


def fetch(community: CommunityNode, *requests: str) -> Response:
    return community.ask(Endpoint.RESPONDING_GATEWAY, "CrossGatewayRetrieve", retrieve(*requests))


def by_id(unique_id: str, home: str) -> bytes:
    parameters = [("$XDSDocumentEntryUniqueId", queries.many(unique_id))]
    return queries.request("GetDocuments", parameters, home=home)


@pytest.mark.parametrize("home", ["", HOME, EARLIER_HOME])
@pytest.mark.parametrize(
    ("returns", "element"), [("LeafClass", "ExtrinsicObject"), ("ObjectRef", "ObjectRef")]
)
def test_every_object_has_our_home(community: CommunityNode, returns: str, element: str, home: str) -> None:
    community.publish(CONTENT)
    payload = queries.find_documents(returns=returns)
    if home:
        payload = payload.replace(b"<rim:AdhocQuery ", f'<rim:AdhocQuery home="{home}" '.encode())
    answer = query(community, payload)
    assert status(answer) == SUCCESS
    assert [e.get("home") for e in answer.xml().iter(f"{{{RIM}}}{element}")] == [HOME]
    assert answer.header("Action") == "urn:ihe:iti:2007:CrossGatewayQueryResponse"


def test_query_by_id_with_our_home(community: CommunityNode) -> None:
    answer = query(community, by_id(community.publish(CONTENT), HOME))
    assert [e.get("home") for e in answer.xml().iter(f"{{{RIM}}}ExtrinsicObject")] == [HOME]


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (by_id("1.2.3", ""), "XDSMissingHomeCommunityId"),
        (by_id("1.2.3", FOREIGN), "XDSUnknownCommunity"),
        (by_id("1.2.3", HOME.removeprefix("urn:oid:")), "XDSUnknownCommunity"),
        (queries.request("GetAll", home=FOREIGN), "XDSUnknownCommunity"),
        (queries.request("GetAll"), "XDSStoredQueryMissingParam"),
        (queries.request("urn:uuid:00000000-0000-4000-8000-000000000000"), "XDSUnknownStoredQuery"),
    ],
)
def test_refused_queries_say_who_refuses(community: CommunityNode, payload: bytes, code: str) -> None:
    answer = query(community, payload)
    assert status(answer) == FAILURE
    found = errors(answer)
    assert {each[0] for each in found} == {code}
    assert {each[2] for each in found} == {HOME}


def test_document_with_our_home(community: CommunityNode) -> None:
    unique_id = community.publish(CONTENT)
    answer = fetch(community, wanted(metadata.REPOSITORY, unique_id, HOME))
    assert status(answer) == SUCCESS
    assert answer.parts()[1][1] == CONTENT
    assert answer.xml().findtext(f".//{{{XDS}}}HomeCommunityId") == HOME
    assert answer.header("Action") == "urn:ihe:iti:2007:CrossGatewayRetrieveResponse"


REFUSED = [
    (wanted(metadata.REPOSITORY, "1.2.3", None), "XDSMissingHomeCommunityId"),
    (wanted(metadata.REPOSITORY, "1.2.3", FOREIGN), "XDSUnknownCommunity"),
    (wanted("1.9.9", "1.2.3", HOME), "XDSUnknownRepositoryId"),
    (wanted(metadata.REPOSITORY, "1.2.3", HOME), "XDSDocumentUniqueIdError"),
]


@pytest.mark.parametrize(("request_", "code"), REFUSED, ids=[code for _, code in REFUSED])
def test_one_refused_document_hides_no_other(community: CommunityNode, request_: str, code: str) -> None:
    alone = fetch(community, request_)
    assert status(alone) == FAILURE
    good = wanted(metadata.REPOSITORY, community.publish(CONTENT), HOME)
    answer = fetch(community, request_, good)
    assert status(answer) == PARTIAL
    assert [part for _, part in answer.parts()[1:]] == [CONTENT]
    for each in (alone, answer):
        ((seen, context, location),) = errors(each)
        assert (seen, location) == (code, HOME)
        assert context.startswith("DocumentUniqueId 1.2.3: ")


def test_malformed_retrieval_says_who_refuses(community: CommunityNode) -> None:
    ((code, _, location),) = errors(fetch(community))
    assert (code, location) == ("XDSRepositoryError", HOME)


@pytest.fixture
def with_both(tmp_path: Path, database_url: str) -> Iterator[CommunityNode]:
    opened = open_community(tmp_path, database_url, gateway={"retrieve_location": "document-and-home"})
    yield opened
    opened.close()


def test_location_as_the_framework_words_it(with_both: CommunityNode) -> None:
    ((_, _, location),) = errors(fetch(with_both, wanted(metadata.REPOSITORY, "1.2.3", HOME)))
    assert location == f"1.2.3 {HOME}"


def test_registry_behind_it_is_asked_as_itself(community: CommunityNode) -> None:
    """The same query at both endpoints finds the same, but only the gateway demands a home."""
    unique_id = community.publish(CONTENT)
    direct = community.ask(Endpoint.REGISTRY, "RegistryStoredQuery", by_id(unique_id, ""))
    through = query(community, by_id(unique_id, HOME))
    assert status(direct) == status(through) == SUCCESS
    (found,) = entries(direct)
    assert entries(through) == [found]
    ((code, _, _),) = errors(query(community, by_id(unique_id, "")))
    assert code == "XDSMissingHomeCommunityId"


@pytest.mark.parametrize(
    "sections", [{"registry": {"home_community_id": ""}}, {"gateway": {"responding": False}}]
)
def test_gateway_is_offered_only_where_it_is_wanted(
    tmp_path: Path, database_url: str, sections: dict[str, dict[str, object]]
) -> None:
    from msim_xds.app import create_app
    from tests.test_server.soap import get

    usual = {"registry": {"home_community_id": HOME}, "audit": {"enabled": False}}
    app = create_app(Settings(data=tmp_path, database={"url": database_url}, **{**usual, **sections}))  # type: ignore[arg-type]
    answer = get(app, str(Endpoint.RESPONDING_GATEWAY))
    assert answer.status == 404
    assert str(Endpoint.REGISTRY).encode() in answer.body
    assert str(Endpoint.RESPONDING_GATEWAY).encode() not in get(app, "/").body
