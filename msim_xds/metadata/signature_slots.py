"""What the validation of a document's signatures has come to, as extra metadata of its entry.

The slots are this server's to fill: a sender's of these names are not kept. A repository passes them to its
registry by ITI-42, which is the one transaction that brings them in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from msim_xds.findings import Finding
from msim_xds.ihe.names import Severity
from msim_xds.metadata.model import DocumentEntry, Slot, Submission

PREFIX: Final = "urn:msim:signature:"
_INDICATIONS: Final = frozenset({"TOTAL_PASSED", "INDETERMINATE", "TOTAL_FAILED"})
#: By field of ``SignatureResult``, in its order.
_NAMES: Final = tuple(
    PREFIX + name for name in ("indication", "sub-indication", "level", "signing-time", "covers-document")
)
_LONGEST: Final = 256  # of a value from another repository
_WORD: Final = {True: "true", False: "false"}


class SignatureResult(NamedTuple):
    """The signatures of one document, summed up.

    Attributes:
        indication: of the signature that decides (EN 319 102-1, 5.1.3).
        sub_indication: why it did not pass; '' where it did.
        level: its level, such as XAdES-BASELINE-B.
        signing_time: the time that its signer claims.
        covers_document: whether an intact signature covers the whole document.
    """

    indication: str
    sub_indication: str
    level: str
    signing_time: str
    covers_document: bool

    def slots(self) -> tuple[Slot, ...]:
        """As extra metadata; what is empty is left out, and what is not known yet."""
        values = (*self[:-1], _WORD[self.covers_document] if self != PENDING else "")
        return tuple(Slot(name, (value,)) for name, value in zip(_NAMES, values, strict=True) if value)


#: The document may be signed and waits for its validation. No indication of EN 319 102-1, so that nobody
#: takes it for one; never believed of another server.
PENDING: Final = SignatureResult("PENDING", "", "", "", False)


def lifted(submission: Submission) -> tuple[Submission, Mapping[str, SignatureResult]]:
    """The submission without these slots, and what they said, by id of the entry.

    A submission without any comes back as it is.
    """
    bearing = {entry.entry_uuid: entry for entry in submission.entries if _reserved(entry)}
    if not bearing:
        return submission, {}
    entries = tuple(
        replace(entry, extra=tuple(slot for slot in entry.extra if not slot.name.startswith(PREFIX)))
        if entry.entry_uuid in bearing
        else entry
        for entry in submission.entries
    )
    read = ((name, _read(entry)) for name, entry in bearing.items())
    return replace(submission, entries=entries), {name: result for name, result in read if result is not None}


def not_kept(submission: Submission) -> Iterator[Finding]:
    """A warning for each entry with such slots of its sender (ITI TF-3 4.2.3.1.6)."""
    for entry in submission.entries:
        names = ", ".join(_reserved(entry))
        if names:
            yield Finding(
                "XDSExtraMetadataNotSaved",
                "what a sender says about signatures is not saved: this server looks at them itself",
                entry.place,
                names,
                source="ITI TF-3 4.2.3.1.6",
                severity=Severity.WARNING,
                context=f"{entry.place}: {names}",
            )


def _reserved(entry: DocumentEntry) -> list[str]:
    return [slot.name for slot in entry.extra if slot.name.startswith(PREFIX)] if entry.extra else []


def _read(entry: DocumentEntry) -> SignatureResult | None:
    """What the slots say; None where they do not come from a server like this one."""
    said = {slot.name: slot.values[0] for slot in entry.extra if len(slot.values) == 1}
    indication, sub_indication, level, time, covers = (said.get(name, "") for name in _NAMES)
    values = (indication, sub_indication, level, time)
    if indication not in _INDICATIONS or max(map(len, values)) > _LONGEST:
        return None
    return SignatureResult(*values, covers == _WORD[True])
