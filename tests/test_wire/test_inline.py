"""Documents as base64 inside the SOAP part, small and large."""

from __future__ import annotations

import base64
import time
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msim_xds.ihe.names import XDS, XOP
from msim_xds.settings import LimitSettings
from msim_xds.wire import inline
from msim_xds.wire.inline import RootCollector, document_part
from msim_xds.wire.safexml import MalformedXml, parse
from msim_xds.wire.staging import BadPackage, Staging
from tests.test_wire.memory import MemoryStager

LIMITS = LimitSettings(root_part_bytes=65536)


@pytest.fixture
def stager() -> MemoryStager:
    return MemoryStager()


def message(*documents: str | bytes, before: bytes = b"") -> bytes:
    inner = b"".join(d if isinstance(d, bytes) else d.encode() for d in documents)
    return b'<s:E xmlns:s="urn:s" xmlns:x="%s">%s<x:P>' % (XDS.encode(), before) + inner + b"</x:P></s:E>"


def document(data: bytes, name: str = "d1") -> bytes:
    return f'<x:Document id="{name}">'.encode() + base64.b64encode(data) + b"</x:Document>"


FILLER = document(b"f" * 60_000, "filler")  # takes a message over the threshold


def collect(
    data: bytes, stager: MemoryStager, limits: LimitSettings = LIMITS, piece: int = 1 << 18
) -> tuple[bytes, dict[str, bytes]]:
    staging = Staging(stager, limits)
    collector = RootCollector(staging, limits)
    try:
        for start in range(0, len(data), piece):
            collector.write(data[start : start + piece])
        return collector.finish(), stager.of(staging.parts)
    except BaseException:
        staging.discard()
        raise


class TestLargeMessages:
    def test_small_ones_stay_as_they_are(self, stager: MemoryStager) -> None:
        small = message(document(b"abc"))
        assert collect(small, stager) == (small, {})

    @pytest.mark.parametrize("piece", [100, 4096, 1 << 20])
    def test_text_moves_and_all_else_keeps_its_octets(self, stager: MemoryStager, piece: int) -> None:
        first, second = b"\0\1" * 200_000, b"kurze \xc5\x82" * 30_000
        before = b"<s:H a='>' b=\"&lt;&#10;\"> t\xc4\x85 <![CDATA[<x:Document>]]><!-- c --><?p i?></s:H>"
        data = message(
            b"<x:Document\n id='>\"1' >\r\n" + base64.encodebytes(first) + b"<!-- c --></x:Document >",
            b"<lcm:S xmlns:lcm='urn:l'/>",
            document(second, "d2"),
            before=before,
        )
        root, parts = collect(data, stager, piece=piece)
        assert parts == {"inline-document-1": first, "inline-document-2": second}
        reference = b'<xop:Include xmlns:xop="' + XOP.encode() + b'" href="cid:inline-document-%d"/>'
        assert root == message(
            b"<x:Document\n id='>\"1' >" + reference % 1 + b"</x:Document >",
            b"<lcm:S xmlns:lcm='urn:l'/>",
            b'<x:Document id="d2">' + reference % 2 + b"</x:Document>",
            before=before,
        )

    def test_namespaces_decide_not_prefixes(self, stager: MemoryStager) -> None:
        text = base64.b64encode(b"q" * 60_000)
        ours = b'<Document xmlns="%s">' % XDS.encode() + text + b"</Document>"
        other = b'<x:Document xmlns:x="urn:other">' + text[:40] + b"</x:Document>"
        root, parts = collect(message(other, ours), stager)
        assert list(parts.values()) == [b"q" * 60_000]
        assert other in root

    @pytest.mark.parametrize(
        "element",
        [
            '<x:Document id="e"/>',
            '<x:Document id="e"></x:Document>',
            '<x:Document id="e"> \n </x:Document>',
            f'<x:Document id="e"> <i:Include xmlns:i="{XOP}" href="cid:a"/> </x:Document>',
        ],
    )
    def test_empty_documents_and_references_stay(self, stager: MemoryStager, element: str) -> None:
        root, parts = collect(message(element, document(b"z" * 60_000), element), stager)
        assert root.count(element.encode()) == 2
        assert list(parts.values()) == [b"z" * 60_000]

    @pytest.mark.parametrize(
        "text", ["<![CDATA[QUJD]]>", "QU<!-- c -->JD", "QU<?p i?>JD", "Q&#85;JD", " Q U\tJ\nD "]
    )
    def test_every_way_to_write_text(self, stager: MemoryStager, text: str) -> None:
        _, parts = collect(message(f"<x:Document>{text}</x:Document>", FILLER), stager)
        assert parts["inline-document-1"] == b"ABC"

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ("QUJ", "middle of a group"),
            ("QUJ!", "not base64"),
            ("QQ==QQ==", "padding"),
            ("ąąąą", "characters that are not base64"),
            ("QUJD<a/>", "nothing else"),
            ("<a/>QUJD", "nothing else"),
        ],
    )
    def test_broken_content_leaves_nothing(self, stager: MemoryStager, content: str, problem: str) -> None:
        data = message(document(b"ok"), f"<x:Document>{content}</x:Document>", FILLER)
        with pytest.raises(BadPackage, match=problem):
            collect(data, stager)
        assert stager.octets == {}

    @pytest.mark.parametrize(
        "data",
        [
            b"<!DOCTYPE a [<!ENTITY e 'QUJD'>]>" + message("<x:Document>&e;</x:Document>", FILLER),
            message(document(b"z" * 90_000))[:-40],
            message(document(b"z" * 90_000)) + b"<more/>",
            message(document(b"z" * 90_000), b"\xff"),
            b"<a>" * 40_000,
            b"<?xml version='1.0' encoding='iso-8859-2'?>" + message(FILLER),
        ],
        ids=["doctype", "truncated", "trailing", "utf-8", "depth", "encoding"],
    )
    def test_hostile_xml_leaves_nothing(self, stager: MemoryStager, data: bytes) -> None:
        with pytest.raises(MalformedXml):
            collect(data, stager)
        assert stager.octets == {}

    @pytest.mark.parametrize(
        "data",
        [
            message(b"<v>" + b"x" * 70_000 + b"</v>"),
            message(b"<v a='" + b"x" * 70_000 + b"'/>"),
            message(b"<v a='" + b"x" * 4_000_000),
            message(b"<x:Document><!--" + b"x" * 4_000_000),
            message(b"<x:Document>" + b" " * 4_000_000),
            message(b"<v/>" * 20_000),
        ],
        ids=["text", "attribute", "endless tag", "endless comment", "blank document", "elements"],
    )
    def test_the_remainder_is_bounded(self, stager: MemoryStager, data: bytes) -> None:
        with pytest.raises(BadPackage, match="over 65536 bytes") as caught:
            collect(data, stager)
        assert caught.value.http_status == 413

    def test_documents_are_bounded(self, stager: MemoryStager) -> None:
        limits = LIMITS.model_copy(update={"document_bytes": 80_000})
        with pytest.raises(BadPackage, match="over 80000 bytes"):
            collect(message(document(b"z" * 90_000)), stager, limits)
        assert stager.octets == {}

    def test_utf16_is_only_for_small_ones(self, stager: MemoryStager) -> None:
        with pytest.raises(BadPackage, match="UTF-8"):
            collect(message(FILLER).decode().encode("utf-16"), stager)

    def test_memory_is_constant_and_speed_useful(self) -> None:
        line = base64.encodebytes(b"0123456789abcdef" * 3600)

        def chunks(count: int) -> Iterator[bytes]:
            yield message()[:-12] + b"<x:Document>"
            yield from (line for _ in range(count))
            yield b"</x:Document></x:P></s:E>"

        def peak(count: int) -> int:
            stager, limits = MemoryStager(counting_only=True), LimitSettings()
            collector = RootCollector(Staging(stager, limits), limits)
            tracemalloc.start()
            try:
                for chunk in chunks(count):
                    collector.write(chunk)
                assert len(collector.finish()) < 400
                assert stager.written == count * 57600
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        started = time.perf_counter()
        assert peak(800) < peak(200) + 100_000  # 46 MB against 12 MB
        assert time.perf_counter() - started < 10

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(st.binary(max_size=2000), max_size=4), st.integers(1, 7), st.randoms(use_true_random=False)
    )
    def test_any_cutting_gives_the_same(self, documents: list[bytes], piece: int, random: object) -> None:
        stager = MemoryStager()
        data = message(*(document(d) for d in documents), document(b"y" * 1500), b"<v>\xc4\x85</v>")
        limits = LIMITS.model_copy(update={"root_part_bytes": 1500})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(inline, "_BATCH", piece)
            root, parts = collect(data, stager, limits, piece)
        assert list(parts.values()) == [*(d for d in documents if d), b"y" * 1500]
        elements = [e for e in parse(root).iter(f"{{{XDS}}}Document") if len(e)]
        assert len(elements) == len(parts)


