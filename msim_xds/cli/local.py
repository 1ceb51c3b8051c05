"""serve, migrate, fsck, settings: what works on this machine's own configuration and stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msim_xds.cli.console import counted, print_json, print_table, say
from msim_xds.cli.failures import REFUSED, Failure

if TYPE_CHECKING:
    from msim_xds.audit.operators import Ledger
    from msim_xds.database.engine import Database
    from msim_xds.repository.scrub import Cleaned, Report
    from msim_xds.settings import Settings

Config = Annotated[
    Path | None, typer.Option(metavar="FILE", help="TOML file; default: MSIM_CONFIG.", show_default=False)
]
Data = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Directory for everything kept.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Profile(StrEnum):
    """IHE's letter, or with what is particular to Polish documents."""

    IHE = "ihe"
    PL = "pl"


def load_settings(config: Path | None, data: Path | None, **sections: Mapping[str, object]) -> Settings:
    """Settings in force; options that are None leave file and environment alone."""
    from msim_xds import settings

    options: dict[str, Any] = {} if data is None else {"data": data}
    for section, values in sections.items():
        if given := {name: value for name, value in values.items() if value is not None}:
            options[section] = given
    try:
        return settings.load(config, **options)
    except FileNotFoundError:
        raise Failure(f"--config {config}: no such file") from None


def existing_settings(config: Path | None, data: Path | None, *, documents: bool = False) -> Settings:
    """Settings in force, of a server that has been started or migrated before.

    With ``documents`` they are needed too, and not only the database. Raises Failure when there is none.
    """
    settings = load_settings(config, data)
    is_elsewhere = settings.database.url and (settings.repository.store or not documents)
    if not settings.data.is_dir() and not is_elsewhere:
        raise Failure(f"{settings.data}: no such directory; name the server's with --data or --config")
    return settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port to listen on.", show_default="8080")] = None,
    data: Data = None,
    config: Config = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes.", show_default="1")] = None,
    mllp_port: Annotated[
        int | None, typer.Option(help="TCP port of the patient feed (HL7 v2).", show_default="none")
    ] = None,
) -> None:
    """Start the server: registry and repository on one port, the patient feed on another."""
    server = {"host": host, "port": port, "workers": workers}
    settings = load_settings(config, data, server=server, mllp={"port": mllp_port})
    from msim_xds.server.serve import serve as run

    if not settings.audit.enabled:
        run(settings)
        return
    from msim_xds.app import running

    with running(settings):
        run(settings)


def migrate(data: Data = None, config: Config = None) -> None:
    """Bring the database to this version's schema; serve does it at its start as well."""
    with open_database(load_settings(config, data)) as database:
        database.migrate()
    say("the database has this version's schema")


def fsck(
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove orphan blobs and spool files of some age.")
    ] = False,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Prove that every registered document is there with its hash, and find what nothing refers to.

    The server may run meanwhile. Exit code 1: a document is damaged, lost, or registered differently.
    """
    from msim_xds.repository import scrub
    from msim_xds.repository.blobs import open_store
    from msim_xds.repository.index import DocumentIndex

    settings = existing_settings(config, data, documents=True)
    before = datetime.now(UTC) - timedelta(seconds=settings.repository.orphan_age_s)
    with open_database(settings) as database, counted("Checking documents", "documents") as count:
        database.check_schema()
        store = open_store(settings)
        index = DocumentIndex(lambda: datetime.now(UTC), store)
        report = scrub.check(store, index, database, settings.repository.unique_id, before, count)
        cleaned = scrub.clean(store, index, database, before) if clean else None
    _print_report(report, cleaned, as_json=as_json)
    if not report.is_sound:
        raise typer.Exit(REFUSED)


def _print_report(report: Report, cleaned: Cleaned | None, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "sound": report.is_sound,
                "documents": report.documents,
                "bytes": report.octets,
                "counts": {kind.value: count for kind, count in report.counts.items()},
                "problems": [
                    {"kind": each.kind.value, "subject": each.subject, "detail": each.detail}
                    for each in report.problems
                ],
                "cleaned": cleaned
                and {"blobs": cleaned.blobs, "bytes": cleaned.octets, "spooled": cleaned.spooled},
            }
        )
        return
    if report.problems:
        print_table(
            ("problem", "subject", "detail"),
            [(each.kind.value, each.subject, each.detail) for each in report.problems],
        )
    say(f"{report.documents} documents, {report.octets} bytes read and verified")
    if cleaned:
        say(f"removed {cleaned.blobs} blobs ({cleaned.octets} bytes) and {cleaned.spooled} spool files")
    verdict, style = ("sound", "bold green") if report.is_sound else ("DAMAGED", "bold red")
    say(f"the repository is {verdict}", style)


def settings(data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """Show every setting: its value in force and what it is for."""
    rows = list(setting_rows(load_settings(config, data)))
    if as_json:
        print_json([dict(zip(("setting", "value", "description"), row, strict=True)) for row in rows])
    else:
        print_table(("setting", "value", "description"), [(name, _shown(v), text) for name, v, text in rows])


def setting_rows(settings: Settings) -> Iterator[tuple[str, object, str]]:
    """Name, value as JSON has it, and description of each setting."""
    from pydantic import BaseModel

    values = settings.model_dump(mode="json")
    for name, field in type(settings).model_fields.items():
        section = getattr(settings, name)
        if not isinstance(section, BaseModel):
            yield name, values[name], field.description or ""
            continue
        for inner, described in type(section).model_fields.items():
            yield f"{name}.{inner}", values[name][inner], described.description or ""


def _shown(value: object) -> str:
    return "" if value in (None, "", {}, []) else str(value)


@contextmanager
def open_ledger(settings: Settings, command: str) -> Iterator[Ledger | None]:
    """Where a command records what it does, sealed at its end; None where there is no audit trail.

    Raises:
        OSError: the key of the trail can be neither read nor made.
        ValueError: it is too short.
    """
    if not settings.audit.enabled:
        yield None
        return
    from msim_xds.app import open_audit
    from msim_xds.audit.operators import Ledger, Operator
    from msim_xds.audit.sealer import seal_all

    with open_audit(settings) as trail:
        if trail is None:
            yield None
            return
        try:
            yield Ledger(trail, Operator.of_process(command))
        finally:
            seal_all(trail.outbox)


@contextmanager
def open_registry(config: Path | None, data: Path | None) -> Iterator[tuple[Settings, Database]]:
    """The settings, and the database of a server that has been started or migrated before.

    Raises:
        Failure: there is none.
    """
    settings = existing_settings(config, data)
    with open_database(settings) as database:
        database.check_schema()
        yield settings, database


@contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    """The configured database, closed at the end."""
    from msim_xds.database.engine import Database

    database = Database(settings.database_url, settings.database)
    try:
        yield database
    finally:
        database.close()
