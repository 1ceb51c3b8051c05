"""Gives every object its entryUUID (ITI TF-3 4.2.3.2.7, ITI TF-2 3.42.4.1.3.7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from msim_xds.metadata.model import Association, MetadataObject, RegistryObject, Submission
from msim_xds.metadata.values import is_uuid, looks_like_uuid

_Object = TypeVar("_Object", bound=MetadataObject)


def resolve(submission: Submission, new_uuid: Callable[[], str]) -> Submission:
    """The submission with UUIDs for symbolic ids, in objects and references, all in lower case.

    Args:
        submission: as read and judged; references to ids outside it are left as they are.
        new_uuid: makes ``urn:uuid:…``.
    """
    ids = _Ids(submission, new_uuid)

    def renamed(obj: _Object) -> _Object:
        name, lid = ids.of(obj), obj.logical_id and ids.reference(obj.logical_id)
        unchanged = name == obj.entry_uuid and lid == obj.logical_id
        return obj if unchanged else replace(obj, entry_uuid=name, logical_id=lid)

    return Submission(
        tuple(map(renamed, submission.submission_sets)),
        tuple(map(renamed, submission.entries)),
        tuple(map(renamed, submission.folders)),
        tuple(map(ids.association, submission.associations)),
    )


class _Ids:
    """The new name of every id in one submission."""

    def __init__(self, submission: Submission, new_uuid: Callable[[], str]) -> None:
        self._new_uuid = new_uuid
        self._names: dict[str, str] = {}
        for obj in submission.objects():
            name = obj.entry_uuid
            if name and not looks_like_uuid(name):
                self._names[name] = new_uuid()

    def of(self, obj: RegistryObject) -> str:
        """The entryUUID of ``obj``; one that came without an id gets a fresh one."""
        return self.reference(obj.entry_uuid) if obj.entry_uuid else self._new_uuid()

    def reference(self, name: str) -> str:
        """What ``name`` is called from now on."""
        known = self._names.get(name)
        if known is not None:
            return known
        return name.lower() if is_uuid(name) else name

    def association(self, obj: Association) -> Association:
        """``obj`` between the new names."""
        return replace(
            obj,
            entry_uuid=self.of(obj),
            source=self.reference(obj.source),
            target=self.reference(obj.target),
        )
