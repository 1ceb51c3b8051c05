"""A valid ITI-41 with some of its octets flipped, cut out or repeated: kept as a whole, or not at all."""

from __future__ import annotations

import hashlib
import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msim_xds.repository import scrub
from tests.faults.target import Target, verdict
from tests.support.metadata import REPOSITORY, association, document_entry, submission_set, submit_objects
from tests.support.paths import REPOSITORY as PATH
from tests.support.server import provide_message

pytestmark = pytest.mark.no_cover  # the gates hold without it, and tracing doubles its time

#: Stands in every id of the message, so that each example has its own.
TOKEN = b"7777777"
CONTENT = b"octets of a document"
CONTENT_TYPE, MESSAGE = provide_message(
    submit_objects(
        submission_set(unique_id=f"1.2.1.{TOKEN.decode()}"),
        document_entry(unique_id=f"1.2.2.{TOKEN.decode()}", content=CONTENT),
        association("SubmissionSet01", "Document01", id="Association01", status="Original"),
    ),
    {"Document01": CONTENT},
)

places = st.integers(0, len(MESSAGE) - 1)
#: What happens at a place: an octet becomes another, octets go, or octets come twice.
mutations = st.one_of(
    st.tuples(st.just("flip"), places, st.integers(1, 255)),
    st.tuples(st.just("cut"), places, st.integers(1, 400)),
    st.tuples(st.just("repeat"), places, st.integers(1, 400)),
)
_numbers = itertools.count(1_000_000)


def mutated(message: bytes, how: str, place: int, much: int) -> bytes:
    head, there, tail = message[:place], message[place : place + much], message[place + much :]
    match how:
        case "flip":
            return head + bytes(octet ^ much for octet in message[place : place + 1]) + message[place + 1 :]
        case "cut":
            return head + tail
    return head + there + there + tail


def is_sound(target: Target) -> bool:
    """Whether every document is there and no blob or spool file is left over."""
    node = target.node
    report = scrub.check(node.store, node.index, node.database, REPOSITORY, datetime.now(UTC))
    return not report.counts


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
)
@given(st.lists(mutations, min_size=1, max_size=3))
def test_all_or_nothing(target: Target, changes: list[tuple[str, int, int]]) -> None:
    body = MESSAGE.replace(TOKEN, str(next(_numbers)).encode())
    for how, place, much in changes:
        body = mutated(body, how, place, much)
    before = target.kept()
    seen = verdict(target.post(PATH, body, CONTENT_TYPE))
    after = target.kept()
    if seen == "Success":
        assert after["registry_object"] == before["registry_object"] + 2
        assert after["association"] == before["association"] + 1
        assert after["stored_document"] == before["stored_document"] + 1
    else:
        assert seen in ("Failure", "Fault")
        assert after == before


def test_nothing_is_left_over(target: Target) -> None:
    """After all of them, and of as many whole ones."""
    for number in range(50):
        content = hashlib.sha256(bytes([number])).digest()
        body = MESSAGE.replace(TOKEN, str(next(_numbers)).encode())
        cut = body[: len(body) * number // 50]
        assert verdict(target.post(PATH, cut, CONTENT_TYPE)) == "Fault"
        wrong = body.replace(CONTENT, content[: len(CONTENT)])
        assert verdict(target.post(PATH, wrong, CONTENT_TYPE)) == "Failure"
        assert verdict(target.post(PATH, body, CONTENT_TYPE)) == "Success"
    assert is_sound(target)
