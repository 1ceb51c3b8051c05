"""check: every finding of a submission, without a server."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final

import typer

from msim_xds.cli.console import finding_rows, print_json, print_table, say
from msim_xds.cli.failures import REFUSED, Failure
from msim_xds.cli.local import Config, Json, load_settings
from msim_xds.ihe.names import LCM, SOAP, XDS

if TYPE_CHECKING:
    from lxml.etree import _Element

    from msim_xds.findings import Finding
    from msim_xds.ihe.transactions import Transaction
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


class TransactionChoice(StrEnum):
    """By whose rules a bare SubmitObjectsRequest is judged."""

    ITI_41 = "ITI-41"
    ITI_42 = "ITI-42"


class ProfileChoice(StrEnum):
    """IHE's letter, or with the Polish tolerances."""

    IHE = "ihe"
    PL = "pl"


def check(
    message: Annotated[Path, typer.Argument(help="An ITI-41 or ITI-42 message, as XML or as MTOM.")],
    transaction: Annotated[
        TransactionChoice | None,
        typer.Option(help="Judge by this; default: ITI-41 where there are documents, else ITI-42."),
    ] = None,
    profile: Annotated[ProfileChoice | None, typer.Option(help="Instead of validation.profile.")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List everything that is wrong with a message, without a server. Exit code 1 means errors.

    Takes a SOAP envelope, its payload, a bare SubmitObjectsRequest, or an MTOM message with or without HTTP
    headers. What only a registry's contents decide (duplicates, replaced documents) is not looked at.
    """
    settings = load_settings(config, None)
    if profile is not None:
        validation = settings.validation.model_copy(update={"profile": profile.value})
        settings = settings.model_copy(update={"validation": validation})
    found = findings(message, settings, transaction and transaction.value)
    errors = sum(finding.is_error for finding in found)
    if as_json:
        print_json({"errors": errors, "findings": [finding.record() for finding in found]})
    else:
        if found:
            print_table(("severity", "code", "finding"), finding_rows(found))
        say(f"{errors} errors, {len(found) - errors} warnings", "red" if errors else "green")
    if errors:
        raise typer.Exit(REFUSED)


def findings(path: Path, settings: Settings, transaction: str | None = None) -> list[Finding]:
    """What is wrong with the message in a file.

    Raises:
        Failure: there is no submission in it.
        BadPackage, MalformedXml: it cannot be taken apart.
        OSError: it cannot be read.
    """
    from msim_xds.ihe.transactions import ITI_41, ITI_42
    from msim_xds.metadata import ebrim, rules
    from msim_xds.repository.intake import Intake, mismatches, take_in
    from msim_xds.repository.spool import Spool
    from msim_xds.wire.exchange import Addressing, Request
    from msim_xds.wire.safexml import parse

    with TemporaryDirectory(prefix="msim-xds-") as directory:
        spool = Spool(Path(directory))
        message = _read(path, spool, settings)
        body = _payload(parse(message.root))
        row = _judged_by(body, transaction, ITI_41, ITI_42)
        intake = Intake(submit_objects=body)
        if body.tag == _PROVIDE:
            intake = Intake()
            request = Request(row, body, Addressing(row.action), message.parts)
            take_in(request, intake, spool, settings.limits)
    found = list(intake.findings)
    if intake.submit_objects is not None:
        reading = ebrim.read(intake.submit_objects, settings.limits)
        if body.tag == _PROVIDE:
            found += mismatches(reading.submission, intake.documents)
        found += rules.findings(reading, row, rules.Rules.from_settings(settings))
    return found


def _judged_by(
    body: _Element, choice: str | None, provide: Transaction, register: Transaction
) -> Transaction:
    default = provide if body.tag == _PROVIDE else register
    return next((row for row in (provide, register) if row.name == choice), default)


def _payload(root: _Element) -> _Element:
    """The submission in an envelope, or the element itself."""
    body = root.find(f"{{{SOAP}}}Body") if root.tag == f"{{{SOAP}}}Envelope" else None
    element = root if body is None else next(iter(body), root)
    if element.tag not in (_PROVIDE, _SUBMIT_OBJECTS):
        raise Failure(
            f"this is {element.tag}; expected a SOAP 1.2 envelope of ITI-41 or ITI-42, "
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
