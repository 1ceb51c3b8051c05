"""Results of signatures beside entries: what brings them in, what keeps them, what takes them away."""

from __future__ import annotations

from datetime import UTC, datetime

from lxml import etree
from sqlalchemy import func, select

from msim_xds.database.schema import signature_result
from msim_xds.ihe.transactions import ITI_57
from msim_xds.metadata import ebrim
from msim_xds.metadata.rules import Rules
from msim_xds.metadata.signature_slots import PREFIX, SignatureResult
from msim_xds.registry import revalidations, signature_results
from msim_xds.registry.dependents import named, things
from msim_xds.registry.erasure import erase
from msim_xds.registry.updates import Updates
from tests.support import metadata, queries
from tests.support.registry import Registry
from tests.support.updates import entry_version, update

RESULT = SignatureResult("TOTAL_PASSED", "", "XAdES-BASELINE-T", "2026-06-01T12:00:00Z", True)
OTHER = SignatureResult("INDETERMINATE", "REVOKED_NO_POE", "XAdES-BASELINE-T", "", True)
MOMENT = datetime(2026, 9, 14, tzinfo=UTC)


def slots_of(result: SignatureResult) -> dict[str, str]:
    return {slot.name: slot.values[0] for slot in result.slots()}


def submit(registry: Registry, result: SignatureResult | None = RESULT) -> tuple[str, str]:
    """entryUUID and uniqueId of an entry that another repository registers with a result."""
    entry, unique_id = metadata.new_uuid(), metadata.new_oid()
    told = slots_of(result) if result is not None else {}
    registry.submit(
        metadata.submission_set(),
        metadata.document_entry(entry, unique_id=unique_id, slots=told),
        metadata.original(entry),
    )
    return entry, unique_id


def shown(registry: Registry, entry: str) -> dict[str, str]:
    found = registry.ask(
        queries.request("GetDocuments", [("$XDSDocumentEntryEntryUUID", queries.many(entry))])
    )
    (thing,) = found.objects
    children = [etree.QName(child).localname for child in thing]
    assert children == sorted(
        children,
        key=["Slot", "Name", "Description", "VersionInfo", "Classification", "ExternalIdentifier"].index,
    )
    names = [slot.get("name", "") for slot in thing.findall(f"{{{metadata.RIM}}}Slot")]
    assert len(names) == len(set(names))
    return {
        slot.get("name", ""): slot.findtext(f".//{{{metadata.RIM}}}Value") or ""
        for slot in thing.findall(f"{{{metadata.RIM}}}Slot")
        if slot.get("name", "").startswith(PREFIX)
    }


def rows(registry: Registry) -> int:
    with registry.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(signature_result)).scalar_one())


def test_a_repository_brings_them_by_iti_42(registry: Registry) -> None:
    signed, unsigned = submit(registry), submit(registry, None)
    assert shown(registry, signed[0]) == slots_of(RESULT)
    assert shown(registry, unsigned[0]) == {}
    assert rows(registry) == 1


def test_a_retry_with_another_result_changes_nothing(registry: Registry) -> None:
    entry, unique_id = metadata.new_uuid(), metadata.new_oid()
    batch, member = metadata.submission_set(), metadata.original(entry)
    for result in (RESULT, OTHER):
        thing = metadata.document_entry(entry, unique_id=unique_id, slots=slots_of(result))
        registry.submit(batch, thing, member)
    assert shown(registry, entry) == slots_of(RESULT)
    assert rows(registry) == 1


def test_another_result_is_shown_at_once_and_kept_beside_the_first(registry: Registry) -> None:
    entry, unique_id = submit(registry)
    assert shown(registry, entry) == slots_of(RESULT)
    own = metadata.REPOSITORY
    with registry.database.write() as connection:
        run = revalidations.begin(connection, MOMENT, again=True)
        (signed,) = revalidations.page(connection, own, 0, 10)
        assert signed.unique_id == unique_id
        assert signature_results.supersede(connection, MOMENT, signed, OTHER, run.id)
        assert not signature_results.supersede(connection, MOMENT, signed._replace(id=-1), OTHER, run.id)
    assert shown(registry, entry) == slots_of(OTHER)
    with registry.database.read() as connection:
        (change,) = revalidations.changes(connection, run.id)
    assert (change.before, change.after, change.entry_uuid) == (RESULT, OTHER, entry)
    assert rows(registry) == 2


def test_a_new_version_has_that_of_its_document(registry: Registry) -> None:
    entry, unique_id = submit(registry)
    updates = Updates(
        registry.codec,
        Rules.from_settings(registry.settings),
        registry.settings,
        lambda: registry.now,
        metadata.new_uuid,
    )
    claim = {f"{PREFIX}indication": "TOTAL_FAILED"}
    new = metadata.new_uuid()
    message = update(entry_version(entry, unique_id, new, slots=claim))
    draft = updates.draft(ebrim.read(etree.fromstring(message), registry.settings.limits), ITI_57)
    with registry.database.write() as connection:
        updates.update(connection, draft, ITI_57)
    assert shown(registry, new) == slots_of(RESULT)
    assert rows(registry) == 1


def test_they_go_with_the_last_entry_of_the_document(registry: Registry) -> None:
    unique_id = metadata.new_oid()
    entries = [metadata.new_uuid() for _ in range(2)]
    for entry in entries:
        registry.submit(
            metadata.submission_set(),
            metadata.document_entry(entry, unique_id=unique_id, slots=slots_of(RESULT)),
            metadata.original(entry),
        )
    for entry, left in zip(entries, (2, 0), strict=True):
        with registry.database.write() as connection:
            erase(connection, things(connection, named(connection, [entry])))
        assert rows(registry) == left
