"""Hypothesis strategies for the metadata model: any object that ebRIM can say, well-formed or not."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from msim_xds.ihe.names import ON_DEMAND_OBJECT_TYPE, STABLE_OBJECT_TYPE, AssociationType, Status
from msim_xds.metadata.model import (
    Association,
    Author,
    Code,
    DocumentEntry,
    Folder,
    LocalizedString,
    Slot,
    Submission,
    SubmissionSet,
)

#: Characters that XML 1.0 can carry, with the ones that need care often.
_CHARACTERS = st.one_of(
    st.sampled_from("&<>\"'^~|\\ żŁ\t\n\r]"),
    st.characters(
        min_codepoint=0x20,
        max_codepoint=0x10FFFF,
        exclude_categories=["Cs"],
        exclude_characters="\ufffe\uffff",
    ),
)
texts = st.text(_CHARACTERS, max_size=40)
#: Values of known attributes: white space around them is no part of them, and empty is absent.
values = texts.map(str.strip).filter(bool)
many = st.lists(values, max_size=3).map(tuple)
extra_names = st.from_regex(r"urn:(extpl|example):[A-Za-z0-9:]{1,12}", fullmatch=True)
slots = st.builds(
    Slot, extra_names, st.lists(texts, max_size=3).map(tuple), st.none() | st.just("urn:example:type")
)
extras = st.lists(slots, max_size=2, unique_by=lambda slot: slot.name).map(tuple)
localized = st.builds(
    LocalizedString, texts, st.none() | st.sampled_from(["pl-PL", "en"]), st.none() | st.just("UTF-8")
)
international = st.lists(localized, max_size=2).map(tuple)
codes = st.builds(Code, values, values, international, extras)
authors = st.builds(Author, st.none() | values, many, many, many, many, extras)
uuids = st.uuids().map(lambda value: f"urn:uuid:{value}")
symbols = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,9}", fullmatch=True)
ids = uuids | symbols
_statuses = st.none() | st.sampled_from([str(status) for status in Status])

_FIELDS: dict[str, Any] = {
    "authors": st.lists(authors, max_size=2).map(tuple),
    "codes": st.lists(codes, max_size=3).map(tuple),
    "comments": international,
    "confidentiality_codes": st.lists(codes, max_size=3).map(tuple),
    "event_codes": st.lists(codes, max_size=3).map(tuple),
    "extra": extras,
    "intended_recipients": many,
    "object_type": st.sampled_from([STABLE_OBJECT_TYPE, ON_DEMAND_OBJECT_TYPE]),
    "reference_ids": many,
    "source_patient_info": many,
    "status": _statuses,
    "title": international,
    "uri": many,
    "version": st.none() | st.sampled_from(["1", "2"]),
}


def _objects(kind: type) -> st.SearchStrategy[Any]:
    names = kind.__dataclass_fields__  # type: ignore[attr-defined]
    fields = {
        name: _FIELDS.get(
            name, st.none() | (codes if name.endswith("_code") and name != "language_code" else values)
        )
        for name in names
        if name != "entry_uuid"
    }
    return st.builds(kind, entry_uuid=ids, **fields)


entries: st.SearchStrategy[DocumentEntry] = _objects(DocumentEntry)
submission_sets: st.SearchStrategy[SubmissionSet] = _objects(SubmissionSet)
folders: st.SearchStrategy[Folder] = _objects(Folder)
associations = st.builds(
    Association,
    entry_uuid=ids,
    type=st.sampled_from([str(each) for each in AssociationType]),
    source=ids,
    target=ids,
    status=_statuses,
    home=st.none() | values,
    object_type=st.none() | values,
    submission_set_status=st.sampled_from([(), ("Original",), ("Reference",)]),
    documentation=st.lists(codes, max_size=2).map(tuple),
    name=international,
    comments=international,
    slots=extras,
)


def _distinct(submission: Submission) -> bool:
    names = [obj.entry_uuid for obj in submission.objects()]
    return len(names) == len(set(names))


submissions = st.builds(
    Submission,
    st.lists(submission_sets, max_size=2).map(tuple),
    st.lists(entries, max_size=2).map(tuple),
    st.lists(folders, max_size=2).map(tuple),
    st.lists(associations, max_size=3).map(tuple),
).filter(_distinct)
#: DTMs that exist in the calendar, of every precision.
dtms = st.builds(
    lambda moment, length: f"{moment.year:04}{moment:%m%d%H%M%S}"[:length],
    st.datetimes(),
    st.sampled_from([4, 6, 8, 10, 12, 14]),
)
