"""repository.service, ITI-41: what is kept and registered, and what a refusal or a crash leaves."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select

from msim_xds.database.engine import Database
from msim_xds.database.schema import registry_object
from msim_xds.findings import Finding
from msim_xds.ihe.names import ResponseStatus, Severity
from msim_xds.metadata.ebrim import Reading
from msim_xds.registry.reach import Reach
from msim_xds.repository.files import FileStore
from msim_xds.repository.index import StoredDocument
from msim_xds.repository.registrar import LocalRegistrar
from msim_xds.settings import Settings, ValidationSettings
from msim_xds.wire.exchange import Recorder, StagedPart
from tests.support import metadata
from tests.test_repository.messages import include, inline, provide
from tests.test_repository.service_world import OURS, World, build, response
from tests.test_repository.stores import staged


class TestProvideAndRegister:
    def test_part_and_inline_in_one_message(self, world: World) -> None:
        a, b = metadata.new_oid(), metadata.new_oid()
        submission = metadata.submit_objects(
            metadata.submission_set(),
            metadata.document_entry("A", unique_id=a, content=b"one", repository="9.9.9"),
            metadata.document_entry("B", unique_id=b, content=None, repository=None, mime_type="text/plain"),
            metadata.original("A"),
            metadata.original("B"),
        )
        body = provide(submission, include("A", "c"), inline("B", b"two"))
        answer = world.provide(body, {"c": staged(world.store, b"one")})
        assert answer.status is ResponseStatus.SUCCESS
        assert response(answer).get("status") == ResponseStatus.SUCCESS
        assert (world.octets(a), world.octets(b)) == (b"one", b"two")
        assert world.spooled() == []
        query = select(
            registry_object.c.unique_id,
            registry_object.c.hash,
            registry_object.c.size,
            registry_object.c.repository_unique_id,
        ).where(registry_object.c.hash.is_not(None))
        with world.database.read() as connection:
            assert {tuple(row) for row in connection.execute(query)} == {
                (a, hashlib.sha1(b"one").hexdigest(), 3, OURS),
                (b, hashlib.sha1(b"two").hexdigest(), 3, OURS),
            }
            rows = world.index.find(connection, [a, b])
        assert all(row.registered for row in rows.values())
        assert rows[b].mime_type == "text/plain"

    def test_no_documents(self, world: World) -> None:
        folder = metadata.submit_objects(
            metadata.submission_set(),
            metadata.folder(),
            metadata.association("SubmissionSet01", "Folder01"),
        )
        assert world.provide(provide(folder)).status is ResponseStatus.SUCCESS
        assert world.rows() == (0, 2)

    def test_identical_retry_changes_nothing(self, world: World) -> None:
        body = provide(metadata.single_document(content=b"x"), include("Document01", "c"))
        for _ in range(3):
            answer = world.provide(body, {"c": staged(world.store, b"x")})
            assert answer.status is ResponseStatus.SUCCESS
        assert world.rows() == (1, 2)

    def test_second_entry_for_the_same_document(self, world: World) -> None:
        unique_id = world.submit(b"same")
        world.submit(b"same", unique_id=unique_id)
        assert world.rows() == (1, 4)

    def test_same_unique_id_with_other_content(self, world: World) -> None:
        unique_id = world.submit(b"first")
        other = metadata.single_document(unique_id=unique_id, content=b"other!")
        findings = world.refused(provide(other, inline("Document01", b"other!")))
        assert {(f.code, f.context) for f in findings} == {
            ("XDSNonIdenticalHash", unique_id),
            ("XDSNonIdenticalSize", unique_id),
        }
        assert world.octets(unique_id) == b"first"

    def test_all_that_is_wrong_is_said_at_once(self, world: World) -> None:
        submission = metadata.submit_objects(
            metadata.submission_set(),
            metadata.document_entry("A", unique_id="1.2.3", content=b"other"),
            metadata.document_entry("B", unique_id="1.2.3"),
            metadata.document_entry("B"),
            metadata.original("A"),
        )
        documents = (inline("A", b"content"), inline("C", b""), include("D", "gone"))
        codes = [f.code for f in world.refused(provide(submission, *documents))]
        assert sorted(codes) == [
            "XDSMissingDocument",  # part "gone"
            "XDSMissingDocument",  # B
            "XDSMissingDocumentMetadata",  # C
            "XDSMissingDocumentMetadata",  # D
            "XDSRegistryMetadataError",  # id B twice
            "XDSRepositoryDuplicateUniqueIdInMessage",
            "XDSRepositoryMetadataError",  # hash of A
            "XDSRepositoryMetadataError",  # size of A
        ]
        assert world.spooled() == []
        assert list(world.store.blobs()) == []

    def test_no_submission(self, world: World) -> None:
        (finding,) = world.refused(provide(b"", inline("A", b"x")))
        assert finding.code == "XDSRepositoryMetadataError"
        assert world.spooled() == []

    def test_bad_metadata_leaves_no_blob(self, world: World) -> None:
        body = provide(
            metadata.single_document(slots={"creationTime": "yesterday"}), inline("Document01", b"hello")
        )
        assert [f.attribute for f in world.refused(body)] == ["creationTime"]
        assert list(world.store.blobs()) == []
        assert world.spooled() == []

    def test_refused_for_what_the_registry_holds(self, world: World) -> None:
        """The blob stays as an orphan, for scrub; nothing else does."""
        body = metadata.submit_objects(
            metadata.submission_set(),
            metadata.document_entry(),
            metadata.original(),
            metadata.association("Document01", metadata.new_uuid(), metadata.RPLC),
        )
        codes = {f.code for f in world.refused(provide(body, inline("Document01", b"hello")))}
        assert codes == {"UnresolvedReferenceException"}
        assert [blob.size for blob in world.store.blobs()] == [5]

    def test_blob_removed_between_commit_and_row(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """The scrubber was quicker: told to come again, nothing registered."""
        real = world.store.commit

        def commit(parts: Sequence[StagedPart]) -> None:
            real(parts)
            for part in parts:
                world.store.delete(part.sha256)

        monkeypatch.setattr(world.store, "commit", commit)
        body = provide(metadata.single_document(), inline("Document01", b"hello"))
        assert [f.code for f in world.refused(body)] == ["XDSRepositoryBusy"]
        monkeypatch.undo()
        assert world.provide(body).status is ResponseStatus.SUCCESS

    def test_store_that_fails(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        def commit(parts: Sequence[StagedPart]) -> None:
            raise OSError("broken disk")

        monkeypatch.setattr(world.store, "commit", commit)
        with pytest.raises(OSError, match="broken disk"):
            world.provide(provide(metadata.single_document(), inline("Document01", b"hello")))
        assert world.rows() == (0, 0)
        assert world.spooled() == []

    def test_same_content_from_many_threads(self, world: World) -> None:
        start = threading.Barrier(6)

        def submit(_: int) -> str:
            start.wait()
            return world.submit(b"shared by all")

        with ThreadPoolExecutor(6) as threads:
            unique_ids = list(threads.map(submit, range(6)))
        assert {world.octets(unique_id) for unique_id in unique_ids} == {b"shared by all"}
        assert len(list(world.store.blobs())) == 1

    def test_warnings_travel_with_success(
        self, database: Database, file_store: FileStore, tmp_path: Path
    ) -> None:
        world = build(
            database,
            file_store,
            tmp_path / "documents",
            configuration=Settings(validation=ValidationSettings(extra_metadata="drop")),
        )
        body = metadata.single_document(slots={"urn:example:extra": "x"})
        answer = world.provide(provide(body, inline("Document01", b"hello")))
        assert answer.status is ResponseStatus.SUCCESS
        assert [f.code for f in answer.findings] == ["XDSExtraMetadataNotSaved"]
        (error,) = response(answer).iter("{urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0}RegistryError")
        assert error.get("severity") == Severity.WARNING


class Crash(BaseException):
    """The process dies here."""


class CrashBefore:
    """Dies between the blobs' commit and the registration."""

    def __init__(self, local: LocalRegistrar) -> None:
        self._local = local

    def register(
        self,
        reading: Reading,
        documents: Sequence[StoredDocument],
        keep: Callable[[], None],
        record: Recorder | None = None,
        reach: Reach | None = None,
    ) -> tuple[Finding, ...]:
        keep()
        raise Crash


class CrashInside(CrashBefore):
    """Dies inside the transaction, after the registry's rows were written and before the commit."""

    def register(
        self,
        reading: Reading,
        documents: Sequence[StoredDocument],
        keep: Callable[[], None],
        record: Recorder | None = None,
        reach: Reach | None = None,
    ) -> tuple[Finding, ...]:
        def dies(*args: object, **options: object) -> None:
            raise Crash

        self._local._index.add = dies  # type: ignore[method-assign]
        return self._local.register(reading, documents, keep)


@pytest.mark.parametrize("crash", [CrashBefore, CrashInside])
def test_a_crash_leaves_an_orphan_and_no_row(
    database: Database, file_store: FileStore, tmp_path: Path, crash: type[CrashBefore]
) -> None:
    dying = build(database, file_store, tmp_path / "documents", crash)
    body = provide(metadata.single_document(), inline("Document01", b"hello"))
    with pytest.raises(Crash):
        dying.provide(body)
    assert dying.rows() == (0, 0)
    assert [blob.size for blob in file_store.blobs()] == [5]
    restarted = build(database, file_store, tmp_path / "documents")
    assert restarted.provide(body).status is ResponseStatus.SUCCESS
    assert restarted.rows() == (1, 2)
