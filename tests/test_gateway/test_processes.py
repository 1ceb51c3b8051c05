"""The gateway as it is served: real processes, real HTTP, a partner that breaks off."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import ServerProcess
from tests.test_gateway.misbehaving import (
    CONTENT,
    RELATED,
    THEIRS,
    UID,
    cut,
    cut_chunked,
    delivered,
    send,
    whole,
)
from tests.test_gateway.world import Faulty, partner_toml
from tests.test_repository.messages import retrieve, wanted

GATEWAY = "/xca/initiating-gateway"
ACTION = "urn:ihe:iti:2007:RetrieveDocumentSet"


@pytest.fixture
def partner() -> Iterator[Faulty]:
    with Faulty(send()) as running:
        yield running


@pytest.fixture(params=["granian", "cheroot"])
def server(request: pytest.FixtureRequest, tmp_path: Path, partner: Faulty) -> Iterator[ServerProcess]:
    file = tmp_path / "partners.toml"
    file.write_text(partner_toml("p", THEIRS, partner.url))
    environment = {
        "MSIM_REGISTRY__HOME_COMMUNITY_ID": "urn:oid:1.2.616.1",
        "MSIM_GATEWAY__PARTNERS": str(file),
        "MSIM_SERVER__ENGINE": request.param,
    }
    with ServerProcess(tmp_path, f"sqlite:///{tmp_path / 'msim.db'}", environment=environment) as running:
        yield running


def test_documents_pass_through_whole_or_visibly_broken(server: ServerProcess, partner: Faulty) -> None:
    asking = retrieve(wanted("1.9", UID, THEIRS))
    partner.behave(send(whole(delivered(CONTENT), RELATED)))
    answer = server.ask(GATEWAY, ACTION, asking)
    assert answer.parts()[1][1] == CONTENT
    assert answer.headers["content-length"] == str(len(answer.body))
    partner.behave(cut)
    with pytest.raises(http.client.IncompleteRead):
        server.ask(GATEWAY, ACTION, asking)
    partner.behave(cut_chunked)
    try:
        broken = server.ask(GATEWAY, ACTION, asking).body
    except http.client.IncompleteRead as error:
        broken = error.partial
    assert not broken.rstrip().endswith(b"--")
    assert "answer broke off" in server.log
