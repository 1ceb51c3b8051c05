"""ITI-41 and ITI-43 through the service, with the registry in process on both databases."""

from __future__ import annotations

import hashlib
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml.etree import _Element
from sqlalchemy import func, select

from msim_xds.database.engine import Database
from msim_xds.database.schema import registry_object, stored_document
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import ResponseStatus, Severity
from msim_xds.ihe.transactions import ITI_41, ITI_43
from msim_xds.metadata.ebrim import Reading
from msim_xds.metadata.rules import Rules
from msim_xds.registry.fragment_codec import FragmentCodec
from msim_xds.registry.reach import Reach
from msim_xds.registry.registration import Registration
from msim_xds.repository import service as service_module
from msim_xds.repository.blobs import CHUNK
from msim_xds.repository.files import FileStore
from msim_xds.repository.index import DocumentIndex, StoredDocument
from msim_xds.repository.registrar import LocalRegistrar, Registrar
from msim_xds.repository.service import RepositoryService
from msim_xds.settings import LimitSettings, Settings, ValidationSettings
from msim_xds.wire import safexml
from msim_xds.wire.exchange import Addressing, Answer, Recorder, Request, StagedPart
from tests.support import metadata
from tests.test_repository.conftest import NOW
from tests.test_repository.messages import XDS, include, inline, provide, retrieve, wanted
from tests.test_repository.stores import blob_path, staged, until_damage

OURS = metadata.REPOSITORY
PARTIAL = ResponseStatus.PARTIAL_SUCCESS


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


@pytest.fixture
def world(database: Database, file_store: FileStore, tmp_path: Path) -> World:
    return build(database, file_store, tmp_path / "documents")


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


