"""check: every finding of a submission or update, without a server."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from msim_xds.cli.console import finding_rows, print_json, print_table, say
from msim_xds.cli.failures import REFUSED, Failure
from msim_xds.cli.local import Config, Json, Profile, load_settings
from msim_xds.ihe.names import LCM, SOAP, WSA, XDS

if TYPE_CHECKING:
    from lxml.etree import _Element

    from msim_xds.findings import Finding
    from msim_xds.ihe.transactions import Transaction
    from msim_xds.metadata.model import Submission
    from msim_xds.repository.spool import Spool
    from msim_xds.settings import Settings
    from msim_xds.wire.mtom import Message

_HEAD_BYTES: Final = 8192
_CHUNK: Final = 1 << 20
_BOUNDARY: Final = re.compile(rb"(?:\r?\n)*--([^\r\n]{1,200}?)[ \t]*\r?\n")
_HEADERS: Final = re.compile(
    rb"(?:[A-Z]+ [^\r\n]*\r?\n|[!-9;-~]+:[^\r\n]*\r?\n(?:[ \t][^\r\n]*\r?\n)*)+\r?\n"
)
_CONTENT_TYPE: Final = re.compile(rb"(?im)^content-type:[ \t]*((?:[^\r\n]|\r?\n[ \t])*)")
_SUBMIT_OBJECTS: Final = f"{{{LCM}}}SubmitObjectsRequest"
_PROVIDE: Final = f"{{{XDS}}}ProvideAndRegisterDocumentSetRequest"
_ACTION: Final = f"{{{SOAP}}}Header/{{{WSA}}}Action"


class TransactionChoice(StrEnum):
    """By whose rules a message is judged."""

    ITI_41 = "ITI-41"
    ITI_42 = "ITI-42"
    ITI_57 = "ITI-57"
    ITI_61 = "ITI-61"
    ITI_92 = "ITI-92"


class Checked(NamedTuple):
    """What is wrong with a message, and by the rules of which transaction."""

    transaction: Transaction
    findings: list[Finding]


def check(
    message: Annotated[
        Path, typer.Argument(help="A message of ITI-41, 42, 57, 61 or 92, as XML or as MTOM.")
    ],
    transaction: Annotated[
        TransactionChoice | None,
        typer.Option(help="Judge by this.", show_default="wsa:Action, else what the message holds"),
    ] = None,
    profile: Annotated[Profile | None, typer.Option(help="Instead of validation.profile.")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List everything that is wrong with a message, without a server. Exit code 1 means errors.

    Takes a SOAP envelope, its payload, a bare SubmitObjectsRequest, or an MTOM message with or without HTTP
    headers. What only a registry's contents decide (duplicates, replaced documents) is not looked at.
    Without a wsa:Action documents make it ITI-41, the triggers of an update ITI-57, anything else ITI-42.
    """
    settings = load_settings(config, None)
    if profile is not None:
        validation = settings.validation.model_copy(update={"profile": profile.value})
        settings = settings.model_copy(update={"validation": validation})
    row, found = checked(message, settings, transaction and transaction.value)
    errors = sum(finding.is_error for finding in found)
    if as_json:
        records = [finding.record() for finding in found]
        print_json({"transaction": row.name, "errors": errors, "findings": records})
    else:
        if found:
            print_table(("severity", "code", "finding"), finding_rows(found))
        say(f"{row.name}: {errors} errors, {len(found) - errors} warnings", "red" if errors else "green")
    if errors:
        raise typer.Exit(REFUSED)


def checked(path: Path, settings: Settings, transaction: str | None = None) -> Checked:
    """What is wrong with the message in a file.

    Raises:
        Failure: there is no submission in it.
        BadPackage, MalformedXml: it cannot be taken apart.
        OSError: it cannot be read.
    """
    from msim_xds.ihe.transactions import ITI_41
    from msim_xds.metadata import ebrim, rules
    from msim_xds.repository.intake import Intake, mismatches, take_in
    from msim_xds.repository.spool import Spool
    from msim_xds.wire.exchange import Addressing, Request
    from msim_xds.wire.safexml import parse

    with TemporaryDirectory(prefix="msim-xds-") as directory:
        spool = Spool(Path(directory))
        message = _read(path, spool, settings)
        root = parse(message.root)
        body = _payload(root)
        intake = Intake(submit_objects=body)
        if body.tag == _PROVIDE:
            intake = Intake()
            request = Request(ITI_41, body, Addressing(ITI_41.action), message.parts)
            take_in(request, intake, spool, settings.limits)
    found = list(intake.findings)
    if intake.submit_objects is None:
        return Checked(ITI_41, found)
    reading = ebrim.read(intake.submit_objects, settings.limits)
    if body.tag == _PROVIDE:
        found += mismatches(reading.submission, intake.documents)
    row = _judged_by(transaction, root, body.tag, reading.submission)
    found += rules.findings(reading, row, rules.Rules.from_settings(settings))
    return Checked(row, found)


def _judged_by(choice: str | None, root: _Element, body: str, submission: Submission) -> Transaction:
    """The transaction chosen, else the one that the message names, else the one that it looks like."""
    from msim_xds.ihe.transactions import ITI_41, ITI_42, ITI_57, ITI_61, ITI_92
    from msim_xds.metadata.update_rules import asks_for_update

    rows = (ITI_41, ITI_42, ITI_57, ITI_61, ITI_92)
    action = (root.findtext(_ACTION) or "").strip()
    named = [row for row in rows if row.name == choice]
    named += [row for row in rows if (row.action, row.body) == (action, body)]
    if named:
        return named[0]
    if body == _PROVIDE:
        return ITI_41
    return ITI_57 if asks_for_update(submission) else ITI_42


def _payload(root: _Element) -> _Element:
    """The submission in an envelope, or the element itself."""
    body = root.find(f"{{{SOAP}}}Body") if root.tag == f"{{{SOAP}}}Envelope" else None
    element = root if body is None else next(iter(body), root)
    if element.tag not in (_PROVIDE, _SUBMIT_OBJECTS):
        raise Failure(
            f"this is {element.tag}; expected a SOAP 1.2 envelope of ITI-41, 42, 57, 61 or 92, "
            "ProvideAndRegisterDocumentSetRequest or SubmitObjectsRequest"
        )
    return element


def _read(path: Path, spool: Spool, settings: Settings) -> Message:
    """The message in a file: XML, a multipart body, or either of them behind HTTP or MIME headers."""
    from msim_xds.wire import mtom

    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        skip, content_type = 0, mtom.SOAP_TYPE
        if headers := _HEADERS.match(head):
            skip = headers.end()
            given = _CONTENT_TYPE.search(headers[0])
            content_type = " ".join(given[1].decode("latin-1").split()) if given else content_type
        elif boundary := _BOUNDARY.match(head):
            content_type = f'multipart/related; boundary="{boundary[1].decode("latin-1")}"'
        file.seek(skip)
        return mtom.read(content_type, iter(lambda: file.read(_CHUNK), b""), spool, settings.limits)
