"""The signatures of a whole submission, before it is registered (ITI-41).

Those that can change the answer are validated at once. The others are only found to be worth it, and wait
beside their entries for ``late_validation``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from msim_xds.database.engine import Database
from msim_xds.findings import Finding, Refused, errors
from msim_xds.metadata.ebrim import Reading
from msim_xds.metadata.model import DocumentEntry, Submission
from msim_xds.metadata.signature_slots import PENDING, SignatureResult
from msim_xds.repository.blobs import BlobStore, CorruptDocument
from msim_xds.repository.index import DocumentIndex
from msim_xds.repository.signing import Signing, Subject
from msim_xds.signature_settings import SignaturePolicy
from msim_xds.wire.exchange import StagedPart

Pairs = Sequence[tuple[DocumentEntry, StagedPart]]


class Kept:
    """Documents of this repository that a detached signature may name."""

    def __init__(self, store: BlobStore, index: DocumentIndex, database: Database) -> None:
        self._store = store
        self._index = index
        self._database = database

    def find(self, unique_ids: Collection[str], most: int) -> dict[str, bytes]:
        """Those that are here and intact, as many as ``most`` octets hold. Raises OSError."""
        if not unique_ids:
            return {}
        with self._database.read() as connection:
            known = self._index.find(connection, unique_ids)
        found: dict[str, bytes] = {}
        for unique_id, stored in sorted(known.items()):
            if stored.size > most:
                continue
            try:
                found[unique_id] = b"".join(self._store.open(stored))
            except CorruptDocument:
                continue  # to the signature it is a document that is not there; ``fsck`` tells of it
            most -= stored.size
        return found


def left_for_later(
    signing: Signing, store: BlobStore, submission: Submission, parts: Mapping[str, StagedPart]
) -> Mapping[str, SignatureResult]:
    """PENDING, by id of the entry, for each document that may be signed; not under the policy ``ignore``.

    For submissions whose sender hears nothing of signatures: an archive's.

    Raises:
        OSError: a staged document cannot be read.
    """
    source, _ = _set_of(submission)
    return {
        entry.entry_uuid: PENDING
        for entry in submission.entries
        if (part := parts.get(entry.entry_uuid)) is not None
        and signing.policy(entry, source) is not SignaturePolicy.IGNORE
        and signing.may_be_signed(store.staged(part))
    }


class SubmittedSignatures:
    """Looks at the signatures of submissions and carries out the policies.

    Args:
        signing: looks at one document.
        store: has the documents staged.
        kept: documents that came before.
        knows: whether a submission is registered already; a retry is not refused, whatever is trusted now.
        later: what cannot change the answer is left to ``late_validation``; not for a registry elsewhere,
            which takes results only with their entries.
    """

    def __init__(
        self,
        signing: Signing,
        store: BlobStore,
        kept: Kept,
        knows: Callable[[Reading], bool],
        *,
        later: bool,
    ) -> None:
        self._signing = signing
        self._store = store
        self._kept = kept
        self._knows = knows
        self._later = later

    def examine(
        self, reading: Reading, pairs: Pairs
    ) -> tuple[Mapping[str, SignatureResult], tuple[Finding, ...]]:
        """What the documents' signatures come to, by id of the entry, and the warnings for the sender.

        Raises:
            Refused: by the policy ``reject``, with all that is wrong.
            OSError: a staged document cannot be read.
        """
        source, set_id = _set_of(reading.submission)
        results: dict[str, SignatureResult] = {}
        findings: list[Finding] = []
        for entry, part in pairs:
            policy = self._signing.policy(entry, source)
            if policy is SignaturePolicy.IGNORE:
                continue
            octets = partial(self._store.staged, part)
            if self._later and policy is SignaturePolicy.RECORD:
                if self._signing.may_be_signed(octets()):
                    results[entry.entry_uuid] = PENDING
                continue
            others = partial(self._others, pairs)
            examined = self._signing.examine(Subject(entry, source, set_id, octets, others))
            if examined is not None:
                results[entry.entry_uuid] = examined.result
                findings += self._signing.findings(entry, examined, policy)
        if errors(findings) and not self._knows(reading):
            raise Refused([*findings, *reading.findings])
        return results, tuple(finding for finding in findings if not finding.is_error)

    def _others(self, pairs: Pairs, unique_ids: Collection[str], most: int) -> dict[str, bytes]:
        """Documents of this submission, and those that came before."""
        found: dict[str, bytes] = {}
        for entry, part in pairs:
            unique_id = entry.unique_id or ""
            if unique_id in unique_ids and part.size <= most:
                found[unique_id] = b"".join(self._store.staged(part))
                most -= part.size
        return {**self._kept.find(set(unique_ids) - found.keys(), most), **found}


def _set_of(submission: Submission) -> tuple[str | None, str | None]:
    """The sourceId and uniqueId of the SubmissionSet; nothing where there is not exactly one."""
    sets = submission.submission_sets
    return (sets[0].source_id, sets[0].unique_id) if len(sets) == 1 else (None, None)
