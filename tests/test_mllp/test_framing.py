"""Frames out of a stream, however it is cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from msim_xds.mllp.framing import Frame, FrameReader, framed

CONTENT = st.binary(max_size=60).map(lambda data: data.replace(b"\x0b", b".").replace(b"\x1c", b"."))


def read(*pieces: bytes, limit: int = 100) -> tuple[list[Frame], FrameReader]:
    reader = FrameReader(limit)
    return [frame for piece in pieces for frame in reader.feed(piece)], reader


def test_several_in_one_piece() -> None:
    frames, reader = read(framed(b"one") + framed(b"") + framed(b"two"))
    assert frames == [Frame(b"one", True), Frame(b"", True), Frame(b"two", True)]
    assert (reader.inside, reader.strays) == (False, 0)


def test_start_alone_and_end_cut_in_two() -> None:
    assert read(b"\x0b", b"one", b"\x1c", b"\r", b"\x0btwo\x1c")[0] == [
        Frame(b"one", True),
        Frame(b"two", True),
    ]


def test_strays_between_frames_are_passed_over() -> None:
    frames, reader = read(b"MSH|lost\x1c\r", framed(b"one"), b"\r\n  x", framed(b"two"))
    assert [frame.data for frame in frames] == [b"one", b"two"]
    assert reader.strays == len(b"MSH|lost\x1c") + len(b"  x")


def test_a_frame_without_end_gives_way_to_the_next() -> None:
    frames, reader = read(b"\x0bhalf", framed(b"one"))
    assert frames == [Frame(b"one", True)]
    assert reader.strays == len(b"half")


def test_too_large() -> None:
    frames, _ = read(b"\x0b" + b"a" * 60, b"b" * 60 + b"\x1c\r" + framed(b"one"))
    assert frames == [Frame(b"a" * 60 + b"b" * 40, False), Frame(b"one", True)]
    assert read(framed(b"a" * 100))[0] == [Frame(b"a" * 100, True)]


def test_unfinished() -> None:
    frames, reader = read(b"\x0bMSH")
    assert (frames, reader.inside) == ([], True)


@given(st.lists(CONTENT, max_size=5), st.lists(st.integers(1, 40), min_size=1))
def test_cuts_do_not_matter(messages: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(framed, messages))
    pieces: list[bytes] = []
    at = 0
    while at < len(stream):
        size = cuts[len(pieces) % len(cuts)]
        pieces.append(stream[at : at + size])
        at += size
    assert read(*pieces)[0] == [Frame(message, True) for message in messages]
