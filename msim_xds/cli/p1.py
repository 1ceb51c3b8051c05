"""p1 check, register, outbox: the Polish national platform from an operator's side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msim_xds.cli.console import print_json, print_table, say
from msim_xds.cli.failures import REFUSED, Failure
from msim_xds.cli.local import Config, Data, Json, load_settings
from msim_xds.cli.waiting import Cells, Words, commands

if TYPE_CHECKING:
    from msim_xds.database.engine import Database
    from msim_xds.federation.p1.outbox import Outbox, Publication
    from msim_xds.federation.p1.providers import Provider
    from msim_xds.federation.p1.tokens import Tokens, Wanted
    from msim_xds.settings import Settings

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="P1, the Polish national platform (section `p1`)."
)


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


def _opened(database: Database, settings: Settings) -> Outbox:
    from msim_xds.federation.p1.outbox import Outbox

    return Outbox(database, settings.p1.lease_s, _now)


def _cells(row: Publication) -> Cells:
    due = f"after {', '.join(map(str, row.waits_for))}" if row.waits_for else None
    return Cells(row.transaction, row.unique_id, due)


app.add_typer(
    commands(
        Words(
            help="Publications that wait or were given up. The server may run meanwhile.",
            show="Show what waits or was given up, the oldest first, with what P1 said.",
            retry="Have publications that were given up tried again, with all their attempts.",
            drop="Forget publications; later updates of documents that P1 does not have stay here.",
            about="uniqueId",
            empty="no publication waits",
            retried="to be published again",
        ),
        _opened,
        _cells,
    ),
    name="outbox",
)
