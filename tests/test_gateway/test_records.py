"""What an Initiating Gateway records of those whom it asks (ITI TF-2 3.38.4.1.4, 3.39.6, 3.55.5.1)."""

from __future__ import annotations

import socket
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from msim_xds.gateway import neighbours
from msim_xds.ihe.transactions import Endpoint
from tests.support import metadata, queries
from tests.support.atna import Read, details, trail
from tests.support.metadata import PATIENT
from tests.test_gateway.conftest import CommunityNode, open_community
from tests.test_gateway.world import Faulty, neighbour, partner_toml
from tests.test_repository.messages import retrieve, wanted

NORTH, SOUTH = "urn:oid:1.2.616.2", "urn:oid:1.2.616.3"


def hangs_up(_: socket.socket) -> None:
    """No answer at all."""


@pytest.fixture
def south() -> Iterator[Faulty]:
    with Faulty(hangs_up) as partner:
        yield partner


@pytest.fixture
def north(tmp_path: Path) -> Iterator[tuple[CommunityNode, str]]:
    with neighbour(tmp_path / "north", NORTH) as opened:
        yield opened


class Here:
    """Our community, with these partners."""

    def __init__(self, folder: Path, database_url: str, partners: str) -> None:
        folder.mkdir()
        file = folder / "partners.toml"
        file.write_text(partners)
        self.community = open_community(
            folder / "data", database_url, gateway={"partners": file}, audit={"enabled": True}
        )

    def query(self) -> None:
        self.community.ask(
            Endpoint.INITIATING_GATEWAY, "RegistryStoredQuery", queries.find_documents(returns="ObjectRef")
        )

    def fetch(self, *requests: str) -> None:
        self.community.ask(Endpoint.INITIATING_GATEWAY, "RetrieveDocumentSet", retrieve(*requests))

    def records(self, transaction: str = "") -> list[Read]:
        return [
            each
            for each in trail(self.community.node.database)
            if transaction in ("", each.short[1]) and each.short[0] != "110100"
        ]


@pytest.fixture
def here(
    tmp_path: Path, database_url: str, north: tuple[CommunityNode, str], south: Faulty
) -> Iterator[Here]:
    homed = "home_in_every_query = true"
    partners = partner_toml("north", NORTH, north[1], homed) + partner_toml("south", SOUTH, south.url, homed)
    opened = Here(tmp_path / "here", database_url, partners)
    yield opened
    opened.community.close()


def test_each_query_that_is_sent(here: Here, north: tuple[CommunityNode, str], south: Faulty) -> None:
    here.query()
    assert sorted(each.short for each in here.records()) == [
        ("110112", "ITI-18", "E", "0"),
        ("110112", "ITI-18", "E", "8"),  # one of the communities is missing
        ("110112", "ITI-38", "E", "0"),
        ("110112", "ITI-38", "E", "8"),
    ]
    asked = {each.participants[-1]["UserID"]: each for each in here.records("ITI-38")}
    assert asked.keys() == {north[1], south.url}
    for url, home, outcome in ((north[1], NORTH, "0"), (south.url, SOUTH, "8")):
        record = asked[url]
        assert (record.short[3], record.patients) == (outcome, [PATIENT])
        (query,) = record.objects("ITI-38")
        assert details(query) == {"QueryEncoding": "UTF-8", "urn:ihe:iti:xca:2010:homeCommunityId": home}
    assert "XDSUnavailableCommunity" not in (asked[north[1]].description or "")
    assert south.url in (asked[south.url].description or "")


def test_each_retrieval_that_is_sent(here: Here, north: tuple[CommunityNode, str], south: Faulty) -> None:
    there = north[0].publish(b"<north/>")
    own = here.community.publish(b"<own/>")
    repository = metadata.REPOSITORY
    here.fetch(
        wanted(repository, own),
        wanted(repository, there, NORTH),
        wanted(repository, "1.2.3", NORTH),
        wanted(repository, "4.5.6", SOUTH),
    )
    records = here.records("ITI-39")
    assert {(each.short, *each.ids("9")) for each in records} == {
        (("110107", "ITI-39", "C", "0"), there),
        (("110107", "ITI-39", "C", "8"), "1.2.3"),
        (("110107", "ITI-39", "C", "8"), "4.5.6"),
    }
    (delivered,) = [each for each in records if each.ids("9") == [there]]
    (document,) = delivered.objects("9")
    assert details(document) == {"Repository Unique Id": repository, "ihe:homeCommunityID": NORTH}
    assert delivered.participants[0]["UserID"] == north[1]


def test_what_comes_late_is_recorded_all_the_same(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "_GRACE_S", -0.4)  # the gateway gives up before the community does

    def stays_silent(_: socket.socket) -> None:
        late.over.wait(10)

    with Faulty(stays_silent) as late:
        partners = partner_toml("south", SOUTH, late.url, "deadline_s = 0.5")
        here = Here(tmp_path / "here", database_url, partners)
        here.query()
        assert [each.short[1] for each in here.records()] == ["ITI-18", "ITI-18"]
        here.community.neighbours.close()  # waits for whoever is still being asked
        assert [each.short[3] for each in here.records("ITI-38")] == ["8"]
        here.community.close()


def test_a_discovery(tmp_path: Path, database_url: str, north: tuple[CommunityNode, str]) -> None:
    shared = partner_toml("north", NORTH, north[1])
    partners = "\n".join(
        f'patients.discovery_url = "{north[1]}"' if line.startswith("patients.shared") else line
        for line in shared.splitlines()
    )
    here = Here(tmp_path / "here", database_url, partners)
    try:
        north[0].publish(b"<north/>")
        here.query()
        (discovery,) = here.records("ITI-55")
        assert (discovery.short, discovery.patients) == (("110112", "ITI-55", "E", "0"), [])
        (query,) = discovery.objects("ITI-55")
        sent = b64decode(query.findtext("ParticipantObjectQuery") or "")
        assert etree.fromstring(sent).tag.endswith("}queryByParameter")
        assert discovery.participants[-1]["UserID"] == north[1]
    finally:
        here.community.close()


def test_a_discovery_that_fails(tmp_path: Path, database_url: str, south: Faulty) -> None:
    partners = partner_toml("south", SOUTH, south.url).replace(
        "patients.shared", f'patients.discovery_url = "{south.url}"\npatients.shared'
    )
    here = Here(tmp_path / "here", database_url, partners.replace("1.1.616", "1.1.617"))
    try:
        here.query()
        (discovery,) = here.records("ITI-55")
        assert discovery.short == ("110112", "ITI-55", "E", "8")
        assert here.records("ITI-38") == []
    finally:
        here.community.close()
