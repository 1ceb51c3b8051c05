"""Messages coming in: every form that is allowed, and nothing broken leaves anything behind."""

from __future__ import annotations

import base64
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msim_xds.ihe.names import XDS
from msim_xds.settings import LimitSettings
from msim_xds.wire.inline import document_part
from msim_xds.wire.mtom import Message, read
from msim_xds.wire.safexml import MalformedXml, parse
from msim_xds.wire.staging import BadPackage
from tests.test_wire.memory import MemoryStager, cut

LIMITS = LimitSettings()
ROOT = b"<e>root</e>"
RELATED = 'multipart/related; boundary=B; start="<r>"'
ROOT_HEADERS = ["Content-ID: <r>", "Content-Type: application/xop+xml"]
DOC_HEADERS = ["Content-ID: <doc1@example>"]
BASE64 = "Content-Transfer-Encoding: base64"
OCTETS = b"\r\n--B\r--B--\x00\xff\r\n" * 50


def framed(
    *parts: tuple[list[str], bytes], before: bytes = b"", after: bytes = b"--\r\n", line: str = "\r\n"
) -> bytes:
    pieces = [before]
    for headers, data in parts:
        pieces += [
            f"--B{line}{line.join([*headers, '', ''])}".encode("utf-8", "surrogateescape"),
            data,
            b"\r\n",
        ]
    return b"".join([*pieces, b"--B", after])


@pytest.fixture
def stager() -> MemoryStager:
    return MemoryStager()


SOAP_PART, DOCUMENT = (ROOT_HEADERS, ROOT), (DOC_HEADERS, b"\x00data\xff")


