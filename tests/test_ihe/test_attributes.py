"""The attribute table is complete and agrees with the model and the checks."""

from __future__ import annotations

from typing import Any

import pytest

from msim_xds.ihe.attributes import ATTRIBUTES, AUTHOR_SLOTS, Attribute, Owner, Use, Where
from msim_xds.metadata.datatypes import checks
from msim_xds.metadata.model import Author, DocumentEntry, Folder, SubmissionSet
from msim_xds.settings import Tolerances

MODEL: dict[Owner, Any] = {
    Owner.DOCUMENT_ENTRY: DocumentEntry,
    Owner.SUBMISSION_SET: SubmissionSet,
    Owner.FOLDER: Folder,
}
ROWS = [row for rows in ATTRIBUTES.values() for row in rows]
#: Judged as a whole, value by value inside.
COMPOSITE = {"code", "author"}


@pytest.mark.parametrize("owner", list(Owner))
def test_rows_and_fields_are_the_same(owner: Owner) -> None:
    fields = [row.field for row in ATTRIBUTES[owner]]
    assert len(set(fields)) == len(fields)
    assert {*fields, "extra"} == set(MODEL[owner].__dataclass_fields__)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.owner.value}.{row.name}")
def test_every_row_is_whole(row: Attribute) -> None:
    assert row.owner in ATTRIBUTES
    assert row in ATTRIBUTES[row.owner]
    assert row.section.startswith("ITI TF-3 4.2.3.")
    assert row.datatype in COMPOSITE or row.datatype in checks(Tolerances())
    assert (row.datatype == "code") == (row.where is Where.CODE)
    assert (row.datatype == "author") == (row.where is Where.AUTHOR)
    assert row.most in (1, None)
    is_many = "tuple" in MODEL[row.owner].__dataclass_fields__[row.field].type
    assert is_many == (row.most is None)
    assert row.registry is not Use.REQUIRED or row.source in (Use.REQUIRED, Use.OPTIONAL)


def test_keys_are_unique_in_their_place() -> None:
    for rows in ATTRIBUTES.values():
        keys = [(row.where, row.key) for row in rows]
        assert len(set(keys)) == len(keys)
    schemes = [row.key for row in ROWS if row.key.startswith("urn:uuid:")]
    assert len(set(schemes)) == len(schemes)
    assert all(len(scheme) == 45 and scheme == scheme.lower() for scheme in schemes)


def test_author_slots_agree_with_the_model() -> None:
    assert [field for _, field, _, _ in AUTHOR_SLOTS] == [
        field for field in Author._fields if field != "extra"
    ]
    assert all(datatype in checks(Tolerances()) for _, _, datatype, _ in AUTHOR_SLOTS)
