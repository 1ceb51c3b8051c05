"""submit, query, retrieve: this command as a Document Source and Document Consumer of any server."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from msim_xds.cli.console import print_json, print_record, print_table, progress, say, say_findings
from msim_xds.cli.failures import IMPOSSIBLE, REFUSED, Failure
from msim_xds.cli.local import Json, Profile

if TYPE_CHECKING:
    from msim_xds.cli.partner import Outcome, Partner
    from msim_xds.federation.answers import RetrievedDocument
    from msim_xds.federation.client import QueryValue
    from msim_xds.metadata.model import Code, DocumentEntry

_ENTRY: Final = "$XDSDocumentEntry"

Url = Annotated[str, typer.Option(help="The server, such as http://127.0.0.1:8080.", show_default=False)]
CodeOption = Annotated[str | None, typer.Option(metavar="CODE^^SCHEME[^^NAME]", show_default=False)]
Codes = Annotated[list[str] | None, typer.Option(metavar="CODE^^SCHEME", help="May be repeated.")]


class StatusChoice(StrEnum):
    """Which entries to find."""

    APPROVED = "approved"
    DEPRECATED = "deprecated"
    ALL = "all"


@contextmanager
def _server(url: str) -> Iterator[Partner]:
    """The server of --url. Raises Failure when it gives no answer."""
    from msim_xds.cli.partner import Partner
    from msim_xds.federation.answers import RemoteUnavailable

    with Partner(url) as partner:
        try:
            yield partner
        except RemoteUnavailable as error:
            raise Failure(f"{error}\nIs the server running, and is --url its address?") from None


def submit(
    files: Annotated[list[Path], typer.Argument(help="CDA documents; any other files with --patient.")],
    url: Url,
    patient: Annotated[str | None, typer.Option(metavar="CX", help="Patient id, ID^^^&OID&ISO.")] = None,
    class_code: CodeOption = None,
    type_code: CodeOption = None,
    format_code: CodeOption = None,
    confidentiality_code: CodeOption = None,
    facility_code: CodeOption = None,
    practice_code: CodeOption = None,
    title: Annotated[str | None, typer.Option(help="Instead of the document's.")] = None,
    mime_type: Annotated[str | None, typer.Option(help="Instead of the guessed one.")] = None,
    language: Annotated[str | None, typer.Option(help="Language tag, such as pl-PL.")] = None,
    source_id: Annotated[
        str | None, typer.Option(help="OID of the source; one of this host by default.")
    ] = None,
    profile: Annotated[
        Profile, typer.Option(help="pl sends ids and format of Polish documents as they are.")
    ] = Profile.IHE,
    keep_id: Annotated[
        bool, typer.Option("--keep-id", help="Never change a uniqueId, even if it is refused then.")
    ] = False,
    replace: Annotated[
        bool, typer.Option(help="Replace the documents that a CDA header says it is a new version of.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Publish documents (ITI-41). Metadata comes from options, else the CDA header, else defaults."""
    from msim_xds.cli.publication import Wishes, prepare
    from msim_xds.importer.publication import code_from_text

    codes = {
        "class": class_code,
        "type": type_code,
        "format": format_code,
        "confidentiality": confidentiality_code,
        "facility": facility_code,
        "practice": practice_code,
    }
    wishes = Wishes(
        profile=profile.value,
        patient_id=cx_option(patient),
        source_id=source_id,
        title=title,
        mime_type=mime_type,
        language=language,
        keep_id=keep_id,
        codes={name: code_from_text(value) for name, value in codes.items() if value is not None},
    )
    publications = [prepare(path, wishes) for path in files]
    outcomes: list[Outcome] = []
    with _server(url) as partner:
        try:
            with progress("Submitting") as bar:
                for publication in bar.track(publications):
                    outcomes.append(partner.publish(publication, replace=replace, keep_id=keep_id))
                    _report(outcomes[-1])
        finally:  # whoever was interrupted wants to know what has been published
            published = [outcome for outcome in outcomes if outcome.answer.succeeded]
            _print_published(published, partner, as_json=as_json)
    if refused := len(outcomes) - len(published):
        raise Failure(f"{refused} of {len(outcomes)} refused", REFUSED)


