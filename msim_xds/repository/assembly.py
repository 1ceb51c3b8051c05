"""Carries out orders for on-demand documents: finds the entry, has its source make the document, keeps time.

Sources are foreign code. Each works in a thread of its own into the store's spool, and nobody waits for it
longer than ``on_demand.timeout_s``. A thread cannot be killed: one that is given up ends at its next chunk or
registry read, and until then counts among ``on_demand.threads``, so that a source that hangs cannot take
more than these.
"""

from __future__ import annotations

import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.findings import Finding, Refused
from msim_xds.metadata.model import DocumentEntry, SubmissionSet
from msim_xds.registry.reading import Holding, RegistryReader
from msim_xds.repository.blobs import BlobStore
from msim_xds.repository.on_demand import OnDemandSource, Order, Product, Sources
from msim_xds.settings import Settings
from msim_xds.wire.exchange import StagedPart
from msim_xds.wire.view import View

_log: FilteringBoundLogger = structlog.get_logger()

_RETRIEVAL: Final = "ITI TF-2 3.43.4.1.3"
#: The framework wants an error here and names none: there is no document of this id any more.
_DEPRECATED: Final = "XDSDocumentUniqueIdError"


@dataclass(frozen=True, slots=True)
class Assembled:
    """A document made on demand, spooled: the caller takes, commits or discards ``part``.

    Attributes:
        entry: the on-demand entry.
        holding: where that stands in the registry.
        submission: the SubmissionSet with which it came.
        unique_id: the document's own uniqueId.
        mime_type: of its octets.
        title: the source's title, if it has one.
        part: the octets.
    """

    entry: DocumentEntry
    holding: Holding
    submission: SubmissionSet
    unique_id: str
    mime_type: str
    title: str | None
    part: StagedPart


class _Made(NamedTuple):
    product: Product
    part: StagedPart


class _GivenUp(TimeoutError):
    """Nobody waits for the document any longer."""


class _TooLarge(Exception):
    """The document exceeds ``limits.document_bytes``."""


class Assembly:
    """Makes on-demand documents of this repository.

    Args:
        sources: who makes them.
        reader: the registry that their entries are in.
        store: spools them.
        settings: limits, times and the repositoryUniqueId.
    """

    def __init__(
        self, sources: Sources, reader: RegistryReader, store: BlobStore, settings: Settings
    ) -> None:
        self._sources = sources
        self._reader = reader
        self._store = store
        self._repository = settings.repository.unique_id
        self._most = settings.limits.document_bytes
        self._timeout_s = settings.on_demand.timeout_s
        self._threads = threading.BoundedSemaphore(settings.on_demand.threads)

    def make(self, unique_id: str, given_up: set[str], view: View | None = None) -> Assembled | None:
        """The document of an on-demand entry as it is now; None where there is no such entry.

        Args:
            unique_id: DocumentUniqueId of the request.
            given_up: sources that took too long in this request already: they are not asked again, and one
                that takes too long now joins them.
            view: what the document may tell of the patient's others.

        Raises:
            Refused: with the one finding that says why there is no document.
            OSError, TimeoutError: the database cannot do it now.
        """
        holding = self._holding(unique_id)
        if holding is None:
            return None
        try:
            entry, submission = self._reader.entry(holding), self._reader.submission_set(holding)
        except LookupError:  # removed this moment
            return None
        name = self._sources.serving(entry)
        if name is None:
            raise _refused(unique_id, "no on-demand document source is offered for the codes of its entry")
        if name in given_up:
            raise _refused(unique_id, "its on-demand document source took too long for another document")
        result: Future[_Made] = Future()
        records = _Records(self._reader, entry.patient_id or "", view, result)
        order = Order(entry, submission, records, self._repository)
        product, part = self._wait(name, order, result, given_up)
        root, extension = order.identifier(product.digest or bytes.fromhex(part.sha256))
        own_id = f"{root}^{extension}"
        return Assembled(entry, holding, submission, own_id, product.mime_type, product.title, part)

    def _holding(self, unique_id: str) -> Holding | None:
        """The entry that answers for a uniqueId: the newest Approved one of those that have it."""
        held = self._reader.on_demand(unique_id, self._repository)
        approved = [each for each in held if each.approved]
        if held and not approved:
            raise _refused(unique_id, "the on-demand entry is Deprecated", _DEPRECATED)
        if len({each.patient_id for each in approved}) > 1:
            raise _refused(unique_id, "on-demand entries of several patients have this uniqueId")
        return approved[-1] if approved else None

    def _wait(self, name: str, order: Order, result: Future[_Made], given_up: set[str]) -> _Made:
        """What the source makes in time."""
        unique_id = order.entry.unique_id or ""
        deadline = time.monotonic() + self._timeout_s
        if not self._threads.acquire(timeout=self._timeout_s):
            raise _refused(unique_id, "too many on-demand documents are being made", "XDSRepositoryBusy")
        task = _Task(self._sources.offered[name], order, result, self._store, self._most)
        try:
            threading.Thread(target=task.run, args=(self._threads.release,), daemon=True).start()
        except RuntimeError:  # no thread to be had
            self._threads.release()
            raise
        wait([result], deadline - time.monotonic())
        if result.cancel():
            given_up.add(name)
            _log.error("on-demand source took too long", source=name, seconds=self._timeout_s)
            raise _refused(unique_id, f"the on-demand document source took longer than {self._timeout_s:g} s")
        error = result.exception()
        if isinstance(error, _TooLarge):
            raise _refused(unique_id, f"the document made for it is over {self._most} octets")
        if error is not None:
            raise _refused(
                unique_id, f"the on-demand document source failed; reference {_logged(name, error)}"
            )
        return result.result()


