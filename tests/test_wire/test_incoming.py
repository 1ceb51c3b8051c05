"""Answers taken apart while they are read: the root, then each document, and never half a one."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msim_xds.settings import LimitSettings
from msim_xds.wire import mtom
from msim_xds.wire.exchange import OutgoingDocument
from msim_xds.wire.incoming import IncomingAnswer
from msim_xds.wire.safexml import MalformedXml
from msim_xds.wire.staging import BadPackage

RELATED = 'multipart/related; type="application/xop+xml"; start="<root@x>"; boundary=b'
LIMITS = LimitSettings(root_part_bytes=65536, request_bytes=1 << 20, document_bytes=1000)
ROOT = b"--b\r\nContent-Type: application/xop+xml\r\nContent-ID: <root@x>\r\n\r\n<root/>"


def part(content: bytes, headers: bytes = b"Content-ID: <d@x>") -> bytes:
    return b"\r\n--b\r\n" + headers + b"\r\n\r\n" + content


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def opened(data: bytes, content_type: str = RELATED, limits: LimitSettings = LIMITS) -> IncomingAnswer:
    return IncomingAnswer(content_type, [data], limits)


@given(st.lists(st.binary(max_size=300), max_size=4), st.integers(1, 400))
def test_what_is_packaged_comes_out_again(contents: list[bytes], size: int) -> None:
    documents = [OutgoingDocument(f"d{n}@x", "text/xml", len(c), [c]) for n, c in enumerate(contents)]
    packaged = mtom.package([b"<root/>"], documents, "urn:a")
    answer = IncomingAnswer(packaged.content_type, cut(b"".join(packaged.chunks), size), LIMITS)
    assert answer.root == b"<root/>"
    assert [b"".join(answer.document(each.cid)) for each in documents] == contents
    answer.finish()


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=3), st.integers(0, 5000))
def test_unknown_sizes_have_a_length_all_the_same(contents: list[bytes], spare: int) -> None:
    documents = [OutgoingDocument(f"d{n}@x", "text/xml", None, [c]) for n, c in enumerate(contents)]
    packaged = mtom.package([b"<root/>"], documents, "urn:a", sum(map(len, contents)) + spare)
    octets = b"".join(packaged.chunks)
    assert len(octets) == packaged.length
    answer = IncomingAnswer(packaged.content_type, cut(octets, 100), LIMITS)
    assert [b"".join(answer.document(each.cid)) for each in documents] == contents
    answer.finish()


def test_documents_over_their_room_break_off() -> None:
    packaged = mtom.package([b"<r/>"], [OutgoingDocument("d@x", "a/b", None, [b"x" * 100])], "urn:a", 50)
    with pytest.raises(BadPackage, match="larger than"):
        list(packaged.chunks)


@pytest.mark.parametrize("package", [mtom.package, mtom.plain])
def test_without_room_there_is_no_length(package: object) -> None:
    from msim_xds.wire.xop import include

    document = OutgoingDocument("d@x", "a/b", None, [b"x"])
    packaged = package([include("d@x").encode()], [document], "urn:a")  # type: ignore[operator]
    assert packaged.length is None
    assert b"".join(packaged.chunks)


def test_simple_message() -> None:
    answer = opened(b"<root/>", "application/soap+xml; charset=UTF-8")
    assert answer.root == b"<root/>"
    with pytest.raises(BadPackage, match="there is no part"):
        list(answer.document("d@x"))


def test_base64_parts() -> None:
    headers = b"Content-ID: <d@x>\r\nContent-Transfer-Encoding: base64"
    answer = opened(ROOT + part(base64.b64encode(b"hello"), headers) + b"\r\n--b--")
    assert b"".join(answer.document("d@x")) == b"hello"
    answer.finish()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_what_breaks_off_never_looks_whole(size: int) -> None:
    whole = ROOT + part(b"x" * 500)
    answer = IncomingAnswer(RELATED, cut(whole, size), LIMITS)
    seen: list[bytes] = []
    with pytest.raises(BadPackage):
        seen.extend(answer.document("d@x"))
    assert len(b"".join(seen)) < 500


BASE64 = b"Content-ID: <d@x>\r\nContent-Transfer-Encoding: base64"
BROKEN = {
    "no boundary": (b"", "multipart/related", "without a boundary"),
    "no part": (b"--b--", RELATED, "without a SOAP part|boundary"),
    "not first": (part(b"x") + ROOT, RELATED, "not the first"),
    "other type": (b"<r/>", "text/html", "allowed: multipart/related"),
    "root cut": (ROOT, RELATED, "multipart/related|breaks off"),
    "root too large": (ROOT + b" " * 70000 + b"\r\n--b--", RELATED, "SOAP part is over 65536"),
    "simple too large": (b"<" * 70000, "text/xml", "SOAP part is over 65536"),
    "long header": (b"--b\r\nA: " + b"x" * 9000 + b"\r\n\r\n", RELATED, "multipart/related"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_messages(name: str) -> None:
    data, content_type, words = BROKEN[name]
    with pytest.raises(BadPackage, match=words):
        opened(data, content_type)


BROKEN_DOCUMENTS = {
    "another": (part(b"x", b"Content-ID: <e@x>") + b"\r\n--b--", "comes where"),
    "too large": (part(b"x" * 1001) + b"\r\n--b--", "over 1000 bytes"),
    "encoding": (
        part(b"x", b"Content-ID: <d@x>\r\nContent-Transfer-Encoding: uu") + b"\r\n--b--",
        "allowed: binary",
    ),
    "no base64": (part(b"!!!", BASE64) + b"\r\n--b--", "base64"),
}


@pytest.mark.parametrize("name", BROKEN_DOCUMENTS)
def test_broken_documents(name: str) -> None:
    data, words = BROKEN_DOCUMENTS[name]
    answer = opened(ROOT + data)
    with pytest.raises(BadPackage, match=words):
        list(answer.document("d@x"))


def test_more_than_was_asked_for() -> None:
    answer = opened(ROOT + part(b"x") + part(b"y") + b"\r\n--b--")
    list(answer.document("d@x"))
    with pytest.raises(BadPackage, match="more parts than documents"):
        answer.finish()


def test_a_part_left_unread() -> None:
    answer = opened(ROOT + part(b"x" * 10) + part(b"y") + b"\r\n--b--")
    begun = answer.document("d@x")
    with pytest.raises(BadPackage, match="comes where"):
        next(answer.document("e@x"))
    with pytest.raises(BadPackage, match="left unread"):
        next(begun)


def test_message_over_its_limit() -> None:
    chunks = [ROOT, part(b""), *([b"x"] * 100)]
    limits = LIMITS.model_copy(update={"request_bytes": sum(map(len, chunks[:2])) + 10})
    answer = IncomingAnswer(RELATED, chunks, limits)
    with pytest.raises(BadPackage, match="the answer is over"):
        list(answer.document("d@x"))


def test_other_encodings() -> None:
    with pytest.raises(MalformedXml):
        opened(b"<r/>", "text/xml; charset=utf-7")


@given(st.binary(max_size=600), st.integers(1, 700), st.booleans())
def test_parts_that_say_their_length(content: bytes, size: int, holds_boundary: bool) -> None:
    if holds_boundary:
        content += b"\r\n--b" + content
    length = b"Content-ID: <d@x>\r\nContent-Length: %d" % len(content)
    body = ROOT + part(content, length) + part(b"next", b"Content-ID: <e@x>") + b"\r\n--b--"
    answer = IncomingAnswer(RELATED, cut(body, size), LIMITS)
    try:
        read = b"".join(answer.document("d@x"))
        after = b"".join(answer.document("e@x"))
    except BadPackage:
        assert b"\r\n--b" in content  # which must not be in it: it is found only where octets are searched
    else:
        assert (read, after) == (content, b"next")


@pytest.mark.parametrize("said", [0, 299, 301, 400])
def test_parts_that_say_another_length(said: int) -> None:
    body = ROOT + part(b"x" * 300, b"Content-ID: <d@x>\r\nContent-Length: %d" % said) + b"\r\n--b--\r\n"
    for size in (100, 1000):
        answer = IncomingAnswer(RELATED, cut(body, size), LIMITS)
        with pytest.raises(BadPackage, match=r"multipart/related|breaks off"):
            list(answer.document("d@x"))
