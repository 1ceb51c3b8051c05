"""consent list, set, withdraw: what patients have said about who may see their documents."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from msim_xds.cli.console import print_json, print_table, say
from msim_xds.cli.failures import REFUSED, Failure
from msim_xds.cli.local import Config, Data, Json, open_registry

if TYPE_CHECKING:
    from msim_xds.metadata.period import Period
    from msim_xds.registry.consents import Recorded, Said
    from msim_xds.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="What patients have said about who may see their documents; it counts at once.",
)

Cx = Annotated[str, typer.Argument(metavar="PATIENT", help="Patient id of the form ID^^^&OID&ISO.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept for good.")]
By = Annotated[
    str | None, typer.Option("--by", metavar="NAME", help="Who records it.", show_default="the account")
]

_COLUMNS = ("number", "patient", "says", "about", "recorded", "withdrawn")


class Answer(StrEnum):
    """What a patient says."""

    OPT_OUT = "opt-out"
    OPT_IN = "opt-in"


@app.command("list")
def list_(
    patient: Annotated[
        str | None, typer.Argument(metavar="PATIENT", help="Only this one's.", show_default=False)
    ] = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show consents, withdrawn ones too, the oldest first."""
    from msim_xds.registry import consents, patients

    with open_registry(config, data) as (_, database), database.read() as connection:
        key = None if patient is None else _known(patients.active_id(connection, patient), patient)
        found = consents.listed(connection, key)
    if as_json:
        print_json([_as_json(each) for each in found])
        return
    print_table(_COLUMNS, [_row(each) for each in found])
    say(f"{len(found)} consents")


@app.command("set")
def set_(
    patient: Cx,
    answer: Annotated[Answer, typer.Argument(help="Forbid or allow.")],
    reason: Reason,
    class_code: Annotated[
        str | None, typer.Option("--class", metavar="CODE^^SCHEME", help="Only documents of this class.")
    ] = None,
    institution: Annotated[
        str | None, typer.Option(metavar="ID", help="Only of an author of this institution.")
    ] = None,
    created_from: Annotated[str | None, typer.Option(metavar="DTM", help="Only made since then.")] = None,
    created_to: Annotated[str | None, typer.Option(metavar="DTM", help="Only made until then.")] = None,
    by: By = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Record what a patient says: of all documents, or of those that the options name together."""
    from msim_xds.metadata.institution import institution as spelt
    from msim_xds.registry import consents, patients
    from msim_xds.security.access.document import Consent

    with open_registry(config, data) as (settings, database):
        consent = Consent(
            answer is Answer.OPT_IN,
            None if class_code is None else _classes(settings, class_code),
            None if institution is None else spelt(institution),
            _period(created_from, created_to),
        )
        with database.write() as connection:
            key = _known(patients.active_id(connection, patient), patient)
            number = consents.record(connection, key, consent, _said(by, reason))
    say(f"consent {number} is recorded")


@app.command()
def withdraw(
    number: Annotated[int, typer.Argument(help="Number of the consent, as `list` shows it.")],
    reason: Reason,
    by: By = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Take a consent back. It stays in the list."""
    from msim_xds.registry import consents

    with open_registry(config, data) as (_, database), database.write() as connection:
        if not consents.withdraw(connection, number, _said(by, reason)):
            raise Failure(f"{number}: no consent of this number is in force", REFUSED)
    say(f"consent {number} is withdrawn")


def _known(key: int | None, cx: str) -> int:
    """The patient's key. Raises Failure where there is none."""
    if key is None:
        raise Failure(f"{cx}: the registry does not know this patient; `msim-xds patients add` does", REFUSED)
    return key


def _said(by: str | None, reason: str) -> Said:
    from msim_xds.registry.consents import Said

    if not reason.strip():
        raise Failure("--reason: must say something")
    return Said(by or getpass.getuser(), datetime.now(UTC).isoformat(timespec="seconds"), reason.strip())


def _classes(settings: Settings, code: str) -> frozenset[str]:
    """Every spelling of a class that the domain knows."""
    from msim_xds.ihe.codes import SEPARATOR, CodeTable

    table = CodeTable.load(settings.codes.table)
    name, separator, scheme = code.partition(SEPARATOR)
    if not separator or not table.check("classCode", name, scheme, aliases=True):
        near = ", ".join(table.nearest("classCode", name, scheme))
        raise Failure(f"--class {code}: is no classCode of the domain's code table; near: {near}")
    return frozenset(table.expand(code))


def _period(start: str | None, end: str | None) -> Period | None:
    from msim_xds.metadata.period import Period, is_dtm, period

    for option, value in (("--created-from", start), ("--created-to", end)):
        if value is not None and not is_dtm(value):
            raise Failure(f"{option} {value}: expected YYYY[MM[DD[hh[mm[ss]]]]], UTC")
    if start is None and end is None:
        return None
    whole = Period(
        0 if start is None else period(start).low, 99999999999999 if end is None else period(end).high
    )
    if whole.low > whole.high:
        raise Failure(f"--created-to {end}: is before --created-from {start}")
    return whole


def _row(each: Recorded) -> tuple[str, ...]:
    answer = Answer.OPT_IN if each.consent.opt_in else Answer.OPT_OUT
    recorded, withdrawn = each.recorded, each.withdrawn
    return (
        str(each.number),
        each.patient,
        answer.value,
        "; ".join(scope_of(each)) or "everything",
        f"{recorded.at} by {recorded.by}: {recorded.reason}",
        "" if withdrawn is None else f"{withdrawn.at} by {withdrawn.by}: {withdrawn.reason}",
    )


def scope_of(each: Recorded) -> Iterator[str]:
    """What a consent is about, for people; nothing where it is about everything."""
    consent = each.consent
    if consent.classes is not None:
        yield f"class {' = '.join(sorted(consent.classes))}"
    if consent.institution is not None:
        yield f"institution {consent.institution}"
    if consent.created is not None:
        yield f"created {consent.created.low} to {consent.created.high}"


def _as_json(each: Recorded) -> dict[str, object]:
    consent = each.consent
    return {
        "number": each.number,
        "patient": each.patient,
        "answer": Answer.OPT_IN if consent.opt_in else Answer.OPT_OUT,
        "classes": None if consent.classes is None else sorted(consent.classes),
        "institution": consent.institution,
        "created": consent.created,
        "recorded": each.recorded._asdict(),
        "withdrawn": None if each.withdrawn is None else each.withdrawn._asdict(),
    }
