"""importer.desk: batches in their transactions, what interrupts them, and where they are stored."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from msim_xds.app import open_node, open_services
from msim_xds.importer.desk import Desk, Order, Overtaken
from msim_xds.importer.plan import make_plan
from msim_xds.importer.progress import Progress
from msim_xds.importer.running import Summary, begin
from msim_xds.repository.index import StoredDocument
from msim_xds.settings import RegistrySettings, Settings
from tests.support.metadata import REPOSITORY
from tests.test_importer.archives import (
    answer,
    codes,
    counts,
    entries,
    imported,
    is_sound,
    remarks,
    settings_of,
    version,
    versions,
    write_manifest,
)
from tests.test_repository.messages import retrieve, wanted


def desk_of(settings: Settings, source: Path) -> Desk:
    services = open_services(settings)
    order = Order(source, settings.data / "report.jsonl")
    begin(services, order, make_plan(source), again=False)
    return Desk(services, order)


def test_a_batch_that_was_registered_meanwhile_is_passed_over(settings: Settings, source: Path) -> None:
    versions(source, 3)
    path = write_manifest(source, [version(each) for each in range(3)])
    desk = desk_of(settings, path)
    tasks = list(make_plan(path).tasks(0))
    prepared = desk.prepare(tasks)
    desk.register(desk.prepare(tasks[:2]))
    progress = desk.register(prepared)
    assert (progress.position, progress.imported, progress.present) == (3, 3, 0)
    assert len(entries(settings)) == 3


def test_a_batch_out_of_order_is_not_registered(settings: Settings, source: Path) -> None:
    versions(source, 2)
    path = write_manifest(source, [version(each) for each in range(2)])
    desk = desk_of(settings, path)
    with pytest.raises(Overtaken):
        desk.register(desk.prepare(list(make_plan(path).tasks(1))))
    with pytest.raises(ValueError, match="empty"):
        desk.register([])
    assert entries(settings) == {}


def test_a_transaction_that_fails_keeps_nothing_and_is_tried_again(
    settings: Settings, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions(source, 3)
    path = write_manifest(
        source, [*(version(each) for each in range(2)), {"metadata": "none.xml"}, version(2)]
    )
    desk = desk_of(settings, path)
    failing = [TimeoutError("busy"), TimeoutError("busy")]
    save = desk._journal.save

    def save_later(*arguments: Any) -> None:
        if failing:
            raise failing.pop()
        save(*arguments)

    monkeypatch.setattr(desk._journal, "save", save_later)
    monkeypatch.setattr("msim_xds.importer.desk._FIRST_PAUSE_S", 0.0)
    progress = desk.register(desk.prepare(list(make_plan(path).tasks(0))))
    assert (progress.imported, progress.refused) == (3, 1)
    assert len(entries(settings)) == 3
    assert len(Path(progress.report).read_text().splitlines()) == 1

    monkeypatch.setattr(desk._journal, "lock", lambda connection: (_ for _ in ()).throw(TimeoutError("busy")))
    with pytest.raises(TimeoutError, match="busy"):
        desk.register(desk.prepare(list(make_plan(path).tasks(0))))


def test_many_objects_are_several_transactions(
    settings: Settings, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions(source, 5)
    path = write_manifest(source, [version(each) for each in range(5)])
    desk = desk_of(settings, path)
    positions = []
    save = desk._journal.save

    def noted(connection: Any, progress: Progress) -> None:
        positions.append(progress.position)
        save(connection, progress)

    monkeypatch.setattr(desk._journal, "save", noted)
    monkeypatch.setattr("msim_xds.importer.desk._MOST_OBJECTS", 6)  # a set, an entry and their association: 3
    desk.register(desk.prepare(list(make_plan(path).tasks(0))))
    assert positions == [2, 4, 5]


def test_a_batch_with_very_many_objects_is_prepared_in_pieces(
    settings: Settings, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions(source, 5)
    path = write_manifest(source, [version(each) for each in range(5)])
    desk = desk_of(settings, path)
    monkeypatch.setattr("msim_xds.importer.desk._MOST_PREPARED", 4)
    tasks = list(make_plan(path).tasks(0))
    prepared = desk.prepare(tasks)
    assert len(prepared) == 2
    assert desk.complete(tasks, prepared).imported == 5
    assert len(entries(settings)) == 5


def test_a_store_without_room_leaves_nothing(
    settings: Settings, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions(source, 2)
    path = write_manifest(source, [version(0), version(1)])
    desk = desk_of(settings, path)
    monkeypatch.setattr(
        type(desk._services.store), "commit", lambda *_: (_ for _ in ()).throw(OSError("full"))
    )
    with pytest.raises(OSError, match="full"):
        desk.prepare(list(make_plan(path).tasks(0)))
    monkeypatch.undo()
    assert is_sound(settings).counts == {}


def test_a_spool_without_room_leaves_nothing(
    settings: Settings, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions(source, 2)
    desk = desk_of(settings, path := write_manifest(source, [version(0), version(1)]))
    stage = desk._services.store.stage
    sinks: list[Any] = []

    def full_at_the_second() -> Any:
        sinks.append(stage())
        if len(sinks) == 2:
            monkeypatch.setattr(type(sinks[1]), "write", lambda *_: (_ for _ in ()).throw(OSError("full")))
        return sinks[-1]

    monkeypatch.setattr(type(desk._services.store), "stage", lambda _: full_at_the_second())
    with pytest.raises(OSError, match="full"):
        desk.prepare(list(make_plan(path).tasks(0)))
    monkeypatch.undo()
    assert is_sound(settings).counts == {}


def test_an_orphan_that_is_just_removed_refuses_its_submission_only(settings: Settings, source: Path) -> None:
    names = versions(source, 3)
    path = write_manifest(source, [version(each) for each in range(3)])
    desk = desk_of(settings, path)
    prepared = desk.prepare(list(make_plan(path).tasks(0)))
    desk._services.store.delete(hashlib.sha256(b"<v>1</v>").hexdigest())
    progress = desk.register(prepared)
    assert (progress.imported, progress.refused) == (2, 1)
    assert codes(Summary(progress, 3, 0, 0)) == {"manifest.jsonl:2": ["XDSRepositoryBusy"]}
    assert entries(settings) == {names[0]: "Approved", names[2]: "Approved"}
    assert is_sound(settings).documents == 2


def test_a_document_that_the_index_has_with_other_octets_refuses_its_submission_only(
    settings: Settings, source: Path
) -> None:
    names = versions(source, 3)
    path = write_manifest(source, [version(each) for each in range(3)])
    desk = desk_of(settings, path)
    prepared = desk.prepare(list(make_plan(path).tasks(0)))
    (part,) = prepared[2].composed.parts.values()
    other = StoredDocument(names[1], part.sha256, part.sha1, part.xxh3, part.size, "text/xml")
    with desk._services.database.write() as connection:  # as left behind by a registry elsewhere
        desk._services.index.add(connection, [other], registered=False)
    progress = desk.register(prepared)
    assert (progress.imported, progress.refused) == (2, 1)
    assert codes(Summary(progress, 3, 0, 0)) == {"manifest.jsonl:2": ["XDSNonIdenticalHash"]}
    assert entries(settings) == {names[0]: "Approved", names[2]: "Approved"}


def test_documents_in_an_object_store(s3_settings: Settings, source: Path) -> None:
    names = versions(source, 20)
    path = write_manifest(source, [version(each) for each in range(20)])
    summary = imported(s3_settings, path)
    assert counts(summary) == (20, 0, 0), remarks(summary)
    report = is_sound(s3_settings)
    assert (report.documents, report.counts) == (20, {})
    node = open_node(s3_settings)
    found = answer(node, retrieve(*(wanted(REPOSITORY, name) for name in names)), retrieve=True).documents
    assert [b"".join(each.chunks) for each in found] == [b"<v>%d</v>" % each for each in range(20)]
    node.close()


def test_a_registry_elsewhere_cannot_be_imported_into(tmp_path: Path, source: Path) -> None:
    settings = settings_of(tmp_path / "data", registry=RegistrySettings(url="http://127.0.0.1:1/"))
    with pytest.raises(ValueError, match=r"registry\.url"):
        imported(settings, source)
