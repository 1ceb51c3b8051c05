"""remove: an operator takes metadata and documents out of registry and repository, for good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from msim_xds.cli.console import print_json, print_table, say, say_findings
from msim_xds.cli.failures import REFUSED, Failure
from msim_xds.cli.local import Config, Data, Json, existing_settings, open_database, open_ledger

if TYPE_CHECKING:
    from msim_xds.audit.operators import Ledger
    from msim_xds.findings import Finding
    from msim_xds.repository.withdrawal import Whole, Withdrawal

_COMMAND: Final = "msim-xds remove"


def remove(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="entryUUIDs or uniqueIds.")],
    what: Annotated[str, typer.Option(help="both, metadata or documents.")] = "both",
    reason: Annotated[
        str, typer.Option(help="Why it goes although it must still be kept; goes on record.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it only show what would go.")] = False,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Remove metadata and documents for good. Without --yes it only shows what would go.

    Takes along every association of what is named, and what would be left outside every SubmissionSet. A
    document stays while another entry has its uniqueId. The server may run meanwhile.
    """
    from msim_xds.audit.operators import Operator
    from msim_xds.findings import Refused
    from msim_xds.registry.erasure import Remover
    from msim_xds.repository.withdrawal import What

    if what not in set(What):
        raise Failure(f"--what {what}: one of {', '.join(What)}")
    remover = Remover(Operator.of_process(_COMMAND).name, reason.strip() or None)
    done = tried = False
    with _withdrawal(config, data) as (withdrawal, ledger):
        whole = withdrawal.rehearse(ids, What(what), remover)
        refusals = () if remover.reason else whole.early
        if yes and refusals and ledger is not None:
            withdrawal.record_refusal(whole, refusals, ledger)
        if yes and not whole.unknown and not refusals:
            tried = True
            try:
                whole, done = withdrawal.carry_out(ids, whole, remover, ledger), True
            except Refused as refused:  # something has changed since the rehearsal
                refusals = refused.findings
    _print(whole, refusals, as_json=as_json, tried=tried, done=done)
    if whole.unknown or refusals:
        raise typer.Exit(REFUSED)


@contextmanager
def _withdrawal(config: Path | None, data: Path | None) -> Iterator[tuple[Withdrawal, Ledger | None]]:
    from msim_xds.registry.fragment_codec import FragmentCodec
    from msim_xds.registry.removal import MetadataRemoval
    from msim_xds.registry.retention import Retention
    from msim_xds.repository.blobs import open_store
    from msim_xds.repository.index import DocumentIndex
    from msim_xds.repository.removal import DocumentRemoval
    from msim_xds.repository.withdrawal import Withdrawal

    settings = existing_settings(config, data, documents=True)
    with open_database(settings) as database:
        database.check_schema()
        store = open_store(settings)
        index = DocumentIndex(_now, store)
        retention = Retention(FragmentCodec(database), settings.update, _now)
        withdrawal = Withdrawal(
            MetadataRemoval(database, retention, settings.limits, _now),
            DocumentRemoval(settings, store, index, database, retention, _now),
        )
        with open_ledger(settings, _COMMAND) as ledger:
            yield withdrawal, ledger


def _now() -> datetime:
    return datetime.now(UTC)


def _print(whole: Whole, refusals: tuple[Finding, ...], *, as_json: bool, tried: bool, done: bool) -> None:
    rows = _rows(whole)
    if as_json:
        names = ("kind", "entryUUID", "uniqueId", "keepUntil")
        print_json(
            {
                "removed": done,
                "things": [dict(zip(names, row, strict=True)) for row in rows],
                "unknown": whole.unknown,
                "refused": [{"code": each.code, "text": each.text()} for each in refusals],
            }
        )
        return
    if rows:
        print_table(("what", "entryUUID", "uniqueId", "kept until"), rows)
    for name in whole.unknown:
        say(f"{name}: nothing here has this id", "red")
    say_findings(refusals)
    if done:
        say(f"removed: {len(rows)}")
    elif tried:
        say("not all was removed: something has changed meanwhile; look again without --yes", "bold")
    elif whole.unknown or refusals:
        say("nothing was removed", "bold")
    else:
        say(f"would be removed: {len(rows)}. Nothing has happened yet; --yes removes them for good", "bold")


def _rows(whole: Whole) -> list[tuple[str, str, str, str]]:
    """Kind, entryUUID, uniqueId, and until when it must be kept."""
    from msim_xds.registry.dependents import KIND_NAMES

    rows = []
    for thing in whole.metadata.things:
        period = whole.metadata.periods.get(thing.id)
        rows.append(
            (KIND_NAMES[thing.kind], thing.entry_uuid, thing.unique_id or "", period.text() if period else "")
        )
    for document in whole.documents.documents:
        period = whole.documents.periods.get(document.unique_id)
        rows.append(("document", "", document.unique_id, period.text() if period else ""))
    return rows
