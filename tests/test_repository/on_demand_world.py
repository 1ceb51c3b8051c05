"""A registry and repository with on-demand sources of the tests' own, on a real database and a real store."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lxml import etree
from sqlalchemy import select

from msim_xds.database.engine import Database
from msim_xds.database.schema import registry_object
from msim_xds.ihe.transactions import ITI_42, ITI_43, ITI_61, Transaction
from msim_xds.metadata import ebrim
from msim_xds.metadata.rules import Rules
from msim_xds.registry.fragment_codec import FragmentCodec
from msim_xds.registry.reading import RegistryReader
from msim_xds.registry.registration import Registration
from msim_xds.repository.assembly import Assembly
from msim_xds.repository.files import FileStore
from msim_xds.repository.index import DocumentIndex
from msim_xds.repository.on_demand import Claim, OnDemandSource, Order, Product, Sources
from msim_xds.repository.registrar import LocalRegistrar, Registrar
from msim_xds.repository.service import RepositoryService
from msim_xds.repository.snapshots import Clerk, Snapshots
from msim_xds.settings import Settings
from msim_xds.wire import safexml
from msim_xds.wire.exchange import Addressing, Answer, Request
from tests.support import metadata
from tests.support.metadata import document_entry, on_demand_entry, original, submission_set, submit_objects
from tests.test_repository.messages import XDS, retrieve, wanted

OURS = metadata.REPOSITORY
SUMMARY = ("60591-5", "2.16.840.1.113883.6.1", "Patient summary Document")
#: Of everything that ``on_demand_entry`` makes by default.
ANY = Claim()


@dataclass
class Source:
    """A source of the tests: ``chunks`` makes the octets."""

    chunks: Callable[[Order], Iterable[bytes]]
    claims: Sequence[Claim] = (ANY,)
    mime_type: str = "text/plain"
    title: str | None = None
    digest: bytes | None = None
    asked: int = 0

    def produce(self, order: Order) -> Product:
        self.asked += 1
        return Product(self.chunks(order), self.mime_type, self.title, self.digest)


def saying(*pieces: bytes, **options: Any) -> Source:
    """A source that always says the same."""
    return Source(lambda order: pieces, **options)


def failing(error: Exception, **options: Any) -> Source:
    """A source that begins and then fails."""

    def chunks(order: Order) -> Iterator[bytes]:
        yield b"a beginning"
        raise error

    return Source(chunks, **options)


@dataclass
class Hanging:
    """A source that waits until it is released; ``ended`` says how its thread went on."""

    claims: Sequence[Claim] = (ANY,)
    release: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    started: int = 0

    def produce(self, order: Order) -> Product:
        self.started += 1
        return Product(self._chunks(), "text/plain")

    def _chunks(self) -> Iterator[bytes]:
        try:
            yield b"a beginning"
            self.release.wait(30)
            yield b"an end"
        finally:
            self.ended.set()


class World:
    """Registry and repository; ``now`` is their time of day, a second later with each submission."""

    def __init__(
        self,
        database: Database,
        root: Path,
        sources: dict[str, OnDemandSource],
        registrar: Callable[[LocalRegistrar], Registrar] = lambda local: local,
        **settings: Any,
    ) -> None:
        self.settings = Settings(**settings)
        self.database = database
        self.now = datetime(2026, 9, 14, 12, tzinfo=UTC)
        self.store = FileStore(root)
        self.index = DocumentIndex(lambda: self.now, self.store)
        codec, rules = FragmentCodec(database), Rules.from_settings(self.settings)
        self.registration = Registration(codec, rules, self.settings, lambda: self.now, metadata.new_uuid)
        self.reader = RegistryReader(database, codec, self.settings)
        self.local = registrar(LocalRegistrar(database, self.registration, self.index))
        assembly = Assembly(Sources(sources), self.reader, self.store, self.settings)
        clerk = Clerk(lambda: self.now, metadata.new_uuid, rules.zone_for)
        snapshots = Snapshots(self.reader, self.local, self.store, self.index, database, self.settings, clerk)
        self.service = RepositoryService(
            self.settings,
            self.store,
            self.index,
            database,
            self.local,
            assembly,
            snapshots if self.settings.on_demand.persist else None,
        )

    def submit(self, *objects: str, transaction: Transaction = ITI_42) -> None:
        """Register these objects."""
        self.now += timedelta(seconds=1)
        reading = ebrim.read(safexml.parse(submit_objects(*objects)), self.settings.limits)
        draft = self.registration.draft(reading, transaction)
        with self.database.write() as connection:
            self.registration.register(connection, draft)

    def stable(self, *more: str, **options: Any) -> str:
        """entryUUID of a stable entry just registered."""
        uuid_ = metadata.new_uuid()
        patient = options.get("patient_id", metadata.PATIENT)
        self.submit(
            submission_set(patient_id=patient), document_entry(uuid_, **options), original(uuid_), *more
        )
        return uuid_

    def on_demand(
        self, *more: str, uuid_: str = "", set_: dict[str, Any] | None = None, **options: Any
    ) -> str:
        """uniqueId of an on-demand entry just registered."""
        unique_id = options.pop("unique_id", "") or metadata.new_oid()
        name = uuid_ or "Document01"
        patient = options.get("patient_id", metadata.PATIENT)
        self.submit(
            submission_set(patient_id=patient, **(set_ or {})),
            on_demand_entry(name, unique_id=unique_id, **options),
            original(name),
            *more,
            transaction=ITI_61,
        )
        return unique_id

    def ask(self, *requests: str) -> Answer:
        body = safexml.parse(retrieve(*requests))
        return self.service.retrieve(Request(ITI_43, body, Addressing(ITI_43.action)))

    def fetch(self, *unique_ids: str) -> Fetched:
        """ITI-43 for documents of this repository."""
        return Fetched.of(self.ask(*(wanted(OURS, each) for each in unique_ids)))

    def spooled(self) -> list[str]:
        """What waits in the spool."""
        return list(self.store.stale(datetime.now(UTC) + timedelta(hours=1)))

    def entries(self) -> list[Any]:
        """Rows of all stable entries, in the order in which they came."""
        query = select(registry_object).where(registry_object.c.kind == 1).order_by(registry_object.c.id)
        with self.database.read() as connection:
            return list(connection.execute(query))


@dataclass(frozen=True)
class Fetched:
    """An answer of ITI-43: short status, codes by location, and the documents with their new ids."""

    status: str
    errors: dict[str, str]
    texts: str
    documents: list[dict[str, str]]
    octets: list[bytes]

    @classmethod
    def of(cls, answer: Answer) -> Fetched:
        root = safexml.parse(b"".join(answer.payload))
        documents = []
        for each in root.iter(f"{{{XDS}}}DocumentResponse"):
            documents.append({etree.QName(child).localname: child.text or "" for child in each})
        return cls(
            answer.status.rpartition(":")[2],
            {each.location: each.code for each in answer.findings},
            "\n".join(each.text() for each in answer.findings),
            documents,
            [b"".join(each.chunks) for each in answer.documents],
        )

    @property
    def only(self) -> dict[str, str]:
        """The one document."""
        assert self.status == "Success", self.texts
        (document,) = self.documents
        return document


def fresh_root(tmp_path: Path) -> Path:
    """A directory for one more store."""
    return tmp_path / uuid.uuid4().hex