class TestDocumentPart:
    def read(self, xml: str, stager: MemoryStager, **parts: bytes) -> bytes:
        staging = Staging(stager, LIMITS)
        for cid, data in parts.items():
            staging.open(cid, base64=False)
            staging.write(data)
            staging.close()
        element = parse(f'<x:Document xmlns:x="{XDS}" xmlns:xop="{XOP}" id="d">{xml}</x:Document>'.encode())
        return stager.octets[document_part(element, staging.parts, stager, LIMITS).token]

    @pytest.mark.parametrize("xml", ["QUJD", " QU\r\nJD ", "QU<!-- c -->JD", "<![CDATA[QUJD]]>"])
    def test_inline(self, stager: MemoryStager, xml: str) -> None:
        assert self.read(xml, stager) == b"ABC"

    def test_an_empty_document_is_a_document(self, stager: MemoryStager) -> None:
        assert self.read("", stager) == b""

    def test_reference(self, stager: MemoryStager) -> None:
        assert self.read(' <xop:Include href="cid:a%31"/> ', stager, a1=b"part") == b"part"

    @pytest.mark.parametrize(
        ("xml", "problem"),
        [
            ("QUJ", "'d': base64 ends in the middle"),
            ("ż", "not base64"),
            ('<xop:Include href="cid:b"/>', "'cid:b' names no part"),
            ('<xop:Include href="http://x/a"/>', "'http://x/a' names no part"),
            ("<xop:Include/>", "'' names no part"),
            ('QUJD<xop:Include href="cid:a"/>', "nothing else"),
            ('<xop:Include href="cid:a"/>QUJD', "nothing else"),
            ('<xop:Include href="cid:a"/><xop:Include href="cid:a"/>', "nothing else"),
            ("<other/>", "nothing else"),
        ],
    )
    def test_what_is_refused(self, stager: MemoryStager, xml: str, problem: str) -> None:
        with pytest.raises(BadPackage, match=problem):
            self.read(xml, stager, a=b"x")
        assert list(stager.octets.values()) == [b"x"]
