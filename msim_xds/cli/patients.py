"""patients: list, add, import and merge the patients of this machine's registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from msim_xds.cli.console import print_json, print_table, progress, say, say_findings
from msim_xds.cli.failures import IMPOSSIBLE, REFUSED, Failure
from msim_xds.cli.local import Config, Data, Json, existing_settings, open_ledger

if TYPE_CHECKING:
    from msim_xds.audit.operators import Ledger
    from msim_xds.audit.trail import Witness
    from msim_xds.findings import Finding
    from msim_xds.metadata.identity import Announcement, Demographics, Given, Merge
    from msim_xds.registry.identity import PatientIdentity
    from msim_xds.registry.patients import Listed

app = typer.Typer(no_args_is_help=True, help="The patients that the registry knows.", rich_markup_mode=None)

Cx = Annotated[str, typer.Argument(metavar="CX", help="Patient id of the form ID^^^&OID&ISO.")]

_COLUMNS = ("patient", "state", "family name", "given name", "birth date", "sex", "changed")
_CSV = ("id", "authority", "family_name", "given_name", "birth_date", "sex")


@app.command("list")
def list_(data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """Show every patient: announced, only met in submissions, or merged into another."""
    from msim_xds.app import open_identity

    with open_identity(existing_settings(config, data)) as identity:
        if as_json:
            print_json([_as_json(each) for each in identity.listed()])
        else:
            rows = [_row(each) for each in identity.listed()]
            print_table(_COLUMNS, rows)
            say(f"{len(rows)} patients")


@app.command()
def add(
    cx: Cx,
    family_name: Annotated[str | None, typer.Option(help="Family name.")] = None,
    given_name: Annotated[str | None, typer.Option(help="Given name.")] = None,
    birth_date: Annotated[str | None, typer.Option(metavar="YYYYMMDD", help="Date of birth.")] = None,
    sex: Annotated[str | None, typer.Option(help="F, M, or another code of HL7 table 0001.")] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Announce a patient, as a feed does with A01 or A08."""
    from msim_xds.metadata.identity import Announcement

    given = _given(cx, "CX")
    with _recorded(data, config, "add") as records, _refusals_explained():
        person = _person(family_name, given_name, birth_date, sex)
        say_findings(records.announce(Announcement(given, person)))
    say(f"{cx} is known")


