"""Metadata updates from the sender's side (ITI-57, ITI-92), written independently of the product."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.support.metadata import (
    APND,
    APPROVED,
    DEPRECATED,
    HAS_MEMBER,
    PATIENT,
    association,
    document_entry,
    folder,
    new_uuid,
    submission_set,
    submit_objects,
)

UPDATE_STATUS, SUBMIT_ASSOCIATION = (
    f"urn:ihe:iti:2010:AssociationType:{name}" for name in ("UpdateAvailabilityStatus", "SubmitAssociation")
)
SET = "SubmissionSet01"


def update(*objects: str, patient_id: str = PATIENT, set_unique_id: str = "") -> bytes:
    """A request with its SubmissionSet."""
    return submit_objects(submission_set(patient_id=patient_id, unique_id=set_unique_id), *objects)


def membership(
    target: str = "Document01",
    previous: str | None = "1",
    status: str | None = "Original",
    propagation: str | None = None,
    slots: Mapping[str, str | Iterable[str] | None] | None = None,
    source: str = SET,
) -> str:
    """The HasMember that makes an object a new version."""
    named = {"PreviousVersion": previous, "AssociationPropagation": propagation, **(slots or {})}
    return association(source, target, status=status, slots=named)


def entry_version(
    lid: str,
    unique_id: str,
    id: str = "Document01",
    *,
    previous: str | None = "1",
    propagation: str | None = None,
    attributes: str = "",
    **options: Any,
) -> str:
    """A new version of a DocumentEntry with its HasMember; options go to ``document_entry``."""
    entry = document_entry(id, unique_id=unique_id, attributes=f' lid="{lid}"{attributes}', **options)
    return entry + membership(id, previous, propagation=propagation)


def folder_version(
    lid: str,
    unique_id: str,
    id: str = "Folder01",
    *,
    previous: str | None = "1",
    propagation: str | None = None,
    status: str | None = None,
    **options: Any,
) -> str:
    """A new version of a Folder with its HasMember; options go to ``folder``."""
    thing = folder(id, unique_id=unique_id, attributes=f' lid="{lid}"', **options)
    return thing + membership(id, previous, status, propagation)


def status_change(
    target: str,
    original: str | None = APPROVED,
    new: str | None = DEPRECATED,
    slots: Mapping[str, str | Iterable[str] | None] | None = None,
    source: str = SET,
) -> str:
    """An UpdateAvailabilityStatus."""
    named = {"OriginalStatus": original, "NewStatus": new, **(slots or {})}
    return association(source, target, UPDATE_STATUS, slots=named)


def submitted(source: str, target: str, type: str = APND, id: str = "", **options: Any) -> str:
    """An Association with its SubmitAssociation."""
    link = id or new_uuid()
    return association(SET, link, SUBMIT_ASSOCIATION) + association(source, target, type, id=link, **options)


def put_into(folder_id: str, entry: str, id: str = "") -> str:
    """A submitted HasMember from a Folder."""
    return submitted(folder_id, entry, HAS_MEMBER, id)
