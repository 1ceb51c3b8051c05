"""This server's own audit records of what it asks other communities for (ITI TF-2 3.38.4.1.4, 3.39.6).

What answers the client has records of its own; these say who was asked for its sake, and what came of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msim_xds.federation.answers import RemoteError
from msim_xds.federation.community import Wanted
from msim_xds.findings import Finding
from msim_xds.ihe.names import ResponseStatus
from msim_xds.ihe.transactions import Transaction
from msim_xds.wire.exchange import Concerns, HandOver, Named, Request

if TYPE_CHECKING:
    from lxml.etree import _Element


@dataclass(frozen=True, slots=True)
class Onward:
    """A request that goes on; nothing is kept of it where the one that it is for is not recorded.

    Attributes:
        request: for whose sake it is sent.
        row: its transaction.
        url: of the endpoint that it goes to.
        concerns: whom and what it is about, as far as it is known when it is sent.
        body: the query that is sent; None for a retrieval.
        copy: for somebody else who wants to be told; None for nobody.
    """

    request: Request
    row: Transaction
    url: str
    concerns: Concerns
    body: _Element | None = None
    copy: HandOver | None = None

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Record that there is no usable answer, if what is done inside raises RemoteError."""
        try:
            yield
        except RemoteError as error:
            self.answered(ResponseStatus.FAILURE, [Finding("XDSUnavailableCommunity", str(error))])
            raise

    def answered(
        self, status: ResponseStatus, findings: Sequence[Finding], concerns: Concerns | None = None
    ) -> None:
        """Record what the answer says; durable on return.

        Args:
            status: of the answer.
            findings: its errors and warnings.
            concerns: whom and what it was about, where the answer tells more.

        Raises:
            TimeoutError, OSError: the database cannot do it now; the answer must not be told.
        """
        recorder = self.request.recorder
        if recorder is not None:
            about = self.concerns if concerns is None else concerns
            witness = recorder.onward(self.row.name, self.url, about, self.body)
            if self.copy is not None:
                witness.hand_over(self.copy)
            witness.conclude(status, findings)


def undelivered(wanted: Iterable[Wanted]) -> Concerns:
    """What a retrieval is about while none of its documents is there."""
    return Concerns(refused=_named(wanted))


def delivered(wanted: Iterable[Wanted], found: Collection[Wanted]) -> Concerns:
    """What a retrieval is about when those ``found`` are there."""
    return Concerns(done=_named(found), refused=_named(each for each in wanted if each not in found))


def _named(wanted: Iterable[Wanted]) -> tuple[Named, ...]:
    return tuple(Named(each.document_unique_id, "", each.repository_unique_id, each.home) for each in wanted)
