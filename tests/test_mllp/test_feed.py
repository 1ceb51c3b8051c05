"""Messages change the registry and are acknowledged as the framework says, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import structlog

from msim_xds.metadata.identity import Demographics
from msim_xds.mllp.feed import Feed
from msim_xds.mllp.framing import Frame
from msim_xds.registry.identity import PatientIdentity
from tests.support.metadata import OTHER_PATIENT, PATIENT
from tests.test_mllp.messages import announcement, header, link_change, merge, message, segments

LOCAL = "104233^^^&2.16.840.1.113883.3.4424.2.7.99999.17.1&ISO"


def ask(feed: Feed, data: bytes, *, whole: bool = True) -> tuple[str, str]:
    """MSA-1, and the condition of the first ERR."""
    seen = segments(feed.answer(Frame(data, whole)))
    return seen["MSA"][1], seen["ERR"][3].partition("^")[0] if "ERR" in seen else ""


def known(identity: PatientIdentity) -> dict[str, str | None]:
    """The survivor of each patient."""
    return {each.cx: each.survivor for each in identity.listed()}


@pytest.mark.parametrize("event", ["A01", "A04", "A05", "A08"])
def test_announced(feed: Feed, identity: PatientIdentity, event: str) -> None:
    assert ask(feed, announcement(PATIENT, event)) == ("AA", "")
    (patient,) = identity.listed()
    assert patient.demographics == Demographics("Kowalska", "Anna", "18580314", "F")
    assert ask(feed, announcement(PATIENT, event)) == ("AA", "")


def test_the_least_that_is_taken(feed: Feed, identity: PatientIdentity) -> None:
    """MSH and PID-3; what is malformed and not needed is left out."""
    least = message("MSH|^~\\&|||||||ADT^A01", f"PID|||{PATIENT}||||99999999|female")
    assert ask(feed, least) == ("AA", "")
    assert [each.demographics for each in identity.listed()] == [Demographics()]


def test_merged(feed: Feed, identity: PatientIdentity) -> None:
    for cx in (PATIENT, OTHER_PATIENT):
        ask(feed, announcement(cx))
    assert ask(feed, merge(PATIENT, OTHER_PATIENT)) == ("AA", "")
    assert known(identity) == {PATIENT: None, OTHER_PATIENT: PATIENT}
    assert ask(feed, merge(PATIENT, OTHER_PATIENT)) == ("AE", "204")
    assert ask(feed, announcement(OTHER_PATIENT)) == ("AE", "204")


def test_link_changed(feed: Feed) -> None:
    for cx in (PATIENT, OTHER_PATIENT):
        ask(feed, announcement(cx))
    assert ask(feed, link_change(f"{PATIENT}~{LOCAL}", OTHER_PATIENT)) == ("AA", "")
    assert ask(feed, link_change(PATIENT, f"{OTHER_PATIENT}~{LOCAL}")) == ("AA", "")
    assert ask(feed, link_change(PATIENT, OTHER_PATIENT)) == ("AE", "101")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (message(header("A02"), f"PID|||{PATIENT}"), ("AR", "201")),
        (message(header(f9="ORU^R01"), f"PID|||{PATIENT}"), ("AR", "200")),
        (message(header(f9=""), f"PID|||{PATIENT}"), ("AR", "200")),
        (announcement(PATIENT, f12="2.8"), ("AR", "203")),
        (announcement(PATIENT, f11="Q"), ("AR", "202")),
        (message(header(), "EVN|A01"), ("AE", "100")),
        (message(header(), f"PID|||{PATIENT}", f"PID|||{OTHER_PATIENT}"), ("AE", "100")),
        (message(header("A40"), f"PID|||{PATIENT}"), ("AE", "100")),
        (message(header("A40"), f"PID|||{PATIENT}", "MRG|1", "MRG|2"), ("AE", "100")),
        (announcement(""), ("AE", "101")),
        (announcement("123^^^HIS"), ("AE", "204")),
        (merge(PATIENT, OTHER_PATIENT), ("AE", "204")),
        (b"hello", ("AE", "100")),
        (b"", ("AE", "100")),
    ],
)
def test_refused(feed: Feed, identity: PatientIdentity, data: bytes, expected: tuple[str, str]) -> None:
    assert ask(feed, data) == expected
    assert known(identity) == {}


def test_too_large(feed: Feed, identity: PatientIdentity) -> None:
    """The control id is in what has been kept, so the sender learns which message it was."""
    answer = feed.answer(Frame(announcement(PATIENT), whole=False))
    assert segments(answer)["MSA"][1:3] == ["AE", "MSG1"]
    assert known(identity) == {}


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*_arguments: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "event"),
    [(TimeoutError("secret"), "206", "busy"), (ValueError("secret"), "207", "failed")],
)
def test_failures_inside(
    feed: Feed,
    identity: PatientIdentity,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    code: str,
    event: str,
) -> None:
    monkeypatch.setattr(identity, "announce", failing(error))
    with structlog.testing.capture_logs() as logs:
        answer = feed.answer(Frame(announcement(PATIENT), whole=True))
    seen = segments(answer)
    assert (seen["MSA"][1], seen["ERR"][3][:3]) == ("AE", code)
    assert b"secret" not in answer
    assert [line["event"] for line in logs] == [event, "message"]
    assert str(logs[0]["reference"]) in seen["MSA"][3]


def test_the_log_has_no_patients(feed: Feed) -> None:
    with structlog.testing.capture_logs() as logs:
        ask(feed, announcement(PATIENT))
        ask(feed, announcement(f"{PATIENT}~x", "A99"))
    assert [(line["transaction"], line["trigger"], line["status"]) for line in logs] == [
        ("ITI-8", "ADT^A01", "AA"),
        ("HL7", "ADT^A99", "AR"),
    ]
    assert "58831404726" not in str(logs)
    assert "Kowalska" not in str(logs)
