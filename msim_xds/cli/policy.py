"""policy check, explain, sample: what the rules of access say, without a server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msim_xds.cli.console import print_json, print_line
from msim_xds.cli.failures import IMPOSSIBLE, Failure
from msim_xds.cli.local import Config, Data, Json, load_settings

if TYPE_CHECKING:
    from msim_xds.security.access.document import Document
    from msim_xds.security.access.policy import Policy
    from msim_xds.security.access.subject import Subject

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="The rules of who may see which documents."
)

_CALLER = ("transaction", "system", "kind", "role", "purpose", "organization", "emergency")
_DOCUMENT = (
    "confidentiality",
    "class_code",
    "type_code",
    "practice_setting_code",
    "healthcare_facility_type_code",
    "institution",
    "created",
    "opted_out",
    "opted_in",
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="Policy file (TOML).")]


@app.command()
def sample() -> None:
    """Print a policy to begin with."""
    from msim_xds.security.access.reader import SAMPLE

    print(SAMPLE.read_text("utf-8"), end="")  # octet for octet


@app.command()
def check(file: File, data: Data = None, config: Config = None) -> None:
    """Say whether a policy file can be used, and list its rules."""
    policy = _policy(file, config, data)
    for rule in policy.rules:
        asked = [f"caller.{each.key} {', '.join(sorted(each.allowed))}" for each in rule.caller]
        asked += [f"document.{each.key} {each.written}" for each in rule.document]
        effect = "permit" if rule.permit else "deny, absolutely" if rule.absolute else "deny"
        print_line(f"{rule.place}: {effect} if {'; '.join(asked) or 'asked at all'}")
    print_line(f"otherwise: {'permit' if policy.otherwise else 'deny'}")


@app.command()
def explain(
    file: File,
    caller: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help=f"Of the caller: {', '.join(_CALLER)}; may repeat."),
    ] = None,
    document: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help=f"Of the document: {', '.join(_DOCUMENT)}; may repeat."),
    ] = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Say which rule decides, and of each rule before it the condition that failed."""
    from msim_xds.security.access import explain as explaining

    policy = _policy(file, config, data)
    subject = _subject(_pairs("--caller", caller or (), _CALLER))
    explanation = explaining.explain(
        policy, subject, _document(_pairs("--document", document or (), _DOCUMENT))
    )
    if as_json:
        steps = [each._asdict() for each in explanation.steps]
        print_json({"permit": explanation.permit, "by_default": explanation.by_default, "steps": steps})
        return
    for line in explanation.lines():
        print_line(line)


def _policy(file: Path, config: Path | None, data: Path | None) -> Policy:
    from msim_xds.ihe.codes import CodeTable
    from msim_xds.security.access.reader import read

    return read(file, CodeTable.load(load_settings(config, data).codes.table))


def _pairs(option: str, given: Iterable[str], names: tuple[str, ...]) -> Mapping[str, list[str]]:
    pairs: dict[str, list[str]] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or name not in names:
            raise Failure(f"{option} {text}: expected NAME=VALUE with one of {', '.join(names)}", IMPOSSIBLE)
        pairs.setdefault(name, []).append(value)
    return pairs


def _subject(given: Mapping[str, list[str]]) -> Subject:
    from msim_xds.metadata.institution import institution
    from msim_xds.security.access.subject import Subject

    def first(name: str) -> str:
        return given.get(name, [""])[0]

    def coded(name: str) -> frozenset[tuple[str, str]]:
        parts = (text.partition("^^") for text in given.get(name, ()))
        return frozenset((code, scheme) for code, _, scheme in parts)

    organizations = [institution(each) for each in given.get("organization", ())]
    return Subject(
        transaction=first("transaction"),
        system=first("system"),
        kind=first("kind"),
        roles=coded("role"),
        purposes=coded("purpose"),
        organization=next(iter(organizations), ""),
        institutions=frozenset(organizations),
        emergency=first("emergency") == "true",
    )


def _document(given: Mapping[str, list[str]]) -> Document:
    from msim_xds.metadata.institution import institution
    from msim_xds.metadata.period import is_dtm, period
    from msim_xds.security.access.document import Consent, Document
    from msim_xds.wire.view import Fact

    created = given.get("created", [""])[0]
    if created and not is_dtm(created):
        raise Failure(f"--document created={created}: expected YYYY[MM[DD[hh[mm[ss]]]]]", IMPOSSIBLE)
    codes = {
        Fact.CLASS: "class_code",
        Fact.TYPE: "type_code",
        Fact.PRACTICE_SETTING: "practice_setting_code",
        Fact.FACILITY_TYPE: "healthcare_facility_type_code",
    }
    said = (("opted_out", Consent(False)), ("opted_in", Consent(True)))
    return Document(
        frozenset(given.get("confidentiality", ())),
        {fact: given[name][0] for fact, name in codes.items() if name in given},
        frozenset(map(institution, given.get("institution", ()))),
        period(created) if created else None,
        tuple(consent for name, consent in said if given.get(name, [""])[0] == "true"),
    )
