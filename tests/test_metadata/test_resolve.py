"""Symbolic ids become UUIDs, consistently."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from hypothesis import given, settings

from msim_xds.metadata.model import Association, DocumentEntry, Folder, Submission, SubmissionSet
from msim_xds.metadata.resolve import resolve
from msim_xds.metadata.values import is_uuid, looks_like_uuid
from tests.support import strategies

FIXED = "urn:uuid:6D0F6C1A-2D5B-4A57-8A0B-1B1F0D6A9E02"


def numbered() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"urn:uuid:00000000-0000-4000-8000-{next(numbers):012x}"


def test_references_follow_their_objects() -> None:
    submission = Submission(
        (SubmissionSet(entry_uuid="Set"),),
        (
            DocumentEntry(entry_uuid=FIXED, logical_id=FIXED),
            DocumentEntry(entry_uuid="Doc", logical_id="Doc"),
        ),
        (Folder(entry_uuid="Folder"),),
        (
            Association(entry_uuid="", type="t", source="Set", target=FIXED),
            Association(entry_uuid="", type="t", source="Folder", target="Doc"),
            Association(entry_uuid="Last", type="t", source="Set", target="urn:uuid:ELSEWHERE"),
        ),
    )
    done = resolve(submission, numbered())
    (the_set,), (fixed, doc), (folder,) = done.submission_sets, done.entries, done.folders
    first, second, last = done.associations
    assert fixed.entry_uuid == fixed.logical_id == FIXED.lower()
    assert doc.logical_id == doc.entry_uuid
    assert (first.source, first.target) == (the_set.entry_uuid, FIXED.lower())
    assert (second.source, second.target) == (folder.entry_uuid, doc.entry_uuid)
    assert last.target == "urn:uuid:ELSEWHERE"
    names = [obj.entry_uuid for obj in done.objects()]
    assert len(set(names)) == len(names)
    assert all(map(is_uuid, names))


@given(strategies.submissions)
@settings(max_examples=50, deadline=None)
def test_nothing_but_ids_changes(submission: Submission) -> None:
    done = resolve(submission, numbered())
    for before, after in zip(submission.objects(), done.objects(), strict=True):
        assert is_uuid(after.entry_uuid)
        assert after.entry_uuid == after.entry_uuid.lower()
        if looks_like_uuid(before.entry_uuid):
            assert after.entry_uuid == before.entry_uuid.lower()
    assert resolve(done, numbered()) == done


def test_a_look_alike_stays_as_it_is() -> None:
    submission = Submission(entries=(DocumentEntry(entry_uuid="urn:uuid:A-cl-author"),))
    assert resolve(submission, numbered()) == submission
