"""A fingerprint of a submission, by which a retry is recognised."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from operator import attrgetter
from typing import Final

from msim_xds.metadata.model import Association, DocumentEntry, Folder, Submission, SubmissionSet

_VALUES: Final = {
    kind: attrgetter(*(field.name for field in fields(kind)))
    for kind in (SubmissionSet, DocumentEntry, Folder, Association)
}
#: Without the look for cycles, which tuples of texts cannot have.
_JSON: Final = json.JSONEncoder(check_circular=False).encode


def submission_digest(submission: Submission) -> bytes:
    """SHA-256 over every value of ``submission`` as it was read, symbolic ids included.

    Two requests have the same digest exactly when they say the same, however their XML is laid out.
    """
    values = [(type(obj).__name__, _VALUES[type(obj)](obj)) for obj in submission.objects()]
    return hashlib.sha256(_JSON(values).encode()).digest()
