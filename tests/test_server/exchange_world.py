"""A whole node under the sample policy, with callers of two hospitals and documents of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lxml import etree

from msim_xds.app import Node, open_node
from msim_xds.ihe.transactions import TRANSACTIONS
from msim_xds.security.access.reader import SAMPLE
from msim_xds.server.pipeline import Pipeline
from msim_xds.settings import Settings
from msim_xds.wire import safexml
from msim_xds.wire.exchange import Addressing, Answer, Caller, System, SystemKind
from msim_xds.wire.exchange import Request as Message
from tests.support import metadata
from tests.support.metadata import (
    APND,
    APPROVED,
    association,
    document_entry,
    folder,
    original,
    submission_set,
)
from tests.support.queries import many, one, request
from tests.test_repository.messages import inline, provide, retrieve, wanted

ROWS = {row.name: row for row in TRANSACTIONS}
#: The institution of every author that ``tests.support.metadata`` makes, and another.
BOOK_A, BOOK_B = "000000999901", "000000999902"
LEVEL = "2.16.840.1.113883.5.25"
SUMMARY = ("60591-5", "2.16.840.1.113883.6.1", "Patient summary Document")


def institution(book: str) -> str:
    """The id of a hospital."""
    return f"{book}^^^&2.16.840.1.113883.3.4424.2.3.1&ISO"


def caller(book: str, role: str = "nurse", purpose: str = "TREAT", reason: str = "") -> Caller:
    """A user of a hospital."""
    return Caller(
        "<user@issuer>", ((role, "", ""),), ((purpose, "", ""),), book, "", institution(book), reason
    )


NURSE_A, NURSE_B = caller(BOOK_A), caller(BOOK_B)
ADMINISTRATOR = System("console", SystemKind.ADMINISTRATOR)


@dataclass(frozen=True)
class Sent:
    """What is in the world: a visible document of B, and two restricted ones in a Folder, one appended."""

    patient: str
    open: str
    restricted: str
    appended: str
    folder: str
    uuids: Mapping[str, str]


class World:
    """A node, and who asks it."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.pipeline = Pipeline(node.handlers(), 100)

    def ask(self, name: str, body: bytes, who: Caller | None, system: System | None = None) -> Answer:
        """The answer to a request."""
        row = ROWS[name]
        message = Message(row, safexml.parse(body), Addressing(row.action), caller=who, system=system)
        return self.pipeline.run(message)

    def done(self, name: str, body: bytes, who: Caller | None, system: System | None = None) -> Answer:
        """The answer to a request that succeeds."""
        answer = self.ask(name, body, who, system)
        assert answer.status.endswith(":Success"), [each.text() for each in answer.findings]
        return answer

    def refused(self, name: str, body: bytes, who: Caller | None) -> list[str]:
        """The codes of a request that fails."""
        answer = self.ask(name, body, who)
        assert answer.status.endswith(":Failure")
        return sorted({each.code for each in answer.findings})

    def provide(
        self, *objects: str, book: str = BOOK_B, documents: tuple[str, ...] = ("Document01",)
    ) -> None:
        """ITI-41 of these objects, by authors of that hospital."""
        body = metadata.submit_objects(*objects).replace(BOOK_A.encode(), book.encode())
        self.done("ITI-41", provide(body, *(inline(id, b"hello") for id in documents)), None)

    def fill(self, patient: str) -> Sent:
        """Register the documents of B."""
        ids = {name: metadata.new_oid() for name in ("open", "restricted", "appended", "folder")}
        of: dict[str, Any] = {"patient_id": patient}
        secret = {"confidentialityCode": ("R", LEVEL, "restricted")}
        uuids = {name: metadata.new_uuid() for name in ("set", "folder", "restricted", "appended", "open")}
        self.provide(
            submission_set(**of),
            document_entry(uuids["open"], unique_id=ids["open"], **of),
            original(uuids["open"]),
            documents=(uuids["open"],),
        )
        batch = uuids["set"]
        inside = metadata.new_uuid()
        self.provide(
            submission_set(batch, **of),
            document_entry(uuids["restricted"], unique_id=ids["restricted"], codes=secret, **of),
            document_entry(uuids["appended"], unique_id=ids["appended"], codes=secret, **of),
            folder(uuids["folder"], unique_id=ids["folder"], **of),
            original(uuids["restricted"], batch),
            original(uuids["appended"], batch),
            association(batch, uuids["folder"]),
            association(uuids["folder"], uuids["restricted"], id=inside),
            association(batch, inside),
            association(uuids["appended"], uuids["restricted"], APND),
            documents=(uuids["restricted"], uuids["appended"]),
        )
        return Sent(patient, ids["open"], ids["restricted"], ids["appended"], ids["folder"], uuids)

    def hidden(self, sent: Sent) -> set[str]:
        """entryUUIDs of all that has to do with the restricted documents only."""
        everything = set(ids(self.done("ITI-18", get_all(sent.patient), None, ADMINISTRATOR)))
        return everything - set(ids(self.done("ITI-18", get_all(sent.patient), NURSE_A)))


def ids(answer: Answer) -> list[str]:
    """@id of the objects of an answer."""
    root = etree.fromstring(b"".join(answer.payload))
    return [thing.get("id", "") for thing in root[-1]]


def get_all(patient: str, returns: str = "ObjectRef") -> bytes:
    """GetAll of a patient."""
    names = ("$XDSDocumentEntryStatus", "$XDSSubmissionSetStatus", "$XDSFolderStatus")
    slots = [("$patientId", one(patient)), *((name, many(APPROVED)) for name in names)]
    return request("GetAll", slots, returns=returns)


def fetch(*unique_ids: str) -> bytes:
    """ITI-43 of these documents."""
    return retrieve(*(wanted(metadata.REPOSITORY, each) for each in unique_ids))


@contextmanager
def world(url: str, data: Path, **settings: Any) -> Iterator[World]:
    """A node under the sample policy."""
    given = {"database": {"url": url}, "access": {"policy": SAMPLE}, **settings}
    node = open_node(Settings(data=data, **given))
    try:
        yield World(node)
    finally:
        node.close()


def emergency(reason: str = "unconscious", role: str = "medical doctor") -> Caller:
    """A user of hospital A who declares an emergency."""
    return replace(caller(BOOK_A, role, "BTG"), reason=reason)
