"""The index on both databases: harmless repetition, conflicts, paging, and the guard against lost blobs."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import insert, select

from msim_xds.database.engine import Database
from msim_xds.database.schema import patient, registry_object, stored_document
from msim_xds.findings import Refused
from msim_xds.ihe.names import ObjectKind
from msim_xds.repository import index as index_module
from msim_xds.repository.files import FileStore
from msim_xds.repository.index import DocumentIndex, StoredDocument
from tests.test_repository.stores import document

OURS = "1.2.3.4"


def add(
    database: Database, index: DocumentIndex, *documents: StoredDocument, registered: bool = True
) -> None:
    with database.write() as connection:
        index.add(connection, documents, registered=registered)


def find(database: Database, index: DocumentIndex, *unique_ids: str) -> dict[str, StoredDocument]:
    with database.read() as connection:
        return index.find(connection, unique_ids)


def test_found_again(database: Database, index: DocumentIndex, file_store: FileStore) -> None:
    one, two = document(file_store, b"one"), document(file_store, b"two")
    add(database, index, one, two)
    expected = {each.unique_id: replace(each, registered=True) for each in (one, two)}
    assert find(database, index, one.unique_id, two.unique_id, "9.9") == expected
    assert find(database, index, one.unique_id) == {one.unique_id: replace(one, registered=True)}
    assert find(database, index, "9.9") == {}
    with database.read() as connection:
        assert index.count(connection) == 2
        assert set(connection.execute(select(stored_document.c.stored_at)).scalars()) == {
            "2026-09-14T12:00:00+00:00"
        }


def test_same_content_again_is_harmless(
    database: Database, index: DocumentIndex, file_store: FileStore
) -> None:
    first = document(file_store, b"same")
    add(database, index, first)
    add(database, index, replace(first, mime_type="text/plain"), registered=False)
    assert find(database, index, first.unique_id)[first.unique_id] == replace(first, registered=True)


def test_marked_registered_later(database: Database, index: DocumentIndex, file_store: FileStore) -> None:
    one = document(file_store, b"one")
    add(database, index, one, registered=False)
    assert not find(database, index, one.unique_id)[one.unique_id].registered
    add(database, index, one, registered=True)
    assert find(database, index, one.unique_id)[one.unique_id].registered


def test_other_content_is_refused_whole(
    database: Database, index: DocumentIndex, file_store: FileStore
) -> None:
    known = document(file_store, b"known")
    add(database, index, known)
    other = document(file_store, b"other!", known.unique_id)
    same_size = document(file_store, b"owned", known.unique_id)
    innocent = document(file_store, b"innocent")
    with pytest.raises(Refused) as refused:
        add(database, index, other, innocent)
    assert [(f.code, f.context) for f in refused.value.findings] == [
        ("XDSNonIdenticalHash", known.unique_id),
        ("XDSNonIdenticalSize", known.unique_id),
    ]
    assert other.sha1 in refused.value.findings[0].text()
    assert known.sha1 in refused.value.findings[0].text()
    with pytest.raises(Refused) as refused:
        add(database, index, same_size)
    assert [f.code for f in refused.value.findings] == ["XDSNonIdenticalHash"]
    assert find(database, index, innocent.unique_id) == {}
    assert find(database, index, known.unique_id)[known.unique_id].sha256 == known.sha256


def test_equal_sha1_of_other_content_is_refused(
    database: Database, index: DocumentIndex, file_store: FileStore
) -> None:
    known = document(file_store, b"known")
    add(database, index, known)
    forged = replace(document(file_store, b"forge", known.unique_id), sha1=known.sha1)
    with pytest.raises(Refused) as refused:
        add(database, index, forged)
    assert [f.code for f in refused.value.findings] == ["XDSNonIdenticalHash"]


def test_only_unregistered_rows_are_taken_back(
    database: Database, index: DocumentIndex, file_store: FileStore
) -> None:
    mine, accepted = document(file_store, b"mine"), document(file_store, b"accepted")
    add(database, index, mine, registered=False)
    add(database, index, accepted)
    with database.write() as connection:
        index.remove(connection, [replace(mine, sha256="0" * 64), accepted])
    assert len(find(database, index, mine.unique_id, accepted.unique_id)) == 2
    with database.write() as connection:
        index.remove(connection, [mine, accepted])
    assert list(find(database, index, mine.unique_id, accepted.unique_id)) == [accepted.unique_id]


def test_same_document_from_many_threads(
    database: Database, index: DocumentIndex, file_store: FileStore
) -> None:
    both = [document(file_store, b"a"), document(file_store, b"b")]
    start = threading.Barrier(6)

    def submit(number: int) -> None:
        start.wait()
        add(database, index, *(both if number % 2 else reversed(both)))

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(submit, range(6)))
    assert len(find(database, index, *(each.unique_id for each in both))) == 2


def test_blob_removed_since_its_commit_is_refused(
    database: Database, index: DocumentIndex, file_store: FileStore
) -> None:
    one = document(file_store, b"one")
    file_store.delete(one.sha256)
    with pytest.raises(Refused) as refused:
        add(database, index, one)
    assert [f.code for f in refused.value.findings] == ["XDSRepositoryBusy"]
    assert find(database, index, one.unique_id) == {}


def test_added_together(database: Database, index: DocumentIndex, file_store: FileStore) -> None:
    one, two = document(file_store, b"one"), document(file_store, b"two")
    add(database, index, one, registered=False)
    with database.write() as connection:
        assert index.add_together(connection, [])
        assert index.add_together(connection, [two, one, two])
    found = find(database, index, one.unique_id, two.unique_id)
    assert found == {each.unique_id: replace(each, registered=True) for each in (one, two)}


@pytest.mark.parametrize("gone", [False, True], ids=["other content", "blob removed"])
def test_one_that_cannot_be_kept_is_noticed_among_many(
    database: Database, index: DocumentIndex, file_store: FileStore, gone: bool
) -> None:
    one, two, three = (document(file_store, text) for text in (b"one", b"two", b"three"))
    if gone:
        file_store.delete(two.sha256)
    else:
        add(database, index, replace(one, unique_id=two.unique_id))
    with database.write() as connection:
        assert not index.add_together(connection, [one, two, three])


def test_deletion_and_submission_exclude_each_other(
    database: Database, index: DocumentIndex, file_store: FileStore
) -> None:
    """Whichever comes first, no committed row lacks its blob."""
    one = document(file_store, b"one")
    waiting = threading.Event()

    def submit() -> str:
        waiting.set()
        try:
            add(database, index, one)
        except Refused as refused:
            return refused.findings[0].code
        return "kept"

    with ThreadPoolExecutor(1) as threads:
        with index.deletion(database) as connection:
            assert index.referred(connection, [one.sha256]) == set()
            outcome = threads.submit(submit)
            assert waiting.wait(5)
            with pytest.raises(TimeoutError):
                outcome.result(timeout=0.2)
            file_store.delete(one.sha256)
        assert outcome.result(timeout=10) == "XDSRepositoryBusy"
    again = document(file_store, b"one", one.unique_id)
    add(database, index, again)
    with index.deletion(database) as connection:
        assert index.referred(connection, [one.sha256, "0" * 64]) == {one.sha256}


def test_rows_page_by_page_in_order_of_their_blobs(
    database: Database, index: DocumentIndex, file_store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "_PAGE_ROWS", 2)
    rows = [document(file_store, content) for content in (b"1", b"2", b"1", b"3", b"1", b"2")]
    add(database, index, *rows)
    with database.read() as connection:
        found = list(index.documents(connection))
    assert [(row.sha256, row.unique_id) for row in found] == sorted((r.sha256, r.unique_id) for r in rows)


def register(database: Database, number: int, document: StoredDocument, **changes: object) -> None:
    """A DocumentEntry in the registry's table."""
    row: dict[str, object] = {
        "id": number,
        "patient_id": 1,
        "kind": ObjectKind.STABLE_DOCUMENT_ENTRY,
        "status": 1,
        "entry_uuid": f"urn:uuid:{number}",
        "logical_id": f"urn:uuid:{number}",
        "version": 1,
        "unique_id": document.unique_id,
        "repository_unique_id": OURS,
        "hash": document.sha1.upper(),
        "size": document.size,
        "dictionary_id": 0,
        "fragment": b"",
        **changes,
    }
    with database.write() as connection:
        if not connection.execute(select(patient.c.id)).first():
            connection.execute(insert(patient), {"id": 1, "cx": "1^^^&1.2&ISO", "announced": False})
        connection.execute(insert(registry_object), row)


def test_mismatches(
    database: Database, index: DocumentIndex, file_store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "_PAGE_OBJECTS", 3)
    good, lost = document(file_store, b"good"), document(file_store, b"lost")
    add(database, index, good)
    register(database, 11, good)
    register(database, 12, good, hash="0" * 40)
    register(database, 13, good, size=5)
    register(database, 14, lost)
    register(database, 15, lost, repository_unique_id="9.9")
    register(database, 16, lost, kind=ObjectKind.ON_DEMAND_DOCUMENT_ENTRY)
    with database.read() as connection:
        found = [(each.entry_uuid, each.problem) for each in index.mismatches(connection, OURS)]
    other = "has another hash or size than its document"
    assert found == [
        ("urn:uuid:12", other),
        ("urn:uuid:13", other),
        ("urn:uuid:14", "has no document"),
    ]
