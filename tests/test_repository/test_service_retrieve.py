"""repository.service, ITI-43: what is delivered, what is not, and damage that is noticed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msim_xds.database.engine import Database
from msim_xds.findings import Refused
from msim_xds.ihe.names import ResponseStatus
from msim_xds.repository import service as service_module
from msim_xds.repository.blobs import CHUNK
from msim_xds.repository.files import FileStore
from msim_xds.settings import LimitSettings, Settings
from tests.test_repository.messages import wanted
from tests.test_repository.service_world import OURS, World, build, delivered, response
from tests.test_repository.stores import blob_path, until_damage

PARTIAL = ResponseStatus.PARTIAL_SUCCESS


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
