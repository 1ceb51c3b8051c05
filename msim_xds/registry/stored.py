"""Reads objects back from their stored fragments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msim_xds.ihe.names import RIM, ObjectKind, Status
from msim_xds.metadata import layout as layouts
from msim_xds.metadata.ebrim_object import ObjectReader, Report
from msim_xds.metadata.fragments import fill, opening
from msim_xds.metadata.model import Association, DocumentEntry, RegistryObject
from msim_xds.settings import LimitSettings
from msim_xds.wire import safexml

#: What was taken in under other limits must be readable under today's.
_MOST: Final = 2**31
_LIMITS: Final = LimitSettings(objects=_MOST, slots=_MOST, values=_MOST, value_chars=_MOST)
_NAMESPACE: Final = f' xmlns:rim="{RIM}"'.encode()
_LAYOUTS: Final = {
    ObjectKind.STABLE_DOCUMENT_ENTRY: layouts.DOCUMENT_ENTRY,
    ObjectKind.ON_DEMAND_DOCUMENT_ENTRY: layouts.DOCUMENT_ENTRY,
    ObjectKind.SUBMISSION_SET: layouts.SUBMISSION_SET,
    ObjectKind.FOLDER: layouts.FOLDER,
    ObjectKind.ASSOCIATION: layouts.ASSOCIATION,
}

Unpack = Callable[[int, bytes], bytes]


def stored_entry(unpack: Unpack, kind: ObjectKind, dictionary_id: int, packed: bytes) -> DocumentEntry:
    """The DocumentEntry that a fragment holds, with the patientId that was submitted."""
    entry = _stored(kind, unpack(dictionary_id, packed))
    if not isinstance(entry, DocumentEntry):
        raise TypeError(f"{entry.place} is no DocumentEntry")
    return entry


def stored_association(unpack: Unpack, dictionary_id: int, packed: bytes) -> Association:
    """The Association that a fragment holds."""
    link = _stored(ObjectKind.ASSOCIATION, unpack(dictionary_id, packed))
    if not isinstance(link, Association):
        raise TypeError(f"{link.place} is no Association")
    return link


def _stored(kind: ObjectKind, fragment: bytes) -> RegistryObject:
    text = opening(kind, Status.APPROVED) + _NAMESPACE + fill(fragment, "")
    element = safexml.parse(text)
    report = Report(most=1)
    obj = ObjectReader(_LIMITS, report).read(element, element.get("id", ""), _LAYOUTS[kind], ())
    if report.findings:
        raise ValueError(f"{obj.place} cannot be read as it was kept: {report.findings[0].text()}")
    return obj
