"""References from a payload to its parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msim_xds.wire.safexml import parse
from msim_xds.wire.xop import INCLUDE, cid_of, content_id, include


@given(st.text(st.characters(min_codepoint=33, exclude_categories=["Cs", "Cn"]), min_size=1))
def test_an_include_names_its_part(cid: str) -> None:
    element = parse(include(cid).encode())
    assert element.tag == INCLUDE
    assert cid_of(element.get("href", "")) == cid


@pytest.mark.parametrize(
    ("href", "cid"),
    [
        ("cid:doc1@example.org", "doc1@example.org"),
        ("CID:doc%201", "doc 1"),
        (" cid:http%3A%2F%2Ftempuri.org%2F1 ", "http://tempuri.org/1"),
        ("http://example.org/doc", None),
        ("", None),
    ],
)
def test_cid_urls(href: str, cid: str | None) -> None:
    assert cid_of(href) == cid


@pytest.mark.parametrize(
    "header", ["<http://tempuri.org/1>", " <http%3A%2F%2Ftempuri.org/1> ", "http://tempuri.org/1"]
)
def test_content_ids_of_all_stacks_are_the_same(header: str) -> None:
    assert content_id(header) == "http://tempuri.org/1"
