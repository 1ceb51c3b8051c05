"""Objects' texts: the same wherever they come from, and no more of them kept than there is room for."""

from __future__ import annotations

import pytest
from lxml import etree
from sqlalchemy import select

from msim_xds.database.schema import patient, registry_object
from msim_xds.registry import merging, patients, shelf
from msim_xds.registry.compile import Dialect
from msim_xds.registry.shelf import Shelf
from tests.support.metadata import (
    APPROVED,
    OTHER_PATIENT,
    PATIENT,
    association,
    document_entry,
    folder,
    new_uuid,
    original,
    submission_set,
)
from tests.support.queries import find_documents, many, one, request
from tests.support.registry import Registry

NAMES = ("DocumentEntry", "SubmissionSet", "Folder")


def submit(registry: Registry, patient_id: str) -> str:
    """Register a document in a folder; its entryUUID."""
    entry, box, batch = new_uuid(), new_uuid(), new_uuid()
    member = new_uuid()
    registry.submit(
        submission_set(batch, patient_id=patient_id),
        document_entry(entry, patient_id=patient_id),
        folder(box, patient_id=patient_id),
        original(entry, batch),
        association(batch, box),
        association(box, entry, id=member),
        association(batch, member),
    )
    return entry


def everything(patient_id: str) -> bytes:
    """GetAll."""
    statuses = [(f"$XDS{name}Status", many(APPROVED)) for name in NAMES]
    return request("GetAll", [("$patientId", one(patient_id)), *statuses])


def named(entry: str) -> bytes:
    """GetDocuments."""
    return request("GetDocuments", [("$XDSDocumentEntryEntryUUID", many(entry))])


def said(registry: Registry, query: bytes) -> list[bytes]:
    """The objects of an answer."""
    return sorted(etree.tostring(thing, method="c14n") for thing in registry.ask(query).objects)


def test_answers_do_not_depend_on_the_shelf(database_url: str, registry: Registry) -> None:
    """Whole rows, rows completed, and texts kept say the same: of folders, merged patients, Associations."""
    first, second = submit(registry, PATIENT), submit(registry, OTHER_PATIENT)
    with registry.database.write() as connection:
        kept, gone = patients.lock(connection, OTHER_PATIENT), patients.lock(connection, PATIENT)
        assert kept is not None
        assert gone is not None
        merging.merge(connection, kept, gone, now="20260914120000")
    queries = [everything(OTHER_PATIENT), find_documents(patient=OTHER_PATIENT), named(first), named(second)]
    cold = []
    for query in queries:
        with Registry(database_url) as fresh:
            cold.append(said(fresh, query))
    assert [len(objects) for objects in cold] == [14, 2, 1, 1]
    with Registry(database_url, search={"cache_bytes": 0}) as bare:
        assert [said(bare, query) for query in queries] == cold
    for order in (slice(None), slice(None, None, -1)):
        assert [said(registry, query) for query in queries[order]] == cold[order]


def test_one_statement_brings_what_is_not_at_hand(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = sorted(submit(registry, PATIENT) for _ in range(3))
    monkeypatch.setattr(shelf, "fetch", None)  # what would complete rows
    for _ in range(2):
        assert registry.ask(find_documents(patient=PATIENT)).ids == entries
        assert registry.ask(named(entries[0])).ids == entries[:1]


def test_the_rest_of_a_patient_is_read_when_it_is_asked_for(registry: Registry) -> None:
    first = submit(registry, PATIENT)
    assert registry.ask(find_documents(patient=PATIENT)).ids == [first]
    second = submit(registry, PATIENT)
    assert registry.ask(find_documents(patient=PATIENT)).ids == sorted([first, second])


def test_the_oldest_make_room(registry: Registry) -> None:
    """Whose texts are kept is known, and is forgotten with the last of them."""
    cxs = [f"{number}^^^&1.2.3&ISO" for number in range(8)]
    for cx in cxs:
        submit(registry, cx)
    columns = registry_object.c
    row = (columns.id, columns.patient_id, columns.status, columns.last_update_time, columns.signature_id)
    with registry.database.read() as connection:
        keys = [connection.execute(select(patient.c.id).where(patient.c.cx == cx)).scalar_one() for cx in cxs]
        rows = [
            [tuple(found) for found in connection.execute(select(*row).where(columns.patient_id == key))]
            for key in keys
        ]
        size = len(b"".join(_shelf(registry, 0).texts(connection, registry_object, rows[0])))
        kept = _shelf(registry, 5 * size)
        assert not kept.has_any([])
        for each in rows:
            kept.texts(connection, registry_object, each)
        assert kept.has_any([])
        assert kept.has_any(keys)
        assert kept.has_any(keys[-1:])
        assert not kept.has_any(keys[:1])
        kept.texts(connection, registry_object, rows[0])
        assert kept.has_any(keys[:1])


def _shelf(registry: Registry, capacity: int) -> Shelf:
    return Shelf(registry.codec, Dialect(registry.database.is_sqlite, folded=False), None, capacity)
