"""consent list, set, import, withdraw: what patients have said about who may see their documents."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msim_xds.cli.console import print_json, print_table, say
from msim_xds.cli.failures import REFUSED, Failure
from msim_xds.cli.local import Config, Data, Json, open_registry

if TYPE_CHECKING:
    from msim_xds.metadata.period import Period
    from msim_xds.registry.consents import Recorded, Said
    from msim_xds.security.access.appc import Directive
    from msim_xds.security.access.document import Consent
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
    facility: Annotated[
        str | None,
        typer.Option(metavar="CODE^^SCHEME", help="Only of this healthcareFacilityTypeCode."),
    ] = None,
    event: Annotated[
        str | None, typer.Option(metavar="CODE^^SCHEME", help="Only with this code in the eventCodeList.")
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
            None if class_code is None else _codes(settings, "--class", class_code),
            None if institution is None else spelt(institution),
            _period(created_from, created_to),
            None if facility is None else _codes(settings, "--facility", facility),
            None if event is None else _codes(settings, "--event", event),
        )
        with database.write() as connection:
            key = _known(patients.active_id(connection, patient), patient)
            number = consents.record(connection, key, consent, _said(by, reason))
    say(f"consent {number} is recorded")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="APPC document (XACML 2.0 PolicySet).")],
    reason: Reason = "",
    check: Annotated[bool, typer.Option("--check", help="Only say what would be recorded.")] = False,
    by: By = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Record what a consent document says: all of it, or nothing if it says anything that consents cannot.

    What is in force already is not recorded again. Consents of earlier documents stay until they are
    withdrawn.
    """
    from msim_xds.registry import consents, patients

    with open_registry(config, data) as (settings, database):
        directive = _directive(settings, file)
        said = None if check else _said(by, reason, f" (APPC {directive.id})")
        with database.write() as connection:
            key = _known(patients.active_id(connection, directive.patient), directive.patient)
            in_force = {each.consent for each in consents.listed(connection, key) if each.withdrawn is None}
            fresh = [each for each in directive.consents if each not in in_force]
            numbers = [] if said is None else [consents.record(connection, key, each, said) for each in fresh]
    if as_json:
        told = [{**_consent_as_json(each), "in_force": each in in_force} for each in directive.consents]
        print_json({"patient": directive.patient, "consents": told, "recorded": numbers})
        return
    rows = [
        (_answer(each).value, about(each), "yes" if each in in_force else "") for each in directive.consents
    ]
    print_table(("says", "about", "in force before"), rows)
    say(f"{directive.patient}: {len(fresh)} consents {'would be' if check else 'are'} recorded")


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


def _directive(settings: Settings, file: Path) -> Directive:
    """What a document says. Raises Failure where it cannot be read so."""
    from msim_xds.ihe.codes import CodeTable
    from msim_xds.security.access import appc

    policies = {name: said == Answer.OPT_IN.value for name, said in settings.access.consent_policies.items()}
    with file.open("rb") as document:
        octets = document.read(appc.LARGEST + 1)
    try:
        return appc.read(octets, CodeTable.load(settings.codes.table), policies)
    except appc.UnusableConsent as error:
        raise Failure(f"{file}: nothing was recorded: {error}", REFUSED) from None


def _said(by: str | None, reason: str, source: str = "") -> Said:
    from msim_xds.registry.consents import Said

    if not reason.strip():
        raise Failure("--reason: must say something")
    return Said(
        by or getpass.getuser(), datetime.now(UTC).isoformat(timespec="seconds"), reason.strip() + source
    )


_ATTRIBUTES = {
    "--class": "classCode",
    "--facility": "healthcareFacilityTypeCode",
    "--event": "eventCodeList",
}


def _codes(settings: Settings, option: str, code: str) -> frozenset[str]:
    """Every spelling of a code that the domain knows."""
    from msim_xds.ihe.codes import SEPARATOR, CodeTable

    table = CodeTable.load(settings.codes.table)
    name, separator, scheme = code.partition(SEPARATOR)
    attribute = _ATTRIBUTES[option]
    if not separator or not table.check(attribute, name, scheme, aliases=True):
        near = ", ".join(table.nearest(attribute, name, scheme))
        raise Failure(f"{option} {code}: is no {attribute} of the domain's code table; near: {near}")
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
    recorded, withdrawn = each.recorded, each.withdrawn
    return (
        str(each.number),
        each.patient,
        _answer(each.consent).value,
        about(each.consent),
        f"{recorded.at} by {recorded.by}: {recorded.reason}",
        "" if withdrawn is None else f"{withdrawn.at} by {withdrawn.by}: {withdrawn.reason}",
    )


def about(consent: Consent) -> str:
    """What a consent is about, for people."""
    return "; ".join(_scope(consent)) or "everything"


def _scope(consent: Consent) -> Iterator[str]:
    for name, codes in (
        ("class", consent.classes),
        ("facility type", consent.facilities),
        ("event", consent.events),
    ):
        if codes is not None:
            yield f"{name} {' = '.join(sorted(codes))}"
    if consent.institution is not None:
        yield f"institution {consent.institution}"
    if consent.created is not None:
        yield f"created {consent.created.low} to {consent.created.high}"


def _as_json(each: Recorded) -> dict[str, object]:
    return {
        "number": each.number,
        "patient": each.patient,
        **_consent_as_json(each.consent),
        "recorded": each.recorded._asdict(),
        "withdrawn": None if each.withdrawn is None else each.withdrawn._asdict(),
    }


def _answer(consent: Consent) -> Answer:
    return Answer.OPT_IN if consent.opt_in else Answer.OPT_OUT


def _consent_as_json(consent: Consent) -> dict[str, object]:
    return {
        "answer": _answer(consent),
        **{
            name: None if codes is None else sorted(codes)
            for name, codes in (
                ("classes", consent.classes),
                ("facilities", consent.facilities),
                ("events", consent.events),
            )
        },
        "institution": consent.institution,
        "created": consent.created,
    }