class TestRetrieve:
    def test_several_in_the_order_asked_for(self, world: World) -> None:
        one, two = world.submit(b"one"), world.submit(b"two", mime_type="application/pdf")
        answer = world.retrieve(
            wanted(OURS, two, "urn:oid:1.2.3"), wanted(OURS, one), wanted(f" {OURS}\n", f"\n{two} ")
        )
        assert answer.status is ResponseStatus.SUCCESS
        assert response(answer)[0].get("status") == ResponseStatus.SUCCESS
        cids = [document.cid for document in answer.documents]
        assert len(set(cids)) == 3
        common = {"RepositoryUniqueId": OURS}
        pdf = {**common, "DocumentUniqueId": two, "mimeType": "application/pdf"}
        xml = {**common, "DocumentUniqueId": one, "mimeType": "text/xml"}
        assert delivered(answer) == [
            {"HomeCommunityId": "urn:oid:1.2.3", **pdf, "Document": cids[0]},
            {**xml, "Document": cids[1]},
            {**pdf, "Document": cids[2]},
        ]
        assert [d.mime_type for d in answer.documents] == ["application/pdf", "text/xml", "application/pdf"]
        assert [b"".join(d.chunks) for d in answer.documents] == [b"two", b"one", b"two"]
        assert [d.size for d in answer.documents] == [3, 3, 3]

    @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(content=st.binary(max_size=2000))
    def test_exact_octets(self, world: World, content: bytes) -> None:
        assert world.octets(world.submit(content)) == content

    @pytest.mark.parametrize("size", [0, CHUNK, CHUNK + 1, 5 * CHUNK + 3])
    def test_sizes(self, world: World, size: int) -> None:
        content = os.urandom(size)
        assert world.octets(world.submit(content)) == content

    def test_partial_success(self, world: World) -> None:
        known = world.submit(b"known")
        answer = world.retrieve(wanted("9.9", known), wanted(OURS, "1.2.3.4"), wanted(OURS, known))
        assert answer.status is PARTIAL
        assert [(f.code, f.location) for f in answer.findings] == [
            ("XDSUnknownRepositoryId", known),
            ("XDSDocumentUniqueIdError", "1.2.3.4"),
        ]
        assert [each["DocumentUniqueId"] for each in delivered(answer)] == [known]

    @pytest.mark.parametrize(
        ("repository", "code"), [(OURS, "XDSDocumentUniqueIdError"), ("9.9", "XDSUnknownRepositoryId")]
    )
    def test_failure(self, world: World, repository: str, code: str) -> None:
        answer = world.retrieve(wanted(repository, "1.2.3.4"))
        assert answer.status is ResponseStatus.FAILURE
        assert [f.code for f in answer.findings] == [code]
        assert (delivered(answer), list(answer.documents)) == ([], [])

    @pytest.mark.parametrize("size", [50, 2 * CHUNK])
    @pytest.mark.parametrize("damage", ["absent", "cut"])
    def test_unusable_blob_is_noticed_before_answering(self, world: World, size: int, damage: str) -> None:
        content = os.urandom(size)
        bad, good = world.submit(content), world.submit(b"good")
        path = blob_path(world.root, hashlib.sha256(content).hexdigest())
        if damage == "absent":
            path.unlink()
        else:
            path.write_bytes(content[:-1])
        with structlog.testing.capture_logs() as logs:
            answer = world.retrieve(wanted(OURS, bad), wanted(OURS, good))
        assert answer.status is PARTIAL
        assert [(f.code, f.location) for f in answer.findings] == [("XDSRepositoryError", bad)]
        assert [each["DocumentUniqueId"] for each in delivered(answer)] == [good]
        assert [(log["log_level"], log["blob"]) for log in logs] == [("error", path.name)]

    def test_changed_small_blob_is_noticed_before_answering(self, world: World) -> None:
        unique_id = world.submit(b"right")
        blob_path(world.root, hashlib.sha256(b"right").hexdigest()).write_bytes(b"wrong")
        with structlog.testing.capture_logs():
            answer = world.retrieve(wanted(OURS, unique_id))
        assert answer.status is ResponseStatus.FAILURE

    def test_changed_large_blob_never_arrives_whole(self, world: World) -> None:
        content = bytes(3 * CHUNK)
        unique_id = world.submit(content)
        blob_path(world.root, hashlib.sha256(content).hexdigest()).write_bytes(content[:-1] + b"x")
        (document,) = world.retrieve(wanted(OURS, unique_id)).documents
        assert len(until_damage(document.chunks)) == 2 * CHUNK

    def test_memory_is_bounded(self, world: World) -> None:
        """What exceeds the read-ahead is read only when it is sent."""
        content = os.urandom(CHUNK)
        unique_id = world.submit(content)
        few = service_module._READ_AHEAD // CHUNK
        answer = world.retrieve(*[wanted(OURS, unique_id)] * (few + 2))
        streamed = [isinstance(document.chunks, Iterator) for document in answer.documents]
        assert streamed == [False] * few + [True] * 2
        assert {b"".join(document.chunks) for document in answer.documents} == {content}

    def test_too_many(self, database: Database, file_store: FileStore, tmp_path: Path) -> None:
        configuration = Settings(limits=LimitSettings(retrieve_documents=2))
        world = build(database, file_store, tmp_path / "documents", configuration=configuration)
        world.retrieve(*[wanted(OURS, "1.2")] * 2)
        with pytest.raises(Refused) as refused:
            world.retrieve(*[wanted(OURS, "1.2")] * 3)
        (finding,) = refused.value.findings
        assert (finding.code, finding.seen) == ("XDSTooManyResults", "3")
        assert "at most 2" in finding.text()

    @pytest.mark.parametrize(
        ("requests", "wrong"),
        [
            ([], [("", "DocumentRequest")]),
            ([wanted(OURS, None)], [("DocumentRequest 1", "DocumentUniqueId")]),
            ([wanted(OURS, "1.2"), wanted(None, " ")], [
                ("DocumentRequest 2", "RepositoryUniqueId"),
                ("DocumentRequest 2", "DocumentUniqueId"),
            ]),
            ([wanted(OURS, "1" * 5000)], [("DocumentRequest 1", "DocumentUniqueId")]),
            ([wanted(OURS, "1.2", "1" * 5000)], [("DocumentRequest 1", "HomeCommunityId")]),
        ],
    )  # fmt: skip
    def test_malformed(self, world: World, requests: list[str], wrong: list[tuple[str, str]]) -> None:
        with pytest.raises(Refused) as refused:
            world.retrieve(*requests)
        assert [(f.place, f.attribute) for f in refused.value.findings] == wrong
        assert {f.code for f in refused.value.findings} == {"XDSRepositoryError"}

    @pytest.mark.parametrize("hostile", ["' OR 1=1 --", "../../etc/passwd", "%", "\N{SNOWMAN}", "a;b|c"])
    def test_hostile_unique_id(self, world: World, hostile: str) -> None:
        world.submit(b"x")
        answer = world.retrieve(wanted(OURS, hostile))
        assert [(f.code, f.location) for f in answer.findings] == [("XDSDocumentUniqueIdError", hostile)]
