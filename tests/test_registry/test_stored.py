"""Objects are read back from their fragments as they were written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from msim_xds.ihe.names import ASSOCIATION_OBJECT_TYPE, ObjectKind, Status
from msim_xds.metadata import fragments
from msim_xds.metadata.model import Association, DocumentEntry, Folder, Slot
from msim_xds.registry.stored import stored_association, stored_entry
from tests.support import strategies


def as_it_is(_: int, packed: bytes) -> bytes:
    """Unpacks what was not packed."""
    return packed


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(strategies.entries)
def test_entries(entry: DocumentEntry) -> None:
    found = stored_entry(as_it_is, entry.kind, 1, fragments.write(entry))
    assert found == replace(
        entry,
        status=Status.APPROVED,
        home=None,
        logical_id=entry.logical_id or entry.entry_uuid,
        version=entry.version or "1",
    )


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(strategies.associations)
def test_associations(link: Association) -> None:
    found = stored_association(as_it_is, 1, fragments.write(link))
    kept = replace(link, status=Status.APPROVED, home=None, object_type=ASSOCIATION_OBJECT_TYPE)
    assert found == kept


def test_more_slots_than_messages_may_have_today() -> None:
    extra = tuple(Slot(f"urn:pl:{number}", ("x",)) for number in range(1000))
    entry = DocumentEntry(entry_uuid="urn:uuid:1", extra=extra)
    assert stored_entry(as_it_is, entry.kind, 1, fragments.write(entry)).extra == extra


def test_damage_is_not_passed_over() -> None:
    damaged = fragments.write(Association(entry_uuid="a", type="t", source="s", target="u")).replace(
        b"</rim:Association>", b"<rim:Slot name='x'/></rim:Association>"
    )
    with pytest.raises(ValueError, match="cannot be read as it was kept"):
        stored_association(as_it_is, 1, damaged)


def test_another_kind_of_object() -> None:
    folder = fragments.write(Folder(entry_uuid="f"))
    with pytest.raises(TypeError, match="is no DocumentEntry"):
        stored_entry(as_it_is, ObjectKind.FOLDER, 1, folder)
