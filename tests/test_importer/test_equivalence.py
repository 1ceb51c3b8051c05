"""An import and the same submissions by ITI-41: the same is refused, and queries give the same objects."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from msim_xds.app import Node, open_node
from msim_xds.findings import Refused, errors
from msim_xds.ihe.transactions import ITI_41
from msim_xds.settings import Settings
from msim_xds.wire.exchange import Addressing, Request
from tests.support import strategies
from tests.support.metadata import (
    APPROVED,
    DEPRECATED,
    OTHER_PATIENT,
    PATIENT,
    RPLC,
    SCHEMES,
    association,
    classification,
    document_entry,
    folder,
    new_oid,
    new_uuid,
    original,
    submission_set,
    submit_objects,
)
from tests.test_importer.archives import RIM, codes, everything, imported, settings_of, write_manifest
from tests.test_repository.messages import inline, provide

RELATIONS = [
    RPLC,
    *(f"urn:ihe:iti:2007:AssociationType:{name}" for name in ("APND", "XFRM", "XFRM_RPLC", "signs")),
]
PATIENTS = (PATIENT, OTHER_PATIENT)
HAS_MEMBER = "urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember"


class Sent:
    """A submission: its metadata, and documents by the id of their entry. Too long to be shown."""

    def __init__(self, metadata: bytes, documents: dict[str, bytes]) -> None:
        self.metadata = metadata
        self.documents = documents

    def __repr__(self) -> str:
        return f"<{len(self.documents)} documents>"


def _maybe(draw: st.DrawFn) -> bool:
    return draw(st.booleans())


@st.composite
def archives(draw: st.DrawFn) -> list[Sent]:
    """Submissions that build upon each other; most are valid."""
    entries: list[str] = []
    folders: list[str] = []
    sent = [_submission(draw, number, entries, folders) for number in range(draw(st.integers(1, 6)))]
    repeated = draw(st.lists(st.sampled_from(sent), max_size=1))
    return [*sent, *repeated]


def _submission(draw: st.DrawFn, number: int, entries: list[str], folders: list[str]) -> Sent:
    patient = draw(st.sampled_from(PATIENTS[: 1 + (number > 1)]))
    batch = new_uuid()
    objects = [submission_set(batch, patient_id=patient, title=draw(st.none() | strategies.texts))]
    documents: dict[str, bytes] = {}
    for _ in range(draw(st.integers(1, 2))):
        name = new_uuid()
        documents[name] = draw(st.binary(max_size=50))
        objects += [_entry(draw, name, patient, documents[name]), original(name, batch)]
        objects += _links(draw, name, entries)
        if folders and _maybe(draw):
            objects += _member(batch, draw(st.sampled_from(folders)), name)
    if entries and _maybe(draw):
        objects.append(association(batch, draw(st.sampled_from(entries)), status="Reference"))
    if _maybe(draw):
        shelf = new_uuid()
        objects += [folder(shelf, patient_id=patient), association(batch, shelf)]
        objects += _member(batch, shelf, next(iter(documents)))
        folders.append(shelf)
    entries += documents
    return Sent(submit_objects(*objects), documents)


def _entry(draw: st.DrawFn, name: str, patient: str, content: bytes) -> str:
    times: list[str] = draw(
        st.lists(strategies.dtms, min_size=2, max_size=2).map(
            lambda each: sorted(t.ljust(14, "0") for t in each)
        )
    )
    events = "".join(
        classification(name, SCHEMES["eventCodeList"], (code, "1.2.3", "x"))
        for code in draw(st.lists(st.from_regex(r"[A-Z]\d{2}", fullmatch=True), max_size=2, unique=True))
    )
    status = draw(st.sampled_from(["", f' status="{APPROVED}"', f' status="{DEPRECATED}"']))
    wrong = draw(st.integers(0, 9)) == 0
    entry = document_entry(
        name,
        unique_id=new_oid(),
        patient_id=patient,
        content=b"wrong" if wrong else draw(st.sampled_from([content, None])),
        title=draw(st.none() | st.text("żółw <&>\"'", min_size=1, max_size=20)),
        slots={"creationTime": times[0]},
        authors=draw(st.sampled_from([(), ("7^Żak^Jan^^^^^^&1.2.3&ISO",)])),
        attributes=status,
    )
    return entry.replace("<rim:ExternalIdentifier", events + "<rim:ExternalIdentifier", 1)


def _links(draw: st.DrawFn, name: str, entries: list[str]) -> list[str]:
    if not entries or not _maybe(draw):
        return []
    return [association(name, draw(st.sampled_from(entries)), draw(st.sampled_from(RELATIONS)))]


def _member(batch: str, shelf: str, name: str) -> list[str]:
    member = new_uuid()
    return [association(shelf, name, id=member), association(batch, member)]


def provided(node: Node, sent: Sent) -> list[str]:
    """Codes for which ITI-41 refuses a submission."""
    body = provide(sent.metadata, *(inline(name, content) for name, content in sent.documents.items()))
    try:
        node.handlers()[ITI_41.name](Request(ITI_41, etree.fromstring(body), Addressing(ITI_41.action)))
    except Refused as refused:
        return [finding.code for finding in errors(refused.findings)]
    return []


def written(folder: Path, archive: list[Sent]) -> Path:
    lines = []
    for number, sent in enumerate(archive):
        (folder / f"{number}.xml").write_bytes(sent.metadata)
        paths = []
        for name, content in sent.documents.items():
            (folder / f"{number}-{name[9:]}").write_bytes(content)
            paths.append({"path": f"{number}-{name[9:]}", "id": name})
        lines.append({"metadata": f"{number}.xml", "documents": paths})
    return write_manifest(folder, lines)


Thing = tuple[str, str, bytes]


def objects(settings: Settings) -> list[Thing]:
    """What queries give, without lastUpdateTimes: patient, id, XML."""
    found = []
    for patient in PATIENTS:
        for name, thing in everything(settings, patient).items():
            for slot in thing.iterfind(f"{RIM}Slot[@name='lastUpdateTime']"):
                slot[0][0].text = ""
            found.append((patient, name, etree.tostring(thing, method="c14n")))
    return found


def comparable(settings: Settings, archive: list[Sent]) -> tuple[list[Thing], list[tuple[str, ...]]]:
    """Objects that were sent, and the ends of the associations that the registry added to them."""
    everything_sent = b"".join(sent.metadata for sent in archive)
    sent, added = [], []
    for thing in objects(settings):
        if thing[1].encode() in everything_sent:
            sent.append(thing)
            continue
        link = etree.fromstring(thing[2])
        assert link.get("associationType") == HAS_MEMBER
        ends = (link.get("sourceObject", ""), link.get("targetObject", ""))
        added.append(tuple(end if end.encode() in everything_sent else "added" for end in ends))
    return sorted(sent), sorted(added)


@given(archives())
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
def test_an_import_is_what_iti_41_would_have_made(archive: list[Sent]) -> None:
    with tempfile.TemporaryDirectory(prefix="msim-import-") as directory:
        by_message, by_import = (settings_of(Path(directory) / name) for name in ("message", "import"))
        node = open_node(by_message)
        refused = {number: found for number, sent in enumerate(archive, 1) if (found := provided(node, sent))}
        node.close()
        source = Path(directory) / "source"
        source.mkdir()
        summary = imported(by_import, written(source, archive))
        assert codes(summary) == {f"manifest.jsonl:{number}": found for number, found in refused.items()}
        assert summary.progress.position == len(archive)
        assert comparable(by_import, archive) == comparable(by_message, archive)
