"""The rules of P1's index that are known, judged in the double before its registry sees a submission."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from msim_xds.app import now
from msim_xds.findings import Finding
from msim_xds.metadata import ebrim
from msim_xds.metadata.model import Submission
from msim_xds.settings import LimitSettings

if TYPE_CHECKING:
    from lxml.etree import _Element

MEDICAL_EVENT: Final = "urn:extpl:SlotName:MedicalEventId"
_ZONE: Final = ZoneInfo("Europe/Warsaw")
_TOLERANCE: Final = timedelta(minutes=15)
_CODE: Final = "XDSRegistryMetadataError"


def broken(submit_objects: _Element, unknown_events: Collection[str]) -> list[Finding]:
    """What is wrong with a submission by the rules of P1.

    Args:
        submit_objects: the lcm:SubmitObjectsRequest.
        unknown_events: medical events that do not exist at P1.
    """
    submission = ebrim.read(submit_objects, LimitSettings()).submission
    return [*_times(submission), *_events(submission, unknown_events)]


def _times(submission: Submission) -> Iterator[Finding]:
    for each in submission.submission_sets:
        try:
            sent = datetime.strptime(each.submission_time or "", "%Y%m%d%H%M%S").replace(tzinfo=_ZONE)
        except ValueError:
            yield _finding("REG.WER.4636", "submissionTime is no time")
            continue
        if abs(now() - sent) > _TOLERANCE:
            yield _finding("REG.WER.4636", "submissionTime is not within 15 minutes of now, in Polish time")


def _events(submission: Submission, unknown: Collection[str]) -> Iterator[Finding]:
    for entry in submission.entries:
        for slot in entry.extra:
            if slot.name == MEDICAL_EVENT and slot.values[0] in unknown:
                yield _finding("REG.WER.6860", "the medical event does not exist")


def _finding(rule: str, problem: str) -> Finding:
    return Finding(_CODE, problem, context=f"rule: {rule}: {problem}")
