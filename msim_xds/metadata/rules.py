"""Judges a submission by every rule that needs no store (ITI TF-3 4.2, 4.3.1; ITI TF-2 3.42.4.1.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msim_xds.findings import Finding
from msim_xds.ihe.codes import CodeTable
from msim_xds.ihe.names import Severity
from msim_xds.ihe.transactions import Transaction
from msim_xds.ihe.updates import UPDATES
from msim_xds.metadata import attribute_rules, structure, update_rules
from msim_xds.metadata.layout import UPDATE_SLOTS
from msim_xds.metadata.model import MetadataObject, Slot, Submission
from msim_xds.settings import Level, Settings, Tolerances

if TYPE_CHECKING:
    from msim_xds.metadata.ebrim import Reading

_EXTPL: Final = "urn:extpl:"
_SEVERITY: Final = {Level.WARN: Severity.WARNING, Level.REJECT: Severity.ERROR}
_Metadata = TypeVar("_Metadata", bound=MetadataObject)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say about metadata, made ready once.

    Attributes:
        codes: the affinity domain's codes.
        code_policy: what a code outside of them does.
        sequence: what children out of schema order do.
        unlisted_folders: what folders do that their SubmissionSet does not contain.
        keep_extra: whether extra metadata is kept.
        most: how many findings are worth collecting.
        general: tolerances of sources without a profile of their own.
        by_source: tolerances by sourceId.
        zones: time zone of the sources that give local times, by sourceId.
    """

    codes: CodeTable
    code_policy: Level
    sequence: Level
    unlisted_folders: Level
    keep_extra: bool
    most: int
    general: Tolerances
    by_source: Mapping[str, Tolerances]
    zones: Mapping[str, ZoneInfo]

    @classmethod
    def from_settings(cls, settings: Settings) -> Rules:
        """The rules in force.

        Raises:
            OSError: the code table cannot be read.
            ValueError: the code table is wrong, or the time zone unknown.
        """
        validation = settings.validation
        local = [each for each in validation.local_time_sources if validation.tolerances(each).local_time]
        return cls(
            codes=CodeTable.load(settings.codes.table),
            code_policy=settings.codes.policy,
            sequence=validation.sequence,
            unlisted_folders=validation.unlisted_folders,
            keep_extra=validation.extra_metadata == "keep",
            most=settings.limits.findings,
            general=validation.tolerances(),
            by_source={source: validation.tolerances(source) for source in validation.sources},
            zones=dict.fromkeys(local, _zone(validation.time_zone)) if local else {},
        )

    def tolerances(self, source_id: str | None = None) -> Tolerances:
        """The tolerances that hold for submissions of a source."""
        return self.by_source.get(source_id or "", self.general)

    def zone_for(self, source_id: str | None) -> ZoneInfo | None:
        """The zone of a source's times; None is UTC."""
        return self.zones.get(source_id or "")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"validation.time_zone: this machine knows no time zone {name!r}") from error


def source_of(submission: Submission) -> str | None:
    """The sourceId of the SubmissionSet, None where there is none."""
    return submission.submission_sets[0].source_id if submission.submission_sets else None


def findings(reading: Reading, transaction: Transaction, rules: Rules) -> list[Finding]:
    """Everything that is wrong with a request: its XML as the tolerances judge it, and ``check``."""
    tolerances = rules.tolerances(source_of(reading.submission))
    found = [
        *reading.findings,
        *(finding for switch, finding in reading.lenient if not getattr(tolerances, switch)),
    ]
    if (severity := _SEVERITY.get(rules.sequence)) is not None:
        found += (replace(finding, severity=severity) for finding in reading.sequence)
    return [*found, *check(reading.submission, transaction, rules)]


def check(submission: Submission, transaction: Transaction, rules: Rules) -> list[Finding]:
    """What is wrong with the values and the structure of a submission.

    Args:
        submission: as read, before ids are resolved.
        transaction: ITI-41, 42, 61, 57 or 92; it says which entries and attributes the sender owes.
        rules: the rules in force.
    """
    tolerances = rules.tolerances(source_of(submission))
    judge = attribute_rules.Judge(transaction, tolerances, rules.codes, _SEVERITY.get(rules.code_policy))
    hanging_together = (
        update_rules.findings(submission, transaction, tolerances)
        if transaction.name in UPDATES
        else structure.findings(
            submission, tolerances, transaction.registers, _SEVERITY.get(rules.unlisted_folders)
        )
    )
    found: Iterator[Finding] = chain(
        chain.from_iterable(map(judge.findings, submission.objects())), hanging_together
    )
    return list(islice(found, rules.most))


def without_extra_metadata(submission: Submission, rules: Rules) -> tuple[Submission, list[Finding]]:
    """The submission as far as this registry keeps it, and a warning for each object that lost a slot.

    Where extra metadata is kept, the submission comes back as it is (ITI TF-3 4.2.3.1.6).
    """
    if rules.keep_extra:
        return submission, []
    keep_extpl = rules.tolerances(source_of(submission)).extpl_slots
    warnings: list[Finding] = []

    def kept(place: str, slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
        stay = tuple(
            slot
            for slot in slots
            if slot.name in UPDATE_SLOTS or (keep_extpl and slot.name.lower().startswith(_EXTPL))
        )
        lost = ", ".join(slot.name for slot in slots if slot not in stay)
        if lost:
            warnings.append(_not_saved(place, lost))
        return stay

    def stripped(obj: _Metadata) -> _Metadata:
        return replace(obj, extra=kept(obj.place, obj.extra)) if obj.extra else obj

    remaining = Submission(
        tuple(map(stripped, submission.submission_sets)),
        tuple(map(stripped, submission.entries)),
        tuple(map(stripped, submission.folders)),
        tuple(
            replace(each, slots=kept(each.place, each.slots)) if each.slots else each
            for each in submission.associations
        ),
    )
    return remaining, warnings


def _not_saved(place: str, names: str) -> Finding:
    return Finding(
        "XDSExtraMetadataNotSaved",
        "extra metadata was not saved",
        place,
        names,
        source="ITI TF-3 4.2.3.1.6",
        severity=Severity.WARNING,
        context=f"{place}: {names}",
    )
