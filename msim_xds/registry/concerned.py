"""Whom and what requests to the registry concern, as audit records name it."""

from __future__ import annotations

from msim_xds.metadata.model import Submission
from msim_xds.wire.exchange import Concerns


def submitted(submission: Submission, *, with_home: bool = False) -> Concerns:
    """Of a submission, also one that will be refused; ``with_home`` where records say the homeCommunityId."""
    for submission_set in submission.submission_sets:
        patient = (submission_set.patient_id or "").strip()
        return Concerns(
            patients=(patient,) if patient else (),
            submission_set=submission_set.unique_id or "",
            home=(submission_set.home or "") if with_home else "",
        )
    return Concerns()
