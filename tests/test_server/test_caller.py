"""Assertions at the front: HTTP status, logs, answers elsewhere, the certificate that a proxy hands on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from msim_xds.database.engine import Database
from msim_xds.delivery.addresses import ReplyHosts
from msim_xds.delivery.queue import DeliveryQueue
from msim_xds.delivery_settings import DeliverySettings
from msim_xds.ihe.transactions import ITI_18, ITI_42, Endpoint
from msim_xds.security.xua.refusal import SecurityFault
from msim_xds.security.xua.setup import guards
from msim_xds.server.front import Front, WsgiApplication, build_front
from msim_xds.server.later import Later
from msim_xds.server.pipeline import Pipeline
from msim_xds.server.spyne_app import SoapEndpoint
from msim_xds.settings import DatabaseSettings, Settings
from msim_xds.wire.exchange import Caller
from msim_xds.xua_settings import XuaSettings
from tests.support.authority import NOW
from tests.support.paths import REGISTRY, REPOSITORY
from tests.support.saml import (
    AUDIENCE,
    DS,
    HOLDER,
    ISSUER,
    MINUTE,
    ask,
    at,
    client,
    conditions,
    confirmation,
    fixed,
    security,
    sign,
    signed,
    stranger,
    sts,
)
from tests.test_delivery.conftest import clock
from tests.test_server.asking_later import REGISTER, REGISTER_ACTION, accepted, to
from tests.test_server.conftest import Server
from tests.test_server.soap import QUERY, QUERY_ACTION, Response, envelope, mtom, post

WSSE = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd}"
PAST = f'NotBefore="{at(-20)}" NotOnOrAfter="{at(-10)}"'
THERE = "http://127.0.0.1:9/answers"


def xua(tmp_path: Path, **changes: Any) -> XuaSettings:
    (tmp_path / "sts.pem").write_bytes(sts().pem)
    usual: dict[str, Any] = {
        "registry": "required",
        "repository": "required",
        "issuers": {ISSUER: [tmp_path / "sts.pem"]},
        "audiences": [AUDIENCE],
    }
    return XuaSettings(**{**usual, **changes})


def guarded(
    server: Server, tmp_path: Path, sections: dict[str, Any] | None = None, **changes: Any
) -> WsgiApplication:
    """The front with guards whose clock stands still."""
    settings = Settings(xua=xua(tmp_path, **changes), **(sections or {}))
    checks = guards(settings.xua, tmp_path, fixed())
    return build_front(settings, server.handlers(), server.stager, dict, guards=checks)


def test_missing_assertion_is_a_fault_of_the_sender(server: Server, tmp_path: Path) -> None:
    app = guarded(server, tmp_path)
    answer = post(app, REGISTRY, envelope())
    assert answer.status == 400
    code, subcode, reason = answer.fault()
    assert code.endswith("}Sender")
    assert subcode == f"{WSSE}SecurityTokenUnavailable"
    assert reason == "Referenced security token could not be retrieved"
    assert answer.header("RelatesTo") == "urn:uuid:m"
    assert answer.header("Action") == "http://www.w3.org/2005/08/addressing/soap/fault"
    assert b"wsse:SecurityTokenUnavailable" in answer.body
    assert server.requests == []


def test_caller_reaches_the_handler(server: Server, tmp_path: Path) -> None:
    app = guarded(server, tmp_path)
    assert post(app, REGISTRY, ask(sign())).status == 200
    (request,) = server.requests
    assert request.caller is not None
    assert request.caller.user == f"lz<lucja.zolcinska@{ISSUER}>"


def test_off_leaves_no_caller(server: Server) -> None:
    app = server.build()
    assert post(app, REGISTRY, ask(sign())).fault()[0].endswith("}MustUnderstand")
    assert post(app, REGISTRY, envelope()).status == 200
    assert server.requests[0].caller is None


def test_refusal_is_logged_without_the_user(server: Server, tmp_path: Path) -> None:
    app = guarded(server, tmp_path)
    with capture_logs() as logs:
        post(app, REGISTRY, ask(signed(conditions=conditions(PAST))))
    (line,) = [line for line in logs if line["event"] == "assertion refused"]
    assert line == {
        "event": "assertion refused",
        "log_level": "warning",
        "check": "TIME",
        "fault": "MessageExpired",
        "reason": "outside NotBefore and NotOnOrAfter",
    }
    assert "zolcinska" not in json.dumps(logs)


def test_documents_of_a_refused_submission_are_forgotten(server: Server, tmp_path: Path) -> None:
    app = guarded(server, tmp_path)
    body = '<x:ProvideAndRegisterDocumentSetRequest xmlns:x="urn:ihe:iti:xds-b:2007"/>'
    root = envelope(
        body,
        "urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b",
        security(signed(conditions=conditions(PAST))),
    )
    content_type, octets = mtom(root, ("d@x", b"content"))
    answer = post(app, REPOSITORY, octets, content_type)
    assert answer.fault()[1] == f"{WSSE}MessageExpired"
    assert server.requests == []
    assert server.stager.seen == [b"content"]
    assert not server.stager.waiting


def test_security_comes_before_action_and_payload(server: Server, tmp_path: Path) -> None:
    app = guarded(server, tmp_path)
    for octets in (envelope(action="urn:unknown"), envelope("<x/>")):
        assert post(app, REGISTRY, octets).fault()[1] == f"{WSSE}SecurityTokenUnavailable"


def test_certificate_of_the_proxy_proves_the_holder(server: Server, tmp_path: Path) -> None:
    body = "".join(client().pem.decode().splitlines()[1:-1])
    data = f"<ds:X509Data><ds:X509Certificate>{body}</ds:X509Certificate></ds:X509Data>"
    info = f'<ds:KeyInfo xmlns:ds="{DS}">{data}</ds:KeyInfo>'
    octets = ask(signed(confirmations=confirmation(HOLDER, times="", inner=info)))
    held, other = ({"HTTP_X_SSL_CLIENT_CERT": quote(each().pem.decode())} for each in (client, stranger))
    behind_proxy = {
        "server": {"uds": tmp_path / "http.sock"},
        "tls": {"client_certificate_header": "X-SSL-Client-Cert"},
    }
    app = guarded(server, tmp_path, behind_proxy)
    assert post(app, REGISTRY, octets, environ=held).status == 200
    assert post(app, REGISTRY, octets, environ=other).fault()[1] == f"{WSSE}FailedAuthentication"
    assert post(app, REGISTRY, octets).fault()[1] == f"{WSSE}FailedAuthentication"
    deaf = guarded(server, tmp_path)  # nobody said that a proxy may be believed
    assert post(deaf, REGISTRY, octets, environ=held).fault()[1] == f"{WSSE}FailedAuthentication"


# --- answers elsewhere ---------------------------------------------------------------------------


class Exchange:
    """The front over a queue that nobody empties, with guards whose clock can be moved."""

    def __init__(self, server: Server, database: Database, tmp_path: Path, demand: str = "required") -> None:
        self.server = server
        self.now = NOW
        self.queue = DeliveryQueue(database, DeliverySettings(), clock)
        checks = guards(xua(tmp_path, registry=demand), tmp_path, lambda: self.now)
        run = Pipeline(server.handlers(), 100).run
        self.later = Later(run, self.queue, ReplyHosts(["127.0.0.1"]), inline=False, guards=checks)
        self.front = Front(
            Settings(),
            {each: SoapEndpoint(each, run, self.later, checks.get(each)) for each in Endpoint},
            server.stager,
            dict,
        )

    def ask(self, token: str, action: str, body: str) -> Response:
        return post(self.front, REGISTRY, envelope(body, action, security(token) + to(THERE)))

    def compose(self) -> Caller | None:
        """Make the answer of the one row kept; who had asked."""
        claimed = self.queue.claim(())
        assert claimed is not None
        try:
            self.later.compose(claimed)
        finally:
            self.queue.drop([claimed.id])
        return self.server.requests[-1].caller


@pytest.fixture
def exchange(server: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Exchange]:
    database = Database(f"sqlite:///{tmp_path / 'queue.db'}", DatabaseSettings())
    database.migrate()
    yield Exchange(server, database, tmp_path, getattr(request, "param", "required"))
    database.close()


@pytest.mark.parametrize(("action", "body"), [(QUERY_ACTION, QUERY), (REGISTER_ACTION, REGISTER)])
def test_refusal_goes_back_at_once_and_nothing_is_kept(exchange: Exchange, action: str, body: str) -> None:
    answer = exchange.ask(sign().replace("lucja", "admin"), action, body)
    assert answer.status == 400
    assert answer.fault()[1] == f"{WSSE}FailedCheck"
    assert exchange.queue.rows() == []
    assert exchange.server.requests == []


def test_query_that_waits_keeps_its_caller_when_the_assertion_has_expired(exchange: Exchange) -> None:
    accepted(exchange.ask(sign(), ITI_18.action, QUERY))
    assert exchange.server.requests == []
    exchange.now = NOW + 60 * MINUTE
    caller = exchange.compose()
    assert caller is not None
    assert caller.user.startswith("lz<lucja.zolcinska@")


@pytest.mark.parametrize("exchange", ["optional"], indirect=True)
def test_query_that_waits_may_have_no_caller(exchange: Exchange) -> None:
    accepted(post(exchange.front, REGISTRY, envelope(headers=to(THERE))))
    assert exchange.compose() is None
    assert len(exchange.server.requests) == 1


def test_submission_is_carried_out_for_its_caller(exchange: Exchange) -> None:
    accepted(exchange.ask(sign(), ITI_42.action, REGISTER))
    (request,) = exchange.server.requests
    assert request.caller is not None


def test_query_of_an_issuer_who_is_not_trusted_any_more_is_not_carried_out(
    exchange: Exchange, server: Server, tmp_path: Path
) -> None:
    accepted(exchange.ask(sign(), ITI_18.action, QUERY))
    (tmp_path / "other.pem").write_bytes(stranger().pem)
    checks = guards(xua(tmp_path, issuers={ISSUER: [tmp_path / "other.pem"]}), tmp_path, lambda: NOW)
    run = Pipeline(server.handlers(), 100).run
    exchange.later = Later(run, exchange.queue, ReplyHosts(["127.0.0.1"]), inline=False, guards=checks)
    with pytest.raises(SecurityFault):
        exchange.compose()
    assert server.requests == []
