"""Documents out of an ITI-41 message, and held against its DocumentEntries."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from msim_xds.ihe.transactions import ITI_41
from msim_xds.metadata import ebrim
from msim_xds.repository.files import FileStore
from msim_xds.repository.intake import Intake, mismatches, take_in
from msim_xds.settings import LimitSettings
from msim_xds.wire import safexml
from msim_xds.wire.exchange import Addressing, Request, StagedPart
from tests.support import metadata
from tests.support.metadata import ON_DEMAND
from tests.support.parts import part_of
from tests.test_repository.messages import include, inline, provide
from tests.test_repository.stores import staged

LIMITS = LimitSettings()
ONE = metadata.single_document()
HELLO = part_of(b"hello")


def taken(store: FileStore, body: bytes, parts: Mapping[str, StagedPart] | None = None) -> Intake:
    intake = Intake()
    request = Request(ITI_41, safexml.parse(body), Addressing(ITI_41.action), parts or {})
    take_in(request, intake, store, LIMITS)
    return intake


def paired(submission: bytes, documents: Mapping[str, StagedPart | None]) -> list[tuple[str, str, str]]:
    """Code, place and attribute of each finding."""
    reading = ebrim.read(safexml.parse(submission), LIMITS)
    assert reading.findings == ()
    return [(f.code, f.place, f.attribute) for f in mismatches(reading.submission, documents)]


class TestTakeIn:
    @pytest.mark.parametrize("content", [b"", b"h", b"hello", bytes(range(256)) * 9])
    def test_inline(self, file_store: FileStore, content: bytes) -> None:
        lines = "\n ".join([base64.encodebytes(content).decode(), ""])
        intake = taken(file_store, provide(ONE, f'<xds:Document id=" D1 ">{lines}</xds:Document>'))
        found = intake.documents["D1"]
        assert found is not None
        assert (found.sha1, found.size) == (hashlib.sha1(content).hexdigest(), len(content))
        assert intake.staged == [found]

    def test_by_reference(self, file_store: FileStore) -> None:
        one, two = staged(file_store, b"1"), staged(file_store, b"2")
        body = provide(ONE, include("D1", "a%40b"), include("D2", "c"), include("D3", "c"))
        intake = taken(file_store, body, {"a@b": one, "c": two})
        assert intake.documents == {"D1": one, "D2": two, "D3": two}
        assert intake.staged == []

    def test_unknown_cid(self, file_store: FileStore) -> None:
        intake = taken(file_store, provide(ONE, include("D1", "gone")), {"other": HELLO})
        assert intake.documents == {"D1": None}
        (finding,) = intake.findings
        assert (finding.code, finding.place, finding.seen) == (
            "XDSMissingDocument",
            "Document D1",
            "cid:gone",
        )

    @pytest.mark.parametrize(
        "document",
        [
            '<xds:Document id="D1">no base64!</xds:Document>',
            '<xds:Document id="D1">żółw</xds:Document>',
            '<xds:Document id="D1">aGVsbG8</xds:Document>',
            '<xds:Document id="D1">aGVsbG8=aGVsbG8=</xds:Document>',
            '<xds:Document id="D1"><other/></xds:Document>',
            include("D1", "c").replace("</xds:Document>", "aGVsbG8=</xds:Document>"),
        ],
    )
    def test_unusable_content(self, file_store: FileStore, document: str) -> None:
        intake = taken(file_store, provide(ONE, document), {"c": HELLO})
        assert [(f.code, f.place) for f in intake.findings] == [("XDSRepositoryMetadataError", "Document D1")]
        assert intake.documents == {"D1": None}
        assert list(file_store.stale(datetime.now(UTC) + timedelta(hours=1))) == []

    def test_ids(self, file_store: FileStore) -> None:
        body = provide(ONE, inline("D1", b"1"), inline("D1", b"2"), "<xds:Document>MQ==</xds:Document>")
        intake = taken(file_store, body)
        assert [(f.code, f.place, f.problem) for f in intake.findings] == [
            ("XDSRepositoryMetadataError", "Document D1", "occurs more than once"),
            ("XDSRepositoryMetadataError", "Document", "is missing"),
        ]
        assert len(intake.staged) == 1

    @pytest.mark.parametrize("times", [0, 2])
    def test_one_submission(self, file_store: FileStore, times: int) -> None:
        intake = taken(file_store, provide(metadata.single_document() * times))
        assert intake.submit_objects is None
        assert [(f.code, f.seen) for f in intake.findings] == [("XDSRepositoryMetadataError", str(times))]


class TestPairs:
    def test_pair(self) -> None:
        assert paired(metadata.single_document(), {"Document01": HELLO}) == []

    def test_no_documents_at_all(self) -> None:
        assert paired(metadata.submit_objects(metadata.submission_set(), metadata.folder()), {}) == []

    def test_entry_without_document(self) -> None:
        assert paired(metadata.single_document(), {}) == [
            ("XDSMissingDocument", "DocumentEntry Document01", "")
        ]

    def test_document_without_entry(self) -> None:
        assert paired(metadata.single_document(), {"Document01": HELLO, "D2": HELLO}) == [
            ("XDSMissingDocumentMetadata", "Document D2", "")
        ]

    def test_document_for_something_else_than_an_entry(self) -> None:
        documents = {"Document01": HELLO, "SubmissionSet01": HELLO}
        assert paired(metadata.single_document(), documents) == [
            ("XDSMissingDocumentMetadata", "Document SubmissionSet01", "")
        ]

    def test_on_demand_entry(self) -> None:
        entry = metadata.single_document(object_type=ON_DEMAND, content=None)
        assert paired(entry, {}) == []
        assert paired(entry, {"Document01": HELLO}) == [
            ("XDSRepositoryMetadataError", "Document Document01", "")
        ]

    def test_unusable_document_is_reported_once(self) -> None:
        assert paired(metadata.single_document(), {"Document01": None}) == []

    @pytest.mark.parametrize(
        ("slots", "wrong"),
        [
            ({"hash": hashlib.sha1(b"hello").hexdigest().upper()}, []),
            ({"size": "005"}, []),
            ({"hash": None, "size": None}, []),
            ({"hash": "0" * 40}, ["hash"]),
            ({"size": "6"}, ["size"]),
            ({"size": "five"}, ["size"]),
            ({"size": "-5", "hash": "x"}, ["hash", "size"]),
        ],
    )
    def test_hash_and_size(self, slots: dict[str, str | None], wrong: list[str]) -> None:
        found = paired(metadata.single_document(slots=slots), {"Document01": HELLO})
        place = "DocumentEntry Document01"
        assert found == [("XDSRepositoryMetadataError", place, attribute) for attribute in wrong]

    def test_empty_document(self) -> None:
        assert paired(metadata.single_document(content=b""), {"Document01": part_of(b"")}) == []

    def test_what_the_index_needs(self) -> None:
        bare = metadata.single_document(unique_id=None, mime_type=None)
        assert [attribute for _, _, attribute in paired(bare, {"Document01": HELLO})] == [
            "uniqueId",
            "mimeType",
        ]

    def test_unique_id_twice(self) -> None:
        body = metadata.submit_objects(
            metadata.submission_set(unique_id="1.2.3"),
            metadata.document_entry("A", unique_id="1.2.4"),
            metadata.document_entry("B", unique_id="1.2.4"),
            metadata.folder(unique_id="1.2.3"),
        )
        reading = ebrim.read(safexml.parse(body), LIMITS)
        found = list(mismatches(reading.submission, {"A": HELLO, "B": HELLO}))
        assert [(f.code, f.context, f.place) for f in found] == [
            (
                "XDSRepositoryDuplicateUniqueIdInMessage",
                "1.2.3",
                "SubmissionSet SubmissionSet01, Folder Folder01",
            ),
            ("XDSRepositoryDuplicateUniqueIdInMessage", "1.2.4", "DocumentEntry A, DocumentEntry B"),
        ]
