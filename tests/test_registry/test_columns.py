"""Search columns: texts as queries compare them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msim_xds.ihe.names import AssociationType, Status
from msim_xds.metadata.model import Author, Code, DocumentEntry, Folder, SubmissionSet
from msim_xds.registry.columns import ASSOCIATION_TYPE, STATUS, code_text, columns_of, fold


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Łęcka^Żaneta", "lecka^zaneta"),
        ("ŻÓŁĆ gęślą jaźń", "zolc gesla jazn"),
        ("Müller^Đuro^Søren", "muller^duro^soren"),
        ("STRAẞE", "strasse"),
        ("%_\\", "%_\\"),
    ],
)
def test_fold(text: str, folded: str) -> None:
    assert fold(text) == folded


@settings(max_examples=50)
@given(st.text())
def test_fold_minds_neither_case_nor_composition(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert fold(unicodedata.normalize("NFD", text)) == fold(unicodedata.normalize("NFC", text))


def test_codes_and_persons_are_nfc() -> None:
    entry = DocumentEntry(
        entry_uuid="urn:uuid:1",
        class_code=Code("o\u0301", "1.2"),
        authors=(Author(person="Ko\u0301zka"), Author(institutions=("Szpital",))),
        reference_ids=("o\u0301^^^^x",),
    )
    columns = columns_of(entry, None)
    assert columns.row["class_code"] == code_text("ó", "1.2") == "ó^^1.2"
    assert columns.persons == ("Kózka",)
    assert columns.references == {"ó^^^^x"}


def test_what_is_absent_stays_empty() -> None:
    row = columns_of(DocumentEntry(entry_uuid="urn:uuid:1"), None).row
    assert {row[name] for name in ("time_low", "start_low", "size", "hash", "type_code", "home")} == {None}


def test_set_and_folder() -> None:
    content = Code("REGISTER", "1.2")
    columns = columns_of(
        SubmissionSet(
            entry_uuid="urn:uuid:1", submission_time="2026", source_id="1.2.3", content_type_code=content
        ),
        None,
    )
    assert (columns.row["time_low"], columns.row["time_high"]) == (20260000000000, 20269999999999)
    assert (columns.row["source_id"], columns.row["content_type_code"]) == ("1.2.3", "REGISTER^^1.2")
    folder = columns_of(
        Folder(entry_uuid="urn:uuid:2", codes=(content, content), last_update_time="20260914120000"), None
    )
    assert folder.codes == {(3, "REGISTER^^1.2")}
    assert folder.row["last_update_time"] == "20260914120000"


def test_every_status_and_every_kind_of_lasting_association_has_a_number() -> None:
    assert set(STATUS) == set(Status)
    passing = {AssociationType.UPDATE_AVAILABILITY_STATUS, AssociationType.SUBMIT_ASSOCIATION}
    assert set(ASSOCIATION_TYPE) == set(AssociationType) - passing
    assert len(set(ASSOCIATION_TYPE.values())) == len(ASSOCIATION_TYPE)
