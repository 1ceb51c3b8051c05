"""audit verify, patient: whether the audit trail is whole, and what it says about a patient."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msim_xds.audit.language import Language
from msim_xds.cli.console import print_json, print_line
from msim_xds.cli.failures import REFUSED, Failure
from msim_xds.cli.local import Config, Data, Json, load_settings, open_database

if TYPE_CHECKING:
    from msim_xds.audit.outbox import Outbox

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The audit trail: who did what with whose documents. The server may run meanwhile.",
)


@app.command()
def verify(data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """Check the chain of seals. Exit code 1: records were changed, added, removed or moved."""
    with _outbox(config, data) as outbox:
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
def patient(
    cx: Annotated[str, typer.Argument(metavar="PATIENT", help="Patient id, such as 1^^^&1.2.3&ISO.")],
    language: Annotated[Language, typer.Option("--lang", help="Language of the report.")] = Language.ENGLISH,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Tell who read the patient's documents, and what else was done with them, the oldest first."""
    from msim_xds.audit.report import happenings, nothing, sentence

    with _outbox(config, data) as outbox:
        found = list(happenings(outbox.of_patient(cx)))
    if as_json:
        print_json([asdict(each) for each in found])
        return
    for each in found:
        print_line(sentence(each, language))
    if not found:
        print_line(nothing(language))


@contextmanager
def _outbox(config: Path | None, data: Path | None) -> Iterator[Outbox]:
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
        yield Outbox(database, key)
