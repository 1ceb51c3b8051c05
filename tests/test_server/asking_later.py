"""Requests with wsa:ReplyTo and wsa:FaultTo elsewhere, and a queue in which their answers stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lxml import etree

from msim_xds.database.engine import Database
from msim_xds.delivery.addresses import ReplyHosts
from msim_xds.delivery.queue import Delivery, DeliveryQueue
from msim_xds.delivery_settings import DeliverySettings
from msim_xds.ihe.transactions import Endpoint
from msim_xds.server.front import Front, WsgiApplication
from msim_xds.server.later import Later
from msim_xds.server.pipeline import Pipeline
from msim_xds.server.spyne_app import SoapEndpoint
from msim_xds.settings import Settings
from msim_xds.wire.exchange import Handler
from tests.support.paths import REGISTRY
from tests.test_delivery.conftest import clock
from tests.test_server.soap import (
    NS,
    QUERY,
    QUERY_ACTION,
    WSA,
    Response,
    envelope,
    post,
)

if TYPE_CHECKING:
    from tests.test_server.conftest import Server

ANONYMOUS, NONE = f"{WSA}/anonymous", f"{WSA}/none"
HERE, THERE = "http://127.0.0.1:9/answers", "https://his.example.pl/faults"
REGISTER_ACTION = "urn:ihe:iti:2007:RegisterDocumentSet-b"
REGISTER = '<l:SubmitObjectsRequest xmlns:l="urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0"/>'


class Exchange:
    """The front over a queue that nobody empties."""

    def __init__(self, server: Server, database: Database, **delivery: Any) -> None:
        self.server = server
        self.queue = DeliveryQueue(database, DeliverySettings(**delivery), clock)
        self.handlers: dict[str, Handler] = server.handlers()
        self.inline = False

    def app(self) -> WsgiApplication:
        run = Pipeline(self.handlers, 100).run
        hosts = ReplyHosts(["127.0.0.1", "his.example.pl"])
        self.later = Later(run, self.queue, hosts, inline=self.inline)
        endpoints = {endpoint: SoapEndpoint(endpoint, run, self.later) for endpoint in Endpoint}
        return Front(Settings(), endpoints, self.server.stager, dict)

    def ask(self, headers: str = "", action: str = QUERY_ACTION, body: str = QUERY) -> Response:
        return post(self.app(), REGISTRY, envelope(body, action, headers))

    def only(self) -> Delivery:
        """The one row kept."""
        (row,) = self.queue.rows()
        return row

    def sent(self) -> Response:
        """What is sent of the one row kept."""
        claimed = self.queue.claim(())
        assert claimed is not None
        packaged = self.later.compose(claimed)
        body = b"".join(packaged.chunks)
        assert len(body) == packaged.length
        self.queue.postpone(claimed, 0, None)
        return Response(200, {"content-type": packaged.content_type}, body)


def to(address: str, name: str = "ReplyTo", more: str = "") -> str:
    return f"<a:{name}><a:Address>{address}</a:Address>{more}</a:{name}>"


def accepted(answer: Response) -> None:
    """HTTP 202 without a body."""
    assert (answer.status, answer.body, answer.headers["content-length"]) == (202, b"", "0")
    assert "content-type" not in answer.headers


def payload(answer: Response) -> etree._Element:
    found = answer.xml().find("s:Body/*", NS)
    assert found is not None
    return found
