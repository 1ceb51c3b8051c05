"""The text of query parameters."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msim_xds.registry.value_syntax import BadValue, parse


def read(*values: str, bare: bool = False, most: int = 100, longest: int = 100) -> list[str]:
    return parse(values, bare=bare, most=most, longest=longest)


def write(items: list[str]) -> str:
    """The sender's side, as ITI TF-2 3.18.4.1.2.3 describes it."""
    return "(" + ",".join("'" + item.replace("'", "''") + "'" for item in items) + ")"


@pytest.mark.parametrize(
    ("values", "items"),
    [
        (["'a'"], ["a"]),
        (["('a')"], ["a"]),
        (["('a','b')", "('c')"], ["a", "b", "c"]),
        (["'a','b'"], ["a", "b"]),
        ([" ( 'a' ,\n\t'b' ) "], ["a", "b"]),
        (["'O''Reilly'"], ["O'Reilly"]),
        (["''"], [""]),
        (["''''"], ["'"]),
        (["'a,b','(c)'"], ["a,b", "(c)"]),
        (["'(a)'"], ["(a)"]),
        (["'st3498702^^^&1.3.6.1.4.1.21367.2005.3.7&ISO'"], ["st3498702^^^&1.3.6.1.4.1.21367.2005.3.7&ISO"]),
        ([r"'back\slash'"], [r"back\slash"]),
        ([], []),
    ],
)
def test_reads(values: list[str], items: list[str]) -> None:
    assert read(*values) == items


@pytest.mark.parametrize("text", ["20050101", "'20050101'", "(20050101)", " 20050101 ", "('20050101')"])
def test_numbers_with_and_without_quotes(text: str) -> None:
    assert read(text, bare=True) == ["20050101"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "()",
        "(",
        ")",
        "'a",
        "a'",
        "'a''",
        "'a' 'b'",
        "'a',",
        ",'a'",
        "'a',,'b'",
        "('a'",
        "'a')",
        "(('a'))",
        "('a'),('b')",
        "'a'b",
        '"a"',
        "a",
    ],
)
def test_refuses(text: str) -> None:
    with pytest.raises(BadValue):
        read(text)


def test_a_bare_word_is_no_text() -> None:
    with pytest.raises(BadValue, match="without single quotes") as caught:
        read("abc")
    assert caught.value.seen == "abc"
    assert caught.value.allowed == "'abc'"


def test_bounds() -> None:
    assert len(read(write(["a"] * 100))) == 100
    with pytest.raises(BadValue, match="too many"):
        read(write(["a"] * 101))
    with pytest.raises(BadValue, match="too many"):
        read(*["'a'"] * 101)
    with pytest.raises(BadValue, match="too long"):
        read("'" + "a" * 101 + "'")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.text(max_size=20), min_size=1, max_size=5), max_size=4))
def test_what_is_written_is_read(values: list[list[str]]) -> None:
    assert read(*map(write, values)) == [item for value in values for item in value]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="'(), a1\\%_\n", max_size=30), st.booleans())
def test_any_text_is_read_or_refused(text: str, bare: bool) -> None:
    try:
        items = read(text, bare=bare)
    except BadValue:
        return
    assert read(write(items)) == items


@pytest.mark.parametrize("unit", ["'", "''", "'a", "('", "'',", " ", "' '", "a", "\\'"])
def test_hostile_text_takes_linear_time(unit: str) -> None:
    text = "'" + unit * (1_000_000 // len(unit))
    started = time.process_time()
    with pytest.raises(BadValue):
        read(text)
    assert time.process_time() - started < 1
