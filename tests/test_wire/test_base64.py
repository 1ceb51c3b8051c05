"""Base64 in pieces is base64 as a whole."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msim_xds.wire.base64 import BadBase64, Base64Decoder, encode, encoded_size


def decode(pieces: list[bytes]) -> bytes:
    octets: list[bytes] = []
    decoder = Base64Decoder(octets.append)
    for piece in pieces:
        decoder.write(piece)
    decoder.finish()
    return b"".join(octets)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


@settings(max_examples=100)
@given(st.binary(max_size=300), st.lists(st.integers(1, 9), max_size=50))
def test_decoding_does_not_depend_on_the_cutting(data: bytes, sizes: list[int]) -> None:
    assert decode(cut(base64.b64encode(data), sizes)) == data
    assert decode(cut(base64.encodebytes(data).replace(b"\n", b" \r\n\t"), sizes)) == data


@settings(max_examples=100)
@given(st.binary(max_size=300), st.lists(st.integers(1, 9), max_size=50))
def test_encoding_does_not_depend_on_the_cutting(data: bytes, sizes: list[int]) -> None:
    text = b"".join(encode(cut(data, sizes)))
    assert text == base64.b64encode(data)
    assert len(text) == encoded_size(len(data))


@settings(max_examples=100)
@given(st.text("AQg=w-_!\n\xa0", max_size=12).map(lambda text: text.encode("latin-1")), st.data())
def test_what_is_refused_does_not_depend_on_the_cutting(text: bytes, data: st.DataObject) -> None:
    def outcome(pieces: list[bytes]) -> bytes | None:
        try:
            return decode(pieces)
        except BadBase64:
            return None

    sizes = data.draw(st.lists(st.integers(1, 5), max_size=12))
    assert outcome(cut(text, sizes)) == outcome([text])


@pytest.mark.parametrize(
    "text",
    [
        "QQ",
        "QQ=",
        "QUJ",
        "QQ==QQ==",
        "Q=Q=",
        "====",
        "QUJD\xa0",
        "QU!D",
        "QU-_",
        "QQ==\n=",
        "&#65;",
        "QUJDRA",
    ],
)
def test_broken_base64_is_refused(text: str) -> None:
    with pytest.raises(BadBase64):
        decode([text.encode("latin-1")])
