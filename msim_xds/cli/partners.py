"""partners list, show, test: the communities that the Initiating Gateway asks."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from msim_xds.cli.console import print_json, print_record, print_table, say
from msim_xds.cli.failures import IMPOSSIBLE, Failure
from msim_xds.cli.local import Config, Data, Json, load_settings

if TYPE_CHECKING:
    from msim_xds.federation.partners import LoadedPartner
    from msim_xds.federation.probe import Probe

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Partner communities, as `gateway.partners` names them."
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `list` shows.")]
Names = Annotated[list[str] | None, typer.Argument(metavar="NAME", help="All without one.")]

_LIST: Final = ("name", "asked today", "homes", "query_url")
_TEST: Final = ("name", "answer", "TLS", "its certificate", "its clock", "problem")
_RENEW_DAYS: Final = 30
_ROUGHLY_S: Final = 2.0  # the Date header says whole seconds, and the answer takes time


@app.command("list")
def show_all(data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """Show all partners."""
    tables = [partner.table for partner in _partners(config, data)]
    today = datetime.now().astimezone().date()
    if as_json:
        print_json(
            [{**table.model_dump(mode="json"), "asked_today": table.is_valid(today)} for table in tables]
        )
    elif tables:
        rows = [
            (table.name, "yes" if table.is_valid(today) else "no", ", ".join(table.homes), table.query_url)
            for table in tables
        ]
        print_table(_LIST, rows)
    else:
        say("no partners; gateway.partners names their files")


@app.command()
def show(name: Name, data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """Show everything that is configured of one partner, defaults included."""
    (partner,) = _chosen([name], _partners(config, data))
    facts = partner.table.model_dump(mode="json")
    if as_json:
        print_json(facts)
        return
    print_record(name, {key: str(value) for key, value in _flat(facts).items()})


@app.command("test")
def reach(names: Names = None, data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """Reach partners: TLS, expiry of their certificates, a query for nobody, their clocks.

    The exit code is 2 where one gives no answer.
    """
    from msim_xds.federation.probe import probe

    partners = _chosen(names or [], _partners(config, data))
    found = [(partner.table.name, probe(partner, _now)) for partner in partners]
    if as_json:
        print_json([_facts(name, seen) for name, seen in found])
    elif found:
        print_table(_TEST, [_cells(name, seen) for name, seen in found])
    else:
        say("no partners; gateway.partners names their files")
    if any(seen.problem for _, seen in found):
        raise typer.Exit(IMPOSSIBLE)


def _partners(config: Path | None, data: Path | None) -> tuple[LoadedPartner, ...]:
    from msim_xds.gateway.setup import partners

    return partners(load_settings(config, data))


def _chosen(names: list[str], partners: tuple[LoadedPartner, ...]) -> list[LoadedPartner]:
    known = {partner.table.name: partner for partner in partners}
    missing = [name for name in names if name not in known]
    if missing:
        raise Failure(f"{missing[0]}: no such partner; there are: {', '.join(known) or 'none'}")
    return [known[name] for name in names] if names else list(partners)


def _flat(facts: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in facts.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def _facts(name: str, seen: Probe) -> dict[str, Any]:
    return {
        "name": name,
        "status": seen.status,
        "problem": seen.problem,
        "round_trip_ms": seen.round_trip_ms,
        "tls": seen.tls,
        "certificate_until": None if seen.certificate_until is None else seen.certificate_until.isoformat(),
        "skew_s": seen.skew_s,
    }


def _cells(name: str, seen: Probe) -> tuple[str, ...]:
    if seen.round_trip_ms is None:
        return (name, "none", "", "", "", seen.problem)
    answer = f"{seen.status or 'none'} in {seen.round_trip_ms:g} ms"
    return (name, answer, seen.tls or "plain HTTP", _validity(seen), _clock(seen), seen.problem)


def _validity(seen: Probe) -> str:
    until = seen.certificate_until
    if until is None:
        return ""
    days = (until - _now()).days
    advice = "; is to be renewed" if days < _RENEW_DAYS else ""
    return f"until {until:%Y-%m-%d}, {days} days{advice}"


def _clock(seen: Probe) -> str:
    skew_s = seen.skew_s
    if skew_s is None:
        return "not told"
    if abs(skew_s) < _ROUGHLY_S:
        return "agrees with ours"
    return f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} ours"


def _now() -> datetime:
    return datetime.now(UTC)
