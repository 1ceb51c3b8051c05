"""A registry of the real parts on a real database, for tests that submit and query."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from lxml import etree

from msim_xds.database.engine import Database
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.transactions import ITI_18, ITI_42, Transaction
from msim_xds.metadata import ebrim
from msim_xds.metadata.rules import Rules
from msim_xds.registry.fragment_codec import FragmentCodec
from msim_xds.registry.registration import Registration
from msim_xds.registry.search import StoredQueries
from msim_xds.settings import Settings
from msim_xds.wire.exchange import Addressing, Request
from msim_xds.wire.view import View
from tests.support.metadata import RIM, submit_objects


@dataclass(frozen=True)
class Result:
    """A stored query's answer."""

    root: etree._Element

    @property
    def objects(self) -> list[etree._Element]:
        """What the RegistryObjectList holds."""
        return list(self.root[-1])

    @property
    def ids(self) -> list[str]:
        """@id of every object, sorted."""
        return sorted(thing.get("id", "") for thing in self.objects)

    def of(self, element: str) -> list[etree._Element]:
        """Objects of one ebRIM element."""
        return self.root[-1].findall(f"{{{RIM}}}{element}")

    def names(self) -> list[str]:
        """ebRIM element names of the objects."""
        return [etree.QName(thing).localname for thing in self.objects]


class Registry:
    """Database, registration and stored queries; the clock moves on a second with each submission."""

    def __init__(
        self, url: str, expand: Callable[[str], Iterable[str]] | None = None, **settings: Any
    ) -> None:
        self.settings = Settings(**settings)
        self.database = Database(url, self.settings.database)
        self.database.migrate()
        self.codec = FragmentCodec(self.database)
        self.now = datetime(2026, 9, 14, 12, tzinfo=UTC)
        self.registration = Registration(
            self.codec,
            Rules.from_settings(self.settings),
            self.settings,
            lambda: self.now,
            lambda: f"urn:uuid:{uuid.uuid4()}",
        )
        self.queries = StoredQueries(self.database, self.codec, self.settings, expand)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.database.close()

    def submit(self, *objects: str) -> None:
        """Register these objects."""
        self.now += timedelta(seconds=1)
        reading = ebrim.read(etree.fromstring(submit_objects(*objects)), self.settings.limits)
        draft = self.registration.draft(reading, ITI_42)
        with self.database.write() as connection:
            self.registration.register(connection, draft)

    def ask(self, message: bytes, transaction: Transaction = ITI_18, view: View | None = None) -> Result:
        """The answer to an AdhocQueryRequest, which is a success; of what the view shows."""
        body = etree.fromstring(message)
        answer = self.queries.answer(Request(transaction, body, Addressing(transaction.action), view=view))
        root = etree.fromstring(b"".join(answer.payload))
        assert root.get("status", "").endswith(":Success")
        return Result(root)

    def refusal(self, message: bytes, transaction: Transaction = ITI_18, view: View | None = None) -> Finding:
        """The one finding for which a query is refused."""
        try:
            self.ask(message, transaction, view)
        except Refused as refused:
            (finding,) = refused.findings
            return finding
        raise AssertionError("the query was answered")
