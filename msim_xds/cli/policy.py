"""policy check, explain, sample: what the rules of access say, also of a registered document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msim_xds.cli.consent import about
from msim_xds.cli.console import print_json, print_line
from msim_xds.cli.failures import IMPOSSIBLE, REFUSED, Failure
from msim_xds.cli.local import Config, Data, Json, load_settings, open_registry

if TYPE_CHECKING:
    from msim_xds.registry.judged import Judged
    from msim_xds.security.access.document import Document
    from msim_xds.security.access.explain import Explanation
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

File = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="Policy file (TOML); default: access.policy.", show_default=False),
]


@app.command()
def sample() -> None:
    """Print a policy to begin with."""
    from msim_xds.security.access.reader import SAMPLE

    print(SAMPLE.read_text("utf-8"), end="")  # octet for octet


@app.command()
def check(file: File = None, data: Data = None, config: Config = None) -> None:
    """Say whether a policy file can be used, and list its rules."""
    policy = _policy(file, config, data)
    for rule in policy.rules:
        effect = "permit" if rule.permit else "deny, absolutely" if rule.absolute else "deny"
        print_line(f"{rule.place}: {effect} if {'; '.join(rule.conditions) or 'asked at all'}")
    print_line(f"otherwise: {'permit' if policy.otherwise else 'deny'}")


@app.command()
def explain(
    file: File = None,
    caller: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help=f"Of the caller: {', '.join(_CALLER)}; may repeat."),
    ] = None,
    document: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID|NAME=VALUE",
            help="entryUUID or uniqueId of a registered document, or what one is described by: "
            f"{', '.join(_DOCUMENT)}; may repeat.",
        ),
    ] = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Say which rule decides, and of each rule before it the condition that failed.

    Of a registered document also what its patient has said and emergencies there were. It is shown if each
    entry of its uniqueId is, an older version if each later one is.
    """
    from msim_xds.security.access import explain as explaining

    policy = _policy(file, config, data)
    subject = _subject(_pairs("--caller", caller or (), _CALLER))
    names = [text for text in document or () if _is_id(text)]
    if names:
        if len(document or ()) > 1:
            raise Failure(f"--document {names[0]}: a registered document is explained alone", IMPOSSIBLE)
        _explain_registered(names[0], policy, subject, config, data, as_json=as_json)
        return
    described = _document(_pairs("--document", document or (), _DOCUMENT))
    explanation = explaining.explain(policy, subject, described)
    if as_json:
        print_json(_as_json(explanation))
        return
    for line in explanation.lines():
        print_line(line)


def _explain_registered(
    name: str, policy: Policy, subject: Subject, config: Path | None, data: Path | None, *, as_json: bool
) -> None:
    from msim_xds.registry import emergencies
    from msim_xds.registry.judged import judged
    from msim_xds.security.access.explain import explain

    with open_registry(config, data) as (settings, database):
        if settings.registry.url:
            raise Failure(f"--document {name}: the registry is at {settings.registry.url}, not here")
        with database.snapshot() as connection:
            entries = judged(connection, name)
            patients = {entry.patient_id: entry.patient for entry in entries}
            overridden = {cx: emergencies.of_patient(connection, key) for key, cx in patients.items()}
    if not entries:
        raise Failure(f"--document {name}: no DocumentEntry here has this entryUUID or uniqueId", REFUSED)
    explained = [(entry, explain(policy, subject, entry.document)) for entry in entries]
    permit = all(explanation.permit for _, explanation in explained)
    if as_json:
        print_json(
            {
                "permit": permit,
                "entries": [_entry_as_json(*each) for each in explained],
                "emergencies": {
                    cx: [{**each._asdict(), "emergency": each.emergency._asdict()} for each in several]
                    for cx, several in overridden.items()
                },
            }
        )
        return
    for entry, explanation in explained:
        for line in (*_entry_lines(entry), *explanation.lines()):
            print_line(line)
    for cx, several in overridden.items():
        waiting = sum(each.reviewed_at is None for each in several)
        print_line(f"emergency access to patient {cx}: {len(several)}, not reviewed {waiting}")
    if len(explained) > 1:
        print_line(f"all {len(explained)} entries together: {'PERMIT' if permit else 'DENY'}")


def _entry_lines(entry: Judged) -> Iterator[str]:
    from msim_xds.security.access.document import concerns

    document = entry.document
    yield f"DocumentEntry {entry.entry_uuid}, version {entry.version}, {entry.status.name.title()}"
    yield f"  uniqueId {entry.unique_id}, patient {entry.patient}"
    codes = (*sorted(document.confidentiality), *document.codes.values())
    yield f"  codes {', '.join(codes) or 'none'}"
    created = document.created
    between = "none" if created is None else f"{created.low} to {created.high}"
    yield f"  authors' institutions {', '.join(sorted(document.institutions)) or 'none'}; created {between}"
    for said in entry.consents:
        answer = "opt-in" if said.consent.opt_in else "opt-out"
        place = "about this document" if concerns(said.consent, document) else "not about this document"
        yield f"  consent {said.number}, {answer}: {about(said.consent)}: {place}"


def _entry_as_json(entry: Judged, explanation: Explanation) -> dict[str, object]:
    from msim_xds.security.access.document import concerns

    return {
        "entryUUID": entry.entry_uuid,
        "uniqueId": entry.unique_id,
        "version": entry.version,
        "status": entry.status,
        "patient": entry.patient,
        "consents": [
            {"number": each.number, "concerns": concerns(each.consent, entry.document)}
            for each in entry.consents
        ],
        **_as_json(explanation),
    }


def _as_json(explanation: Explanation) -> dict[str, object]:
    steps = [each._asdict() for each in explanation.steps]
    return {"permit": explanation.permit, "by_default": explanation.by_default, "steps": steps}


def _policy(file: Path | None, config: Path | None, data: Path | None) -> Policy:
    from msim_xds.ihe.codes import CodeTable
    from msim_xds.security.access.reader import read

    settings = load_settings(config, data)
    path = file or settings.access.policy
    if path is None:
        raise Failure("FILE: name the policy; the settings have none (access.policy)", IMPOSSIBLE)
    return read(path, CodeTable.load(settings.codes.table))


def _is_id(text: str) -> bool:
    """Whether it can only be an entryUUID or a uniqueId: no name of an attribute begins so."""
    return text.startswith("urn:") or text[:1].isdigit()


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
    from msim_xds.security.access.document import SINGLE_CODES, Consent, Document

    created = given.get("created", [""])[0]
    if created and not is_dtm(created):
        raise Failure(f"--document created={created}: expected YYYY[MM[DD[hh[mm[ss]]]]]", IMPOSSIBLE)
    said = (("opted_out", Consent(False)), ("opted_in", Consent(True)))
    return Document(
        frozenset(given.get("confidentiality", ())),
        {fact: given[name][0] for fact, name in SINGLE_CODES.items() if name in given},
        frozenset(map(institution, given.get("institution", ()))),
        period(created) if created else None,
        tuple(consent for name, consent in said if given.get(name, [""])[0] == "true"),
    )
