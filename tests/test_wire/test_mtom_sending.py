"""Messages going out: what is sent comes in again, octet for octet."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import multipart
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msim_xds.ihe.names import XDS
from msim_xds.ihe.transactions import ITI_43
from msim_xds.settings import LimitSettings
from msim_xds.wire.exchange import OutgoingDocument
from msim_xds.wire.inline import document_part
from msim_xds.wire.mtom import Message, Packaged, package, plain, read
from msim_xds.wire.safexml import parse
from msim_xds.wire.xop import include
from tests.test_wire.memory import MemoryStager, cut, joined, outgoing

LIMITS = LimitSettings()
ROOT = b"<e>root</e>"
ACTION = ITI_43.answer_action
OCTETS = b"\r\n--B\r--B--\x00\xff\r\n" * 50


@pytest.fixture
def stager() -> MemoryStager:
    return MemoryStager()


class TestPackage:
    def test_headers_are_those_of_the_framework(self) -> None:
        packaged = package([b"<e>", b"</e>"], [outgoing("d@x", b"abc")], ACTION)
        media_type, options = multipart.parse_options_header(packaged.content_type)
        assert media_type == "multipart/related"
        boundary = options.pop("boundary")
        assert options == {
            "type": "application/xop+xml",
            "start": "<root@msim-xds>",
            "start-info": "application/soap+xml",
            "action": ACTION,
        }
        assert joined(packaged).decode().split("\r\n") == [
            f"--{boundary}",
            'Content-Type: application/xop+xml; charset=UTF-8; type="application/soap+xml"',
            "Content-Transfer-Encoding: binary",
            "Content-ID: <root@msim-xds>",
            "",
            "<e></e>",
            f"--{boundary}",
            "Content-Type: text/xml",
            "Content-Transfer-Encoding: binary",
            "Content-ID: <d@x>",
            "Content-Length: 3",
            "",
            "abc",
            f"--{boundary}--",
            "",
        ]

    def test_without_documents_it_is_mtom_all_the_same(self, stager: MemoryStager) -> None:
        packaged = package([ROOT], [], ACTION)
        assert read(packaged.content_type, [joined(packaged)], stager, LIMITS) == Message(ROOT, {}, mtom=True)

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.binary(max_size=3000) | st.just(OCTETS), max_size=5),
        st.sampled_from([1, 2, 3, 5, 7, 100, 1 << 16]),
    )
    def test_what_goes_out_comes_in(self, documents: list[bytes], size: int) -> None:
        stager = MemoryStager()
        packaged = package([ROOT], [outgoing(f"{i}@msim", d) for i, d in enumerate(documents)], ACTION)
        message = read(packaged.content_type, cut(joined(packaged), size), stager, LIMITS)
        assert message.root == ROOT
        assert list(stager.of(message.parts).items()) == [(f"{i}@msim", d) for i, d in enumerate(documents)]

    @pytest.mark.parametrize("write", [package, plain])
    def test_small_is_one_piece_and_large_a_stream(
        self, write: Callable[[list[bytes], list[OutgoingDocument], str], Packaged]
    ) -> None:
        root = [include("d").encode()]
        small = write(root, [outgoing("d", b"x" * 100_000)], ACTION)
        assert isinstance(small.chunks, list)
        assert len(small.chunks) == 1
        opened = []

        def chunks() -> Iterator[bytes]:
            opened.append(True)
            yield b"x" * 400_000

        large = write(root, [OutgoingDocument("d", "a/b", 400_000, chunks())], ACTION)
        assert opened == []
        joined(large)

    @pytest.mark.parametrize(
        ("mime_type", "sent"),
        [
            ("application/dicom+json", "application/dicom+json"),
            ("text/xml; charset=UTF-8", "text/xml; charset=UTF-8"),
            ("text/xml\r\nX-Evil: 1", "application/octet-stream"),
            ("text/xml\n", "application/octet-stream"),
            ("tekst/ż", "application/octet-stream"),
            ("", "application/octet-stream"),
        ],
    )
    def test_mime_types_cannot_write_headers(self, mime_type: str, sent: str) -> None:
        data = joined(package([ROOT], [outgoing("d", b"", mime_type)], ACTION))
        assert (
            f"\r\nContent-Type: {sent}\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <d>".encode()
            in data
        )
        assert b"Evil" not in data


class TestPlain:
    def test_without_documents(self, stager: MemoryStager) -> None:
        packaged = plain([b"<e>", b"root</e>"], [], ACTION)
        assert packaged.content_type == f'application/soap+xml; charset=UTF-8; action="{ACTION}"'
        assert read(packaged.content_type, [joined(packaged)], stager, LIMITS).root == ROOT

    def test_large_without_documents_is_one_piece(self) -> None:
        packaged = plain([b"<e>", b"x" * 600_000, b"</e>"], [], ACTION)
        assert isinstance(packaged.chunks, list)
        assert len(joined(packaged)) == 600_007

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.binary(max_size=3000), max_size=5))
    def test_documents_stand_in_the_payload(self, documents: list[bytes]) -> None:
        stager = MemoryStager()
        root = "".join(
            f'<x:Document id="{i}">{include(f"{i} @")}</x:Document>' for i in range(len(documents))
        )
        packaged = plain(
            [f'<p xmlns:x="{XDS}">'.encode(), root.encode(), b"</p>"],
            [outgoing(f"{i} @", d, piece=7) for i, d in enumerate(documents)],
            ACTION,
        )
        payload = parse(read(packaged.content_type, [joined(packaged)], stager, LIMITS).root)
        got = [stager.octets[document_part(e, {}, stager, LIMITS).token] for e in payload]
        assert got == documents

    def test_a_document_without_a_reference_is_a_mistake(self) -> None:
        with pytest.raises(ValueError, match="does not refer to document 'd'"):
            plain([ROOT], [outgoing("d", b"")], ACTION)
