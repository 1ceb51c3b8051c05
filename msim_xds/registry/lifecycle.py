"""What a submission changes of what the registry holds: replacement and folders (ITI TF-3 4.2.2.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from msim_xds.ihe.names import AssociationType, ObjectKind
from msim_xds.metadata.model import Association, Submission
from msim_xds.registry import holdings
from msim_xds.registry.store_rules import REPLACING, Facts


@dataclass(frozen=True, slots=True)
class Consequences:
    """Changes beyond the submission's own objects.

    Attributes:
        outdated: keys of the entries that become Deprecated.
        memberships: associations that put replacements into the folders of what they replace.
        grown: keys, by entryUUID, of held Folders that gain an entry.
    """

    outdated: frozenset[int]
    memberships: tuple[Association, ...]
    grown: Mapping[str, int]


def consequences(
    connection: Connection, submission: Submission, facts: Facts, new_uuid: Callable[[], str]
) -> Consequences:
    """What follows from a submission that keeps all rules.

    A replaced entry is Deprecated, with all that append or transform it. Its replacement joins the Approved
    Folders that hold it, and the SubmissionSet records that.
    """
    grown = {
        link.source: facts.held[link.source].id
        for link in submission.associations
        if link.source in facts.held and facts.held[link.source].kind is ObjectKind.FOLDER
    }
    heirs = {
        facts.held[link.target].id: link.source for link in submission.associations if link.type in REPLACING
    }
    if not heirs:
        return Consequences(frozenset(), (), grown)
    members = {(link.source, link.target) for link in submission.associations}
    memberships: list[Association] = []
    for holder in holdings.holders(connection, heirs):
        heir = heirs[holder.entry_id]
        grown[holder.folder_uuid] = holder.folder_id
        if (holder.folder_uuid, heir) not in members:
            members.add((holder.folder_uuid, heir))
            membership = _has_member(new_uuid(), holder.folder_uuid, heir)
            recorded = _has_member(
                new_uuid(), submission.submission_sets[0].entry_uuid, membership.entry_uuid
            )
            memberships += (membership, recorded)
    outdated = holdings.derived(connection, heirs) | heirs.keys()
    return Consequences(frozenset(outdated), tuple(memberships), grown)


def _has_member(uuid: str, source: str, target: str) -> Association:
    return Association(entry_uuid=uuid, type=AssociationType.HAS_MEMBER, source=source, target=target)
