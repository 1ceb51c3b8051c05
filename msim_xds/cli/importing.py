"""import: whole archives into this machine's own stores, without HTTP."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from msim_xds.cli.console import counted, print_json, print_table, say
from msim_xds.cli.failures import REFUSED, Failure
from msim_xds.cli.local import Config, Data, Json, load_settings, open_ledger
from msim_xds.cli.remote import cx_option

if TYPE_CHECKING:
    from msim_xds.importer.progress import Progress
    from msim_xds.importer.running import Summary
    from msim_xds.settings import Settings

#: So that one prepares while another waits for its turn to register.
_MORE_JOBS_THAN_CPUS: Final = 1


def import_archive(
    source: Annotated[
        Path, typer.Argument(help="A folder, a ZIP archive, or a manifest (JSON Lines).", show_default=False)
    ],
    data: Data = None,
    config: Config = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to tell what was refused.", show_default="below --data"),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="From the beginning; what is there already is recognised.")
    ] = False,
    history: Annotated[
        bool, typer.Option("--history", help="Keep availabilityStatus as the metadata have it.")
    ] = False,
    patient: Annotated[
        str | None, typer.Option(metavar="CX", help="Patient of documents without metadata.")
    ] = None,
    source_id: Annotated[
        str | None, typer.Option(metavar="OID", help="sourceId where there is no metadata.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Worker processes.", show_default="one more than CPUs")
    ] = None,
    as_json: Json = False,
) -> None:
    """Import an archive: documents and metadata with their own ids and dates, judged as by ITI-41.

    The server may run meanwhile. Interrupted, the same command goes on where it was. Exit code 1: something
    was refused; the report says what and why (docs/import.md).
    """
    from msim_xds.app import open_services
    from msim_xds.importer.composing import Options
    from msim_xds.importer.desk import Order
    from msim_xds.importer.running import run

    settings = load_settings(config, data)
    if not source.exists():
        raise Failure(f"{source}: no such file or directory")
    options = Options(settings.validation.profile, cx_option(patient), source_id, history)
    order = Order(source, report or _report(settings, source), options)
    # Its processes record what they do each for itself; what they leave is sealed at the end.
    with open_ledger(settings, "msim-xds import"), counted("Importing", "submissions") as count:
        jobs = jobs or (os.cpu_count() or 1) + _MORE_JOBS_THAN_CPUS

        def watch(state: Progress, total: int) -> None:
            count(state.position, total)

        summary = run(settings, order, open_services, jobs, again=again, watch=watch)
    _print_summary(summary, as_json=as_json)
    if summary.progress.refused:
        raise typer.Exit(REFUSED)


def _report(settings: Settings, source: Path) -> Path:
    """Beside the data, by the source's name; another source of that name has another report."""
    key = hashlib.sha256(str(source.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return settings.data / "imports" / f"{source.resolve().name}-{key}.jsonl"


def _print_summary(summary: Summary, *, as_json: bool) -> None:
    from msim_xds.importer.report import reasons

    state = summary.progress
    refusals = reasons(Path(state.report)) if state.refused else []
    if as_json:
        print_json(
            {
                "total": summary.total,
                "imported": state.imported,
                "present": state.present,
                "refused": state.refused,
                "skipped": summary.skipped,
                "resumed_at": summary.resumed,
                "report": state.report,
                "reasons": [
                    {"code": code, "submissions": count, "example": example}
                    for code, count, example in refusals
                ],
            }
        )
        return
    if summary.resumed:
        say(f"{summary.resumed} of {summary.total} were dealt with before; --again deals with them anew")
    if refusals:
        print_table(
            ("code", "submissions", "for example"),
            [(code, str(count), example) for code, count, example in refusals],
        )
    say(
        f"{state.imported} submissions imported, {state.present} were there already, "
        f"{state.refused} refused, {summary.skipped} files skipped",
        "red" if state.refused else "green",
    )
    say(f"report: {state.report}")
