"""Documents made when they are retrieved: ids, failures, time limits, spool."""

from __future__ import annotations

import gc
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import delete, update

from msim_xds.database.engine import Database
from msim_xds.database.schema import registry_object
from msim_xds.repository.blobs import CHUNK
from msim_xds.repository.on_demand import Claim, OnDemandSource, Order
from msim_xds.settings import LimitSettings, OnDemandSettings
from tests.support.metadata import OTHER_PATIENT, RPLC, association, new_oid, new_uuid
from tests.test_repository.messages import wanted
from tests.test_repository.on_demand_world import OURS, Fetched, Hanging, Source, World, failing, saying

#: The class of entries that say nothing else, and another.
USUAL = Claim(class_code="00.20^^2.16.840.1.113883.3.4424.11.1.32")
OTHER = ("05.00", "2.16.840.1.113883.3.4424.11.1.32", "Konsultacja lekarska")

Build = Callable[..., World]


@pytest.fixture
def build(database: Database, tmp_path: Path) -> Build:
    def make(source: OnDemandSource | dict[str, OnDemandSource], **settings: Any) -> World:
        sources = source if isinstance(source, dict) else {"test": source}
        return World(database, tmp_path / "documents", sources, **settings)

    return make


class TestDelivery:
    def test_under_an_id_of_its_own(self, build: Build) -> None:
        world = build(saying(b"as it is ", b"now", mime_type="text/html"))
        unique_id = world.on_demand()
        fetched = world.fetch(unique_id)
        assert fetched.octets == [b"as it is now"]
        assert list(fetched.only) == [
            "RepositoryUniqueId",
            "DocumentUniqueId",
            "NewDocumentUniqueId",
            "mimeType",
            "Document",
        ]
        assert fetched.only["DocumentUniqueId"] == unique_id
        assert fetched.only["NewDocumentUniqueId"] != unique_id
        assert fetched.only["mimeType"] == "text/html"
        assert world.spooled() == []
        assert world.entries() == []

    def test_home_is_echoed(self, build: Build) -> None:
        world = build(saying(b"x"))
        answer = world.ask(wanted(OURS, world.on_demand(), "urn:oid:1.2.3"))
        assert Fetched.of(answer).only["HomeCommunityId"] == "urn:oid:1.2.3"

    def test_the_same_content_has_the_same_id(self, build: Build) -> None:
        contents = [b"one", b"one", b"two", b"one"]
        pieces = iter(contents)
        world = build(Source(lambda order: [next(pieces)]))
        unique_id = world.on_demand()
        ids = [world.fetch(unique_id).only["NewDocumentUniqueId"] for _ in contents]
        assert ids[0] == ids[1] == ids[3] != ids[2]

    def test_entries_do_not_share_ids(self, build: Build) -> None:
        world = build(saying(b"same"))
        a, b = (world.fetch(world.on_demand()).only["NewDocumentUniqueId"] for _ in "ab")
        assert a != b

    def test_a_source_may_make_the_id_from_a_digest_of_its_own(self, build: Build) -> None:
        seen: list[str] = []

        def chunks(order: Order) -> list[bytes]:
            seen.append("^".join(order.identifier(b"mine")))
            return [seen[0].encode()]

        world = build(Source(chunks, digest=b"mine"))
        fetched = world.fetch(world.on_demand())
        assert [fetched.only["NewDocumentUniqueId"]] == seen
        assert fetched.octets == [seen[0].encode()]

    @pytest.mark.parametrize("size", [0, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
    def test_any_size(self, build: Build, size: int) -> None:
        content = os.urandom(size)
        world = build(Source(lambda order: (content[i : i + 70_000] for i in range(0, size, 70_000))))
        fetched = world.fetch(world.on_demand())
        assert [hashlib.sha256(each).digest() for each in fetched.octets] == [
            hashlib.sha256(content).digest()
        ]
        assert world.spooled() == []

    def test_a_large_one_that_nobody_reads_leaves_nothing(self, build: Build) -> None:
        world = build(saying(b"x" * (CHUNK + 1)))
        before = len(os.listdir("/proc/self/fd"))
        answer = world.ask(wanted(OURS, world.on_demand()))
        assert world.spooled() == []
        (document,) = answer.documents
        assert next(iter(document.chunks)) == b"x" * CHUNK
        del answer, document
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) <= before + 1  # a connection may have been opened

    def test_the_order_says_what_is_wanted(self, build: Build) -> None:
        orders: list[Order] = []

        def chunks(order: Order) -> list[bytes]:
            orders.append(order)
            return [each.entry_uuid.encode() for each in order.records.documents()]

        world = build(Source(chunks))
        stable, _ = world.stable(), world.stable(patient_id=OTHER_PATIENT)
        unique_id = world.on_demand(set_={"submission_time": "20260101"}, title="Spis")
        assert world.fetch(unique_id).octets == [stable.encode()]
        (order,) = orders
        assert (order.entry.unique_id, order.entry.title[0].value) == (unique_id, "Spis")
        assert order.submission.submission_time == "20260101"
        assert order.repository_unique_id == OURS


class TestWhatThereIsNot:
    def test_unknown_documents(self, build: Build) -> None:
        world = build(saying(b"x"))
        unique_id, nothing = world.on_demand(), new_oid()
        fetched = world.fetch(unique_id, nothing)
        assert (fetched.status, fetched.errors) == ("PartialSuccess", {nothing: "XDSDocumentUniqueIdError"})
        elsewhere = Fetched.of(world.ask(wanted("1.2.3", unique_id)))
        assert elsewhere.errors == {unique_id: "XDSUnknownRepositoryId"}

    def test_an_entry_of_another_repository(self, build: Build) -> None:
        world = build(saying(b"x"))
        unique_id = world.on_demand(repository="1.2.3")
        assert world.fetch(unique_id).errors == {unique_id: "XDSDocumentUniqueIdError"}

    def test_a_stable_entry_without_its_document(self, build: Build) -> None:
        world, unique_id = build(saying(b"x")), new_oid()
        world.stable(unique_id=unique_id)
        assert world.fetch(unique_id).errors == {unique_id: "XDSDocumentUniqueIdError"}

    def test_a_deprecated_entry(self, build: Build) -> None:
        world, old = build(saying(b"x")), new_uuid()
        unique_id = world.on_demand(uuid_=old)
        world.on_demand(association("Document01", old, RPLC))
        fetched = world.fetch(unique_id)
        assert (fetched.status, fetched.errors) == ("Failure", {unique_id: "XDSDocumentUniqueIdError"})
        assert "Deprecated" in fetched.texts

    def test_the_newest_approved_of_several(self, build: Build) -> None:
        world = build(Source(lambda order: [order.entry.entry_uuid.encode()]))
        uuids = [new_uuid() for _ in range(3)]
        unique_id = new_oid()
        for uuid in uuids:
            world.on_demand(uuid_=uuid, unique_id=unique_id)
        assert world.fetch(unique_id).octets == [uuids[2].encode()]
        with world.database.write() as connection:
            connection.execute(
                update(registry_object).where(registry_object.c.entry_uuid == uuids[2]).values(status=2)
            )
        assert world.fetch(unique_id).octets == [uuids[1].encode()]

    def test_one_id_of_two_patients_is_nobodys(self, build: Build) -> None:
        world, unique_id = build(saying(b"x")), new_oid()
        world.on_demand(unique_id=unique_id)
        world.on_demand(unique_id=unique_id, patient_id=OTHER_PATIENT)
        fetched = world.fetch(unique_id)
        assert fetched.errors == {unique_id: "XDSRepositoryError"}
        assert "several patients" in fetched.texts

    def test_no_source_for_its_codes(self, build: Build) -> None:
        world = build(saying(b"x", claims=(Claim(type_code="1-1^^1.2.3"),)))
        unique_id = world.on_demand()
        fetched = world.fetch(unique_id)
        assert fetched.errors == {unique_id: "XDSRepositoryError"}
        assert "no on-demand document source is offered" in fetched.texts

    def test_an_entry_removed_this_moment(self, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
        world = build(saying(b"x"))
        unique_id = world.on_demand()
        held = world.reader.on_demand(unique_id, OURS)
        monkeypatch.setattr(world.reader, "on_demand", lambda *_: held)
        with world.database.write() as connection:
            connection.execute(delete(registry_object))
        assert world.fetch(unique_id).errors == {unique_id: "XDSDocumentUniqueIdError"}


class TestFailures:
    def test_a_source_that_fails_does_not_keep_the_others(self, build: Build) -> None:
        secret = "PESEL 58831404726"
        world = build({"bad": failing(ValueError(secret), claims=(USUAL,)), "good": saying(b"fine")})
        bad = world.on_demand()
        good = world.on_demand(codes={"classCode": OTHER})
        with structlog.testing.capture_logs() as logs:
            fetched = world.fetch(bad, good)
        assert (fetched.status, fetched.errors) == ("PartialSuccess", {bad: "XDSRepositoryError"})
        assert fetched.octets == [b"fine"]
        (line,) = logs
        assert (line["source"], line["error"]) == ("bad", "ValueError")
        assert line["reference"] in fetched.texts
        assert secret not in repr(logs) + fetched.texts
        assert world.spooled() == []

    def test_a_source_that_fails_at_once(self, build: Build) -> None:
        def refuse(order: Order) -> Iterator[bytes]:
            raise RuntimeError

        world = build(Source(refuse))
        unique_id = world.on_demand()
        assert world.fetch(unique_id).errors == {unique_id: "XDSRepositoryError"}

    def test_a_document_that_is_too_large(self, build: Build) -> None:
        def endless(order: Order) -> Iterator[bytes]:
            while True:
                yield b"x" * 600

        world = build(Source(endless), limits=LimitSettings(document_bytes=1000))
        unique_id = world.on_demand()
        fetched = world.fetch(unique_id)
        assert fetched.errors == {unique_id: "XDSRepositoryError"}
        assert "over 1000 octets" in fetched.texts
        assert world.spooled() == []

    def test_exactly_as_large_as_may_be(self, build: Build) -> None:
        world = build(saying(b"x" * 1000), limits=LimitSettings(document_bytes=1000))
        assert world.fetch(world.on_demand()).octets == [b"x" * 1000]

    def test_no_thread_to_be_had(self, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(self: object) -> None:
            raise RuntimeError("can't start new thread")

        world = build(saying(b"x"), on_demand=OnDemandSettings(threads=1))
        unique_id = world.on_demand()
        with monkeypatch.context() as patch:
            patch.setattr("threading.Thread.start", refuse)
            with pytest.raises(RuntimeError):
                world.fetch(unique_id)
        assert world.fetch(unique_id).octets == [b"x"]


class TestTime:
    SHORT = OnDemandSettings(timeout_s=0.2, threads=1)

    def test_a_source_that_takes_too_long(self, build: Build) -> None:
        source = Hanging(claims=(USUAL,))
        world = build({"slow": source, "quick": saying(b"fine")}, on_demand=OnDemandSettings(timeout_s=0.2))
        slow, again = world.on_demand(), world.on_demand()
        quick = world.on_demand(codes={"classCode": OTHER})
        started = time.monotonic()
        fetched = world.fetch(slow, again, quick)
        assert time.monotonic() - started < 5
        assert (fetched.status, fetched.octets) == ("PartialSuccess", [b"fine"])
        assert fetched.errors == {slow: "XDSRepositoryError", again: "XDSRepositoryError"}
        assert "longer than 0.2 s" in fetched.texts
        assert source.started == 1, "a source that took too long is not asked again in the same request"
        source.release.set()
        assert source.ended.wait(10)
        _eventually(lambda: world.spooled() == [])

    def test_what_comes_too_late_is_thrown_away(self, build: Build) -> None:
        """Also where the last chunk was under way when nobody waited any more."""
        source = Hanging()
        world = build(source, on_demand=self.SHORT)
        unique_id = world.on_demand()
        assert world.fetch(unique_id).errors == {unique_id: "XDSRepositoryError"}
        source.release.set()
        _eventually(lambda: world.spooled() == [])
        assert world.fetch(unique_id).octets == [b"a beginningan end"], "its thread is free again"

    def test_threads_that_hang_are_bounded(self, build: Build) -> None:
        source = Hanging()
        world = build(source, on_demand=self.SHORT)
        unique_id = world.on_demand()
        world.fetch(unique_id)
        fetched = world.fetch(unique_id)
        assert fetched.errors == {unique_id: "XDSRepositoryBusy"}
        assert source.started == 1
        source.release.set()
        assert source.ended.wait(10)

    def test_reading_the_registry_ends_with_the_wait(self, build: Build) -> None:
        ended: list[type[BaseException]] = []

        def chunks(order: Order) -> list[bytes]:
            try:
                while True:
                    for _ in order.records.documents():
                        time.sleep(0.01)
            except TimeoutError as error:
                ended.append(type(error))
                raise

        world = build(Source(chunks), on_demand=self.SHORT)
        world.stable()
        unique_id = world.on_demand()
        assert world.fetch(unique_id).errors == {unique_id: "XDSRepositoryError"}
        _eventually(lambda: len(ended) == 1)


def _eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
