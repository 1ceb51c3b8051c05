"""Who else decides about a retrieval: a service outside of this server, as a national platform's consents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msim_xds.findings import Finding
from msim_xds.repository.requests import Wanted
from msim_xds.wire.exchange import Request


class DecisionService(Protocol):
    """Asked before documents of this repository are handed out; safe to share between threads."""

    def refused(self, request: Request, wanted: Sequence[Wanted]) -> Mapping[Wanted, Finding]:
        """Those of ``wanted`` that may not be handed out, each with the finding that says why.

        That no decision could be had is a refusal too, with a finding of its own.

        Args:
            request: who asks, and how.
            wanted: documents of this repository.
        """
