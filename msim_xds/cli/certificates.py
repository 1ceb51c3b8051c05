"""certs dev: certificates to try mutual TLS with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from msim_xds.cli.console import print_line, say
from msim_xds.cli.failures import Failure

if TYPE_CHECKING:
    from msim_xds.security.authority import Identity

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="TLS certificates.")

_HOSTS: Final = ("localhost", "127.0.0.1", "::1")
_SYSTEMS: Final = ("hospital", "gateway", "administrator")
_REVOKED: Final = "revoked"
_DAYS: Final = 730  # ITI TF-2 3.19 recommends no longer validity
_OWN: Final = 0o700
_SECRET, _PUBLIC = 0o600, 0o644


class Keys(StrEnum):
    """What keys are made."""

    EC = "ec"
    RSA = "rsa"


@app.callback()
def certs() -> None:
    """TLS certificates."""


@app.command()
def dev(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty directory.")],
    host: Annotated[
        list[str] | None,
        typer.Option(help="Name or address of the server; may repeat.", show_default=" ".join(_HOSTS)),
    ] = None,
    system: Annotated[
        list[str] | None,
        typer.Option(help="A system that will call; may repeat.", show_default=" ".join(_SYSTEMS)),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=_DAYS, help="Validity.")] = 365,
    keys: Annotated[Keys, typer.Option(help="Kind of keys.")] = Keys.EC,
) -> None:
    """Make an authority for development: root, server, client certificates, a revoked one, its CRL.

    Also a table of these systems. Prints the settings that use all this. Never use them with patients' data:
    all keys lie in one directory.
    """
    from msim_xds.security.authority import Authority, KeyKind

    hosts, systems = host or _HOSTS, system or _SYSTEMS
    _check_names(systems)
    _make_folder(folder)
    name = "msim-xds development authority"
    authority = Authority(name, datetime.now(UTC), timedelta(days=days), KeyKind(keys.value))
    revoked = authority.client(_REVOKED)
    _write(folder, "root", authority.root)
    _write(folder, "server", authority.server(hosts))
    made = {each: authority.client(each) for each in systems}
    for each, identity in made.items():
        _write(folder, each, identity)
    _write(folder, _REVOKED, revoked)
    _write_file(folder / "crl.pem", authority.crl([revoked]), _PUBLIC)
    _write_file(folder / "systems.toml", _table(made).encode(), _PUBLIC)
    say(f"{folder}: root, server, {', '.join(systems)}; {_REVOKED}, which the CRL names", "green")
    print_line(_SETTINGS.format(folder=folder.absolute()).rstrip())
    say(f"Then: curl --cacert {folder}/root.pem --cert {folder}/{systems[0]}.pem \\")
    say(f"  --key {folder}/{systems[0]}-key.pem https://{hosts[0]}:8080/health")


_SETTINGS: Final = """\
[server]
engine = "cheroot"

[tls]
certificate = "{folder}/server.pem"
key = "{folder}/server-key.pem"
client_certificates = "required"
client_ca = ["{folder}/root.pem"]
crl = ["{folder}/crl.pem"]

[access]
systems = "{folder}/systems.toml"
"""


_SYSTEM: Final = """\
[systems.{name}]
kind = "{kind}"
certificates = [{{ sha256 = "{fingerprint}" }}]
"""


def _table(made: Mapping[str, Identity]) -> str:
    """A table of these systems, which may do anything; of another name than a kind's they are hospitals."""
    return "\n".join(
        _SYSTEM.format(
            name=name, kind=name if name in _SYSTEMS else _SYSTEMS[0], fingerprint=identity.fingerprint
        )
        for name, identity in made.items()
    )


def _check_names(systems: list[str] | tuple[str, ...]) -> None:
    """Raises Failure for names that are no file names, or taken."""
    for index, name in enumerate(systems):
        if not name.replace("-", "").replace("_", "").isalnum():
            raise Failure(f"--system {name}: letters, digits, - and _ only")
        if name in ("root", "server", "crl", _REVOKED, *systems[:index]):
            raise Failure(f"--system {name}: this name is taken")


def _make_folder(folder: Path) -> None:
    folder.mkdir(_OWN, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise Failure(f"{folder}: not empty; certificates that exist are not replaced")
    folder.chmod(_OWN)


def _write(folder: Path, name: str, identity: Identity) -> None:
    _write_file(folder / f"{name}.pem", identity.certificate_pem, _PUBLIC)
    _write_file(folder / f"{name}-key.pem", identity.key_pem, _SECRET)


def _write_file(path: Path, data: bytes, mode: int) -> None:
    """A new file that never had a wider mode."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
