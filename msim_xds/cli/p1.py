"""p1 check, register, outbox: the Polish national platform from an operator's side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from msim_xds.cli.console import print_json, print_table, say
from msim_xds.cli.deliveries import All, Ids, chosen, tell_missing
from msim_xds.cli.failures import REFUSED, Failure
from msim_xds.cli.local import Config, Data, Json, load_settings, open_database

if TYPE_CHECKING:
    from msim_xds.federation.p1.outbox import Outbox, Publication
    from msim_xds.federation.p1.providers import Provider
    from msim_xds.federation.p1.tokens import Tokens, Wanted
    from msim_xds.settings import Settings

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="P1, the Polish national platform (section `p1`)."
)
outbox_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Publications that wait or were given up. The server may run meanwhile.",
)
app.add_typer(outbox_app, name="outbox")

_COLUMNS: Final = ("id", "state", "transaction", "since", "attempts", "due in", "uniqueId", "last error")


@app.command()
def check(data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """Try each service of P1 that can be tried without a patient. Exit code 1: one does not do its work."""
    from msim_xds.federation.answers import RemoteError

    rows = []
    for service, attempt in _attempts(_settings(config, data)):
        try:
            rows.append((service, True, attempt()))
        except RemoteError as error:
            rows.append((service, False, str(error)))
    if as_json:
        print_json([{"service": service, "works": works, "detail": text} for service, works, text in rows])
    else:
        shown = [(service, "works" if works else "FAILS", text) for service, works, text in rows]
        print_table(("service", "result", "detail"), shown)
    if not all(works for _, works, _ in rows):
        raise typer.Exit(REFUSED)


@app.command()
def register(
    address: Annotated[str, typer.Argument(metavar="URL", help="Where P1 is to find our ITI-43.")],
    new: Annotated[bool, typer.Option("--new", help="Ask for a new repositoryUniqueId first.")] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Register this repository's address in P1's address book (SZAR); what it has there now is replaced."""
    from msim_xds.federation.p1.addresses import AddressBook
    from msim_xds.federation.p1.providers import read_providers

    settings = _settings(config, data)
    book, general = AddressBook(settings.p1), read_providers(settings.p1, _now).general
    repository = settings.repository.unique_id
    if new:
        repository = book.new_repository(general)
        say(f"P1 gives repositoryUniqueId {repository}; set repository.unique_id to it")
    say(f"{repository}: {book.register(repository, address, general)}")


@outbox_app.command("list")
def show(data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """Show what waits or was given up, the oldest first, with what P1 said."""
    with _outbox(config, data) as outbox:
        rows = outbox.rows()
    if as_json:
        print_json([_facts(row) for row in rows])
    elif rows:
        print_table(_COLUMNS, map(_cells, rows))
    else:
        say("no publication waits")


@outbox_app.command()
def retry(ids: Ids = None, every: All = False, data: Data = None, config: Config = None) -> None:
    """Have publications that were given up tried again, with all their attempts."""
    keys = chosen(ids, every)
    with _outbox(config, data) as outbox:
        done = outbox.retry(keys)
    say(f"to be published again: {len(done)}; a running server begins within seconds")
    tell_missing(keys, done, "was not given up")


@outbox_app.command()
def drop(ids: Ids = None, every: All = False, data: Data = None, config: Config = None) -> None:
    """Forget publications; later updates of documents that P1 does not have stay here."""
    keys = chosen(ids, every)
    with _outbox(config, data) as outbox:
        done = outbox.drop(keys)
    say(f"dropped: {len(done)}")
    tell_missing(keys, done, "is not there")


def _settings(config: Path | None, data: Path | None) -> Settings:
    settings = load_settings(config, data)
    if not settings.p1.enabled:
        raise Failure("p1.enabled is false: P1 is not talked to")
    return settings


def _now() -> datetime:
    return datetime.now(UTC)


def _attempts(settings: Settings) -> Iterator[tuple[str, Callable[[], str]]]:
    """What is tried, by name: a token for each provider, and our own repository's address."""
    from msim_xds.federation.p1.addresses import AddressBook
    from msim_xds.federation.p1.providers import read_providers
    from msim_xds.federation.p1.tokens import Tokens, own_token

    p1 = settings.p1
    providers, tokens = read_providers(p1, _now), Tokens(p1, _now)
    for key, provider in providers.by_source.items():
        wanted = own_token(provider, p1.purpose)
        yield f"token for {key}", partial(_issued, tokens, wanted, provider)
    if p1.lookup_template is not None:
        book, own = AddressBook(p1), settings.repository.unique_id
        yield "address of this repository", partial(book.find, own, providers.general)


def _issued(tokens: Tokens, wanted: Wanted, provider: Provider) -> str:
    return f"an assertion of {len(tokens.get(wanted, provider))} octets"


@contextmanager
def _outbox(config: Path | None, data: Path | None) -> Iterator[Outbox]:
    from msim_xds.federation.p1.outbox import Outbox

    settings = load_settings(config, data)
    if not settings.database.url and not settings.data.is_dir():
        raise Failure(f"{settings.data}: no such directory; name the server's with --data or --config")
    with open_database(settings) as database:
        database.check_schema()
        yield Outbox(database, settings.p1.lease_s, _now)


def _facts(row: Publication) -> dict[str, object]:
    facts = {field.name: getattr(row, field.name) for field in fields(row) if field.name != "payload"}
    return {**facts, "state": row.state.label}


def _cells(row: Publication) -> tuple[str, ...]:
    due = f"{max(0.0, row.due_in_s):.0f} s" if row.is_live else ""
    return (
        str(row.id),
        row.state.label,
        row.transaction,
        row.created_at,
        str(row.attempts),
        f"after {', '.join(map(str, row.waits_for))}" if row.waits_for else due,
        row.unique_id,
        row.last_error or "",
    )