class TestRead:
    @pytest.mark.parametrize("size", [1, 3, 7, 1 << 16])
    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            (RELATED, framed(SOAP_PART, DOCUMENT)),
            (RELATED.replace('"<r>"', "r"), framed(SOAP_PART, DOCUMENT)),
            ("multipart/related; boundary=B", framed(SOAP_PART, DOCUMENT)),
            ('Multipart/Related;type="application/xop+xml";BOUNDARY="B"', framed(SOAP_PART, DOCUMENT)),
            (RELATED, framed(DOCUMENT, SOAP_PART)),
            (RELATED.replace("<r>", "<unknown>"), framed(DOCUMENT, SOAP_PART)),
            (RELATED, framed((["Content-Id:r"], ROOT), DOCUMENT)),
            (RELATED, framed(SOAP_PART, DOCUMENT, before=b"preamble\r\n")),
            (RELATED, framed(SOAP_PART, DOCUMENT, before=b"\r\n")),
            (RELATED, framed(SOAP_PART, DOCUMENT, after=b"--\r\nepilogue")),
            (RELATED, framed(SOAP_PART, DOCUMENT, after=b"--")),
            (
                RELATED,
                framed(
                    (["Content-Type: application/xop+xml;", ' type="a"', *ROOT_HEADERS[:1]], ROOT), DOCUMENT
                ),
            ),
            (RELATED, framed(([*ROOT_HEADERS, *(f"X-{i}: a" for i in range(20))], ROOT), DOCUMENT)),
            (
                RELATED,
                framed(
                    SOAP_PART,
                    ([*DOC_HEADERS, "Content-Transfer-Encoding: BASE64 "], base64.encodebytes(DOCUMENT[1])),
                ),
            ),
            (
                RELATED,
                framed(
                    ([*ROOT_HEADERS, "Content-Transfer-Encoding: base64"], base64.encodebytes(ROOT)), DOCUMENT
                ),
            ),
            (
                RELATED,
                framed(
                    SOAP_PART,
                    ([*DOC_HEADERS, "content-transfer-encoding: 8bit", "Content-Length: 6"], DOCUMENT[1]),
                ),
            ),
            (RELATED, framed(SOAP_PART, (["CONTENT-ID: <doc1%40example>"], DOCUMENT[1]))),
        ],
    )
    def test_forms_of_a_package(
        self, stager: MemoryStager, content_type: str, body: bytes, size: int
    ) -> None:
        message = read(content_type, cut(body, size), stager, LIMITS)
        assert (message.root, message.mtom) == (ROOT, True)
        assert stager.of(message.parts) == {"doc1@example": DOCUMENT[1]}

    def test_octets_like_boundaries_are_kept(self, stager: MemoryStager) -> None:
        data = OCTETS.replace(b"\r\n--B", b"\r\n--A")
        for size in (1, 5, 1 << 16):
            message = read(RELATED, cut(framed(SOAP_PART, (DOC_HEADERS, data)), size), stager, LIMITS)
            assert stager.of(message.parts) == {"doc1@example": data}

    @pytest.mark.parametrize(
        "content_type", ["application/soap+xml; charset=UTF-8", "text/xml", "Application/Soap+XML"]
    )
    def test_simple_soap(self, stager: MemoryStager, content_type: str) -> None:
        assert read(content_type, cut(ROOT, 3), stager, LIMITS) == Message(ROOT, {}, mtom=False)

    @pytest.mark.parametrize(
        "content_type",
        ["", "text/html", "application/json", "multipart/form-data; boundary=B", ";", "a" * 5000],
    )
    def test_other_content_types_are_refused(self, stager: MemoryStager, content_type: str) -> None:
        with pytest.raises(BadPackage, match="allowed: multipart/related") as caught:
            read(content_type, [ROOT], stager, LIMITS)
        assert caught.value.http_status == 415
        assert len(str(caught.value)) < 300

    @pytest.mark.parametrize(
        ("content_type", "root_type"),
        [
            ("application/soap+xml; charset=utf-7", "a/b"),
            ("text/xml; charset=ISO-8859-2", "a/b"),
            (RELATED, "application/xop+xml; charset=windows-1250"),
        ],
    )
    def test_other_charsets_are_refused(
        self, stager: MemoryStager, content_type: str, root_type: str
    ) -> None:
        body = framed(DOCUMENT, (["Content-ID: <r>", f"Content-Type: {root_type}"], ROOT))
        with pytest.raises(MalformedXml, match="encoded in UTF-8"):
            read(content_type, [body], stager, LIMITS)
        assert stager.octets == {}

    @pytest.mark.parametrize("size", [5, 1 << 16])
    @pytest.mark.parametrize(
        ("content_type", "body", "problem"),
        [
            ("multipart/related", framed(SOAP_PART), "without a boundary"),
            ('multipart/related; boundary=""', framed(SOAP_PART), "without a boundary"),
            (RELATED.replace("=B", "=C"), framed(SOAP_PART, DOCUMENT), "end of multipart"),
            (RELATED, b"", "end of multipart"),
            (RELATED, framed(SOAP_PART, DOCUMENT)[:-30], "end of multipart"),
            (RELATED, framed(SOAP_PART, DOCUMENT, after=b""), "end of multipart"),
            (RELATED, framed(SOAP_PART, DOCUMENT, after=b"\r\n"), "end of multipart"),
            (RELATED, framed(SOAP_PART, DOCUMENT, after=b"xx"), "after boundary"),
            (RELATED, framed(SOAP_PART, DOCUMENT, line="\n"), "line break"),
            (RELATED, framed(SOAP_PART, DOCUMENT, before=b"no line end"), "first boundary"),
            (RELATED, framed(DOCUMENT, DOCUMENT), "two parts have the Content-ID 'doc1@example'"),
            (RELATED, framed(SOAP_PART, DOCUMENT, SOAP_PART), "part 3 is a second SOAP part"),
            (RELATED, framed(DOCUMENT), "without a SOAP part"),
            (RELATED, framed(*((["Content-ID: a"], b""),) * 2, SOAP_PART), "two parts"),
            (
                RELATED,
                framed(SOAP_PART, *(([f"Content-ID: {i}"], b"") for i in range(1000))),
                "segment count",
            ),
        ],
    )
    def test_broken_framing_leaves_nothing(
        self, stager: MemoryStager, content_type: str, body: bytes, problem: str, size: int
    ) -> None:
        with pytest.raises(BadPackage, match=problem):
            read(content_type, cut(body, size), stager, LIMITS)
        assert stager.octets == {}

    @pytest.mark.parametrize("size", [5, 1 << 16])
    @pytest.mark.parametrize(
        ("headers", "data", "problem"),
        [
            ([], b"x", "part 2 has no Content-ID"),
            (["Content-ID: a", "no colon"], b"x", "Malformed segment header"),
            (["Content-ID: \udcff"], b"x", "failed to decode$"),
            (["Content-ID: a", "Content-Length: 5"], b"x", "Content-Length"),
            (["Content-ID: a", f"X: {'a' * 9000}"], b"x", "header length"),
            (["Content-ID: a", *(f"X-{i}: a" for i in range(40))], b"x", "header count"),
            (["Content-ID: a", *(f"X-{i}: {'a' * 400}" for i in range(25))], b"x", "part 2 has over 8192"),
            (
                ["Content-ID: a", "Content-Transfer-Encoding: quoted-printable"],
                b"x",
                "'quoted-printable'; allowed: binary, 8bit",
            ),
            (["Content-ID: a", BASE64], b"QUJ!", "document 'a': not base64"),
            (["Content-ID: a", BASE64], b"QUJ", "document 'a': base64 ends"),
            ([*ROOT_HEADERS, BASE64], b"QUJ", "SOAP part: base64 ends"),
        ],
    )
    def test_broken_parts_leave_nothing(
        self, stager: MemoryStager, headers: list[str], data: bytes, problem: str, size: int
    ) -> None:
        body = framed(DOCUMENT, (headers, data), SOAP_PART)
        with pytest.raises(BadPackage, match=problem):
            read(RELATED, cut(body, size), stager, LIMITS)
        assert stager.octets == {}

    def test_every_truncation_is_noticed(self, stager: MemoryStager) -> None:
        body = framed(SOAP_PART, DOCUMENT)
        for length in range(len(body) - len("--\r\n") + 1):
            with pytest.raises(BadPackage):
                read(RELATED, [body[:length]], stager, LIMITS)
            assert stager.octets == {}

    @pytest.mark.parametrize("limit", ["request_bytes", "document_bytes", "root_part_bytes"])
    def test_sizes_are_bounded(self, stager: MemoryStager, limit: str) -> None:
        body = framed(
            DOCUMENT, (ROOT_HEADERS, b"<r>" + b"r" * 70_000 + b"</r>"), (["Content-ID: <a>"], b"d" * 70_000)
        )
        with pytest.raises(BadPackage, match="over 65536 bytes") as caught:
            read(RELATED, cut(body), stager, LIMITS.model_copy(update={limit: 65536}))
        assert caught.value.http_status == 413
        assert stager.octets == {}

    @pytest.mark.parametrize("failure", [TimeoutError("slow"), GeneratorExit(), KeyboardInterrupt()])
    def test_a_body_that_breaks_off_leaves_nothing(
        self, stager: MemoryStager, failure: BaseException
    ) -> None:
        def chunks() -> Iterator[bytes]:
            yield framed(SOAP_PART, DOCUMENT, (["Content-ID: <a>"], b"x" * 99))[:-50]
            assert len(stager.octets) == 2
            raise failure

        with pytest.raises(type(failure)):
            read(RELATED, chunks(), stager, LIMITS)
        assert stager.octets == {}

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def test_any_damage_is_a_message_or_refused(self, data: st.DataObject) -> None:
        stager = MemoryStager()
        body = framed(SOAP_PART, DOCUMENT, (["Content-ID: a", BASE64], b"QUJD"))
        for _ in range(data.draw(st.integers(1, 3))):
            start = data.draw(st.integers(0, len(body)))
            end = data.draw(st.integers(start, min(start + 12, len(body))))
            patch = st.binary(max_size=6) | st.sampled_from(
                [b"\r\n", b"--B", b"\r\n--B\r\n", b"--", b": ", b"<r>"]
            )
            body = body[:start] + data.draw(patch) + body[end:]
        try:
            message = read(RELATED, cut(body, data.draw(st.sampled_from([1, 9, 1 << 16]))), stager, LIMITS)
        except (BadPackage, MalformedXml):
            assert stager.octets == {}
        else:
            assert len(stager.octets) == len(message.parts)

    def test_large_inline_documents_join_the_parts(self, stager: MemoryStager) -> None:
        limits = LIMITS.model_copy(update={"root_part_bytes": 65536})
        big = b"b" * 100_000
        xml = f'<p xmlns:x="{XDS}"><x:Document>{base64.b64encode(big).decode()}</x:Document></p>'.encode()
        for content_type, body in (
            ("application/soap+xml", xml),
            (RELATED, framed((ROOT_HEADERS, xml), DOCUMENT)),
        ):
            message = read(content_type, cut(body), stager, limits)
            element = parse(message.root)[0]
            part = document_part(element, message.parts, stager, limits)
            assert stager.octets[part.token] == big

    def test_a_large_soap_part_ends_before_the_next_part(self, stager: MemoryStager) -> None:
        xml = f'<p xmlns:x="{XDS}"><x:Document>{"QUJD" * 30_000}'.encode()
        with pytest.raises(MalformedXml):
            read(
                RELATED,
                [framed((ROOT_HEADERS, xml), DOCUMENT)],
                stager,
                LIMITS.model_copy(update={"root_part_bytes": 65536}),
            )
        assert stager.octets == {}

    def test_memory_does_not_grow_with_the_document(self) -> None:
        def peak(count: int) -> int:
            stager = MemoryStager(counting_only=True)
            head, tail = framed(SOAP_PART, (DOC_HEADERS, b"|")).split(b"|")

            def chunks() -> Iterator[bytes]:
                yield head
                for _ in range(count):
                    yield bytes(1 << 16)
                yield tail

            tracemalloc.start()
            try:
                read(RELATED, chunks(), stager, LIMITS)
                assert stager.written == count << 16
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        assert peak(800) < peak(50) + 100_000
