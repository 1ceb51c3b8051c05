"""The SQL of stored queries against a reference model, over random registries, on both databases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msim_xds.ihe.names import Status
from tests.model.asking import MULTIPLE, QUERIES, ask_everything
from tests.model.reference import Model
from tests.model.registries import BUDGET, merge, models, store
from tests.support.metadata import APPROVED, DEPRECATED
from tests.support.queries import ALL_IDS
from tests.support.registry import Registry

pytestmark = pytest.mark.no_cover  # the gates hold without it, and tracing doubles its time


def test_the_model_is_complete() -> None:
    """Its status texts are the product's, or the tests would be empty; and it knows every query."""
    assert {APPROVED, DEPRECATED} == {status.value for status in Status}
    assert QUERIES.keys() | MULTIPLE.keys() == ALL_IDS.keys()


@BUDGET
@given(data=st.data(), model=models())
def test_answers_are_those_of_the_model(registry: Registry, data: st.DataObject, model: Model) -> None:
    store(registry, model)
    ask_everything(registry, data.draw, model)
    for position in range(len(model.patients) - 1, 0, -1):
        if data.draw(st.booleans()):
            surviving = data.draw(st.sampled_from(model.patients[:position]))
            merge(registry, model, model.patients[position], surviving)
    if model.merged:
        ask_everything(registry, data.draw, model)
