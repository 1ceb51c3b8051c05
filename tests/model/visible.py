"""What a view leaves of a registry: what is hidden, or only leads there, is as if it were not there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from msim_xds.metadata.model import Association, DocumentEntry, Folder
from msim_xds.metadata.period import period
from msim_xds.security.access.document import Consent, shows
from msim_xds.wire.view import View
from tests.model.reference import HAS_MEMBER, Model
from tests.support.decisions import document_of

Consents = Mapping[str, Sequence[Consent]]


def visible(model: Model, view: View, consents: Consents) -> Model:
    """The registry as the view shows it.

    Args:
        model: what there is.
        view: what may be shown of it.
        consents: what each patient has said.
    """
    return _Visible(model, view, consents).rest()


class _Visible:
    def __init__(self, model: Model, view: View, consents: Consents) -> None:
        self.model = model
        self.links = {link.entry_uuid: link for link in model.links}
        self.entries = {u for u, thing in model.objects.items() if isinstance(thing, DocumentEntry)}
        allowed = {uuid for uuid in self.entries if self._is_allowed(uuid, view, consents)}
        self.nothing = view.shows_nothing
        self.shown = {
            uuid
            for uuid in allowed
            if uuid not in model.superseded
            or all(each in allowed for each in self.entries if self._is_later(each, uuid))
        }

    def rest(self) -> Model:
        if self.nothing:
            return replace(self.model, objects={}, links=[])
        objects = {uuid: thing for uuid, thing in self.model.objects.items() if self._is_object_shown(uuid)}
        links = [link for link in self.model.links if self._is_link_shown(link)]
        return replace(self.model, objects=objects, links=links)

    def _is_allowed(self, uuid: str, view: View, consents: Consents) -> bool:
        entry = self.model.objects[uuid]
        assert isinstance(entry, DocumentEntry)
        created = None if entry.creation_time is None else period(entry.creation_time)
        said = tuple(consents.get(self.model.owner(uuid), ()))
        return shows(view, document_of(entry, created, said))

    def _is_later(self, one: str, other: str) -> bool:
        versions, objects = self.model.versions, self.model.objects
        same = objects[one].logical_id == objects[other].logical_id
        return same and versions.get(one, 1) > versions.get(other, 1)

    def _is_object_shown(self, uuid: str) -> bool:
        if uuid in self.entries:
            return uuid in self.shown
        held = self.entries.intersection(self._contents(uuid))
        return not held or bool(held & self.shown)

    def _contents(self, uuid: str) -> Iterable[str]:
        for target in self._members(uuid):
            yield target
            yield from self._members(target)
            if target in self.links:
                yield from (self.links[target].source, self.links[target].target)

    def _members(self, uuid: str) -> list[str]:
        return [link.target for link in self.model.links if link.source == uuid and link.type == HAS_MEMBER]

    def _is_link_shown(self, link: Association) -> bool:
        ends = [link.source, link.target]
        if link.target in self.links:
            ends += [self.links[link.target].source, self.links[link.target].target]
        if not self.shown.issuperset(self.entries.intersection(ends)):
            return False
        if not isinstance(self.model.objects.get(link.target), Folder):
            return True
        return all(self._is_object_shown(end) for end in (link.source, link.target))
