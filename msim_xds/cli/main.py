"""The command ``msim-xds``. Every command loads what it needs when it runs, so that help comes at once."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from msim_xds import __version__, garbage
from msim_xds.cli import (
    audit,
    certificates,
    checking,
    consent,
    deliveries,
    demonstration,
    emergencies,
    importing,
    keys,
    local,
    on_demand,
    p1,
    partners,
    patients,
    policy,
    remote,
    removal,
    revalidation,
    signatures,
    systems,
)


class _Commands(TyperGroup):
    """Turns what is expected to go wrong into a message and an exit code; anything else stays a traceback."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  # typer's own or click's, by version
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # whoever reads our output has seen enough; Click ends quietly
        except Exception as error:  # told, or raised on
            from msim_xds.cli.console import say
            from msim_xds.cli.failures import explain

            failure = explain(error)
            if failure is None:
                raise
            say(str(failure), "red")
            raise typer.Exit(failure.exit_code) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="IHE XDS.b Document Registry and Repository. `msim-xds demo` shows what it does.",
    epilog="Exit codes: 0 done, 1 refused or damaged, 2 could not be tried, 3 no file to verify.",
)

for command in (
    demonstration.demo,
    local.serve,
    remote.submit,
    remote.query,
    remote.retrieve,
    checking.check,
    removal.remove,
    signatures.verify_signature,
    local.fsck,
    local.migrate,
    local.settings,
):
    app.command()(command)
app.command("import")(importing.import_archive)
app.add_typer(audit.app, name="audit")
app.add_typer(certificates.app, name="certs")
app.add_typer(deliveries.app, name="deliveries")
app.add_typer(keys.app, name="keys")
app.add_typer(p1.app, name="p1")
app.add_typer(partners.app, name="partners")
app.add_typer(patients.app, name="patients")
app.add_typer(on_demand.app, name="on-demand")
app.add_typer(policy.app, name="policy")
app.add_typer(consent.app, name="consent")
app.add_typer(emergencies.app, name="access")
app.add_typer(revalidation.app, name="signatures")
app.add_typer(systems.app, name="systems")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"msim-xds {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """IHE XDS.b Document Registry and Repository. `msim-xds demo` shows what it does."""


def main() -> None:
    """Entry point of the console script."""
    garbage.loading()
    app(prog_name="msim-xds")
