"""Hostile XML: refused, quickly, and without its content in the message."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from msim_xds.wire.safexml import (
    MAX_DEPTH,
    MAX_MARKUP,
    MalformedXml,
    StreamParser,
    check_encoding,
    parse,
    parse_signed,
)

LAUGHS = (
    "<!DOCTYPE r [<!ENTITY a 'ha'>"
    + "".join(f"<!ENTITY {chr(98 + i)} '{f'&{chr(97 + i)};' * 10}'>" for i in range(9))
    + "]>"
)
DOCTYPES = {
    "bare": "<!DOCTYPE r><r/>",
    "after a declaration": '<?xml version="1.0"?>\n<!DOCTYPE r><r/>',
    "after a comment": "<!-- <!DOCTYPE no> --> \n<!DOCTYPE r><r/>",
    "after an instruction": "<?x <?y ?><!DOCTYPE r><r/>",
    "internal entity in text": '<!DOCTYPE r [<!ENTITY a "x">]><r>&a;</r>',
    "internal entity in an attribute": '<!DOCTYPE r [<!ENTITY a "x">]><r a="&a;"/>',
    "external entity": '<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><r>&a;</r>',
    "external subset": '<!DOCTYPE r SYSTEM "http://127.0.0.1:9/x.dtd"><r/>',
    "parameter entity": '<!DOCTYPE r [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd">%p;]><r/>',
    "billion laughs": f"{LAUGHS}<r>&j;</r>",
    "billion laughs in an attribute": f'{LAUGHS}<r a="&j;"/>',
    "default attributes": "<!DOCTYPE r [<!ATTLIST b "
    + " ".join(f'a{i} CDATA ""' for i in range(2000))
    + "]><r>"
    + "<b/>" * 20000
    + "</r>",
}
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("document", DOCTYPES.values(), ids=DOCTYPES)
def test_doctype_is_refused_at_once_in_every_encoding(document: str, encoding: str) -> None:
    started = time.perf_counter()
    with pytest.raises(MalformedXml, match="DOCTYPE"):
        parse(document.encode(encoding))
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize(
    "document",
    ["<r><![CDATA[<!DOCTYPE r>]]></r>", "<!-- <!DOCTYPE r> --><r/>", "<r><!-- <!DOCTYPE r> --></r>"],
)
def test_the_word_doctype_in_content_is_no_doctype(document: str) -> None:
    assert parse(document.encode()).tag == "r"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_unicode_is_read(encoding: str) -> None:
    assert parse("<r>Zażółć \U0001f600</r>".encode(encoding)).text == "Zażółć \U0001f600"


@pytest.mark.parametrize("declared", ["UTF-8", "utf-8", "UTF-16", "US-ASCII"])
def test_declared_encodings_that_are_allowed(declared: str) -> None:
    assert parse(f'<?xml version="1.0" encoding="{declared}"?><r>a</r>'.encode()).text == "a"


@pytest.mark.parametrize("declared", ["utf-7", "ISO-8859-2", "windows-1250", "cp037", "UTF-32", "", "x\xe9"])
@pytest.mark.parametrize("pad", ["", " " * 5000])
def test_other_declared_encodings_are_refused(declared: str, pad: str) -> None:
    head = f"<?xml version='1.0' {pad}encoding = '{declared}' ?><r>+ADw-b/+AD4-</r>"
    with pytest.raises(MalformedXml, match="encod"):
        parse(head.encode("latin-1"))


def test_utf7_markup_is_never_seen() -> None:
    assert parse(b"<r>+ADw-b/+AD4-</r>").text == "+ADw-b/+AD4-"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" \n",
        b"text",
        b"<r>",
        b"<r></s>",
        b"<r/><r/>",
        b"<x:r/>",
        b'<r a="" a=""/>',
        b"<r>&unknown;</r>",
        b"<r>&#0;</r>",
        b"<r>\0</r>",
        b"<r>\xff</r>",
        b"<r>\xc0\xaf</r>",
        b"<r>\xed\xa0\x80</r>",
        b"<r>\xc4</r>",
        b'<r a="\xff"/>',
        b"<r><![CDATA[\xfe]]></r>",
        b"<\xff/>",
        b"\0\0\0<\0\0\0r",
        b"\xff\xfe<",
        "<r>\ud800</r>".encode("utf-16-le", "surrogatepass"),
    ],
)
def test_malformed_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedXml):
        parse(data)


def test_the_message_tells_the_place_and_quotes_nothing() -> None:
    with pytest.raises(MalformedXml) as caught:
        parse(b"<Kowalski>\n  <Jan></Nowak>")
    assert str(caught.value) == "XML is not well-formed at line 2, column 16 (tag name mismatch)"


def test_a_failed_parse_leaves_the_parser_usable() -> None:
    for _ in range(3):
        with pytest.raises(MalformedXml):
            parse(b"<r><")
        assert parse(b"<r/>").tag == "r"


@pytest.mark.parametrize(
    "data",
    [
        b"<r>" + b"<b/>" * 1_900_000 + b"</r>",
        b"<b>" * (MAX_DEPTH + 1) + b"</b>" * (MAX_DEPTH + 1),
        b"<b>" * 1_000_000,
        b"<r>" + b"x" * 11_000_000 + b"</r>",
    ],
    ids=["elements", "depth", "unclosed", "text"],
)
def test_size_bombs_are_refused_quickly(data: bytes) -> None:
    started = time.perf_counter()
    with pytest.raises(MalformedXml):
        parse(data)
    assert time.perf_counter() - started < 1


def test_a_hundred_thousand_slots_are_read_or_refused_quickly() -> None:
    slot = b'<Slot name="a"><ValueList><Value>x</Value></ValueList></Slot>'
    started = time.perf_counter()
    with pytest.raises(MalformedXml, match=f"at most {MAX_MARKUP} tags"):
        parse(b"<r>" + slot * 100_000 + b"</r>")
    assert len(parse(b"<r>" + slot * 80_000 + b"</r>")) == 80_000
    assert time.perf_counter() - started < 2


def test_comments_and_instructions_do_not_cut_text() -> None:
    root = parse(b"<?a?><!-- b --><r>admin<!-- x -->istrator<?y?>!</r>")
    assert (root.text, len(root)) == ("administrator!", 0)


def test_threads_parse_at_once() -> None:
    with ThreadPoolExecutor(8) as pool:
        texts = pool.map(lambda i: parse(b"<r>%d</r>" % i).text, range(500))
    assert list(texts) == [str(i) for i in range(500)]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60) | st.text("<>/!?-[]&;'\" aDOCTYPE=", max_size=60).map(str.encode))
def test_anything_is_a_tree_or_malformed(data: bytes) -> None:
    with contextlib.suppress(MalformedXml):
        assert parse(data).getroottree().docinfo.internalDTD is None


@pytest.mark.parametrize("document", DOCTYPES.values(), ids=DOCTYPES)
def test_the_stream_parser_refuses_a_doctype_too(document: str) -> None:
    with pytest.raises(MalformedXml, match="DOCTYPE"):
        StreamParser(4096).feed(document.encode(), final=True)


@pytest.mark.parametrize(
    "data", [b"<r>", b"<r>\xff</r>", b'<?xml version="1.0" encoding="iso-8859-2"?><r/>', b"<r>&x;</r>"]
)
def test_the_stream_parser_refuses_the_malformed(data: bytes) -> None:
    with pytest.raises(MalformedXml):
        StreamParser(4096).feed(data, final=True)


def test_charsets_of_headers() -> None:
    check_encoding("Utf-8")
    with pytest.raises(MalformedXml):
        check_encoding("iso-8859-2")


def test_a_signed_document_loses_nothing() -> None:
    root = parse_signed("<?a b?><!--c--><r>ż<!--d--><?e f?></r>".encode())
    assert etree.tostring(root.getroottree(), encoding="unicode") == "<?a b?><!--c--><r>ż<!--d--><?e f?></r>"


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-2", "windows-1250", "utf-8"])
def test_signed_documents_of_older_encodings(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><r>Zażółć</r>'
    assert parse_signed(text.encode(encoding)).text == "Zażółć"


@pytest.mark.parametrize("encoding", ["utf-7", "koi8-r"])
def test_signed_documents_of_other_encodings_are_refused(encoding: str) -> None:
    with pytest.raises(MalformedXml, match="encoded"):
        parse_signed(f'<?xml version="1.0" encoding="{encoding}"?><r/>'.encode())


def test_large_signed_documents_have_long_texts_and_no_deep_nesting() -> None:
    text = b"x" * 11_000_000
    assert len(parse_signed(b"<r>%s</r>" % text).text or "") == len(text)
    with pytest.raises(MalformedXml, match="nested deeper"):
        parse_signed(b"<r>" * 300 + text + b"</r>" * 300)
