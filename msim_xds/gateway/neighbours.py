"""The communities that an Initiating Gateway asks, side by side, each no longer than its deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Final, Generic, NamedTuple, TypeVar

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.federation.answers import NotAsked, RemoteError, RemoteFault, RemoteUnavailable, Unusable
from msim_xds.federation.community import Community, Errand
from msim_xds.findings import Finding
from msim_xds.gateway.breaker import Breaker
from msim_xds.wire.exchange import Request

_log: FilteringBoundLogger = structlog.get_logger()

T = TypeVar("T")
_Ask = Callable[[Community, Errand], T]
_GRACE_S: Final = 0.05
"""How much later than the community itself the gateway gives up: the community knows better why."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A community, and how it is asked.

    Attributes:
        community: whom.
        deadline_s: longest wait for its answer.
        breaker: whether it is asked at all.
        is_valid: whether it is to be asked on that day.
        close: lets go of what it keeps open.
    """

    community: Community
    deadline_s: float
    breaker: Breaker
    is_valid: Callable[[date], bool] = field(default=lambda _: True)
    close: Callable[[], None] = field(default=lambda: None)


class Said(NamedTuple, Generic[T]):
    """What became of asking one community: its answer, or why there is none."""

    community: Community
    answer: T | None
    problem: Finding | None


class Neighbours:
    """Asks communities in threads of a pool; safe to share between threads.

    Args:
        members: all of them.
        threads: how many are asked at a time, over all requests.
        today: gives the day.
    """

    def __init__(self, members: Sequence[Neighbour], threads: int, today: Callable[[], date]) -> None:
        self._members = members
        self._today = today
        self._pool = ThreadPoolExecutor(threads, "gateway")
        self.by_home: Final[Mapping[str, Neighbour]] = {
            home: member for member in members for home in sorted(member.community.homes)
        }

    def close(self) -> None:
        """End threads and connections; nothing may be asked any more."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for member in self._members:
            member.close()

    def valid(self) -> list[Neighbour]:
        """Those that are to be asked today."""
        today = self._today()
        return [member for member in self._members if member.is_valid(today)]

    def homes(self) -> frozenset[str]:
        """Their homeCommunityIds."""
        return frozenset(home for member in self.valid() for home in member.community.homes)

    def of(self, home: str) -> Neighbour | None:
        """Who answers for a homeCommunityId today."""
        member = self.by_home.get(home)
        return member if member is not None and member.is_valid(self._today()) else None

    def ask(
        self, tasks: Mapping[str, tuple[Neighbour, _Ask[T]]], errand: Errand, section: str
    ) -> Callable[[Callable[[T], None]], list[Said[T]]]:
        """Begin to ask; the function that is returned waits for the answers.

        Args:
            tasks: by name of the community, whom to ask and what.
            errand: on whose behalf; each gets its own deadline.
            section: the rule that findings name.

        Returns:
            A function that takes what to do with an answer that comes too late, and returns what each has
            said, in the order of ``tasks``. It never waits longer than the longest deadline.
        """
        begun = [
            (member, deadline, self._pool.submit(_asked, member, ask, replace(errand, deadline=deadline)))
            for member, ask in tasks.values()
            for deadline in (time.monotonic() + member.deadline_s,)
        ]

        def collect(discard: Callable[[T], None]) -> list[Said[T]]:
            return [_said(member, deadline, future, section, discard) for member, deadline, future in begun]

        return collect


@contextmanager
def timed(community: str, request: Request) -> Iterator[None]:
    """Log how long a community took, whatever came of it: whoever waits wants to know for whom."""
    started = time.perf_counter()
    try:
        yield
    finally:
        ms = round((time.perf_counter() - started) * 1000, 2)
        _log.info("community asked", community=community, transaction=request.transaction.name, ms=ms)


def _asked(member: Neighbour, ask: _Ask[T], errand: Errand) -> T:
    """Ask one community, in a thread of the pool."""
    wait_s = member.breaker.wait_s()
    if wait_s:
        raise NotAsked("", f"it failed several times; it is asked again in {wait_s:.0f} s")
    try:
        with timed(member.community.name, errand.request):
            answer = ask(member.community, errand)
    except NotAsked:
        member.breaker.unused()
        raise
    except (RemoteFault, Unusable):
        member.breaker.succeeded()  # it is there, though it does not like the request
        raise
    except BaseException:
        member.breaker.failed()
        raise
    member.breaker.succeeded()
    return answer


def _said(
    member: Neighbour, deadline: float, future: Future[T], section: str, discard: Callable[[T], None]
) -> Said[T]:
    community = member.community
    try:
        return Said(community, future.result(max(0.0, deadline + _GRACE_S - time.monotonic())), None)
    except TimeoutError:
        if not future.done():
            if not future.cancel():
                future.add_done_callback(partial(_discard, discard))
            return Said(community, None, unavailable(community, "it does not answer in time", section))
        reason = "it does not answer in time"
    except RemoteFault as error:
        _log.warning("community answers with a fault", community=community.name, code=error.code)
        return Said(community, None, _unavailable(community, error.said, section))
    except RemoteUnavailable as error:
        reason = error.reason
    except RemoteError as error:
        reason = str(error)
    except Exception as error:  # an adapter's own failure must not hide the other communities
        _log.error("community failed", community=community.name, exc_info=error)
        reason = "internal error"
    return Said(community, None, unavailable(community, reason, section))


def _discard(discard: Callable[[T], None], future: Future[T]) -> None:
    """Let go of an answer for which nobody waits any more."""
    if not future.cancelled() and future.exception() is None:
        discard(future.result())


def unavailable(community: Community, reason: str, section: str) -> Finding:
    """That a community gives no usable answer, and a line in the log that says so."""
    _log.warning("community unavailable", community=community.name, reason=reason)
    return _unavailable(community, reason, section)


def _unavailable(community: Community, reason: str, section: str) -> Finding:
    """The same without a line in the log, for words of others, in which a patient may be named
    (ITI TF-2 3.18.4.1.3; codeContext names the community).
    """
    return Finding(
        "XDSUnavailableCommunity",
        reason,
        place=f"community {community.name} ({', '.join(sorted(community.homes))})",
        source=section,
    )
