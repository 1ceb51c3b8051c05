"""verify-signature: what the signatures of a document are worth, in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from msim_xds.cli.console import print_json, print_line, say
from msim_xds.cli.local import Config, Json, load_settings

if TYPE_CHECKING:
    from msim_xds.security.signatures.report import Report, SignatureReport
    from msim_xds.settings import Settings

UNACCEPTABLE: Final = 3
_COLOURS: Final = {"TOTAL_PASSED": "green", "INDETERMINATE": "yellow", "TOTAL_FAILED": "red"}
_WORDS: Final = {
    "en": {
        "TOTAL_PASSED": "valid: unchanged, and its signer is trusted",
        "INDETERMINATE": "undecided: not proven to be wrong, and not proven to be right",
        "TOTAL_FAILED": "not valid",
        "none": "The document is not signed.",
        "signature": "Signature",
        "counter": "Counter-signature",
        "signer": "signer",
        "person": "person named by the seal",
        "trust": "trusted as",
        "intact": "unchanged since it was signed",
        "covers": "covers the whole document",
        "bound": "names its certificate",
        "form": "form",
        "claimed": "time claimed",
        "proven": "proven to exist since",
        "stamp": "time-stamp",
        "trusted": "authority trusted",
        "untrusted": "authority not trusted",
        "broken": "broken",
        "reason": "why",
        "note": "note",
        "yes": "yes",
        "no": "no",
    },
    "pl": {
        "TOTAL_PASSED": "ważny: dokument niezmieniony, podpisujący zaufany",
        "INDETERMINATE": "nierozstrzygnięty: nie dowiedziono ani nieważności, ani ważności",
        "TOTAL_FAILED": "nieważny",
        "none": "Dokument nie jest podpisany.",
        "signature": "Podpis",
        "counter": "Kontrasygnata",
        "signer": "podpisujący",
        "person": "osoba wskazana przez pieczęć",
        "trust": "zaufany jako",
        "intact": "niezmieniony od podpisania",
        "covers": "obejmuje cały dokument",
        "bound": "wskazuje swój certyfikat",
        "form": "postać",
        "claimed": "czas deklarowany",
        "proven": "istnieje co najmniej od",
        "stamp": "znacznik czasu",
        "trusted": "urząd zaufany",
        "untrusted": "urząd niezaufany",
        "broken": "naruszony",
        "reason": "powód",
        "note": "uwaga",
        "yes": "tak",
        "no": "nie",
    },
}


class Language(StrEnum):
    """Language of the readable form."""

    EN = "en"
    PL = "pl"


def verify_signature(
    file: Annotated[Path, typer.Argument(help="The document, or a detached signature.")],
    as_json: Json = False,
    detached_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Detached documents, named as references name them.")
    ] = None,
    trust: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Trusted certificates, instead of signatures.trust.")
    ] = None,
    language: Annotated[Language, typer.Option(help="Language of the readable form.")] = Language.EN,
    config: Config = None,
) -> None:
    """Say what the XAdES signatures of a document are worth, and why.

    Nothing is fetched unless the settings allow it.

    Exit code 0: there is an answer, whatever it says; 3: the file is refused (not XML, a DOCTYPE, too large).
    """
    from msim_xds.security.signatures.document import Unacceptable

    settings = load_settings(config, None)
    if trust is not None:
        section = settings.signatures.model_copy(update={"trust": trust})
        settings = settings.model_copy(update={"signatures": section})
    data, others = file.read_bytes(), _detached(detached_dir)
    try:
        report = _validate(settings, data, others)
    except Unacceptable as error:
        if as_json:
            print_json({"error": {"code": error.code, "message": str(error)}, "signatures": []})
        else:
            say(f"{file}: {error}", "red")
        raise typer.Exit(UNACCEPTABLE) from None
    if as_json:
        print_json(report.json())
    else:
        _show(report, language.value)


def _validate(settings: Settings, data: bytes, others: dict[str, bytes]) -> Report:
    from msim_xds.security.signatures.setup import validator

    section, now, fetcher = settings.signatures, datetime.now(UTC), None
    if section.fetch_hosts:
        from msim_xds.federation.revocation import NetworkFetcher

        fetcher = NetworkFetcher(section.fetch_hosts, section.fetch_timeout_s, section.crl_bytes)
    chosen = validator(section, now, fetcher)
    for warning in chosen.assessor.trust.warnings:
        say(warning, "yellow")
    return chosen.validate(data, now, others)


def _detached(folder: Path | None) -> dict[str, bytes]:
    if folder is None:
        return {}
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def _show(report: Report, language: str) -> None:
    words = _WORDS[language]
    if not report.signatures:
        print_line(words["none"])
    for number, one in enumerate(report.signatures, 1):
        _show_one(one, f"{words['signature']} {number}", "", language)


def _show_one(one: SignatureReport, title: str, indent: str, language: str) -> None:
    words = _WORDS[language]
    name = str(one.indication)
    sub = f" ({one.sub_indication})" if one.sub_indication else ""
    print_line(f"{indent}{title}: {words[name]} [{name}{sub}]", _COLOURS[name])
    rows = list(_rows(one, language))
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        print_line(f"{indent}  {label:{width}}  {value}")
    for counter in one.counter_signatures:
        _show_one(counter, words["counter"], f"{indent}  ", language)


def _rows(one: SignatureReport, language: str) -> Iterator[tuple[str, str]]:
    words = _WORDS[language]

    def says(value: bool) -> str:
        return words["yes" if value else "no"]

    for why in one.reasons:
        yield words["reason"], why.text(language)
    if one.signer is not None:
        kinds = f" [{', '.join(one.signer.qualifications)}]" if one.signer.qualifications else ""
        yield words["signer"], one.signer.subject + kinds
        if one.signer.asserted:
            yield words["person"], one.signer.asserted
        if one.signer.trust_set:
            yield words["trust"], one.signer.trust_set
    yield words["intact"], says(one.intact)
    yield words["covers"], says(one.covers_document)
    yield words["bound"], says(one.signing_certificate_bound)
    yield words["form"], f"{one.level}, {', '.join(one.packaging) or '-'}"
    if one.signing_time:
        yield words["claimed"], one.signing_time
    if any(stamp.trusted for stamp in one.timestamps):
        yield words["proven"], one.best_time.isoformat()
    for stamp in one.timestamps:
        state = words["broken" if not stamp.intact else "trusted" if stamp.trusted else "untrusted"]
        reasons = "; ".join(why.text(language) for why in stamp.reasons)
        parts = (stamp.type, stamp.gen_time.isoformat() if stamp.gen_time else "", state, reasons)
        yield words["stamp"], ", ".join(filter(None, parts))
    for note in one.warnings:
        yield words["note"], note.text(language)
