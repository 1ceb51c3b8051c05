"""The code table: what it knows, what comes near, what schemes are called."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msim_xds.ihe.attributes import ATTRIBUTES, Where
from msim_xds.ihe.codes import CodeTable
from tests.support.metadata import CODES

CLASS_CODES = "2.16.840.1.113883.3.4424.11.1.32"
NAMES = ("KLAS_DOK_P1", "Klasyfikacja dokumentów P1")
SHIPPED = CodeTable.load()


def table(tmp_path: Path, text: str) -> CodeTable:
    path = tmp_path / "codes.toml"
    path.write_text(text, "utf-8")
    return CodeTable.load(path)


@pytest.mark.parametrize(("attribute", "code"), CODES.items())
def test_the_shipped_table_knows_the_samples(attribute: str, code: tuple[str, str, str]) -> None:
    assert SHIPPED.check(attribute, code[0], code[1])


def test_the_shipped_table_limits_only_what_exists() -> None:
    names = {row.name for rows in ATTRIBUTES.values() for row in rows}
    coded = {row.name for rows in ATTRIBUTES.values() for row in rows if row.where is Where.CODE}
    limited = {name for name in names if not SHIPPED.check(name, "\0", "\0")}
    assert limited == coded | {"languageCode", "mimeType"}


@pytest.mark.parametrize(
    ("attribute", "code", "scheme", "aliases", "known"),
    [
        ("classCode", "00.20", CLASS_CODES, False, True),
        ("classCode", "00.20", NAMES[0], False, False),
        ("classCode", "00.20", NAMES[0], True, True),
        ("classCode", "00.20", NAMES[1], True, True),
        ("classCode", "00.21", CLASS_CODES, True, False),
        ("typeCode", "11502-2", "LOINC", True, True),
        ("healthcareFacilityTypeCode", "4500", "2.16.840.1.113883.3.4424.11.2.4", False, True),
        ("healthcareFacilityTypeCode", "45000", "2.16.840.1.113883.3.4424.11.2.4", False, False),
        ("mimeType", "text/xml", "", False, True),
        ("mimeType", "text/odd", "", False, False),
        ("author", "anything", "", False, True),
    ],
)
def test_check(attribute: str, code: str, scheme: str, aliases: bool, known: bool) -> None:
    assert SHIPPED.check(attribute, code, scheme, aliases=aliases) is known


def test_expand_gives_every_name_of_the_scheme() -> None:
    written = {f"00.20^^{scheme}" for scheme in (CLASS_CODES, *NAMES)}
    for value in written:
        expanded = SHIPPED.expand(value)
        assert expanded[0] == value
        assert set(expanded) == written
    assert SHIPPED.expand("x^^1.2.3") == ("x^^1.2.3",)
    assert SHIPPED.expand("x") == ("x",)


@given(st.text(max_size=20), st.sampled_from([CLASS_CODES, *NAMES, "other"]))
@settings(max_examples=50, deadline=None)
def test_equivalents_have_the_same_equivalents(code: str, scheme: str) -> None:
    expanded = SHIPPED.expand(f"{code}^^{scheme}")
    assert len(set(expanded)) == len(expanded)
    assert all(set(SHIPPED.expand(each)) == set(expanded) for each in expanded)


def test_nearest_codes_and_schemes() -> None:
    assert "00.20 (Karta informacyjna leczenia szpitalnego)" in SHIPPED.nearest(
        "classCode", "0020", CLASS_CODES
    )
    assert len(SHIPPED.nearest("classCode", "nothing like it", NAMES[0])) == 3
    assert SHIPPED.nearest("classCode", "00.20", "1.2.3") == (f"scheme {CLASS_CODES}",)
    assert SHIPPED.nearest("healthcareFacilityTypeCode", "x", "Specjalność komórki organizacyjnej") == (
        "codes like [0-9]{4}",
    )
    assert SHIPPED.nearest("author", "x") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("attribute = 1", "attribute"),
        ("[[attribute.classCode]]\nscheme = 's'\n", "exactly one of any, pattern and codes"),
        ("[[attribute.classCode]]\nany = true\npattern = 'x'\n", "exactly one of any, pattern and codes"),
        ("[[attribute.classCode]]\npattern = '('\n", "no regular expression"),
        ("[[attribute.classCode]]\nany = true\nfoo = 1\n", "foo"),
        ("[[attribute.classCode]]\nany = true\n[[attribute.classCode]]\nany = true\n", "twice"),
        ("[attribute]\n[[scheme]]\nid = 'a'\n[[scheme]]\nid = 'b'\nnames = ['a']\n", "two schemes"),
        ("=", "Invalid"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        table(tmp_path, text)


def test_any_takes_every_code_but_none(tmp_path: Path) -> None:
    small = table(tmp_path, "[[attribute.classCode]]\nscheme = 's'\nany = true\n")
    assert small.check("classCode", "żółw 1", "s")
    assert not small.check("classCode", "", "s")
    assert small.check("typeCode", "x", "y")
