"""systems list, check: the table of registered systems, and whose a certificate is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from msim_xds.cli.console import print_json, print_table, say
from msim_xds.cli.failures import REFUSED, Failure
from msim_xds.cli.local import Config, Json, load_settings

if TYPE_CHECKING:
    from cryptography import x509

    from msim_xds.security.systems.table import Registered, Systems

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Registered systems: who may call, as whom, how often."
)

Table = Annotated[
    Path | None, typer.Option("--file", metavar="FILE", help="The table; default: access.systems.")
]

_COLUMNS: Final = (
    "system",
    "kind",
    "transactions",
    "repositories",
    "sourceIds",
    "institutions",
    "limits",
    "certificates",
)
_ANY: Final = "any"


@app.command("list")
def show(table: Table = None, config: Config = None, as_json: Json = False) -> None:
    """Show the registered systems and what each may do."""
    systems = _systems(table, config)
    if as_json:
        print_json([_facts(row) for row in systems.rows])
    else:
        print_table(_COLUMNS, map(_cells, systems.rows))


@app.command()
def check(
    certificates: Annotated[
        list[Path] | None, typer.Argument(metavar="CERTIFICATE", help="PEM or DER.", show_default=False)
    ] = None,
    table: Table = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Check the table, and say which system each certificate belongs to.

    Exit code 1: a certificate is no registered system's.
    """
    systems = _systems(table, config)
    found = {path: systems.of(_certificate(path)) for path in certificates or ()}
    if as_json:
        owners = {str(path): row and row.system.name for path, row in found.items()}
        print_json({"systems": len(systems.rows), "certificates": owners})
    else:
        say(f"{len(systems.rows)} systems, nothing wrong with the table", "green")
        for path, row in found.items():
            say(f"{path}: {'NOT REGISTERED' if row is None else row.system.name}", "" if row else "red")
    if None in found.values():
        raise typer.Exit(REFUSED)


def _systems(table: Path | None, config: Path | None) -> Systems:
    from msim_xds.security.systems.table import Limits, load

    section = load_settings(config, None).access
    path = table or section.systems
    if path is None:
        raise Failure("there is no table of systems: set access.systems, or name one with --file")
    return load(path, Limits(section.requests_per_s, section.burst, section.concurrent))


def _certificate(path: Path) -> x509.Certificate:
    from cryptography import x509

    data = path.read_bytes()
    try:
        if b"-----BEGIN" in data:
            return x509.load_pem_x509_certificate(data)
        return x509.load_der_x509_certificate(data)
    except ValueError:
        raise Failure(f"{path}: neither PEM nor DER of a certificate") from None


def _facts(row: Registered) -> dict[str, object]:
    system = row.system
    return {
        "name": system.name,
        "kind": system.kind.value,
        **{
            name: None if allowed is None else sorted(allowed)
            for name, allowed in (
                ("transactions", system.transactions),
                ("repositories", system.repositories),
                ("source_ids", system.source_ids),
                ("institutions", system.institutions),
            )
        },
        "limits": row.limits._asdict(),
        "certificates": [mark._asdict() for mark in row.marks],
    }


def _cells(row: Registered) -> tuple[str, ...]:
    system, limits = row.system, row.limits
    rights = (system.transactions, system.repositories, system.source_ids, system.institutions)
    words = []
    if limits.requests_per_s is not None:
        words.append(f"{limits.requests_per_s:g}/s")
    if limits.burst is not None:
        words.append(f"{limits.burst} at once")
    if limits.concurrent is not None:
        words.append(f"{limits.concurrent} at a time")
    marks = (f"{mark.kind} {mark.value}{f' by {mark.issuer}' if mark.issuer else ''}" for mark in row.marks)
    return (
        system.name,
        system.kind.value,
        *(_ANY if allowed is None else "\n".join(sorted(allowed)) for allowed in rights),
        ", ".join(words) or "none",
        "\n".join(marks),
    )
