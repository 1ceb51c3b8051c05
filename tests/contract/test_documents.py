"""Documents there and back in MTOM, through the public client: the very octets."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from lxml import etree

from msim_xds.federation.client import DocumentConsumer, DocumentRequest, DocumentSource
from msim_xds.metadata import ebrim
from msim_xds.metadata.model import DocumentEntry, Submission
from msim_xds.settings import LimitSettings
from tests.support import metadata
from tests.support.paths import REGISTRY, REPOSITORY
from tests.support.server import ServerProcess

CONTENTS = {
    "text": "<?xml version='1.0'?>\n<ClinicalDocument>żółć</ClinicalDocument>\n".encode(),
    "lines": b"\r\n\r\n\x00binary \xff\xfe\r\n--b\r\n--b--\r\n\n\r",
    "line": b"\r\n",
    "empty": b"",
    "large": random.Random(1).randbytes(20_000_000),
}


def submission_of(contents: dict[str, bytes]) -> Submission:
    """One SubmissionSet with an entry for each; hash and size are the repository's to fill in."""
    objects = [metadata.submission_set()]
    for name in contents:
        objects += [metadata.document_entry(name, content=None, repository=None), metadata.original(name)]
    element = etree.fromstring(metadata.submit_objects(*objects))
    return ebrim.read(element, LimitSettings()).submission


def test_documents_come_back_as_they_went(server: ServerProcess, tmp_path: Path) -> None:
    submission = submission_of(CONTENTS)
    files = {name: tmp_path / name for name in CONTENTS}
    for name, content in CONTENTS.items():
        files[name].write_bytes(content)
    with DocumentSource(server.url + REPOSITORY) as source:
        answer = source.provide_and_register(submission, files)
    assert (answer.succeeded, answer.findings) == (True, ())

    with DocumentConsumer(server.url + REGISTRY, server.url + REPOSITORY) as consumer:
        found = consumer.find_documents(metadata.PATIENT)
        entries = {entry.unique_id: entry for entry in found.objects if isinstance(entry, DocumentEntry)}
        wanted = [DocumentRequest(metadata.REPOSITORY, entry.unique_id or "") for entry in submission.entries]
        retrieved = consumer.retrieve(wanted, tmp_path / "retrieved")
    assert retrieved.succeeded
    for sent, got in zip(submission.entries, retrieved.documents, strict=True):
        content = CONTENTS[sent.entry_uuid]
        entry = entries[sent.unique_id]
        assert got.document_unique_id == sent.unique_id
        assert got.path.read_bytes() == content
        assert (entry.hash, entry.size) == (hashlib.sha1(content).hexdigest(), str(len(content)))
        assert (got.sha1, got.size, got.mime_type) == (entry.hash, len(content), "text/xml")
