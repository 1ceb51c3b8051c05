"""Answers that came before are known again, and nothing else is taken for them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msim_xds.federation.community import FoundObject, FoundObjects
from msim_xds.federation.known_answers import KnownAnswers
from msim_xds.ihe.names import ResponseStatus
from tests.test_federation.peer import SOAP, WSA

_ROOM = 100_000


class Reader:
    """Reads an answer as one object that holds all of it, and counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, root: bytes) -> FoundObjects:
        self.count += 1
        return FoundObjects(ResponseStatus.SUCCESS, (), [FoundObject("", "", "", root)])


def answer(body: str = "<a/>", message: str = "urn:uuid:1", relates: str = "urn:uuid:2") -> bytes:
    return (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:w="{WSA}"><s:Header><w:Action>urn:x</w:Action>'
        f'<w:MessageID s:mustUnderstand="0">{message}</w:MessageID><w:RelatesTo>{relates}</w:RelatesTo>'
        f"</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def test_the_same_answer_is_read_once() -> None:
    known, reader = KnownAnswers(_ROOM), Reader()
    first = known.read(answer(), reader)
    assert known.read(answer(message="urn:uuid:3", relates="urn:uuid:4"), reader) is first
    assert reader.count == 1


@pytest.mark.parametrize(
    "other",
    [
        answer("<b/>"),
        answer("<a/> "),
        answer("<a><w:MessageID>urn:uuid:1</w:MessageID></a>"),
        answer().replace(b"urn:x", b"urn:y"),
        answer().replace(WSA.encode(), b"urn:other"),
        answer().replace(b"</s:Header>", b"<w:To/></s:Header>"),
        answer(message="urn:uuid:1</w:MessageID><w:MessageID>"),
        b"",
        b"no envelope",
    ],
)
def test_what_differs_is_read_itself(other: bytes) -> None:
    known, reader = KnownAnswers(_ROOM), Reader()
    known.read(answer(), reader)
    assert known.read(other, reader).objects[0].octets == other
    assert reader.count == 2


def test_ids_in_the_body_count() -> None:
    known, reader = KnownAnswers(_ROOM), Reader()
    for number in range(2):
        body = answer(f"<w:MessageID>urn:uuid:{number}</w:MessageID>")
        assert known.read(body, reader).objects[0].octets == body


_PIECES = st.sampled_from(
    ["<", ">", "&", "MessageID>", "RelatesTo>", "<w:MessageID>", "</w:MessageID>", "Body", "a", "b", " "]
)
_ANY = st.lists(_PIECES, max_size=12).map(lambda pieces: "".join(pieces).encode())


@given(st.lists(_ANY, min_size=2, max_size=6))
def test_only_texts_of_ids_before_the_body_are_looked_over(answers: list[bytes]) -> None:
    known, reader = KnownAnswers(_ROOM), Reader()
    for each in answers:
        got = known.read(each, reader).objects[0].octets
        assert _significant(got) == _significant(each)


def _significant(root: bytes) -> bytes:
    """The rule in another way: the octets without what stands between an id's tag and the next markup."""
    head, body, rest = root.partition(b"Body")
    if not body:
        return root
    kept, text = b"", False
    for piece in re.split(rb"(?=[<&])|(?<=>)", head):
        if text and not piece.startswith((b"<", b"&")):
            continue
        kept += piece
        text = re.search(rb"(MessageID|RelatesTo)(\s[^<>]*)?>\Z", piece) is not None
    return kept + body + rest


def test_what_cannot_be_read_is_tried_again() -> None:
    def broken(_: bytes) -> FoundObjects:
        raise ValueError

    known, reader = KnownAnswers(_ROOM), Reader()
    with pytest.raises(ValueError):
        known.read(answer(), broken)
    known.read(answer(), reader)
    assert reader.count == 1


def test_what_has_not_come_for_the_longest_time_makes_room() -> None:
    first, second, third = (answer(f"<a>{number}</a>") for number in range(3))
    known, reader = KnownAnswers(2 * len(first)), Reader()
    for each in (first, second, first, third):
        known.read(each, reader)
    assert reader.count == 3
    known.read(first, reader)
    known.read(third, reader)
    assert reader.count == 3
    known.read(second, reader)
    assert reader.count == 4


@pytest.mark.parametrize("room", [0, 10])
def test_what_has_no_room_is_not_kept_and_drives_out_nothing(room: int) -> None:
    known, reader = KnownAnswers(room), Reader()
    for _ in range(2):
        known.read(answer(), reader)
    assert reader.count == 2


def test_a_large_answer_drives_out_nothing() -> None:
    known, reader = KnownAnswers(len(answer())), Reader()
    for each in (answer(), answer("<a/>" * 100), answer()):
        known.read(each, reader)
    assert reader.count == 2
