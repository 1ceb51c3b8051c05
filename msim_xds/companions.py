"""What the processes beside the server's workers do; ``server.companion`` starts, replaces and ends them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

from msim_xds.app import now, open_audit, open_identity, open_node
from msim_xds.audit.refusals import refusals
from msim_xds.audit.setup import Caretaker
from msim_xds.federation.p1.setup import audit_feeds
from msim_xds.mllp.feed import Feed
from msim_xds.mllp.listener import Listener
from msim_xds.repository.late_validation import ended_after
from msim_xds.server.wsdl import public_url
from msim_xds.settings import Settings


def run_feed(
    settings: Settings, listening: socket.socket, ready: Callable[[], None], stop: threading.Event
) -> None:
    """Serve the patient feed on a listening socket until ``stop`` is set; messages under way are finished.

    Raises:
        OSError: the data directory or the files for TLS cannot be used.
        RuntimeError: the database was made by a newer version.
    """
    with (
        open_identity(settings) as identity,
        open_audit(settings) as trail,
        refusals(trail) as refused,
    ):
        feed = Feed(identity, settings.mllp.character_set, now, trail)
        listener = Listener(listening, feed.answer, settings.mllp, refused)
        threading.Thread(target=_stop_after, args=(stop, listener), daemon=True).start()
        ready()
        listener.serve()


def run_audit(settings: Settings, ready: Callable[[], None], stop: threading.Event) -> None:
    """Seal the audit trail and send it on until ``stop`` is set.

    Raises:
        OSError: the data directory cannot be used.
        RuntimeError: the database was made by a newer version.
        ValueError: what is needed for it cannot be used, or nothing is recorded.
    """
    with open_audit(settings) as trail:
        if trail is None:
            raise ValueError("audit.enabled is off; there is no audit trail to look after")
        url = public_url(settings)
        feeds = audit_feeds(settings)
        Caretaker(settings.audit, url, trail.database, trail.outbox, now, feeds).work(stop, ready)


def run_validation(settings: Settings, ready: Callable[[], None], stop: threading.Event) -> None:
    """Validate signatures of what is registered until ``stop`` is set.

    Raises:
        OSError: the data directory or a file of what is trusted cannot be used.
        RuntimeError: the database was made by a newer version.
        ValueError: what is to be trusted cannot be used.
    """
    with closing(open_node(settings)) as node:
        node.signing.load()
        ready()
        replace(node.late_validation, guard=ended_after).work_beside(stop)


def _stop_after(stop: threading.Event, listener: Listener) -> None:
    stop.wait()
    listener.stop()
