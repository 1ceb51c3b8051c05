"""What updates ask the registry, on both databases."""

from __future__ import annotations

from typing import Any

from msim_xds.database.engine import Database
from msim_xds.ihe.names import AssociationType, ObjectKind
from msim_xds.registry import versions
from msim_xds.registry.columns import APPROVED, ASSOCIATION_TYPE
from msim_xds.settings import DatabaseSettings
from tests.support.metadata import APND, new_uuid
from tests.support.updates import status_change, update
from tests.test_registry.updating import Updating

_APND, _MEMBER = ASSOCIATION_TYPE[AssociationType.APND], ASSOCIATION_TYPE[AssociationType.HAS_MEMBER]


def test_latest_versions(updating: Updating) -> None:
    plain, updated, folder = updating.added(), updating.added(), updating.folder_with()
    second = updating.updated(updated, title="Druga")
    newest = updating.updated_folder(folder)
    with updating.database.read() as connection:
        found = versions.latest(connection, [plain, updated, folder, second, new_uuid()])
        assert versions.latest(connection, []) == {}
    assert {lid: (each.entry_uuid, each.version) for lid, each in found.items()} == {
        plain: (plain, 1),
        updated: (second, 2),
        folder: (newest, 2),
    }
    assert found[folder].kind is ObjectKind.FOLDER
    row = updating.object(second)
    assert (found[updated].id, found[updated].status) == (row.id, APPROVED)
    assert b"Druga".decode() in updating.codec.unpack(*found[updated][-2:]).decode()


def test_latest_versions_are_found_by_indexes(sqlite_url: str) -> None:
    """The statement names the partial index's condition, or it would read the table."""
    database = Database(sqlite_url, DatabaseSettings())
    database.migrate()
    statements: list[str] = []
    with database.read() as connection:
        driver: Any = connection.connection.dbapi_connection
        driver.set_trace_callback(statements.append)
        versions.latest(connection, [new_uuid()])
        driver.set_trace_callback(None)
        plan = str(driver.execute(f"EXPLAIN QUERY PLAN {statements[-1]}").fetchall())
    database.close()
    assert "uq_registry_object_version" in plan
    assert "SCAN registry_object" not in plan


def test_connections(updating: Updating) -> None:
    target = updating.added()
    entry = updating.related(target, APND)
    folder = updating.folder_with(entry)
    removed = updating.folder_with(entry)
    updating.update(update(status_change(updating.association_uuid(removed, entry))))
    ids = [updating.object(each).id for each in (entry, target)]
    with updating.database.read() as connection:
        found = versions.connections(connection, ids)
    assert [(each.source.entry_uuid, each.target.entry_uuid) for each in found] == [
        (entry, target),
        (folder, entry),
    ]
    assert [each.source.kind for each in found] == [ObjectKind.STABLE_DOCUMENT_ENTRY, ObjectKind.FOLDER]
    updating.updated(target)
    with updating.database.read() as connection:
        found = versions.connections(connection, ids)
        ends = {end.id for each in found for end in (each.source, each.target)}
        assert versions.outdated(connection, ends) == {updating.object(target).id}
    assert len(found) == 3


def test_links_and_pairs(updating: Updating) -> None:
    target = updating.added()
    entry = updating.related(target, APND)
    folder = updating.folder_with(entry)
    keys = {uuid: updating.object(uuid).id for uuid in (target, entry, folder)}
    relation, member = updating.association_uuid(entry, target), updating.association_uuid(folder, entry)
    with updating.database.read() as connection:
        links = versions.links(connection, [relation, member, entry])
        pairs = versions.pairs(connection, keys.values())
        alone = versions.pairs(connection, [keys[entry]])
    assert links == {
        relation: (_APND, keys[entry], keys[target], ObjectKind.STABLE_DOCUMENT_ENTRY),
        member: (_MEMBER, keys[folder], keys[entry], ObjectKind.FOLDER),
    }
    assert pairs == {(_APND, keys[entry], keys[target]), (_MEMBER, keys[folder], keys[entry])}
    assert alone == set()
    updating.update(update(status_change(relation)))
    with updating.database.read() as connection:
        assert versions.pairs(connection, keys.values()) == {(_MEMBER, keys[folder], keys[entry])}
