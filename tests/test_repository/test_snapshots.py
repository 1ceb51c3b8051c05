"""Persistence of Retrieved Documents: what was made is stored, registered once, and found again."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from msim_xds.database.engine import Database
from msim_xds.database.schema import association, registry_object, stored_document
from msim_xds.findings import Finding, Refused
from msim_xds.metadata.ebrim import Reading
from msim_xds.registry.reach import Reach
from msim_xds.repository import scrub
from msim_xds.repository.index import StoredDocument
from msim_xds.repository.on_demand import Order
from msim_xds.repository.registrar import LocalRegistrar
from msim_xds.settings import OnDemandSettings, Settings, ValidationSettings
from msim_xds.wire.exchange import Recorder
from tests.support import metadata
from tests.support.metadata import REPOSITORY, new_uuid
from tests.test_repository.on_demand_world import OURS, Source, World, saying

KEPT = OnDemandSettings(persist=True)


@dataclass
class Changing:
    """Content that the test changes."""

    now: bytes = b"first"

    def __call__(self, order: Order) -> Iterable[bytes]:
        return [self.now]


Build = Callable[..., World]


@pytest.fixture
def build(database: Database, tmp_path: Path) -> Build:
    def make(source: Source, registrar: Any = None, **settings: Any) -> World:
        chosen = registrar or (lambda local: local)
        settings.setdefault("on_demand", KEPT)
        return World(database, tmp_path / "documents", {"test": source}, chosen, **settings)

    return make


def links(world: World) -> list[tuple[int, str, str]]:
    """Type, source and target of the associations between entries, in order."""
    with world.database.read() as connection:
        named = select(registry_object.c.id, registry_object.c.entry_uuid)
        uuids = {key: uuid for key, uuid in connection.execute(named)}
        rows = connection.execute(
            select(association).where(association.c.type != 1).order_by(association.c.id)
        )
        return [(row.type, uuids[row.source_object], uuids[row.target_object]) for row in rows]


IS_SNAPSHOT_OF, REPLACES = 7, 2


class TestKept:
    def test_stored_registered_and_retrievable(self, build: Build) -> None:
        world, uuid = build(saying(b"as it is now", title="Wydruk", mime_type="text/html")), new_uuid()
        unique_id = world.on_demand(uuid_=uuid, title="Spis", set_={"submission_time": "20260101"})
        fetched = world.fetch(unique_id)
        assert list(fetched.only) == [
            "RepositoryUniqueId",
            "DocumentUniqueId",
            "NewRepositoryUniqueId",
            "NewDocumentUniqueId",
            "mimeType",
            "Document",
        ]
        assert fetched.octets == [b"as it is now"]
        assert fetched.only["NewRepositoryUniqueId"] == REPOSITORY
        own_id = fetched.only["NewDocumentUniqueId"]
        (row,) = world.entries()
        assert (row.unique_id, row.repository_unique_id, row.size) == (own_id, REPOSITORY, 12)
        assert row.time_low == 20260914120001
        assert links(world) == [(IS_SNAPSHOT_OF, row.entry_uuid, uuid)]
        (held,) = [each for each in world.reader.on_demand(unique_id, OURS)]
        (snapshot,) = world.reader.snapshots(held, own_id)
        entry = world.reader.entry(snapshot)
        assert (entry.title[0].value, entry.mime_type) == ("Wydruk", "text/html")
        assert entry.patient_id == metadata.PATIENT
        assert entry.class_code == world.reader.entry(held).class_code
        batch = world.reader.submission_set(snapshot)
        assert (batch.source_id, batch.content_type_code) == (
            metadata.SOURCE,
            world.reader.submission_set(held).content_type_code,
        )
        again = world.fetch(own_id)
        assert again.octets == [b"as it is now"]
        assert "NewDocumentUniqueId" not in again.only
        assert world.spooled() == []

    def test_the_same_content_is_kept_once(self, build: Build) -> None:
        world = build(saying(b"same"))
        unique_id = world.on_demand()
        first, second = world.fetch(unique_id), world.fetch(unique_id)
        assert first.documents[0]["NewDocumentUniqueId"] == second.only["NewDocumentUniqueId"]
        assert second.octets == [b"same"]
        assert len(world.entries()) == 1
        assert world.spooled() == []

    def test_a_change_replaces_the_previous_snapshot(self, build: Build) -> None:
        content = Changing()
        world, uuid = build(Source(content)), new_uuid()
        unique_id = world.on_demand(uuid_=uuid)
        ids = []
        for now in (b"first", b"second", b"first", b"first"):
            content.now = now
            ids.append(world.fetch(unique_id).only["NewDocumentUniqueId"])
        assert ids[0] == ids[2] == ids[3] != ids[1]
        first, second, third = world.entries()
        assert [row.status for row in (first, second, third)] == [2, 2, 1]
        assert first.unique_id == third.unique_id
        assert links(world) == [
            (IS_SNAPSHOT_OF, first.entry_uuid, uuid),
            (IS_SNAPSHOT_OF, second.entry_uuid, uuid),
            (REPLACES, second.entry_uuid, first.entry_uuid),
            (IS_SNAPSHOT_OF, third.entry_uuid, uuid),
            (REPLACES, third.entry_uuid, second.entry_uuid),
        ]
        assert [world.fetch(each).octets for each in ids[:2]] == [[b"first"], [b"second"]]

    def test_the_times_of_a_source_that_gives_local_ones(self, build: Build) -> None:
        local = ValidationSettings(profile="pl", local_time_sources=frozenset({metadata.SOURCE}))
        world = build(saying(b"x"), validation=local)
        assert world.fetch(world.on_demand()).status == "Success"
        (row,) = world.entries()
        assert row.time_low == 20260914120001, "columns are UTC"
        (held,) = world.reader.snapshots(_of(world, row.unique_id), row.unique_id)
        assert world.reader.entry(held).creation_time == "20260914140001"

    def test_a_withdrawn_snapshot_is_not_registered_again(self, build: Build) -> None:
        world = build(saying(b"same"))
        unique_id = world.on_demand()
        world.fetch(unique_id)
        with world.database.write() as connection:
            connection.execute(update(registry_object).where(registry_object.c.kind == 1).values(status=2))
        assert world.fetch(unique_id).octets == [b"same"]
        assert len(world.entries()) == 1

    def test_a_removed_document_is_made_but_not_kept(self, build: Build) -> None:
        """Its id was withdrawn by ITI-86; nothing says that it can be retrieved."""
        world = build(saying(b"same"))
        unique_id = world.on_demand()
        world.fetch(unique_id)
        with world.database.write() as connection:
            connection.execute(delete(stored_document))
        fetched = world.fetch(unique_id)
        assert fetched.octets == [b"same"]
        assert "NewRepositoryUniqueId" not in fetched.only

    def test_fsck_finds_nothing(self, build: Build) -> None:
        world = build(saying(b"x"))
        world.fetch(world.on_demand())
        report = scrub.check(world.store, world.index, world.database, OURS, world.now)
        assert (report.is_sound, report.documents, report.problems) == (True, 1, ())


def _of(world: World, unique_id: str) -> Any:
    """The holding of the only on-demand entry."""
    with world.database.read() as connection:
        row = connection.execute(select(registry_object).where(registry_object.c.kind == 2)).one()
    (held,) = world.reader.on_demand(row.unique_id, OURS)
    return held


class TestRaces:
    def test_many_clients_at_once_make_one_snapshot(self, build: Build) -> None:
        together = threading.Barrier(4)

        def chunks(order: Order) -> Iterable[bytes]:
            together.wait(20)
            return [b"same"]

        world = build(Source(chunks))
        unique_id = world.on_demand()
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: world.fetch(unique_id), range(4)))
        assert {each.only["NewDocumentUniqueId"] for each in found} == {world.entries()[0].unique_id}
        assert all("NewRepositoryUniqueId" in each.only for each in found)
        assert len(world.entries()) == 1
        assert len(links(world)) == 1
        assert world.spooled() == []

    def test_many_at_once_replace_the_previous_one_once(self, build: Build) -> None:
        content = Changing()
        world = build(Source(content))
        unique_id = world.on_demand()
        world.fetch(unique_id)
        content.now = b"second"
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: world.fetch(unique_id), range(4)))
        assert {each.status for each in found} == {"Success"}
        assert [row.status for row in world.entries()] == [2, 1]


@dataclass
class Faulty:
    """A registrar that fails as it is told before, or instead of, doing its work."""

    local: LocalRegistrar
    faults: list[Exception]
    documents: list[Sequence[StoredDocument]] = field(default_factory=list)

    def register(
        self,
        reading: Reading,
        documents: Sequence[StoredDocument],
        keep: Callable[[], None],
        record: Recorder | None = None,
        reach: Reach | None = None,
    ) -> tuple[Finding, ...]:
        self.documents.append(documents)
        if self.faults:
            keep()
            raise self.faults.pop(0)
        return self.local.register(reading, documents, keep)


def race(code: str = "XDSDuplicateUniqueIdInRegistry") -> Refused:
    return Refused([Finding(code, "somebody was faster", attribute="uniqueId")])


class TestRefusals:
    def test_a_race_that_was_lost_is_looked_at_again(self, build: Build) -> None:
        world = build(saying(b"x"), lambda local: Faulty(local, [race(), race()]))
        unique_id = world.on_demand()
        assert world.fetch(unique_id).octets == [b"x"]
        assert len(world.entries()) == 1

    @pytest.mark.parametrize(
        ("code", "attempts"), [("XDSDuplicateUniqueIdInRegistry", 5), ("XDSUnknownPatientId", 1)]
    )
    def test_a_snapshot_that_is_refused(self, build: Build, code: str, attempts: int) -> None:
        registrars: list[Faulty] = []

        def faulty(local: LocalRegistrar) -> Faulty:
            registrars.append(Faulty(local, [race(code)] * attempts))
            return registrars[0]

        world = build(saying(b"x"), faulty)
        unique_id = world.on_demand()
        fetched = world.fetch(unique_id)
        assert (fetched.status, fetched.errors) == ("Failure", {unique_id: "XDSRepositoryError"})
        assert f"not registered: {code}" in fetched.texts
        assert len(registrars[0].documents) == attempts
        assert world.spooled() == []
        assert world.fetch(unique_id).octets == [b"x"], "a retry finds nothing in its way"

    @pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), TimeoutError("busy")])
    def test_a_store_that_fails(self, build: Build, error: OSError) -> None:
        world = build(saying(b"x"), lambda local: Faulty(local, [error]))
        unique_id = world.on_demand()
        fetched = world.fetch(unique_id)
        assert fetched.errors == {unique_id: "XDSRepositoryError"}
        assert "cannot be stored at the moment" in fetched.texts
        assert world.spooled() == []
        assert world.fetch(unique_id).octets == [b"x"]

    def test_an_id_that_a_source_gives_to_two_contents(self, build: Build) -> None:
        content = Changing()
        world = build(Source(content, digest=b"always the same"))
        unique_id = world.on_demand()
        assert world.fetch(unique_id).status == "Success"
        content.now = b"second"
        fetched = world.fetch(unique_id)
        assert fetched.errors == {unique_id: "XDSRepositoryError"}
        assert "not registered: XDSNonIdenticalHash" in fetched.texts


def test_without_the_option_nothing_is_kept(database: Database, tmp_path: Path) -> None:
    world = World(database, tmp_path / "documents", {"test": saying(b"x")})
    assert not Settings().on_demand.persist
    assert world.fetch(world.on_demand()).status == "Success"
    assert world.entries() == []
