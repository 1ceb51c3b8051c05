"""The SQL of views against the decision about one document, in every stored query, on both databases."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msim_xds.metadata.model import DocumentEntry
from msim_xds.metadata.period import Period
from msim_xds.registry import consents, dependents, disclosure, patients
from msim_xds.registry.consents import Said
from msim_xds.registry.judged import Judged, judged
from msim_xds.security.access.document import Consent, shows
from msim_xds.wire.view import Clause, Condition, Fact, View
from tests.model.asking import ask_everything
from tests.model.reference import Model
from tests.model.registries import BUDGET, SPELT, merge, models, store
from tests.model.visible import visible
from tests.support.registry import Registry

pytestmark = pytest.mark.no_cover  # the gates hold without it, and tracing doubles its time

NAMES = ("1.2.616.1", "2^^^&1.2.616&ISO", "Trzy")
SPANS = ((0, 20201231999999), (20201231000000, 20210101999999), (20210101000000, 99999999999999))

spelt = st.lists(st.sampled_from(SPELT), min_size=1, max_size=3, unique=True).map(tuple)
names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True).map(tuple)
conditions = st.one_of(
    st.builds(Condition, st.just(Fact.CONFIDENTIALITY), spelt, st.booleans()),
    st.builds(
        Condition, st.sampled_from([Fact.CLASS, Fact.TYPE, Fact.PRACTICE_SETTING]), spelt, st.booleans()
    ),
    st.builds(Condition, st.just(Fact.INSTITUTION), names, st.booleans()),
    st.builds(
        Condition,
        st.sampled_from([Fact.CREATED_SURELY, Fact.CREATED_PERHAPS]),
        st.sampled_from(SPANS),
        st.booleans(),
    ),
    st.builds(Condition, st.sampled_from([Fact.OPTED_OUT, Fact.OPTED_IN]), st.just(()), st.booleans()),
)
clauses = st.tuples(st.booleans(), st.lists(conditions, min_size=1, max_size=3).map(tuple)).map(
    lambda parts: Clause(*parts)
)
views = st.builds(
    lambda drawn, otherwise: View.of(drawn, otherwise=otherwise),
    st.lists(clauses, max_size=5),
    st.booleans(),
)
said = st.builds(
    Consent,
    st.booleans(),
    st.none() | spelt.map(frozenset),
    st.none() | st.sampled_from(NAMES),
    st.none() | st.sampled_from(SPANS).map(lambda span: Period(*span)),
    st.none() | spelt.map(frozenset),
    st.none() | spelt.map(frozenset),
)
AT = Said("a test", "2026-09-14T12:00:00+00:00", "asked for")


def keep(registry: Registry, given: dict[str, list[Consent]]) -> None:
    with registry.database.write() as connection:
        for cx, each in ((cx, each) for cx, several in given.items() for each in several):
            found = patients.find(connection, cx)
            assert found is not None
            consents.record(connection, found.id, each, AT)


def merged(given: dict[str, list[Consent]], surviving: str, subsumed: str) -> None:
    """The stricter of what two patients have said: every refusal, and what both have allowed."""

    def parts(cx: str) -> set[Consent]:
        return {
            each._replace(classes=one(a), facilities=one(b), events=one(c))
            for each in given[cx]
            for a, b, c in product(each.classes or [""], each.facilities or [""], each.events or [""])
        }

    def one(code: str) -> frozenset[str] | None:
        return frozenset([code]) if code else None

    both = parts(surviving), parts(subsumed)
    allowed = {each for each in both[0] & both[1] if each.opt_in}
    given[surviving] = [*allowed, *(each for each in both[0] | both[1] if not each.opt_in)]
    given[subsumed] = []


#: Each view that is drawn has statements of its own, which SQLAlchemy takes long to write.
_FEW = settings(BUDGET, max_examples=8)


@_FEW
@given(data=st.data(), model=models())
def test_what_a_view_hides_is_as_if_it_were_not_there(
    registry: Registry, data: st.DataObject, model: Model
) -> None:
    store(registry, model)
    recorded: dict[str, list[Any]] = {cx: data.draw(st.lists(said, max_size=2)) for cx in model.patients}
    keep(registry, recorded)
    for _ in range(2):
        view = data.draw(views)
        ask_everything(registry, data.draw, model, view, visible(model, view, recorded))
    if len(model.patients) > 1:
        surviving, subsumed = model.patients[:2]
        merge(registry, model, subsumed, surviving)
        merged(recorded, surviving, subsumed)
        view = data.draw(views)
        ask_everything(registry, data.draw, model, view, visible(model, view, recorded))


@_FEW
@given(data=st.data(), model=models())
def test_what_explanations_look_at_decides_as_queries_do(
    registry: Registry, data: st.DataObject, model: Model
) -> None:
    store(registry, model)
    keep(registry, {cx: data.draw(st.lists(said, max_size=2)) for cx in model.patients})
    entries = [each for each in model.objects.values() if isinstance(each, DocumentEntry)]
    view = data.draw(views)
    with registry.database.read() as connection:
        found = {each.entry_uuid: judged(connection, each.entry_uuid) for each in entries}
        keys = dependents.named(connection, found)
        by_key = {thing.id: thing.entry_uuid for thing in dependents.things(connection, keys)}
        shown = {by_key[key] for key in disclosure.shown_objects(connection, view, keys)}
        assert shown == {uuid for uuid, each in found.items() if _all_shown(view, each)}
        unique_ids = {each.unique_id for each in entries if each.unique_id}
        together = {name for name in unique_ids if _all_shown(view, judged(connection, name))}
        assert disclosure.shown_documents(connection, view, unique_ids) == together


def _all_shown(view: View, entries: list[Judged]) -> bool:
    """Nothing is found of a uniqueId that only older versions have."""
    return bool(entries) and all(shows(view, each.document) for each in entries)
