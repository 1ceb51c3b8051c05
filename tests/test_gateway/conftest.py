"""Communities of the real parts, each a whole application on a database of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from msim_xds.app import Node, now, open_node
from msim_xds.gateway import setup
from msim_xds.gateway.neighbours import Neighbours
from msim_xds.ihe.transactions import Endpoint
from msim_xds.security.xua.setup import guards
from msim_xds.server.front import WsgiApplication, build_front
from msim_xds.settings import DatabaseSettings, RegistrySettings, Settings
from tests.support import metadata
from tests.support.server import provide_message
from tests.test_server.soap import Response, envelope, post

HOME = "urn:oid:1.2.616.1"
EARLIER_HOME = "urn:oid:1.2.616.11"


@dataclass
class CommunityNode:
    """One community: its application, and what a test does with it."""

    node: Node
    app: WsgiApplication
    neighbours: Neighbours

    def close(self) -> None:
        """End it."""
        self.neighbours.close()
        self.node.close()

    def ask(self, endpoint: Endpoint, action: str, payload: bytes, headers: str = "") -> Response:
        """One SOAP message."""
        body = envelope(payload.decode(), f"urn:ihe:iti:2007:{action}", headers)
        return post(self.app, str(endpoint), body)

    def publish(self, content: bytes, **options: Any) -> str:
        """One document; returns its uniqueId."""
        unique_id = options.setdefault("unique_id", metadata.new_oid())
        request = metadata.single_document(content=content, **options)
        content_type, body = provide_message(request, {"Document01": content})
        answer = post(self.app, str(Endpoint.REPOSITORY), body, content_type)
        assert b"ResponseStatusType:Success" in answer.body
        return str(unique_id)


def open_community(data: Path, database_url: str = "", home: str = HOME, **sections: Any) -> CommunityNode:
    """A community as ``serve`` would run it."""
    settings = Settings(
        data=data,
        database=DatabaseSettings(url=database_url),
        registry=RegistrySettings(home_community_id=home),
        **sections,
    )
    node = open_node(settings)
    neighbours = setup.open_neighbours(settings, node.our_patients())
    locations = setup.error_locations(settings)
    app = build_front(
        settings,
        node.handlers(neighbours),
        node.store,
        node.ready,
        guards=guards(settings.xua, settings.data, now),
        trail=node.trail,
        homes=locations,
    )
    return CommunityNode(node, app, neighbours)


@pytest.fixture
def community(tmp_path: Path, database_url: str) -> Iterator[CommunityNode]:
    """This community, on each kind of database."""
    opened = open_community(tmp_path, database_url, gateway={"further_homes": [EARLIER_HOME]})
    yield opened
    opened.close()