class _Records:
    """The patient's documents, for as long as somebody waits for what is made of them."""

    def __init__(
        self, reader: RegistryReader, patient_id: str, view: View | None, result: Future[_Made]
    ) -> None:
        self._reader = reader
        self._patient_id = patient_id
        self._view = view
        self._result = result

    def documents(self) -> Iterator[DocumentEntry]:
        """The Approved stable entries, snapshots left out. Raises TimeoutError when nobody waits."""
        for entry in self._reader.documents(self._patient_id, self._view):
            if self._result.cancelled():
                raise _GivenUp
            yield entry


class _Task:
    """One document being made. ``result`` is pending until it is there or has failed, unless given up."""

    def __init__(
        self, source: OnDemandSource, order: Order, result: Future[_Made], store: BlobStore, most: int
    ) -> None:
        self._source = source
        self._order = order
        self._result = result
        self._store = store
        self._most = most

    def run(self, done: Callable[[], object]) -> None:
        """Make it; ``done`` is called at the end, whatever happens."""
        try:
            made = self._make()
            try:
                self._result.set_result(made)
            except InvalidStateError:
                self._store.discard(made.part)
        except Exception as error:  # foreign code may raise anything
            with suppress(InvalidStateError):
                self._result.set_exception(error)
        finally:
            done()

    def _make(self) -> _Made:
        product = self._source.produce(self._order)
        sink = self._store.stage()
        size = 0
        try:
            for chunk in product.chunks:
                size += len(chunk)
                if size > self._most:
                    raise _TooLarge
                if self._result.cancelled():
                    raise _GivenUp
                sink.write(chunk)
            return _Made(product, sink.finish())
        except BaseException:
            sink.discard()
            raise


def _logged(name: str, error: BaseException) -> str:
    """Reference of the log line: where it failed, without the error's text, which may name the patient."""
    reference = uuid.uuid4().hex
    frames = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    _log.error(
        "on-demand source failed",
        source=name,
        error=type(error).__name__,
        where=frames[-3:],
        reference=reference,
    )
    return reference


def _refused(unique_id: str, problem: str, code: str = "XDSRepositoryError") -> Refused:
    return Refused(
        [
            Finding(
                code,
                problem,
                attribute="DocumentUniqueId",
                seen=unique_id,
                source=_RETRIEVAL,
                location=unique_id,
            )
        ]
    )
