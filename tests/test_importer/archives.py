"""Archives for the tests, and how they are imported and looked at."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lxml import etree

from msim_xds.app import Node, open_node, open_services
from msim_xds.ihe.transactions import ITI_18, ITI_43
from msim_xds.importer.composing import Options
from msim_xds.importer.desk import Order
from msim_xds.importer.running import Summary, run
from msim_xds.repository import scrub
from msim_xds.settings import DatabaseSettings, Settings
from msim_xds.wire.exchange import Addressing, Answer, Request
from tests.support.metadata import (
    APPROVED,
    DEPRECATED,
    PATIENT,
    REPOSITORY,
    document_entry,
    new_oid,
    original,
    submission_set,
    submit_objects,
)
from tests.support.queries import many, one, request

RIM = "{urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0}"


def settings_of(data: Path, url: str = "", **further: Any) -> Settings:
    """Settings of a store of its own."""
    return Settings(data=data, database=DatabaseSettings(url=url), **further)


def imported(
    settings: Settings, source: Path, *, jobs: int = 1, again: bool = False, **options: Any
) -> Summary:
    """Import a source."""
    order = Order(source, settings.data / "report.jsonl", Options(**options))
    return run(settings, order, open_services, jobs, again=again)


def counts(summary: Summary) -> tuple[int, int, int]:
    """Imported, present, refused."""
    return summary.progress.imported, summary.progress.present, summary.progress.refused


def remarks(summary: Summary) -> list[dict[str, Any]]:
    """The lines of the report."""
    return [json.loads(line) for line in Path(summary.progress.report).read_text().splitlines()]


def codes(summary: Summary) -> dict[str, list[str]]:
    """Codes of the errors of each refused submission."""
    return {
        remark["name"]: [each["code"] for each in remark["findings"] if each["severity"] == "error"]
        for remark in remarks(summary)
        if remark["outcome"] == "refused"
    }


def pair(content: bytes, unique_id: str = "", **options: Any) -> tuple[bytes, bytes]:
    """Metadata and document of one submission; options go to ``document_entry``."""
    unique_id = unique_id or new_oid()
    patient = options.get("patient_id", PATIENT)
    entry = document_entry(unique_id=unique_id, content=content, **options)
    return submit_objects(
        submission_set(patient_id=patient), entry, original(options.get("id", "Document01"))
    ), content


def put(source: Path, name: str, content: bytes) -> None:
    """A file of the source, with the folders it is in."""
    (source / name).parent.mkdir(parents=True, exist_ok=True)
    (source / name).write_bytes(content)


def versions(source: Path, count: int) -> list[str]:
    """So many documents in files of their number; their uniqueIds."""
    names = [new_oid() for _ in range(count)]
    for number, name in enumerate(names):
        put(source, f"{number}.xml", pair(b"<v>%d</v>" % number, name)[0])
        put(source, f"{number}.doc", b"<v>%d</v>" % number)
    return names


def version(number: int, **document: Any) -> dict[str, Any]:
    """A manifest line of one of them; options go to its document."""
    return {"metadata": f"{number}.xml", "documents": [{"path": f"{number}.doc", **document}]}


def write_manifest(
    folder: Path, lines: Iterable[Mapping[str, Any] | str], name: str = "manifest.jsonl"
) -> Path:
    """A manifest of these lines."""
    path = folder / name
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    """A ZIP archive of these files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def answer(node: Node, message: bytes, *, retrieve: bool = False) -> Answer:
    """A node's answer to a query or retrieve."""
    transaction = ITI_43 if retrieve else ITI_18
    body = etree.fromstring(message)
    return node.handlers()[transaction.name](Request(transaction, body, Addressing(transaction.action)))


def everything(settings: Settings, patient: str = PATIENT) -> dict[str, etree._Element]:
    """GetAll of a patient: objects by their id."""
    statuses = ("$XDSDocumentEntryStatus", "$XDSSubmissionSetStatus", "$XDSFolderStatus")
    parameters = [("$patientId", one(patient)), *((name, many(APPROVED, DEPRECATED)) for name in statuses)]
    node = open_node(settings)
    try:
        root = etree.fromstring(b"".join(answer(node, request("GetAll", parameters)).payload))
    finally:
        node.close()
    assert root.get("status", "").endswith(":Success"), etree.tostring(root)
    return {thing.get("id", ""): thing for thing in root[-1]}


def entries(settings: Settings, patient: str = PATIENT) -> dict[str, str]:
    """Status of each DocumentEntry by its uniqueId."""
    found = everything(settings, patient).values()
    return {
        unique_id(each): each.get("status", "").rpartition(":")[2]
        for each in found
        if each.tag == f"{RIM}ExtrinsicObject"
    }


def unique_id(thing: etree._Element) -> str:
    """UniqueId of an object."""
    for identifier in thing.iterfind(f"{RIM}ExternalIdentifier"):
        name = identifier.find(f"{RIM}Name/{RIM}LocalizedString")
        if name is not None and name.get("value", "").endswith(".uniqueId"):
            return identifier.get("value", "")
    raise AssertionError(etree.tostring(thing))


def slot(thing: etree._Element, name: str) -> str | None:
    """First value of a slot."""
    return thing.findtext(f"{RIM}Slot[@name='{name}']/{RIM}ValueList/{RIM}Value")


def is_sound(settings: Settings) -> scrub.Report:
    """The report of a scrub that finds nothing damaged or missing."""
    node = open_node(settings)
    try:
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        report = scrub.check(node.store, node.index, node.database, REPOSITORY, tomorrow)
    finally:
        node.close()
    assert report.is_sound, report.problems
    return report
