"""audit: whether the trail is whole, what waits to be sent, and what is recorded about a patient."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msim_xds.audit.language import Language
from msim_xds.cli.console import print_json, print_line, print_table, say
from msim_xds.cli.failures import REFUSED, Failure
from msim_xds.cli.local import Config, Data, Json, load_settings, open_database

if TYPE_CHECKING:
    from msim_xds.audit.outbox import Outbox
    from msim_xds.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The audit trail: who did what with whose documents. The server may run meanwhile.",
)


@app.command()
def verify(data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """Check the chain of seals. Exit code 1: records were changed, added, removed or moved."""
    with _trail(config, data) as (outbox, _):
        damages = list(outbox.verify())
        sealed, waiting = outbox.counts()
    if as_json:
        print_json({"sealed": sealed, "waiting": waiting, "damages": [asdict(each) for each in damages]})
    else:
        for damage in damages:
            print_line(f"position {damage.position}: {damage.problem}", "red")
        print_line(f"records sealed: {sealed}; not sealed yet: {waiting}; damages: {len(damages)}")
    if damages:
        raise typer.Exit(REFUSED)


@app.command()
def status(data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """Show how many records wait: for their seals, and for each Audit Record Repository of the settings.

    Exit code 1: more wait than audit.backlog allows, or a repository does not take them.
    """
    from msim_xds.audit.backlog import Backlog
    from msim_xds.federation.p1.setup import audit_feeds

    with _trail(config, data) as (outbox, settings):
        feeds = [each.name for each in audit_feeds(settings)]
        waiting = Backlog(outbox.database, settings.audit, feeds).look()
    if as_json:
        repositories = [each._asdict() for each in waiting.repositories]
        print_json({"unsealed": waiting.unsealed, "full": waiting.is_full, "repositories": repositories})
    else:
        columns = ("repository", "waiting", "last arrival", "failures", "problem")
        rows = [
            (each.name, str(each.waiting), each.sent_at or "never", str(each.failures), each.problem or "")
            for each in waiting.repositories
        ]
        print_table(columns, rows)
        say(f"records not sealed yet: {waiting.unsealed}")
    if waiting.is_full or any(each.failures for each in waiting.repositories):
        raise typer.Exit(REFUSED)


@app.command()
def send(data: Data = None, config: Config = None) -> None:
    """Seal and send records until SIGTERM or SIGINT, as serve does by itself.

    For servers whose requests another program takes in, and beside a serve: one process sends at a time.
    """
    import signal
    import threading

    from msim_xds.companions import run_audit
    from msim_xds.server import log

    settings = load_settings(config, data)
    log.configure(settings.log)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    run_audit(settings, lambda: say("sealing and sending audit records"), stop)


@app.command()
def patient(
    cx: Annotated[str, typer.Argument(metavar="PATIENT", help="Patient id, such as 1^^^&1.2.3&ISO.")],
    language: Annotated[Language, typer.Option("--lang", help="Language of the report.")] = Language.ENGLISH,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Tell who read the patient's documents, and what else was done with them, the oldest first."""
    from msim_xds.audit.report import happenings, nothing, sentence

    with _trail(config, data) as (outbox, _):
        found = list(happenings(outbox.of_patient(cx)))
    if as_json:
        print_json([asdict(each) for each in found])
        return
    for each in found:
        print_line(sentence(each, language))
    if not found:
        print_line(nothing(language))


@contextmanager
def _trail(config: Path | None, data: Path | None) -> Iterator[tuple[Outbox, Settings]]:
    from msim_xds.audit.key import read_key
    from msim_xds.audit.outbox import Outbox

    settings = load_settings(config, data)
    path = settings.audit.key_in(settings.data)
    try:
        key = read_key(path)
    except FileNotFoundError:
        raise Failure(
            f"{path}: no key of an audit trail; name the server's directory with --data or --config"
        ) from None
    with open_database(settings) as database:
        database.check_schema()
        yield Outbox(database, key), settings
