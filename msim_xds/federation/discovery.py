"""Which ids a patient of ours has at a partner, asked of its Responding Gateway by ITI-55 and remembered
(ITI TF-2 3.55).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import isodate

from msim_xds.federation.answers import RemoteUnavailable, payload
from msim_xds.federation.client import call
from msim_xds.federation.community import Correlation, Errand
from msim_xds.federation.transport import Channel, Options
from msim_xds.ihe.discovery import XCPD
from msim_xds.ihe.names import SOAP
from msim_xds.ihe.transactions import ITI_55
from msim_xds.metadata import discovery as messages
from msim_xds.metadata.discovery import Candidate
from msim_xds.metadata.identity import cx
from msim_xds.registry.correlations import Correlations, Known
from msim_xds.registry.discovery import PatientDirectory
from msim_xds.repository.spool import Spool

if TYPE_CHECKING:
    from lxml.etree import _Element

_TIME_TO_LIVE: Final = f"{{{SOAP}}}Header/{{{XCPD}}}CorrelationTimeToLive"
_NEVER: Final = timedelta(0)


@dataclass(frozen=True, slots=True)
class Partner:
    """Where to ask.

    Attributes:
        name: in the configuration.
        homes: its homeCommunityIds; candidates of others are not taken from it.
        url: of its Responding Gateway for ITI-55.
        options: how to talk to it.
        longest: what it lets us remember is remembered at most so long.
    """

    name: str
    homes: frozenset[str]
    url: str
    options: Options
    longest: timedelta


class Discovery:
    """A ``community.PatientMapping`` by patient discovery; safe to share between threads.

    Args:
        partner: who is asked.
        home: our own homeCommunityId.
        directory: what is known of our patients, to be told with their ids.
        correlations: what was discovered before.
        clock: the time of day, UTC.
    """

    def __init__(
        self,
        partner: Partner,
        home: str,
        directory: PatientDirectory,
        correlations: Correlations,
        clock: Callable[[], datetime],
    ) -> None:
        self._partner = partner
        self._home = home
        self._directory = directory
        self._correlations = correlations
        self._clock = clock

    def find(self, patient: str, errand: Errand) -> Sequence[Correlation]:
        """The patient's ids there, one for each of its communities that knows the patient.

        Raises:
            RemoteFault: it answers with a SOAP fault.
            RemoteUnavailable: it gives no answer, or offers several patients for one.
        """
        now = self._clock()
        moment = int(now.timestamp())
        known = self._correlations.find(patient, self._partner.name, moment)
        if known is None:
            known, time_to_live = self._ask(patient, errand, now)
            if time_to_live > _NEVER:
                until = moment + int(time_to_live.total_seconds())
                self._correlations.keep(patient, self._partner.name, known, moment, until)
        return [Correlation(each.home, each.external) for each in known]

    def _ask(self, patient: str, errand: Errand, now: datetime) -> tuple[list[Known], timedelta]:
        person = self._directory.person(patient)
        receiver = min(self._partner.homes)
        query = messages.query(patient, person, self._home, receiver, now)
        url = self._partner.url
        left = max(0.001, errand.deadline - time.monotonic())
        options = self._partner.options
        options = replace(
            options,
            connect_timeout_s=min(options.connect_timeout_s, left),
            read_timeout_s=min(options.read_timeout_s, left),
            deadline_s=min(options.deadline_s, left),
            assertion=errand.assertion,
        )
        with TemporaryDirectory(prefix="msim-xds-") as directory, Channel(url, options) as channel:
            message = call(channel, ITI_55, {}, Spool(Path(directory)), query)
            answer = payload(message.root, ITI_55, url)
        try:
            candidates = messages.read_answer(answer)
        except ValueError as error:
            raise RemoteUnavailable(url, str(error)) from None
        return self._chosen(candidates), min(_time_to_live(answer, now), self._partner.longest)

    def _chosen(self, candidates: Sequence[Candidate]) -> list[Known]:
        """The one patient of each community; who would choose among several might open another's history."""
        found: dict[str, Known] = {}
        for candidate in candidates:
            if candidate.home not in self._partner.homes:
                continue
            known = Known(candidate.home, cx(candidate.identifier))
            if found.setdefault(candidate.home, known) != known:
                raise RemoteUnavailable(self._partner.url, "it offers several patients for this one")
        return list(found.values())


def _time_to_live(answer: _Element, now: datetime) -> timedelta:
    """How long it may be remembered; not at all where it does not say (ITI TF-2 3.55.4.2.3)."""
    header = answer.getroottree().getroot().find(_TIME_TO_LIVE)
    try:
        duration = isodate.parse_duration("" if header is None else (header.text or "").strip())
        whole = duration if isinstance(duration, timedelta) else duration.totimedelta(start=now)
    except (ValueError, OverflowError):
        return _NEVER
    return max(whole, _NEVER)
