"""Validates documents after their registration: what the policy ``record`` leaves to do.

The queue is written with the entries (``registry.pending_signatures``), so nothing is lost with a process. A
document whose octets cannot be read, at which the validator fails, or which ends the process, is tried again
with growing pauses; after ``signatures.attempts`` it is given up: INDETERMINATE, and a line in the log.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.database.engine import Database
from msim_xds.metadata.model import DocumentEntry
from msim_xds.metadata.signature_slots import SignatureResult
from msim_xds.registry import pending_signatures
from msim_xds.registry.pending_signatures import Backlog, Waiting
from msim_xds.repository.blobs import BlobStore, CorruptDocument
from msim_xds.repository.index import DocumentIndex, StoredDocument
from msim_xds.repository.signed_submission import Kept
from msim_xds.repository.signing import Signing, Subject, stored_code, undecided
from msim_xds.signature_settings import SignatureSettings

_log: FilteringBoundLogger = structlog.get_logger()

#: As many waiting documents are counted at most: a backlog may be long, and is asked for often.
MOST_COUNTED: Final = 10_000
_BATCH: Final = 20  # documents between two transactions
_LOOK_S: Final = 0.5  # as often the queue is looked at when it is empty
#: Of os.nice: a tenth of the processor when requests want all of it. With less, they would wait for a process
#: that holds a lock of the database and does not get on.
_YIELDING: Final = 10
_PAUSE_S: Final = 2.0  # when the database does not answer
#: EN 319 102-1: the signed data cannot be obtained. Here: the document was removed from the repository.
_GONE: Final = "SIGNED_DATA_NOT_FOUND"

Guard = Callable[[float], AbstractContextManager[None]]
"""What the validation of one document runs in, which should not take longer than so many seconds."""


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """Ends the process if the block takes longer: no library that hangs can be stopped otherwise."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or sys.stderr)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _unguarded(_seconds: float) -> AbstractContextManager[None]:
    return nullcontext()


class _Seen(NamedTuple):
    """A claimed document, and what its signatures came to; None for an unsigned one.

    ``settled`` is false where it is to be tried again, and ``tried`` where there was no time for it.
    """

    waiting: Waiting
    result: SignatureResult | None = None
    settled: bool = True
    tried: bool = True


class Step(NamedTuple):
    """What was done at once: documents claimed, and those of them that are out of the queue now."""

    claimed: int = 0
    settled: int = 0