def _report(outcome: Outcome) -> None:
    """What a person should know of one submission, to standard error."""
    publication = outcome.publication
    for note in publication.notes:
        say(f"{publication.path}: {note}")
    if outcome.answer.succeeded and outcome.replaced:
        say(f"{publication.path}: replaces {outcome.replaced}")
    if not outcome.answer.succeeded:
        say(f"{publication.path}: refused", "bold red")
    say_findings(outcome.answer.findings)


def _print_published(published: list[Outcome], partner: Partner, *, as_json: bool) -> None:
    stored = _repositories(published, partner)
    documents = [
        {
            "file": str(outcome.publication.path),
            "unique_id": outcome.publication.entry.unique_id,
            "entry_uuid": outcome.publication.entry.entry_uuid,
            "repository_unique_id": stored.get(outcome.publication.entry.entry_uuid),
            "patient_id": outcome.publication.entry.patient_id,
        }
        for outcome in published
    ]
    if as_json:
        print_json({"documents": documents})
        return
    for document in documents:
        print_record(
            str(document["file"]), {name: str(value) for name, value in document.items() if name != "file"}
        )


def _repositories(published: list[Outcome], partner: Partner) -> dict[str, str | None]:
    """Where the registry says the documents are, by entryUUID; asked patient by patient."""
    from msim_xds.federation.answers import RemoteError

    by_patient: dict[str | None, list[str]] = {}
    for outcome in published:
        entry = outcome.publication.entry
        by_patient.setdefault(entry.patient_id, []).append(entry.entry_uuid)
    found: dict[str, str | None] = {}
    try:
        for entry_uuids in by_patient.values():
            found.update(
                (each.entry_uuid, each.repository_unique_id) for each in partner.entries(entry_uuids)
            )
    except RemoteError as error:
        say(f"published, but the registry cannot be asked where: {error}", "red")
    return found


