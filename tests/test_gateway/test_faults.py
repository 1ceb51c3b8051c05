"""What a partner may do wrong, and that it costs its own part of the answer and no more than its deadline."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from msim_xds.ihe.transactions import Endpoint
from tests.support import queries
from tests.support.metadata import RIM
from tests.test_delivery import certificates
from tests.test_gateway.conftest import HOME
from tests.test_gateway.misbehaving import (
    DEADLINE_S,
    FAULT,
    LATE_S,
    REF,
    THEIRS,
    UNAVAILABLE,
    ask,
    drip,
    drip_body,
    endless,
    found,
    hang,
    send,
    soap,
    whole,
)
from tests.test_gateway.test_responding import FAILURE, PARTIAL, SUCCESS, errors, status
from tests.test_gateway.world import Faulty, gateway, partner_toml, whole_request
from tests.test_server.soap import Response

TABLE = {
    "hangs": (hang, UNAVAILABLE, "does not answer in time"),
    "closes": (send(), UNAVAILABLE, "connection"),
    "garbage": (send(b"\x00\xff" * 2000), UNAVAILABLE, "does not keep to HTTP (BadStatusLine)"),
    "a page": (send(whole(b"<html/>", "text/html")), UNAVAILABLE, "not SOAP"),
    "no XML": (send(whole(b"<a")), UNAVAILABLE, "broken"),
    "another answer": (send(whole(soap("<x/>"))), UNAVAILABLE, "no answer of ITI-38"),
    "endless": (endless, UNAVAILABLE, "over 65536 bytes"),
    "slow head": (drip, UNAVAILABLE, "does not answer in time"),
    "slow body": (drip_body, UNAVAILABLE, "does not answer in time"),
    "half": (send(whole(found(""))[:-20]), UNAVAILABLE, "connection"),
    "fault": (send(whole(FAULT, code="500 Oops")), UNAVAILABLE, "SOAP fault Receiver: out of order"),
    "foreign home": (
        send(whole(found(REF.format(f' home="{HOME}"')))), "XDSUnknownCommunity", "have a foreign"
    ),
    "no home": (send(whole(found(REF.format("")))), "XDSMissingHomeCommunityId", "urn:uuid:1"),
    "wordless": (send(whole(found("", FAILURE))), "XDSRegistryError", "gave no reason"),
    "too many": (
        send(whole(found(REF.format(f' home="{THEIRS}"') * 11))), UNAVAILABLE, "over 10 objects"
    ),
}  # fmt: skip
LIMITS = "limits = { objects = 10, query_bytes = 65536 }"


@pytest.mark.parametrize("name", TABLE)
def test_local_results_are_there_whatever_a_partner_does(tmp_path: Path, name: str) -> None:
    behaviour, code, words = TABLE[name]
    with (
        Faulty(behaviour) as partner,
        gateway(
            tmp_path, partner_toml("bad", THEIRS, partner.url, f"deadline_s = {DEADLINE_S}", LIMITS)
        ) as here,
    ):
        here.publish(b"<a/>")
        answer, took = ask(here)
        assert took < LATE_S
        assert status(answer) == PARTIAL
        assert [e.get("home") for e in answer.xml().iter(f"{{{RIM}}}ExtrinsicObject")] == [HOME]
        ((seen, context, _),) = errors(answer)
        assert seen == code
        assert "community bad" in context
        assert words in context


def after_one_answer(behaviour: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        connection.sendall(whole(found("")))
        whole_request(connection)
        behaviour(connection)

    return behave


@pytest.mark.parametrize("name", TABLE)
def test_the_same_on_a_connection_that_was_kept(tmp_path: Path, name: str) -> None:
    behaviour, code, words = TABLE[name]
    limits = partner_toml("bad", THEIRS, "{}", f"deadline_s = {DEADLINE_S}", LIMITS)
    with (
        Faulty(after_one_answer(behaviour)) as partner,
        gateway(tmp_path, limits.replace("{}", partner.url)) as here,
    ):
        assert errors(ask(here)[0]) == []
        answer, took = ask(here)
        assert took < LATE_S
        if name == "closes":  # a connection that was given up: another one does
            assert errors(answer) == []
            return
        ((seen, context, _),) = errors(answer)
        assert seen == code
        assert words in context
        assert "internal" not in context
        time.sleep(0.2)  # whoever would ask again after the deadline has done so
        assert len(partner.seen) == 1


def test_nothing_is_sent_over_a_connection_that_comes_after_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = socket.create_connection

    def late(*address: Any, **options: Any) -> socket.socket:
        time.sleep(0.4)  # a name that takes its time
        return connect(*address, **options)

    monkeypatch.setattr(socket, "create_connection", late)
    with (
        Faulty(hang) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url, "deadline_s = 0.2")) as here,
    ):
        ((_, context, _),) = errors(ask(here)[0])
        assert "does not answer in time" in context
        time.sleep(0.5)  # what is late has come
        assert partner.seen == []


def test_what_a_partner_says_is_not_logged(tmp_path: Path) -> None:
    with (
        Faulty(TABLE["fault"][0]) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url)) as here,
        capture_logs() as logs,
    ):
        assert "out of order" in errors(ask(here)[0])[0][1]
    assert [each["code"] for each in logs if each["event"] == "community answers with a fault"] == [
        "Receiver"
    ]
    assert "out of order" not in str(logs)


def test_a_partner_that_refuses_connections(tmp_path: Path) -> None:
    with Faulty(hang) as gone:
        pass
    with gateway(tmp_path, partner_toml("gone", THEIRS, gone.url)) as here:
        here.publish(b"<a/>")
        ((code, context, _),) = errors(ask(here)[0])
        assert code == UNAVAILABLE
        assert THEIRS in context


def test_an_answer_may_take_longer_than_a_connection(tmp_path: Path) -> None:
    def think(connection: socket.socket) -> None:
        time.sleep(0.6)
        connection.sendall(whole(found("")))

    with (
        Faulty(think) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url, "connect_timeout_s = 0.3")) as here,
    ):
        assert status(ask(here)[0]) == SUCCESS


@pytest.mark.parametrize(("setting", "expected"), [("PartialSuccess", PARTIAL), ("Failure", FAILURE)])
def test_status_when_nothing_was_found_and_one_failed(tmp_path: Path, setting: str, expected: str) -> None:
    with (
        Faulty(TABLE["fault"][0]) as partner,
        gateway(tmp_path, partner_toml("bad", THEIRS, partner.url), nothing_found=setting) as here,
    ):
        assert status(ask(here)[0]) == expected


def test_errors_of_a_partner_are_passed_on_and_unknown_patients_dropped(tmp_path: Path) -> None:
    severity = "urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Error"
    problems = "".join(
        f'<rs:RegistryError errorCode="{code}" codeContext="c" severity="{severity}" location="{THEIRS}"/>'
        for code in ("XDSUnknownPatientId", "XDSRegistryBusy")
    )
    body = found("", FAILURE, f"<rs:RegistryErrorList>{problems}</rs:RegistryErrorList>")
    with (
        Faulty(send(whole(body))) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url)) as here,
    ):
        here.publish(b"<a/>")
        assert errors(ask(here)[0]) == [("XDSRegistryBusy", "c", THEIRS)]


def test_equal_objects_come_once(tmp_path: Path) -> None:
    with (
        Faulty(send(whole(found(REF.format(f' home="{THEIRS}"') * 2)))) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url)) as here,
    ):
        answer = here.ask(
            Endpoint.INITIATING_GATEWAY, "RegistryStoredQuery", queries.find_documents(returns="ObjectRef")
        )
        assert [e.get("home") for e in answer.xml().iter(f"{{{RIM}}}ObjectRef")] == [THEIRS]


def test_a_partner_that_fails_again_and_again_is_left_alone(tmp_path: Path) -> None:
    with (
        Faulty(send()) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url), breaker_failures=2) as here,
    ):
        contexts = [errors(ask(here)[0])[0][1] for _ in range(4)]
        assert len(partner.seen) == 2
        assert ["failed several times" in context for context in contexts] == [False, False, True, True]


def test_requests_at_a_time_are_bounded(tmp_path: Path) -> None:
    with (
        Faulty(hang) as partner,
        gateway(
            tmp_path, partner_toml("p", THEIRS, partner.url, f"deadline_s = {DEADLINE_S}\nconnections = 1")
        ) as here,
    ):
        answers: list[Response] = []
        threads = [threading.Thread(target=lambda: answers.append(ask(here)[0])) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted("under way already" in errors(answer)[0][1] for answer in answers) == [False, True]


@pytest.mark.parametrize(
    ("dates", "asked"),
    [("valid_until = 2020-01-01", 0), ("valid_from = 2999-01-01", 0), ("valid_from = 2020-01-01", 1)],
)
def test_a_partner_is_asked_while_it_is_valid(tmp_path: Path, dates: str, asked: int) -> None:
    with (
        Faulty(send(whole(found("")))) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url, dates)) as here,
    ):
        assert status(ask(here)[0]) == SUCCESS
        assert len(partner.seen) == asked


def test_an_assertion_that_a_partner_wants_and_nobody_brought(tmp_path: Path) -> None:
    with (
        Faulty(hang) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url, 'assertion = "require"')) as here,
    ):
        assert "caller's assertion" in errors(ask(here)[0])[0][1]
        assert partner.seen == []


@pytest.mark.parametrize("expired", [True, False])
def test_certificates_of_partners_are_verified(tmp_path: Path, expired: bool) -> None:
    authority = certificates.authority(tmp_path)
    context = certificates.server(certificates.certificate(tmp_path, "partner", -1 if expired else 1))
    with (
        Faulty(send(whole(found(""))), context) as partner,
        gateway(
            tmp_path,
            partner_toml("p", THEIRS, partner.url, tables=f'tls = {{ authorities = "{authority}" }}'),
        ) as here,
    ):
        answer, _ = ask(here)
        if expired:
            assert "expired" in errors(answer)[0][1]
        else:
            assert errors(answer) == []
