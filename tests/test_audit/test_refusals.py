"""Refused handshakes as records: the first at once, a flood as few."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from msim_xds.audit.backlog import Backlog
from msim_xds.audit.message import AuditSource
from msim_xds.audit.outbox import Outbox
from msim_xds.audit.refusals import Refusals
from msim_xds.audit.trail import Place, Trail
from msim_xds.audit_settings import AuditSettings
from msim_xds.server.cheroot_server import HttpServer
from msim_xds.settings import ServerSettings
from tests.support.atna import trail as recorded
from tests.support.tls import Site, get

Told = list[tuple[str, str, str]]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def trail(outbox: Outbox) -> Trail:
    place = Place(AuditSource("rejestr"), "https://reg.example.org", 4711)
    backlog = Backlog(outbox.database, AuditSettings())
    return Trail(outbox.database, outbox, place, lambda: datetime.now(UTC), backlog)


@pytest.fixture
def told() -> Told:
    return []


def taking(told: Told, pause_s: float) -> Refusals:
    refusals = Refusals(lambda *record: told.append(record), pause_s)
    refusals.start()
    return refusals


def test_the_first_is_recorded_at_once_and_the_others_together(told: Told) -> None:
    refusals = taking(told, pause_s=1.0)
    refusals.add("10.0.0.1", "revoked")
    wait_for(lambda: len(told) == 1)
    for _ in range(500):
        refusals.add("10.0.0.1", "expired")
    refusals.add("10.0.0.2", "unknown")
    wait_for(lambda: len(told) == 3)
    refusals.stop()
    assert told == [
        ("10.0.0.1", "revoked", ""),
        ("10.0.0.2", "unknown", ""),
        ("10.0.0.1", "expired (500 handshakes)", ""),
    ]


def test_what_is_left_is_recorded_at_the_end(told: Told) -> None:
    refusals = taking(told, pause_s=3600)
    refusals.add("10.0.0.1", "revoked")
    wait_for(lambda: len(told) == 1)
    refusals.add("10.0.0.1", "revoked")
    refusals.stop()
    assert told == [("10.0.0.1", "revoked", ""), ("10.0.0.1", "revoked", "")]


def test_addresses_without_number_are_one_record(told: Told) -> None:
    refusals = Refusals(lambda *record: told.append(record), 3600)
    for number in range(1000):
        refusals.add(f"10.0.{number // 250}.{number % 250}", "unknown")
    refusals.start()
    refusals.stop()
    assert len(told) == 257
    assert told[-1] == ("", "unknown (744 handshakes)", "other addresses")


def test_an_address_that_is_quiet_is_forgotten(told: Told) -> None:
    refusals = taking(told, pause_s=0.05)
    refusals.add("10.0.0.1", "revoked")
    wait_for(lambda: bool(told) and not refusals._seen)
    refusals.stop()
    assert len(told) == 1


def test_a_refused_certificate_is_in_the_trail(trail: Trail, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.revoke("stolen")
    settings = site.settings(crl=[tmp_path / "crl.pem"])
    server = HttpServer(ServerSettings(port=0), lambda *_: [], settings, trail)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        port = server.bind_addr[1]
        with pytest.raises(ssl.SSLError):
            get(port, site.client("stolen"))
        wait_for(lambda: bool(recorded(trail.database)))
        with pytest.raises(ssl.SSLError):
            get(port, site.client())  # shows no certificate
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as scan:
            scan.sendall(b"GET / HTTP/1.1\r\n\r\n")
            scan.recv(100)
    finally:
        server.stop()
        thread.join()
    revoked, missing = recorded(trail.database)
    assert revoked.short == missing.short == ("110113", "110126", "E", "8")
    assert revoked.ids("110182") == ["127.0.0.1"]
    assert (revoked.description, missing.description) == (
        "certificate revoked",
        "PEER_DID_NOT_RETURN_A_CERTIFICATE",
    )
