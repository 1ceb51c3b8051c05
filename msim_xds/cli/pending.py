"""signatures pending, signatures validate: documents whose signatures wait for their validation."""

from __future__ import annotations

import signal
import threading
from contextlib import closing
from typing import Annotated

import typer

from msim_xds.cli.console import print_json, print_line, say
from msim_xds.cli.failures import Failure
from msim_xds.cli.local import Config, Data, Json, load_settings


def pending(data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """How many registered documents still wait for the validation of their signatures, and since when."""
    from msim_xds.app import open_node
    from msim_xds.repository.late_validation import MOST_COUNTED

    with closing(open_node(load_settings(config, data))) as node:
        backlog = node.late_validation.backlog()
    if as_json:
        print_json(backlog._asdict())
        return
    number = f"{MOST_COUNTED} or more" if backlog.documents == MOST_COUNTED else str(backlog.documents)
    print_line(f"{number} waiting" + (f", the oldest since {backlog.oldest}" if backlog.oldest else ""))


def validate(
    data: Data = None,
    config: Config = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with what comes, until stopped, at low priority.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Validate the signatures that wait now; `msim-xds serve` does so by itself.

    For servers of another making (WSGI), and after signatures were switched to `ignore`.
    """
    from dataclasses import replace

    from msim_xds.app import open_node
    from msim_xds.repository.late_validation import ended_after
    from msim_xds.server import log

    settings = load_settings(config, data)
    log.configure(settings.log)  # to stderr: what waits longer, and what is given up
    if settings.registry.url:
        raise Failure("registry.url is set: results are shown by the registry in this process only")
    stop = threading.Event()
    with closing(open_node(settings)) as node:
        work = replace(node.late_validation, guard=ended_after)
        if follow:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda _number, _frame: stop.set())
            work.signing.load()
            work.work_beside(stop)
            return
        documents = work.finish(stop)
        left = work.backlog().documents
    if as_json:
        print_json({"validated": documents, "pending": left})
        return
    say(f"{documents} validated, {left} to be tried again later" if left else f"{documents} validated")
