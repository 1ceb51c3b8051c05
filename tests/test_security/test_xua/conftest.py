"""An endpoint with a guard, and the certificates that it trusts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from msim_xds.ihe.transactions import Endpoint
from msim_xds.security.xua.setup import guards
from msim_xds.server.spyne_app import Reply, SoapEndpoint
from msim_xds.wire.exchange import Answer, Caller, Request
from msim_xds.wire.mtom import Message
from msim_xds.xua_settings import XuaSettings
from tests.support.authority import NOW, Identity
from tests.support.saml import AUDIENCE, ISSUER, second_sts, sts
from tests.test_server.soap import Response


@dataclass
class Door:
    """The registry's endpoint behind a guard; ``now`` may be moved."""

    directory: Path
    settings: dict[str, Any] = field(default_factory=dict)
    trusted: tuple[Identity, ...] = ()
    now: datetime = NOW
    carried_out: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        files = []
        for number, identity in enumerate(self.trusted or (sts(), second_sts())):
            files.append(self.directory / f"{number}.pem")
            files[-1].write_bytes(identity.pem)
        values = {
            "registry": "required",
            "issuers": {ISSUER: files},
            "audiences": [AUDIENCE],
            **self.settings,
        }
        self.guards = guards(XuaSettings(**values), self.directory, lambda: self.now)
        self.endpoint = SoapEndpoint(Endpoint.REGISTRY, self._run, guard=self.guards.get(Endpoint.REGISTRY))

    def _run(self, request: Request) -> Answer:
        self.carried_out.append(request)
        return Answer([b"<x/>"])

    def knock(self, octets: bytes, certificate: str = "") -> Reply:
        return self.endpoint.call(Message(octets, {}, mtom=False), "192.0.2.7", certificate)

    def refusal(self, octets: bytes, certificate: str = "") -> str | None:
        """Local name of the fault's subcode; asserts that it is a fault and nothing was carried out."""
        before = len(self.carried_out)
        reply = self.knock(octets, certificate)
        assert reply.transaction is None
        assert len(self.carried_out) == before
        assert reply.http_status == 400
        answer = Response(400, {"content-type": "application/soap+xml"}, b"".join(reply.envelope))
        code, subcode, _ = answer.fault()
        assert code.endswith("}Sender")
        return None if subcode is None else subcode.rpartition("}")[2]

    def caller(self, octets: bytes, certificate: str = "") -> Caller | None:
        """Who it was taken for; asserts that it was let in."""
        reply = self.knock(octets, certificate)
        assert reply.http_status == 200, b"".join(reply.envelope)
        return self.carried_out[-1].caller


MakeDoor = Callable[..., Door]


@pytest.fixture
def make_door(tmp_path: Path) -> MakeDoor:
    def make(*trusted: Identity, **settings: Any) -> Door:
        return Door(tmp_path, settings, trusted)

    return make


@pytest.fixture
def door(make_door: MakeDoor) -> Door:
    return make_door()
