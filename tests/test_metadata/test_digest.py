"""The fingerprint that recognises a retry."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume, given, settings

from msim_xds.metadata import ebrim, fragments
from msim_xds.metadata.digest import submission_digest
from msim_xds.metadata.model import LocalizedString, Submission
from msim_xds.settings import LimitSettings
from msim_xds.wire.safexml import parse
from tests.support import strategies


@given(strategies.submissions)
@settings(max_examples=30, deadline=None)
def test_a_retry_has_the_same_digest(submission: Submission) -> None:
    again = ebrim.read(parse(fragments.submit_objects(submission)), LimitSettings()).submission
    assert submission_digest(again) == submission_digest(submission)


@given(strategies.submissions)
@settings(max_examples=30, deadline=None)
def test_any_change_shows(submission: Submission) -> None:
    assume(submission.entries)
    first, *others = submission.entries
    changed = replace(
        submission, entries=(replace(first, title=(*first.title, LocalizedString("more"))), *others)
    )
    assert submission_digest(changed) != submission_digest(submission)
