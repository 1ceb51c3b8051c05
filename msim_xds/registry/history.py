"""Submissions that tell of the past: an archive's entries with the status that they have come to.

ITI-41 and ITI-42 know no such thing: what they register is Approved, and relates to what is Approved. An old
archive's chain of replacements arrives with its earlier links Deprecated already.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from sqlalchemy import Connection

from msim_xds.ihe.names import ObjectKind, Status
from msim_xds.metadata.model import DocumentEntry
from msim_xds.registry import holdings
from msim_xds.registry.columns import APPROVED, DEPRECATED
from msim_xds.registry.drafts import Draft
from msim_xds.registry.holdings import Held

_ENTRIES = frozenset({ObjectKind.STABLE_DOCUMENT_ENTRY, ObjectKind.ON_DEMAND_DOCUMENT_ENTRY})


def as_history(draft: Draft) -> Draft:
    """``draft`` with its entries in the status that they were submitted with."""
    deprecated = {
        thing.entry_uuid
        for thing in draft.things
        if isinstance(thing, DocumentEntry) and thing.status == Status.DEPRECATED
    }
    for thing in draft.objects:
        if thing.columns.row["entry_uuid"] in deprecated:
            thing.columns.row["status"] = DEPRECATED
    return replace(draft, is_history=True)


def as_they_were(
    connection: Connection, held: Mapping[str, Held], replaced: Collection[str]
) -> dict[str, Held]:
    """What the registry holds, as it was when an old submission came: its Deprecated entries Approved.

    Those of ``replaced`` that something has replaced already stay Deprecated: nothing is replaced twice.

    Args:
        connection: of the write transaction.
        held: by entryUUID.
        replaced: entryUUIDs that the submission replaces.
    """
    gone = {
        uuid: thing for uuid, thing in held.items() if thing.status == DEPRECATED and thing.kind in _ENTRIES
    }
    taken = holdings.replaced(connection, [gone[uuid].id for uuid in replaced if uuid in gone])
    revived = {uuid: thing._replace(status=APPROVED) for uuid, thing in gone.items() if thing.id not in taken}
    return {**held, **revived}
