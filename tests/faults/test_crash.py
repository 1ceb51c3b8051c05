"""kill -9 of all server processes in the midst of 200 concurrent submissions, again and again."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path

from lxml import etree

from msim_xds.app import open_node
from msim_xds.repository import scrub
from msim_xds.repository.scrub import ProblemKind
from tests.support.metadata import (
    APPROVED,
    HAS_MEMBER,
    PATIENT,
    REPOSITORY,
    document_entry,
    new_oid,
    original,
    submission_set,
    submit_objects,
)
from tests.support.queries import many, one, request
from tests.support.server import ServerProcess, provide_message
from tests.test_repository.messages import retrieve, wanted
from tests.test_server.soap import NS, QUERY_ACTION, RETRIEVE_ACTION

CONCURRENT = 200
#: So many submissions are acknowledged when the servers die: few, most.
MOMENTS = (20, 140)
UNIQUE_ID = "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab"
_PATIENCE_S = 60


@dataclass(frozen=True)
class Submission:
    """One document and its message, ready to be sent twice."""

    unique_id: str
    content: bytes
    message: tuple[str, bytes]


def make_submission(source: random.Random) -> Submission:
    content = source.randbytes(source.randrange(1, 60_000))
    unique_id = new_oid()
    objects = (submission_set(), document_entry(unique_id=unique_id, content=content), original())
    return Submission(unique_id, content, provide_message(submit_objects(*objects), {"Document01": content}))


def is_acknowledged(server: ServerProcess, submission: Submission) -> bool:
    """Sends it; False when no answer came."""
    content_type, body = submission.message
    try:
        answer = server.request("POST", "/xds/repository", body, content_type)
    except (OSError, HTTPException):
        return False
    assert b"ResponseStatusType:Success" in answer.body, answer.body.decode()
    return True


def submit_and_kill(server: ServerProcess, submissions: Sequence[Submission], moment: int) -> set[str]:
    """Submits all at once, kills the server after ``moment`` answers; uniqueIds of what was acknowledged."""
    acknowledged: set[str] = set()

    def submit(submission: Submission) -> None:
        if is_acknowledged(server, submission):
            acknowledged.add(submission.unique_id)

    with ThreadPoolExecutor(len(submissions)) as pool:
        answers = [pool.submit(submit, submission) for submission in submissions]
        deadline = time.monotonic() + _PATIENCE_S
        while len(acknowledged) < moment and time.monotonic() < deadline:
            time.sleep(0.001)
        server.kill()
        for answer in answers:
            answer.result()
    return acknowledged


@dataclass(frozen=True)
class Holdings:
    """What a consumer finds: hashes of documents by uniqueId; entries; members by SubmissionSet."""

    hashes: dict[str, str]
    entries: set[str]
    members: dict[str, list[str]]


def ask(server: ServerProcess, body: bytes) -> etree._Element:
    answer = server.ask("/xds/registry", QUERY_ACTION, body).xml()
    payload = answer.find("s:Body/*", NS)
    assert payload is not None
    assert payload.get("status", "").endswith(":Success")
    return payload


def hashes(answer: etree._Element) -> dict[str, str]:
    """SHA-1 of each DocumentEntry by its uniqueId."""
    return {
        identifier.get("value", ""): entry.findtext("{*}Slot[@name='hash']/{*}ValueList/{*}Value") or ""
        for entry in answer.iter("{*}ExtrinsicObject")
        for identifier in entry.iterfind(f"{{*}}ExternalIdentifier[@identificationScheme='{UNIQUE_ID}']")
    }


def holdings(server: ServerProcess) -> Holdings:
    """Everything that the registry has of the patient."""
    statuses = ("$XDSDocumentEntryStatus", "$XDSSubmissionSetStatus", "$XDSFolderStatus")
    parameters = [("$patientId", one(PATIENT)), *((name, many(APPROVED)) for name in statuses)]
    answer = ask(server, request("GetAll", parameters))
    members: dict[str, list[str]] = {each.get("id", ""): [] for each in answer.iter("{*}RegistryPackage")}
    for association in answer.iter("{*}Association"):
        assert association.get("associationType") == HAS_MEMBER
        members[association.get("sourceObject", "")].append(association.get("targetObject", ""))
    entries = {entry.get("id", "") for entry in answer.iter("{*}ExtrinsicObject")}
    return Holdings(hashes(answer), entries, members)


def retrieved(server: ServerProcess, unique_ids: Sequence[str]) -> list[bytes]:
    """The octets of those documents, which the repository must have."""
    found: list[bytes] = []
    for start in range(0, len(unique_ids), CONCURRENT):
        batch = (wanted(REPOSITORY, unique_id) for unique_id in unique_ids[start : start + CONCURRENT])
        answer = server.ask("/xds/repository", RETRIEVE_ACTION, retrieve(*batch))
        assert b"ResponseStatusType:Success" in answer.root
        found += [content for _, content in answer.parts()[1:]]
    return found


def check(server: ServerProcess, sent: dict[str, Submission], acknowledged: set[str]) -> Holdings:
    """Nothing acknowledged is lost, nothing is half there, and the repository's own check agrees."""
    expected = {name: hashlib.sha1(submission.content).hexdigest() for name, submission in sent.items()}
    by_id = request("GetDocuments", [("$XDSDocumentEntryUniqueId", many(*acknowledged))])
    assert hashes(ask(server, by_id)) == {name: expected[name] for name in acknowledged}

    held = holdings(server)
    assert acknowledged <= held.hashes.keys() <= sent.keys()
    assert [len(members) for members in held.members.values()] == [1] * len(held.entries)
    assert {member for members in held.members.values() for member in members} == held.entries
    names = list(held.hashes)
    digests = [hashlib.sha1(content).hexdigest() for content in retrieved(server, names)]
    assert digests == [expected[name] for name in names] == list(held.hashes.values())

    node = open_node(server.settings)
    report = scrub.check(node.store, node.index, node.database, REPOSITORY, datetime.now(UTC))
    node.close()
    assert report.documents == len(names)
    assert report.counts.keys() <= {ProblemKind.ORPHAN, ProblemKind.STALE}
    return held


def test_kill_during_submissions(database_url: str, tmp_path: Path) -> None:
    source = random.Random(20260914)
    sent: dict[str, Submission] = {}
    acknowledged: set[str] = set()
    with ServerProcess(tmp_path, database_url, workers=2) as server:
        for moment in MOMENTS:
            submissions = [make_submission(source) for _ in range(CONCURRENT)]
            sent |= {submission.unique_id: submission for submission in submissions}
            acknowledged |= submit_and_kill(server, submissions, moment)
            server.start()
            check(server, sent, acknowledged)
        assert sum(MOMENTS) <= len(acknowledged) < len(sent)

        with ThreadPoolExecutor(CONCURRENT) as pool:
            assert all(pool.map(lambda submission: is_acknowledged(server, submission), sent.values()))
        held = check(server, sent, set(sent))
        assert len(held.members) == len(held.entries) == len(sent)
