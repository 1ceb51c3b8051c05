"""The rules of updates are whole, and used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import msim_xds
from msim_xds.ihe import updates
from msim_xds.ihe.errors import ERRORS
from msim_xds.ihe.names import AssociationType
from msim_xds.ihe.transactions import ITI_57, ITI_92
from msim_xds.ihe.updates import RULES, Operation, Rule
from msim_xds.metadata.layout import UPDATE_SLOTS
from msim_xds.metadata.model import DocumentEntry

OPERATIONS = [row for row in vars(updates).values() if isinstance(row, Operation)]
PACKAGE = Path(msim_xds.__file__).parent


@pytest.mark.parametrize("name", RULES)
def test_a_rule_has_a_code_that_its_transaction_may_send(name: str) -> None:
    rule = RULES[name]
    codes = {row.name: rule.code(row.name) for row in (ITI_57, ITI_92)}
    assert any(codes.values())
    for transaction, code in codes.items():
        assert not code or transaction in ERRORS[code].transactions
    assert rule.source(ITI_57.name).startswith("ITI TF-2 3.57.4.1.3")
    assert rule.source(ITI_92.name).startswith("ITI TF-2 3.92.4.1.3")


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_applied(name: str) -> None:
    modules = [
        PACKAGE / "metadata/update_rules.py",
        PACKAGE / "registry/update_plan.py",
        Path(updates.__file__),
    ]
    uses = [use for module in modules for use in re.findall(rf"\b{name}\b", module.read_text("utf-8"))]
    assert len(uses) > 1  # its definition, and a use


def test_restricted_updates_know_one_operation() -> None:
    known = [row for row in OPERATIONS if ITI_92.name in row.transactions]
    assert [row.title for row in known] == ["Update DocumentEntry Metadata"]
    assert all(ITI_57.name in row.transactions for row in OPERATIONS)


def test_the_reader_keeps_the_slots_of_operations() -> None:
    slots = {slot.name for row in OPERATIONS for slot in row.slots}
    assert slots == UPDATE_SLOTS | {"SubmissionSetStatus"}


def test_triggers_differ_or_change_other_kinds() -> None:
    claimed = [(row.trigger, kind) for row in OPERATIONS for kind in row.target]
    assert len(claimed) == len(set(claimed))
    assert AssociationType.RPLC not in {row.trigger for row in OPERATIONS}


def test_fixed_attributes_are_fields_of_an_entry() -> None:
    fields = {field for _, field, _ in updates.UNMODIFIABLE_ATTRIBUTES}
    assert fields <= set(DocumentEntry.__dataclass_fields__)


def test_every_constant_is_in_the_table() -> None:
    assert {name for name, value in vars(updates).items() if isinstance(value, Rule)} == set(RULES)
