"""signatures: what the signatures of all kept documents are worth now, and what waits to be looked at."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msim_xds.cli import pending
from msim_xds.cli.console import counted, print_json, print_table, say
from msim_xds.cli.failures import REFUSED, Failure
from msim_xds.cli.local import Config, Data, Json, load_settings

if TYPE_CHECKING:
    from msim_xds.metadata.signature_slots import SignatureResult
    from msim_xds.registry.revalidations import Change, Run
    from msim_xds.repository.revalidation import Revalidation

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Signatures of the documents that are kept. The server may run meanwhile.",
)


@app.callback()
def group() -> None:
    """Signatures of the documents that are kept. The server may run meanwhile."""


app.command()(pending.pending)
app.command()(pending.validate)


@app.command()
def revalidate(
    data: Data = None,
    config: Config = None,
    again: Annotated[
        bool, typer.Option("--again", help="From the beginning, also where a run was interrupted.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to tell what has changed.", show_default="below --data"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Validate all kept documents anew, as after an update of trusted lists; queries show what is found.

    Interrupted, the same command goes on where it was. The report holds a line of JSON for each entry whose
    result is another than before. Exit code 1: a document could not be read or validated.
    """
    from msim_xds.app import now, open_node
    from msim_xds.repository.revalidation import Revalidation

    settings = load_settings(config, data)
    if settings.registry.url:
        raise Failure("registry.url is set: results are shown by the registry in this process only")
    with closing(open_node(settings)) as node:
        runs = Revalidation(
            node.signing, node.store, node.index, node.database, settings.repository.unique_id, now
        )
        with counted("Validating", "entries") as count:

            def watch(run: Run, total: int) -> None:
                count(run.entries, total)

            run = runs.run(again=again, watch=watch)
        path = report or settings.data / "signatures" / f"revalidation-{run.id}.jsonl"
        counts = _write(path, runs, run)
    _show(run, counts, path, as_json=as_json)
    if run.failed:
        raise typer.Exit(REFUSED)


def _write(path: Path, runs: Revalidation, run: Run) -> Counter[tuple[str, str]]:
    """The report; returns how often which indication has become which."""
    counts: Counter[tuple[str, str]] = Counter()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for change in runs.changes(run):
            file.write(json.dumps(_line(change), ensure_ascii=False) + "\n")
            counts[_short(change.before), _short(change.after)] += 1
    return counts


def _line(change: Change) -> dict[str, object]:
    return {
        "entry_uuid": change.entry_uuid,
        "unique_id": change.unique_id,
        "before": None if change.before is None else change.before._asdict(),
        "after": change.after._asdict(),
    }


def _short(result: SignatureResult | None) -> str:
    return "-" if result is None else " ".join(filter(None, (result.indication, result.sub_indication)))


def _show(run: Run, counts: Counter[tuple[str, str]], path: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "entries": run.entries,
                "signed": run.signed,
                "changed": run.changed,
                "failed": run.failed,
                "report": str(path),
                "changes": [
                    {"before": before, "after": after, "entries": count}
                    for (before, after), count in counts.most_common()
                ],
            }
        )
        return
    if counts:
        rows = [(before, after, str(count)) for (before, after), count in counts.most_common()]
        print_table(("before", "now", "entries"), rows)
    say(
        f"{run.entries} entries, {run.signed} signed, {run.changed} changed, {run.failed} failed",
        "red" if run.failed else "green",
    )
    say(f"report: {path}")
