"""Which source serves an entry, where sources come from, and ids made from content."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msim_xds.ihe.codes import CodeTable
from msim_xds.metadata.datatypes import checks
from msim_xds.metadata.model import Code, DocumentEntry, SubmissionSet
from msim_xds.repository import on_demand
from msim_xds.repository.on_demand import Claim, Order, Sources
from msim_xds.repository.patient_summary import PatientSummary
from msim_xds.settings import OnDemandSettings, Settings, Tolerances
from tests.test_repository.on_demand_world import Source, saying

TYPE, FORMAT, CLASS = "60591-5^^1.2", "f^^1.3", "c^^1.4"
ENTRY = DocumentEntry(
    entry_uuid="x",
    unique_id="1.2.3",
    type_code=Code("60591-5", "1.2"),
    format_code=Code("f", "1.3"),
    class_code=Code("c", "1.4"),
)


def claiming(*claims: Claim) -> Source:
    return saying(b"", claims=claims)


def order(entry: DocumentEntry = ENTRY, repository: str = "1.9") -> Order:
    return Order(entry, SubmissionSet(entry_uuid="s"), Nothing(), repository)


class Nothing:
    def documents(self) -> Any:
        return iter(())


class TestServing:
    @pytest.mark.parametrize(
        ("claim", "serves"),
        [
            (Claim(), True),
            (Claim(TYPE), True),
            (Claim(TYPE, FORMAT, CLASS), True),
            (Claim(type_code="60591-5^^1.3"), False),
            (Claim(TYPE, "g^^1.3"), False),
            (Claim(class_code="C^^1.4"), False),
        ],
    )
    def test_every_code_of_a_claim_must_be_the_entrys(self, claim: Claim, serves: bool) -> None:
        assert (Sources({"a": claiming(claim)}).serving(ENTRY) == "a") is serves

    def test_an_entry_without_the_code(self) -> None:
        bare = DocumentEntry(entry_uuid="x")
        assert Sources({"a": claiming(Claim(TYPE))}).serving(bare) is None
        assert Sources({"a": claiming(Claim())}).serving(bare) == "a"

    def test_the_claim_that_says_most_decides(self) -> None:
        sources = {
            "any": claiming(Claim()),
            "type": claiming(Claim(TYPE)),
            "both": claiming(Claim(), Claim(TYPE, FORMAT)),
        }
        assert Sources(sources).serving(ENTRY) == "both"
        other = replace(ENTRY, format_code=Code("g", "1.3"))
        assert Sources(sources).serving(other) == "type"

    def test_then_the_order_of_the_settings(self) -> None:
        sources = {"first": claiming(Claim(TYPE)), "second": claiming(Claim(class_code=CLASS))}
        assert Sources(sources).serving(ENTRY) == "first"
        assert Sources(dict(reversed(sources.items()))).serving(ENTRY) == "second"

    def test_other_names_of_a_scheme(self) -> None:
        codes = CodeTable.load()
        entry = replace(ENTRY, type_code=Code("60591-5", "LOINC"))
        sources = {"a": claiming(Claim("60591-5^^2.16.840.1.113883.6.1"))}
        assert Sources(sources).serving(entry) is None
        assert Sources(sources, codes.expand).serving(entry) == "a"


class TestLoading:
    def test_the_source_that_is_shipped(self) -> None:
        sources = Sources.load(Settings())
        assert list(sources.offered) == ["patient-summary"]
        assert isinstance(sources.offered["patient-summary"], PatientSummary)

    def test_none(self) -> None:
        assert not Sources.load(Settings(on_demand=OnDemandSettings(sources=()))).offered

    def test_a_source_that_is_not_installed(self) -> None:
        settings = Settings(on_demand=OnDemandSettings(sources=("patient-summary", "other")))
        with pytest.raises(ValueError, match=r"other is not installed; installed: patient-summary"):
            Sources.load(settings)

    def test_a_package_of_somebody_else(self, monkeypatch: pytest.MonkeyPatch) -> None:
        where = f"{__name__}:made_from_settings"
        points = [EntryPoint("theirs", where, on_demand.GROUP)]
        monkeypatch.setattr(
            on_demand, "entry_points", lambda group: points if group == on_demand.GROUP else []
        )
        settings = Settings(on_demand=OnDemandSettings(sources=("theirs",)))
        (source,) = Sources.load(settings).offered.values()
        assert source.produce(order()).title == str(settings.data)


def made_from_settings(settings: Settings) -> Source:
    return saying(b"", title=str(settings.data))


class TestIdentifier:
    @given(st.binary(), st.binary())
    def test_is_the_contents(self, one: bytes, other: bytes) -> None:
        assert (order().identifier(one) == order().identifier(other)) is (one == other)

    @given(st.text(min_size=1), st.text(min_size=1))
    def test_is_the_entrys(self, one: str, other: str) -> None:
        a, b = (order(replace(ENTRY, unique_id=each)).identifier(b"") for each in (one, other))
        assert (a == b) is (one == other)

    def test_is_the_repositorys(self) -> None:
        assert order(repository="1.1").identifier(b"") != order(repository="1.2").identifier(b"")

    @given(st.binary())
    def test_is_a_unique_id_by_the_letter(self, digest: bytes) -> None:
        assert checks(Tolerances())["identifier"]("^".join(order().identifier(digest))) is None
