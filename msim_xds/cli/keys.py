"""keys: the keys that documents are encrypted with at rest."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msim_xds.cli.console import print_json, print_table, progress, say
from msim_xds.cli.failures import REFUSED, Failure
from msim_xds.cli.local import Config, Data, Json, load_settings, open_database

if TYPE_CHECKING:
    from msim_xds.repository.rotation import Rotated
    from msim_xds.settings import Settings

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Keys with which documents are encrypted at rest."
)


@app.callback()
def group() -> None:
    """Keys with which documents are encrypted at rest."""


@app.command()
def new(
    file: Annotated[
        Path | None, typer.Argument(help="File of keys.", show_default="repository.encryption_keys")
    ] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Add a key to the file of keys, which is made where there is none.

    Give the file to every server of this store and restart them; then `msim-xds keys rotate`. Keep a copy
    elsewhere: without its key no document can be read.
    """
    from msim_xds.repository.keyring import add_key

    path = file or _file(load_settings(config, data))
    key = add_key(path, datetime.now(UTC))
    say(f"added key {key.id} to {path}", "green")
    if file is not None:
        say(f"to use it: repository.encryption_keys = {str(path.absolute())!r}")


@app.command()
def rotate(data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """Encrypt every document under the newest key, also those that are not encrypted yet.

    Servers may run meanwhile; interrupted, run it again. Afterwards older keys may be taken out of the
    file. Exit code 1: a document could not be read.
    """
    from msim_xds.repository.blobs import open_store
    from msim_xds.repository.index import DocumentIndex
    from msim_xds.repository.keyring import KeyRing
    from msim_xds.repository.rotation import rotate as run

    settings = load_settings(config, data)
    ring = KeyRing(_file(settings))
    with open_database(settings) as database, progress("Encrypting") as bar:
        database.check_schema()
        store = open_store(settings)
        index = DocumentIndex(lambda: datetime.now(UTC), store)
        task = bar.add_task("documents", total=None)
        result = run(
            store,
            index,
            database,
            ring,
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    _show(result, ring.newest.id, as_json=as_json)
    if result.damaged:
        raise typer.Exit(REFUSED)


def _file(settings: Settings) -> Path:
    path = settings.repository.encryption_keys
    if path is None:
        raise Failure("repository.encryption_keys names no file of keys: documents are not encrypted")
    return path


def _show(result: Rotated, newest: str, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "key": newest,
                "before": dict(result.before),
                "changed": result.changed,
                "bytes": result.octets,
                "damaged": result.damaged,
            }
        )
        return
    rows = [(key_id or "(not encrypted)", str(count)) for key_id, count in sorted(result.before.items())]
    print_table(("key before", "blobs"), rows)
    for each in result.damaged:
        say(each, "red")
    say(f"{result.changed} blobs ({result.octets} bytes) are now under key {newest}")
    if not result.damaged:
        say("every document is under that key; older ones may be taken out of the file", "green")