@app.command()
def merge(
    surviving: Annotated[str, typer.Argument(metavar="SURVIVING", help="CX that stays.")],
    subsumed: Annotated[str, typer.Argument(metavar="SUBSUMED", help="CX that is not to be used any more.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: a merge cannot be undone.")] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Merge two patients for good, as a feed does with A40: everything of SUBSUMED becomes SURVIVING's."""
    from msim_xds.metadata.identity import Merge

    pair = Merge(_given(surviving, "SURVIVING"), _given(subsumed, "SUBSUMED"))
    if not yes:
        typer.confirm(f"Merge {subsumed} into {surviving}? This cannot be undone.", abort=True, err=True)
    with _recorded(data, config, "merge") as records, _refusals_explained():
        records.merge(pair)
    say(f"{subsumed} was merged into {surviving}")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV file, UTF-8, with a header line.")],
    authority: Annotated[
        str | None, typer.Option(metavar="OID", help="Assigning authority of ids that are no CX.")
    ] = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Announce patients of a CSV file: id, authority, family_name, given_name, birth_date, sex.

    Only id is required: a CX, or an id of the row's or --authority's OID. Columns are separated by comma or
    semicolon. A row that is refused does not keep the others out; to import a file again is harmless.
    """
    from msim_xds.findings import Refused

    rows = _read(file)
    refused: list[tuple[int, tuple[Finding, ...]]] = []
    with _recorded(data, config, "import") as records, progress("Announcing patients") as bar:
        task = bar.add_task("patients", total=len(rows))
        for row in rows:
            try:
                records.announce(_announcement(row, authority))
            except Refused as refusal:
                refused.append((row.line, refusal.findings))
            bar.advance(task)
    known = len(rows) - len(refused)
    if as_json:
        problems = [{"line": line, "problems": [each.text() for each in found]} for line, found in refused]
        print_json({"announced": known, "refused": problems})
    else:
        for line, found in refused:
            say(f"line {line}: {'; '.join(each.text() for each in found)}", "red")
        say(f"{known} patients announced, {len(refused)} refused")
    if refused:
        raise typer.Exit(REFUSED)


class _Row(NamedTuple):
    line: int
    values: dict[str, str]


def _read(file: Path) -> list[_Row]:
    """Every row that has an id.

    Raises:
        Failure: no such columns, or no UTF-8.
    """
    import csv

    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            header = text.readline()
            text.seek(0)
            reader = csv.DictReader(text, delimiter=";" if header.count(";") > header.count(",") else ",")
            columns = reader.fieldnames or ()
            if "id" not in columns or not set(columns) <= set(_CSV):
                raise Failure(f"{file}: the columns are {', '.join(_CSV)}; only id is required", IMPOSSIBLE)
            rows = [
                _Row(reader.line_num, {name: (value or "").strip() for name, value in row.items() if name})
                for row in reader
            ]
    except UnicodeDecodeError:
        raise Failure(f"{file}: this is no UTF-8", IMPOSSIBLE) from None
    return [row for row in rows if row.values["id"]]


def _announcement(row: _Row, authority: str | None) -> Announcement:
    from msim_xds.metadata.identity import Announcement, Given, Identifier, identifier

    values = row.values
    plain = Identifier(values["id"], "", values.get("authority") or authority or "", "ISO")
    given = Given("id", (identifier(values["id"]) if "^" in values["id"] else plain,))
    return Announcement(given, _person(*(values.get(name) for name in _CSV[2:])))


def _person(
    family_name: str | None, given_name: str | None, birth_date: str | None, sex: str | None
) -> Demographics:
    """Raises Refused for what no feed could say."""
    from msim_xds.findings import Finding, Refused
    from msim_xds.ihe.acknowledgements import Condition
    from msim_xds.metadata.identity import Demographics
    from msim_xds.metadata.period import is_dtm

    born = (birth_date or "").replace("-", "")
    if born and (len(born) > len("YYYYMMDD") or not is_dtm(born)):
        raise Refused(
            [Finding(Condition.DATA_TYPE, "is no date", "", "birth_date", birth_date, "such as 18580314")]
        )
    if sex and (len(sex) > 1 or not sex.isupper()):
        raise Refused([Finding(Condition.TABLE_VALUE, "is no sex", "", "sex", sex, "F, M, O, U, A, N")])
    return Demographics(family_name or None, given_name or None, born or None, sex or None)


def _given(cx: str, place: str) -> Given:
    from msim_xds.metadata.hl7v2 import is_cx
    from msim_xds.metadata.identity import Given, identifier

    if not is_cx(cx):
        raise Failure(f"{place} {cx}: expected a CX of the form ID^^^&OID&ISO", IMPOSSIBLE)
    return Given(place, (identifier(cx),))


def _row(patient: Listed) -> tuple[str, ...]:
    person: Demographics = patient.demographics
    state = f"merged into {patient.survivor}" if patient.survivor else _state(patient)
    return (patient.cx, state, *(value or "" for value in person), patient.changed_at or "")


def _as_json(patient: Listed) -> dict[str, object]:
    return {
        "patient": patient.cx,
        "state": "merged" if patient.survivor else _state(patient),
        "survivor": patient.survivor,
        **patient.demographics._asdict(),
        "changed_at": patient.changed_at,
    }


def _state(patient: Listed) -> str:
    return "announced" if patient.announced else "met"


class _Recorded:
    """Changes patients and records it, as the feeds do."""

    def __init__(self, identity: PatientIdentity, ledger: Ledger | None) -> None:
        self._identity = identity
        self._ledger = ledger

    def announce(self, announcement: Announcement) -> list[Finding]:
        """As ``PatientIdentity.announce``."""
        with self._witnessed("ITI-8 A04", announcement) as witness:
            return self._identity.announce(announcement, record=witness)

    def merge(self, merge: Merge) -> None:
        """As ``PatientIdentity.merge``."""
        with self._witnessed("ITI-8 A40", merge) as witness:
            self._identity.merge(merge, record=witness)

    @contextmanager
    def _witnessed(self, name: str, change: Announcement | Merge) -> Iterator[Witness | None]:
        """Who records a change, in its transaction; a refusal is recorded when it is known."""
        from msim_xds.findings import Refused
        from msim_xds.ihe.names import ResponseStatus

        if self._ledger is None:
            yield None
            return
        witness = self._ledger.witness(name, self._identity.concerns(change, ""))
        try:
            yield witness
        except Refused as refused:
            witness.conclude(ResponseStatus.FAILURE, refused.findings)
            raise


@contextmanager
def _recorded(data: Path | None, config: Path | None, command: str) -> Iterator[_Recorded]:
    from msim_xds.app import open_identity

    settings = existing_settings(config, data)
    with open_identity(settings) as identity, open_ledger(settings, f"msim-xds patients {command}") as ledger:
        yield _Recorded(identity, ledger)


@contextmanager
def _refusals_explained() -> Iterator[None]:
    from msim_xds.findings import Refused

    try:
        yield
    except Refused as refusal:
        raise Failure("\n".join(each.text() for each in refusal.findings), REFUSED) from None
