"""on-demand register: an on-demand entry for a patient, in this machine's registry."""

from __future__ import annotations

import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Final

import typer

from msim_xds.cli.console import print_json, print_record, say, say_findings
from msim_xds.cli.failures import REFUSED, Failure
from msim_xds.cli.local import Config, Data, Json, load_settings
from msim_xds.cli.remote import cx_option

if TYPE_CHECKING:
    from msim_xds.app import Node
    from msim_xds.metadata.model import DocumentEntry

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Documents that are made when they are retrieved."
)

_SOURCE: Final = "patient-summary"

Coded = Annotated[str, typer.Option(metavar="CODE^^SCHEME[^^NAME]")]


@app.callback()
def common() -> None:
    """Documents that are made when they are retrieved."""


@app.command()
def register(
    patient: Annotated[str, typer.Option(metavar="CX", help="Patient id, ID^^^&OID&ISO.")],
    title: Annotated[str, typer.Option(help="Title of the summary.")] = "Spis dokumentów pacjenta",
    institution: Annotated[
        str | None, typer.Option(metavar="XON", help="Institution that answers for it.", show_default=False)
    ] = None,
    class_code: Coded = "08.90^^2.16.840.1.113883.3.4424.11.1.32^^Informacja dla lekarza kierującego/POZ",
    facility_code: Coded = "4500^^2.16.840.1.113883.3.4424.11.2.4^^Oddział chirurgiczny ogólny",
    practice_code: Coded = "05^^Dziedzina medyczna^^Chirurgia ogólna",
    confidentiality_code: Coded = "N^^2.16.840.1.113883.5.25^^normal",
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Register a patient-summary (ITI-61): an index of the patient's documents, made anew at each retrieval.

    One that the patient has already is shown instead.
    """
    from msim_xds.app import open_node
    from msim_xds.ihe.names import ON_DEMAND_OBJECT_TYPE
    from msim_xds.importer.publication import code_from_text
    from msim_xds.metadata.model import Author, DocumentEntry, LocalizedString
    from msim_xds.repository import patient_summary

    cx_option(patient)
    settings = load_settings(config, data)
    if settings.registry.url:
        raise Failure("registry.url is set: on-demand documents need the registry in the same process")
    if _SOURCE not in settings.on_demand.sources:
        say(f"WARNING: on_demand.sources does not name {_SOURCE}: nobody will make the document", "yellow")
    repository = settings.repository.unique_id
    entry = DocumentEntry(
        entry_uuid=f"urn:uuid:{uuid.uuid4()}",
        object_type=ON_DEMAND_OBJECT_TYPE,
        mime_type=patient_summary.MIME_TYPE,
        title=(LocalizedString(title, "pl-PL", "UTF-8"),),
        authors=() if institution is None else (Author(institutions=(institution,)),),
        class_code=code_from_text(class_code),
        type_code=patient_summary.TYPE,
        format_code=patient_summary.FORMAT,
        healthcare_facility_type_code=code_from_text(facility_code),
        practice_setting_code=code_from_text(practice_code),
        confidentiality_codes=(code_from_text(confidentiality_code),),
        patient_id=patient,
        source_patient_id=patient,
        unique_id=f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'{_SOURCE} {repository} {patient}').int}",
        language_code="pl-PL",
        repository_unique_id=repository,
    )
    with closing(open_node(settings)) as node:
        entry_uuid = _registered(node, entry) or _register(node, entry)
    record = {
        "patient": patient,
        "entry_uuid": entry_uuid,
        "unique_id": entry.unique_id or "",
        "repository_unique_id": repository,
    }
    if as_json:
        print_json(record)
    else:
        print_record(_SOURCE, record)


def _registered(node: Node, entry: DocumentEntry) -> str | None:
    """The entryUUID of the Approved entry that the patient has already."""
    from msim_xds.registry.fragment_codec import FragmentCodec
    from msim_xds.registry.reading import RegistryReader

    reader = RegistryReader(node.database, FragmentCodec(node.database), node.settings)
    held = reader.on_demand(entry.unique_id or "", entry.repository_unique_id or "")
    found = next((each.entry_uuid for each in held if each.approved), None)
    if found is not None:
        say("it is registered already")
    return found


def _register(node: Node, entry: DocumentEntry) -> str:
    """The entryUUID of the entry, registered now. Raises Failure."""
    from msim_xds.cli.publication import FreshIds
    from msim_xds.findings import Refused
    from msim_xds.ihe.transactions import ITI_61
    from msim_xds.importer.publication import assemble, submission_set
    from msim_xds.metadata import fragments
    from msim_xds.wire import safexml
    from msim_xds.wire.exchange import Addressing, Request

    batch = submission_set((entry,), node.settings.repository.unique_id, FreshIds())
    message = fragments.submit_objects(assemble(batch, (entry,), (), FreshIds()))
    try:
        answer = node.registry.register_document_set(
            Request(ITI_61, safexml.parse(message), Addressing(ITI_61.action))
        )
    except Refused as refused:
        say_findings(refused.findings)
        raise Failure("the registry refused it", REFUSED) from None
    say_findings(answer.findings)
    return entry.entry_uuid
