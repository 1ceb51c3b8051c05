"""A whole node from which documents are removed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from sqlalchemy import Row, select

from msim_xds.app import Node, open_node
from msim_xds.database.schema import removal, stored_document
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import RMD
from msim_xds.ihe.transactions import ITI_41, ITI_43, ITI_86
from msim_xds.repository.scrub import Report, check
from msim_xds.settings import Settings
from msim_xds.wire import safexml
from msim_xds.wire.exchange import Addressing, Request
from tests.support import metadata
from tests.test_repository.messages import XDS, inline, provide, retrieve, wanted


def remove_documents(*requests: str, inside: str = "") -> bytes:
    """rmd:RemoveDocumentsRequest."""
    name = "rmd:RemoveDocumentsRequest"
    return f'<{name} xmlns:rmd="{RMD}" xmlns:xds="{XDS}">{"".join(requests)}{inside}</{name}>'.encode()


class Removing:
    """Registry and repository with a clock of their own."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.blobs = Path(node.settings.document_store)

    def submit(self, content: bytes = b"hello", **options: Any) -> str:
        """Provide one document; its uniqueId."""
        unique_id = options.pop("unique_id", None) or metadata.new_oid()
        body = metadata.single_document(unique_id=unique_id, content=content, **options)
        message = safexml.parse(provide(body, inline("Document01", content)))
        self.node.repository.provide_and_register(Request(ITI_41, message, Addressing(ITI_41.action)))
        return unique_id

    def remove(self, *unique_ids: str, message: bytes | None = None) -> None:
        """ITI-86 of these documents, or the message."""
        if message is None:
            message = remove_documents(*(wanted(metadata.REPOSITORY, escape(each)) for each in unique_ids))
        answer = self.node.document_removal.remove_documents(
            Request(ITI_86, safexml.parse(message), Addressing(ITI_86.action), remote_address="10.0.0.7")
        )
        assert b":Success" in b"".join(answer.payload)

    def not_removed(self, *unique_ids: str, message: bytes | None = None) -> list[Finding]:
        """The findings of a removal that is refused and changes nothing."""
        before = self.rows(), self.files(), self.removals()
        try:
            self.remove(*unique_ids, message=message)
        except Refused as refused:
            assert (self.rows(), self.files(), self.removals()) == before
            return list(refused.findings)
        raise AssertionError("they were removed")

    def retrieval(self, unique_id: str) -> tuple[list[str], list[bytes]]:
        """Codes and contents that ITI-43 gives."""
        body = safexml.parse(retrieve(wanted(metadata.REPOSITORY, unique_id)))
        answer = self.node.repository.retrieve(Request(ITI_43, body, Addressing(ITI_43.action)))
        return [each.code for each in answer.findings], [b"".join(each.chunks) for each in answer.documents]

    def rows(self) -> set[str]:
        """The uniqueIds of the index."""
        with self.node.database.read() as connection:
            return set(connection.execute(select(stored_document.c.unique_id)).scalars())

    def removals(self) -> list[Row[Any]]:
        """The rows of the table removal."""
        with self.node.database.read() as connection:
            return list(connection.execute(select(removal).order_by(removal.c.id)))

    def files(self) -> set[str]:
        """The blobs there are."""
        return {path.name for path in self.blobs.rglob("*") if len(path.name) == 64}

    def fsck(self) -> Report:
        """What a check of everything says."""
        node = self.node
        return check(node.store, node.index, node.database, metadata.REPOSITORY, datetime.now(UTC))


@contextmanager
def removing(data: Path, url: str, **settings: Any) -> Iterator[Removing]:
    """A node on its own database and directory; the time of day is a moment in 2026."""
    configuration = Settings(data=data, database={"url": url}, **settings)
    node = open_node(configuration, lambda: datetime(2026, 9, 14, 12, tzinfo=UTC))
    try:
        yield Removing(node)
    finally:
        node.close()
