"""Escaped text reads back as it was, whatever it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from msim_xds.wire.safexml import parse
from msim_xds.wire.xmltext import escape

XML_CHARACTERS = st.characters(
    exclude_categories=["Cs"],
    exclude_characters=[chr(i) for i in range(32) if i not in (9, 10, 13)] + ["\ufffe", "\uffff"],
)


@given(st.text(XML_CHARACTERS | st.sampled_from("<>&\"'\t\r\n")))
def test_round_trip_in_text_and_attribute(value: str) -> None:
    element = parse(f'<a b="{escape(value)}">{escape(value)}</a>'.encode())
    assert (element.get("b"), element.text or "") == (value, value)


@given(st.text())
def test_any_string_becomes_well_formed(value: str) -> None:
    parse(f'<a b="{escape(value)}">{escape(value)}</a>'.encode())


def test_what_xml_cannot_carry_is_replaced() -> None:
    assert escape("a\0b\ud800c\uffffd\x1b") == "a\ufffdb\ufffdc\ufffdd\ufffd"
