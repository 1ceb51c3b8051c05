"""deliveries list, retry, drop: the answers of the asynchronous exchange that wait or were given up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from msim_xds.cli.console import print_json, print_table, say
from msim_xds.cli.failures import REFUSED, Failure
from msim_xds.cli.local import Config, Data, Json, load_settings, open_database

if TYPE_CHECKING:
    from msim_xds.delivery.queue import Delivery, DeliveryQueue

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Answers to wsa:ReplyTo that wait for delivery or were given up. The server may run meanwhile.",
)

Ids = Annotated[list[int] | None, typer.Argument(metavar="ID", help="As `list` shows.")]
All = Annotated[bool, typer.Option("--all", help="All that were given up.")]

_COLUMNS: Final = ("id", "state", "transaction", "since", "attempts", "due in", "address", "last error")


@app.command("list")
def show(data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """Show what waits, the oldest first."""
    with _queue(config, data) as queue:
        rows = queue.rows()
    if as_json:
        print_json([_facts(row) for row in rows])
    elif rows:
        print_table(_COLUMNS, map(_cells, rows))
    else:
        say("no answer waits for delivery")


@app.command()
def retry(ids: Ids = None, every: All = False, data: Data = None, config: Config = None) -> None:
    """Have answers that were given up sent again, with all their attempts."""
    keys = chosen(ids, every)
    with _queue(config, data) as queue:
        done = queue.retry(keys)
    say(f"to be sent again: {len(done)}; a running server begins within seconds")
    tell_missing(keys, done, "was not given up")


@app.command()
def drop(ids: Ids = None, every: All = False, data: Data = None, config: Config = None) -> None:
    """Forget answers; one that is just being sent may still arrive."""
    keys = chosen(ids, every)
    with _queue(config, data) as queue:
        done = queue.drop(keys)
    say(f"dropped: {len(done)}")
    tell_missing(keys, done, "is not there")


@contextmanager
def _queue(config: Path | None, data: Path | None) -> Iterator[DeliveryQueue]:
    from msim_xds.delivery.queue import DeliveryQueue

    settings = load_settings(config, data)
    if not settings.database.url and not settings.data.is_dir():
        raise Failure(f"{settings.data}: no such directory; name the server's with --data or --config")
    with open_database(settings) as database:
        database.check_schema()
        yield DeliveryQueue(database, settings.delivery, lambda: datetime.now(UTC))


def chosen(ids: list[int] | None, every: bool) -> list[int] | None:
    """The ids; None for all. Raises Failure when neither or both are given."""
    if bool(ids) is every:
        raise Failure("name the ids, or give --all")
    return None if every else ids


def tell_missing(keys: list[int] | None, done: list[int], problem: str) -> None:
    """Say which of the ids were not dealt with. Raises Exit when there are any."""
    missing = [key for key in keys or () if key not in done]
    for key in missing:
        say(f"{key} {problem}", "red")
    if missing:
        raise typer.Exit(REFUSED)


def _facts(row: Delivery) -> dict[str, object]:
    facts = {field.name: getattr(row, field.name) for field in fields(row) if field.name != "payload"}
    return {**facts, "state": row.state.label}


def _cells(row: Delivery) -> tuple[str, ...]:
    due = f"{max(0.0, row.due_in_s):.0f} s" if row.is_live else ""
    return (
        str(row.id),
        row.state.label,
        row.transaction or "fault",
        row.created_at,
        str(row.attempts),
        due,
        row.address,
        row.last_error or "",
    )
