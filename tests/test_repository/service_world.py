"""A repository with the registry in process, and what its answers to ITI-41 and ITI-43 say."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lxml.etree import _Element
from sqlalchemy import func, select

from msim_xds.database.engine import Database
from msim_xds.database.schema import registry_object, stored_document
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import ResponseStatus
from msim_xds.ihe.transactions import ITI_41, ITI_43
from msim_xds.metadata.rules import Rules
from msim_xds.registry.fragment_codec import FragmentCodec
from msim_xds.registry.registration import Registration
from msim_xds.repository.files import FileStore
from msim_xds.repository.index import DocumentIndex
from msim_xds.repository.registrar import LocalRegistrar, Registrar
from msim_xds.repository.service import RepositoryService
from msim_xds.settings import Settings
from msim_xds.wire import safexml
from msim_xds.wire.exchange import Addressing, Answer, Request, StagedPart
from tests.support import metadata
from tests.test_repository.messages import XDS, include, provide, retrieve, wanted
from tests.test_repository.stores import NOW, staged

OURS = metadata.REPOSITORY


@dataclass
class World:
    """A repository with its registry, and short ways to talk to it."""

    service: RepositoryService
    store: FileStore
    database: Database
    index: DocumentIndex
    root: Path

    def provide(self, body: bytes, parts: Mapping[str, StagedPart] | None = None) -> Answer:
        request = Request(ITI_41, safexml.parse(body), Addressing(ITI_41.action), parts or {})
        return self.service.provide_and_register(request)

    def refused(self, body: bytes, parts: Mapping[str, StagedPart] | None = None) -> list[Finding]:
        before = self.rows()
        with pytest.raises(Refused) as refused:
            self.provide(body, parts)
        assert self.rows() == before
        return [finding for finding in refused.value.findings if finding.is_error]

    def submit(self, content: bytes, **options: object) -> str:
        """Provide one document as a MIME part; its uniqueId."""
        unique_id = str(options.pop("unique_id", "") or metadata.new_oid())
        body = metadata.single_document(unique_id=unique_id, content=content, **options)
        answer = self.provide(provide(body, include("Document01", "c")), {"c": staged(self.store, content)})
        assert answer.status is ResponseStatus.SUCCESS
        return unique_id

    def retrieve(self, *requests: str) -> Answer:
        body = safexml.parse(retrieve(*requests))
        return self.service.retrieve(Request(ITI_43, body, Addressing(ITI_43.action)))

    def octets(self, unique_id: str) -> bytes:
        (document,) = self.retrieve(wanted(OURS, unique_id)).documents
        return b"".join(document.chunks)

    def rows(self) -> tuple[int, int]:
        """Number of index rows and of registry objects."""
        with self.database.read() as connection:
            counts = [
                connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (stored_document, registry_object)
            ]
        return counts[0], counts[1]

    def spooled(self) -> list[str]:
        return list(self.store.stale(datetime.now(UTC) + timedelta(hours=1)))


def build(
    database: Database,
    store: FileStore,
    root: Path,
    registrar: Callable[[LocalRegistrar], Registrar] = lambda local: local,
    configuration: Settings | None = None,
) -> World:
    configuration = configuration or Settings()
    index = DocumentIndex(lambda: NOW, store)
    registration = Registration(
        FragmentCodec(database),
        Rules.from_settings(configuration),
        configuration,
        lambda: NOW,
        lambda: f"urn:uuid:{uuid.uuid4()}",
    )
    local = LocalRegistrar(database, registration, index)
    service = RepositoryService(configuration, store, index, database, registrar(local))
    return World(service, store, database, index, root)


def response(answer: Answer) -> _Element:
    return safexml.parse(b"".join(answer.payload))


def delivered(answer: Answer) -> list[dict[str, str]]:
    """Texts of each DocumentResponse by element name, with the Content-ID of its part."""
    found = []
    for each in response(answer).iter(f"{{{XDS}}}DocumentResponse"):
        texts = {str(child.tag).rpartition("}")[2]: child.text or "" for child in each}
        (reference,) = each.findall(".//{http://www.w3.org/2004/08/xop/include}Include")
        texts["Document"] = reference.get("href", "").removeprefix("cid:").replace("%40", "@")
        found.append(texts)
    return found
