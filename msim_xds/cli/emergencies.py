"""access emergencies list, review: what emergency access was used for, to be looked at by people."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from msim_xds.cli.console import print_json, print_table, say
from msim_xds.cli.failures import REFUSED, Failure
from msim_xds.cli.local import Config, Data, Json, load_settings, open_database

if TYPE_CHECKING:
    from msim_xds.registry.emergencies import Reviewed

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="What access decisions leave behind.")
emergencies = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Requests that passed as emergency access."
)
app.add_typer(emergencies, name="emergencies")

_COLUMNS = ("number", "at", "transaction", "patient", "user", "organization", "reason", "documents", "review")


@emergencies.command("list")
def list_(
    all_of_them: Annotated[bool, typer.Option("--all", help="Those that were reviewed, too.")] = False,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show those that wait for a review, the oldest first."""
    from msim_xds.registry import emergencies as kept

    with open_database(load_settings(config, data)) as database:
        database.check_schema()
        with database.read() as connection:
            found = kept.listed(connection, all_of_them=all_of_them)
    if as_json:
        print_json([{**each._asdict(), "emergency": each.emergency._asdict()} for each in found])
        return
    print_table(_COLUMNS, [_row(each) for each in found])
    say(f"{len(found)} emergencies")


@emergencies.command()
def review(
    number: Annotated[int, typer.Argument(help="Number of the emergency, as `list` shows it.")],
    verdict: Annotated[str, typer.Option("--verdict", metavar="TEXT", help="What came of it.")],
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Who reviews.", show_default="the account")
    ] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Note that somebody has looked at one."""
    from msim_xds.registry import emergencies as kept

    if not verdict.strip():
        raise Failure("--verdict: must say something")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with open_database(load_settings(config, data)) as database:
        database.check_schema()
        with database.write() as connection:
            done = kept.review(connection, number, now, by or getpass.getuser(), verdict.strip())
    if not done:
        raise Failure(f"{number}: no emergency of this number waits for a review", REFUSED)
    say(f"emergency {number} is reviewed")


def _row(each: Reviewed) -> tuple[str, ...]:
    happened = each.emergency
    reviewed = "" if each.reviewed_at is None else f"{each.reviewed_at} by {each.reviewer}: {each.verdict}"
    return (
        str(each.id),
        happened.happened_at,
        happened.transaction,
        happened.patient,
        happened.caller,
        happened.organization,
        happened.reason,
        str(happened.documents),
        reviewed,
    )
