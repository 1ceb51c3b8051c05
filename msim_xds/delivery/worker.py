"""Delivers what is due: one thread of each server process that sleeps until there is something to do.

It hands each answer to a thread of its own, a few at a time and one for each host, so that a receiver that
hangs holds up its own answers and nobody else's. What it cannot deliver it tries again with growing pauses.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.delivery.addresses import BadAddress, ReplyHosts
from msim_xds.delivery.queue import Delivery, DeliveryQueue
from msim_xds.delivery.sending import Attempt, NotDelivered, Options
from msim_xds.delivery_settings import DeliverySettings
from msim_xds.federation.answers import RemoteError
from msim_xds.pauses import Pauses
from msim_xds.wire.mtom import Packaged

_log: FilteringBoundLogger = structlog.get_logger()

Compose = Callable[[Delivery], Packaged]
"""Makes the message of a row; what it raises counts as a failed attempt."""

_LOOK_S: Final = 5.0  # as often the queue is looked at for what other processes have left
_RENEWALS: Final = 3  # in the time of a lease
_GRACE_S: Final = 5.0  # for what is under way when the server stops, and again for breaking it off


class DeliveryWorker:
    """The deliveries of one server process.

    Args:
        queue: what to deliver.
        hosts: where answers may be sent, looked at again before each attempt.
        compose: makes the message of a row.
        settings: pauses, attempts and time-outs.
    """

    def __init__(
        self, queue: DeliveryQueue, hosts: ReplyHosts, compose: Compose, settings: DeliverySettings
    ) -> None:
        self._queue = queue
        self._hosts = hosts
        self._compose = compose
        self._settings = settings
        self._pauses = Pauses(settings.first_pause_s, settings.longest_pause_s)
        self._options = Options(settings.timeout_s, settings.ca_file, settings.certificate)
        self._renewal_s = settings.lease_s / _RENEWALS
        self._renewed = time.monotonic()
        self._under_way: dict[str, Attempt] = {}  # by host
        self._lock = threading.Lock()
        self._wake = queue.news
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Deliver until ``stop``, or until the program ends."""
        # No daemon: the interpreter waits for it, and so for what is under way.
        self._thread = threading.Thread(target=self._run, name="delivery")
        self._thread.start()
        threading.Thread(target=self._end_with_program, name="delivery-end", daemon=True).start()

    def stop(self) -> None:
        """Begin nothing new, give what is under way a moment, and give the rest back to the queue."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _end_with_program(self) -> None:
        """HTTP servers end a worker process by returning from its main thread, and tell nobody before."""
        threading.main_thread().join()
        self._stopping.set()
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                pause_s = self._round()
            except Exception as error:  # the queue is out of reach; the thread must outlive that
                _log.warning("delivery waits for the database", error=type(error).__name__)
                pause_s = _LOOK_S
            self._wake.wait(pause_s)
            self._wake.clear()
        self._wind_up()

    def _round(self) -> float:
        """Begin what is due and look after what is under way; returns seconds until the next round."""
        if time.monotonic() >= self._renewed + self._renewal_s:
            self._renewed = time.monotonic()
            self._queue.renew()
        under_way = self._attempts()
        for attempt in under_way.values():
            if attempt.is_stuck:
                attempt.abort()
        pause_s = min(_LOOK_S, self._renewal_s)
        while len(under_way) < self._settings.senders and not self._stopping.is_set():
            due_s = self._queue.next_due_s(under_way)
            if due_s is None or due_s > 0:
                return min(pause_s, pause_s if due_s is None else due_s)
            claimed = self._queue.claim(under_way)
            if claimed is None:  # another process was quicker
                continue
            under_way[claimed.host] = self._begin(claimed)
        return pause_s

    def _begin(self, claimed: Delivery) -> Attempt:
        attempt = Attempt(self._options)
        with self._lock:
            self._under_way[claimed.host] = attempt
        # A daemon: a receiver that hangs must not keep the program from ending.
        threading.Thread(target=self._deliver, args=(claimed, attempt), daemon=True).start()
        return attempt

    def _deliver(self, claimed: Delivery, attempt: Attempt) -> None:
        """One attempt, whatever comes of it, in a thread of its own."""
        try:
            self._settle(claimed, self._try(claimed, attempt))
        except Exception as error:  # the queue is out of reach: the row falls due when its lease ends
            self._queue.let_go(claimed.id)
            _log.warning("outcome of a delivery not kept", id=claimed.id, error=type(error).__name__)
        finally:
            with self._lock:
                del self._under_way[claimed.host]
            self._wake.set()

    def _try(self, claimed: Delivery, attempt: Attempt) -> str | None:
        """Why it was not delivered; None when it was."""
        if claimed.attempts > self._settings.attempts:
            return "the server ended during each attempt"
        try:
            target = self._hosts.target(claimed.address)
            message = self._compose(claimed)
            try:
                attempt.send(target, message)
            finally:
                if message.close is not None:
                    message.close()
        except (
            NotDelivered,
            BadAddress,
            RemoteError,
        ) as error:  # RemoteError: of a gateway
            return str(error)
        except Exception as error:  # ours; the log has the traceback
            reference = uuid.uuid4().hex
            _log.error("failed", delivery=claimed.id, reference=reference, exc_info=error)
            return f"internal error; reference {reference}"
        return None

    def _settle(self, claimed: Delivery, problem: str | None) -> None:
        facts = {
            "id": claimed.id,
            "transaction": claimed.transaction,
            "host": claimed.host,
            "attempt": claimed.attempts,
        }
        if problem is None:
            self._queue.delivered(claimed)
            _log.info("delivered", **facts)
        elif self._stopping.is_set():
            self._queue.postpone(claimed, 0, problem)
        elif claimed.attempts >= self._settings.attempts:
            self._queue.give_up(claimed, problem)
            _log.error("delivery given up", **facts, reason=problem)
        else:
            pause_s = self._pauses.after(claimed.attempts)
            self._queue.postpone(claimed, pause_s, problem)
            _log.warning("not delivered", **facts, reason=problem, next_s=round(pause_s, 1))

    def _wind_up(self) -> None:
        """Wait for what is under way, then break it off. What even then has not settled, leases settle."""
        if not self._is_idle_within(_GRACE_S):
            for attempt in self._attempts().values():
                attempt.abort()
            self._is_idle_within(_GRACE_S)
        _log.info("deliveries stopped", under_way=len(self._attempts()))

    def _is_idle_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self._attempts():
            if not self._wake.wait(max(0.0, end - time.monotonic())):
                return False
            self._wake.clear()
        return True

    def _attempts(self) -> dict[str, Attempt]:
        with self._lock:
            return dict(self._under_way)