@dataclass(frozen=True, slots=True)
class LateValidation:
    """Works off the queue of this database; any number of processes may, on any number of machines.

    Attributes:
        signing: looks at one document.
        store: keeps the octets.
        index: knows which.
        database: where queue, index and registry are.
        settings: attempts and times.
        clock: the time of day, UTC.
        guard: what each validation runs in.
    """

    signing: Signing
    store: BlobStore
    index: DocumentIndex
    database: Database
    settings: SignatureSettings
    clock: Callable[[], datetime]
    guard: Guard = _unguarded

    def work(self, stop: threading.Event) -> None:
        """Validate what comes, until ``stop`` is set."""
        while not stop.is_set():
            try:
                if not self.step(_BATCH, stop).claimed:
                    stop.wait(_LOOK_S)
            except OSError as error:  # or TimeoutError
                _out_of_reach(error)
                stop.wait(_PAUSE_S)

    def work_beside(self, stop: threading.Event) -> None:
        """The same in a process of its own, which leaves the processor to those that answer requests."""
        os.nice(_YIELDING)
        self.work(stop)

    def finish(self, stop: threading.Event) -> int:
        """Validate what is due now; returns how many documents are out of the queue. Raises as ``step``."""
        total = 0
        while not stop.is_set() and (step := self.step(_BATCH, stop)).claimed:
            total += step.settled
        return total

    def step(self, most: int, stop: threading.Event) -> Step:
        """Claim a few documents and validate them.

        Raises:
            OSError, TimeoutError: the database cannot do it now; what was claimed is due again after a while.
            ValueError: what is to be trusted cannot be used.
        """
        self.signing.load()
        with self.database.read() as connection:
            if not pending_signatures.is_due(connection):
                return Step()
        with self.database.write() as connection:
            claimed = pending_signatures.claim(connection, most, round(self._hold_s * 1000))
        seen = self._validated(claimed, stop) if claimed else []
        if seen:
            self._keep(seen, stop)
        return Step(len(seen), sum(each.settled for each in seen))

    def backlog(self) -> Backlog:
        """What waits, counted up to ``MOST_COUNTED``."""
        with self.database.read() as connection:
            return pending_signatures.backlog(connection, MOST_COUNTED)

    @property
    def _longest_s(self) -> float:
        """For one document. The validator looks at the clock between steps only."""
        return 2 * self.settings.time_s

    @property
    def _hold_s(self) -> float:
        """For a batch: no document of it is begun when half a pause has passed."""
        return self.settings.retry_s + self._longest_s

    def _validated(self, claimed: Sequence[Waiting], stop: threading.Event) -> list[_Seen]:
        with self.database.read() as connection:
            kept = self.index.find(connection, {each.unique_id for each in claimed})
            wanted = pending_signatures.shown(connection, claimed)
        last = time.monotonic() + self.settings.retry_s / 2
        seen = []
        for each in claimed:
            if each.id not in wanted:
                seen.append(_Seen(each))
            elif stop.is_set() or time.monotonic() > last:
                seen.append(_Seen(each, settled=False, tried=False))
            else:
                seen.append(self._seen(each, kept))
        return seen

    def _seen(self, waiting: Waiting, kept: Mapping[str, StoredDocument]) -> _Seen:
        stored = kept.get(waiting.unique_id)
        if stored is None:
            return _Seen(waiting, undecided(_GONE))
        if waiting.attempts > self.settings.attempts:  # no earlier one has lived to say anything
            return self._given_up(waiting, stored, "its validation ends the process")
        code = stored_code(waiting.format_code)
        entry = DocumentEntry(entry_uuid="", unique_id=waiting.unique_id, format_code=code)
        octets = partial(self.store.open, stored)
        others = Kept(self.store, self.index, self.database).find
        subject = Subject(entry, None, waiting.set_unique_id or None, octets, others)
        try:
            with self.guard(self._longest_s):
                examined = self.signing.examine(subject)
        except (CorruptDocument, OSError) as error:
            return self._failed(waiting, stored, str(error))
        if examined is None:
            return _Seen(waiting)
        if examined.is_defect:
            return self._failed(waiting, stored, examined.problem)
        return _Seen(waiting, examined.result)

    def _failed(self, waiting: Waiting, stored: StoredDocument, reason: str) -> _Seen:
        if waiting.attempts >= self.settings.attempts:
            return self._given_up(waiting, stored, reason)
        blob, attempt = stored.sha256, waiting.attempts
        _log.warning("signature not validated; tried again", blob=blob, attempt=attempt, reason=reason)
        return _Seen(waiting, settled=False)

    def _given_up(self, waiting: Waiting, stored: StoredDocument, reason: str) -> _Seen:
        _log.error("signature validation given up", blob=stored.sha256, reason=reason)
        return _Seen(waiting, undecided())

    def _keep(self, seen: Sequence[_Seen], stop: threading.Event) -> None:
        """Write what was found, however long the database is busy: to find it again would cost more."""
        while True:
            try:
                return self._written(seen)
            except TimeoutError as error:
                _out_of_reach(error)
                if stop.wait(_PAUSE_S):
                    raise

    def _written(self, seen: Sequence[_Seen]) -> None:
        results = [(each.waiting, each.result) for each in seen if each.settled]
        with self.database.write() as connection:
            pending_signatures.settle(connection, self.clock(), results)
            for each in seen:
                if not each.tried:
                    pending_signatures.give_back(connection, each.waiting)
                elif not each.settled:
                    pause_s = self.settings.retry_s * 2 ** (each.waiting.attempts - 1)
                    pending_signatures.postpone(connection, each.waiting, round(pause_s * 1000))


def _out_of_reach(error: Exception) -> None:
    _log.warning("signatures wait", error=type(error).__name__, reason=str(error))