def query(
    url: Url,
    patient: Annotated[str, typer.Option(metavar="CX", help="Patient id.", show_default=False)],
    class_code: Codes = None,
    type_code: Codes = None,
    format_code: Codes = None,
    confidentiality_code: Codes = None,
    facility_code: Codes = None,
    practice_code: Codes = None,
    event_code: Codes = None,
    author: Annotated[
        list[str] | None, typer.Option(help="Pattern of the author's XCN, such as '%Wzorcowy%'.")
    ] = None,
    status: Annotated[StatusChoice, typer.Option(help="Which entries.")] = StatusChoice.APPROVED,
    since: Annotated[
        str | None, typer.Option("--from", metavar="DTM", help="creationTime at least, UTC.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="DTM", help="creationTime before, UTC.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find a patient's documents (ITI-18 FindDocuments)."""
    from msim_xds.ihe.names import Status

    lists = {
        "ClassCode": class_code,
        "TypeCode": type_code,
        "FormatCode": format_code,
        "ConfidentialityCode": confidentiality_code,
        "HealthcareFacilityTypeCode": facility_code,
        "PracticeSettingCode": practice_code,
        "EventCodeList": event_code,
        "AuthorPerson": author,
    }
    parameters: dict[str, QueryValue] = {_ENTRY + name: values for name, values in lists.items() if values}
    times = {"CreationTimeFrom": since, "CreationTimeTo": until}
    parameters.update({_ENTRY + name: time for name, time in times.items() if time})
    statuses = [each for each in Status if status in (StatusChoice.ALL, each.name.lower())]
    with _server(url) as partner:
        found = partner.find(patient, parameters, statuses)
        with progress("Reading entries") as bar:
            entries = list(bar.track(partner.entries(found), total=len(found)))
    show_entries(entries, as_json=as_json)


def show_entries(entries: list[DocumentEntry], *, as_json: bool = False) -> None:
    """Entries by time, as JSON or as a table."""
    rows = [_row(entry) for entry in sorted(entries, key=lambda entry: entry.creation_time or "")]
    if as_json:
        print_json({"documents": rows})
        return
    print_table(("creation_time", "class", "document"), [_shown(row) for row in rows])
    say(f"{len(rows)} document{'s' if len(rows) != 1 else ''}")


def _shown(row: Mapping[str, Any]) -> list[str]:
    """A row of the table for people."""
    code = (row["class_code"] or "").partition("^^")[0]
    author = f"{row['author']}, " if row["author"] else ""
    title = " ".join((row["title"] or "(no title)").split())
    document = f"{title}\n{author}{row['status']}\n{row['unique_id']}"
    return [row["creation_time"] or "", code, document]


def _row(entry: DocumentEntry) -> dict[str, Any]:
    person = entry.authors[0].person if entry.authors else None
    return {
        "entry_uuid": entry.entry_uuid,
        "unique_id": entry.unique_id,
        "repository_unique_id": entry.repository_unique_id,
        "home_community_id": entry.home,
        "patient_id": entry.patient_id,
        "title": entry.title[0].value if entry.title else None,
        "creation_time": entry.creation_time,
        "class_code": _written(entry.class_code),
        "type_code": _written(entry.type_code),
        "format_code": _written(entry.format_code),
        "confidentiality_codes": [_written(code) for code in entry.confidentiality_codes],
        "author": " ".join(filter(None, (person or "").split("^")[1:3])) or None,
        "status": (entry.status or "").rpartition(":")[2],
        "mime_type": entry.mime_type,
        "size": entry.size,
        "hash": entry.hash,
    }


def _written(code: Code | None) -> str | None:
    return f"{code.code}^^{code.scheme}" if code else None


def retrieve(
    unique_id: Annotated[str, typer.Argument(help="uniqueId of the document.", show_default=False)],
    url: Url,
    repository: Annotated[
        str | None, typer.Option(metavar="OID", help="repositoryUniqueId; asked of the registry by default.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="File to write; default: standard output.")] = None,
) -> None:
    """Fetch a document's octets (ITI-43), checked against the registered hash."""
    if output is None and sys.stdout.isatty():
        raise Failure(
            "give --output FILE, or send standard output elsewhere: documents are not for terminals"
        )
    with _server(url) as partner, TemporaryDirectory(prefix="msim-xds-") as directory:
        entry = None if repository else _registered(partner, unique_id)
        home = repository or (entry.repository_unique_id if entry else None) or ""
        document = partner.retrieve(home, unique_id, Path(directory))
        check_hash(document, entry)
        if output is not None:
            shutil.copyfile(document.path, output)
            say(f"{output}: {document.size} bytes, {document.mime_type}, sha1 {document.sha1}")
            return
        with document.path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)


def _registered(partner: Partner, unique_id: str) -> DocumentEntry:
    for entry in partner.by_unique_id([unique_id]):
        if entry.repository_unique_id:
            return entry
    raise Failure(f"the registry knows no document with uniqueId {unique_id}", REFUSED)


def check_hash(document: RetrievedDocument, entry: DocumentEntry | None) -> None:
    """Nothing, when the octets are those that were registered. Raises Failure."""
    if entry is not None and entry.hash and entry.hash.lower() != document.sha1:
        raise Failure(
            f"the octets of {document.document_unique_id} have sha1 {document.sha1}, "
            f"but {entry.hash} is registered: nothing was written",
            REFUSED,
        )


def cx_option(value: str | None) -> str | None:
    """The CX of --patient. Raises Failure."""
    from msim_xds.metadata.hl7v2 import is_cx

    if value is not None and not is_cx(value):
        raise Failure(f"--patient {value}: expected a CX of the form ID^^^&OID&ISO", IMPOSSIBLE)
    return value
