"""A fingerprint of a submission, by which a retry is recognised."""

from __future__ import annotations

import hashlib

from msim_xds.metadata.model import Submission


def submission_digest(submission: Submission) -> bytes:
    """SHA-256 over every value of ``submission`` as it was read, symbolic ids included.

    Two requests have the same digest exactly when they say the same, however their XML is laid out.
    """
    return hashlib.sha256(repr(submission).encode()).digest()
