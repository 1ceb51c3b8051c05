"""Writes objects as ebRIM: the fragments that the registry keeps, and whole submissions (ITI TF-3 4.2.3.1).

Children stand in schema order: Slot, Name, Description, VersionInfo, Classification, ExternalIdentifier.
What an object lacks is left out.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

from msim_xds.ihe.attributes import ATTRIBUTES, AUTHOR_SLOTS, Attribute, Owner, Where
from msim_xds.ihe.names import (
    ASSOCIATION_DOCUMENTATION_SCHEME,
    ASSOCIATION_OBJECT_TYPE,
    CLASSIFICATION_OBJECT_TYPE,
    EXTERNAL_IDENTIFIER_OBJECT_TYPE,
    FOLDER_NODE,
    LCM,
    PACKAGE_OBJECT_TYPE,
    RIM,
    SUBMISSION_SET_NODE,
    ObjectKind,
)
from msim_xds.metadata.model import (
    Association,
    Author,
    Code,
    DocumentEntry,
    Folder,
    InternationalString,
    MetadataObject,
    RegistryObject,
    Slot,
    Submission,
    SubmissionSet,
)
from msim_xds.metadata.repeated import repeated

HOLE: Final = "\0"  # cannot occur in XML, so a fragment's hole is unmistakable

_ELEMENTS: Final = {
    ObjectKind.STABLE_DOCUMENT_ENTRY: "ExtrinsicObject",
    ObjectKind.ON_DEMAND_DOCUMENT_ENTRY: "ExtrinsicObject",
    ObjectKind.SUBMISSION_SET: "RegistryPackage",
    ObjectKind.FOLDER: "RegistryPackage",
    ObjectKind.ASSOCIATION: "Association",
}

_OWNED: Final = {
    Owner.DOCUMENT_ENTRY: (ObjectKind.STABLE_DOCUMENT_ENTRY, ObjectKind.ON_DEMAND_DOCUMENT_ENTRY),
    Owner.SUBMISSION_SET: (ObjectKind.SUBMISSION_SET,),
    Owner.FOLDER: (ObjectKind.FOLDER,),
}

_SPECIAL: Final = re.compile('[&<>"\t\n\r]').search  # most values have none of them

_VALUES: Final = "<rim:ValueList><rim:Value>"
_NEXT_VALUE: Final = "</rim:Value><rim:Value>"
_SLOT_END: Final = "</rim:Value></rim:ValueList></rim:Slot>"
_CODING_SCHEME: Final = f'<rim:Slot name="codingScheme">{_VALUES}'
_AUTHOR_SLOTS: Final = tuple(
    (f'<rim:Slot name="{name}">{_VALUES}', attrgetter(field), most == 1)
    for name, field, _, most in AUTHOR_SLOTS
)


def write(obj: RegistryObject) -> bytes:
    """An object as the registry keeps it: what stands behind ``opening``, which changes later.

    A Folder has a ``HOLE`` besides, for its lastUpdateTime; ``fill`` fills it.
    """
    ids = _SubIds(hashlib.sha256(obj.entry_uuid.encode()).hexdigest())
    if isinstance(obj, Association):
        return _association(obj, ASSOCIATION_OBJECT_TYPE, "", ids).encode()
    if isinstance(obj, Folder):
        obj = replace(obj, last_update_time=HOLE)
    lid, version = obj.logical_id or obj.entry_uuid, obj.version or "1"
    return _WRITERS[type(obj)](obj, lid, version, "", ids).encode()


def opening(kind: ObjectKind, status: str) -> bytes:
    """How an object of an answer begins: its element and current status; the home attribute comes next."""
    return f'<rim:{_ELEMENTS[kind]} status="{status}"'.encode()


def fill(fragment: bytes, last_update_time: str) -> bytes:
    """A Folder's fragment with its lastUpdateTime, a DTM."""
    return fragment.replace(HOLE.encode(), last_update_time.encode(), 1)


def with_patient(fragment: bytes, kind: ObjectKind, patient_id: str) -> bytes:
    """The fragment of an entry, set or folder with another patientId, a CX; nothing else changes.

    No value of the object can be taken for the place: neither ``<`` nor a quotation mark stands in one.
    """
    identifier = fragment.find(_PATIENT_ID[kind])
    if identifier < 0:
        return fragment
    start = fragment.index(_VALUE, identifier) + len(_VALUE)
    end = fragment.index(b'"', start)
    return fragment[:start] + _attribute(patient_id).encode() + fragment[end:]


def with_slots(fragment: bytes, slots: Iterable[Slot]) -> bytes:
    """The fragment of an entry with further slots; they come first, behind the element's own attributes."""
    start = fragment.index(b">") + 1  # the first: no value of an attribute holds one
    out: list[str] = []
    _extra(out, slots)
    return fragment[:start] + "".join(out).encode() + fragment[start:]


@lru_cache(maxsize=256)
def home_attribute(home: str | None) -> bytes:
    """The home attribute that follows ``opening``; empty for no homeCommunityId."""
    return _optional("home", home).encode()


def submit_objects(submission: Submission) -> bytes:
    """A whole lcm:SubmitObjectsRequest, every value and symbolic id as it stands in ``submission``."""
    objects = "".join(map(_sent, submission.objects()))
    return (
        f'<lcm:SubmitObjectsRequest xmlns:lcm="{LCM}" xmlns:rim="{RIM}"><rim:RegistryObjectList>'
        f"{objects}</rim:RegistryObjectList></lcm:SubmitObjectsRequest>"
    ).encode()


def _sent(obj: RegistryObject) -> str:
    head = f"<rim:{_ELEMENTS[obj.kind]}{_optional('status', obj.status)}{_optional('home', obj.home)}"
    ids = _SubIds(uuid.uuid4().hex)
    if isinstance(obj, Association):
        return _association(obj, obj.object_type, head, ids)
    return _WRITERS[type(obj)](obj, obj.logical_id, obj.version, head, ids)


class _SubIds:
    """Ids of the Classifications and ExternalIdentifiers of one object.

    UUIDs of version 8 (RFC 9562) that count up from ``seed``, hex digits: made from the object's own id they
    are the same at every writing, and what they have in common compresses away.
    """

    __slots__ = ("_count", "_stem")

    def __init__(self, seed: str) -> None:
        self._stem = f"urn:uuid:{seed[:8]}-{seed[8:12]}-8{seed[13:16]}-8{seed[17:20]}-{seed[20:24]}"
        self._count = 0

    def next(self) -> str:
        self._count += 1
        return f"{self._stem}{self._count:08x}"


@dataclass(frozen=True, slots=True)
class _Writer:
    """How objects of one kind are written; the constant text around each value is made once."""

    slots: tuple[tuple[str, Callable[[Any], Any], bool], ...]
    codes: tuple[tuple[str, Callable[[Any], Any], bool], ...]
    authors: str
    identifiers: tuple[tuple[str, str, Callable[[Any], Any]], ...]
    marker: str

    @classmethod
    def of(cls, owner: Owner, node: str = "") -> _Writer:
        rows = ATTRIBUTES[owner]

        def at(where: Where) -> list[Attribute]:
            return [row for row in rows if row.where is where]

        return cls(
            tuple(
                (f'<rim:Slot name="{r.key}">{_VALUES}', attrgetter(r.field), r.most == 1)
                for r in at(Where.SLOT)
            ),
            tuple((_classification(r.key), attrgetter(r.field), r.most == 1) for r in at(Where.CODE)),
            next((_classification(r.key) for r in at(Where.AUTHOR)), ""),
            tuple(_identifier(owner, r) for r in at(Where.IDENTIFIER)),
            node and f' objectType="{CLASSIFICATION_OBJECT_TYPE}" classificationNode="{node}"/>',
        )

    def __call__(
        self, obj: MetadataObject, lid: str | None, version: str | None, head: str, ids: _SubIds
    ) -> str:
        owner = _attribute(obj.entry_uuid)
        out = [f'{head} id="{owner}"{_optional("lid", lid)}']
        if isinstance(obj, DocumentEntry):
            out += (_optional("objectType", obj.object_type), _optional("mimeType", obj.mime_type), ">")
        else:
            out.append(f' objectType="{PACKAGE_OBJECT_TYPE}">')
        self._slots(out, obj)
        _international(out, "Name", obj.title)
        _international(out, "Description", obj.comments)
        if version is not None:
            out.append(f'<rim:VersionInfo versionName="{_attribute(version)}"/>')
        self._classifications(out, obj, owner, ids)
        for head, tail, value_of in self.identifiers:
            value = value_of(obj)
            if value is not None:
                out.append(f'{head}{ids.next()}" registryObject="{owner}" value="{_attribute(value)}{tail}')
        out.append(f"</rim:{_ELEMENTS[obj.kind]}>")
        return "".join(out)

    def _slots(self, out: list[str], obj: MetadataObject) -> None:
        for head, value_of, single in self.slots:
            value = value_of(obj)
            if value:
                text = _text(value) if single else _NEXT_VALUE.join(map(_text, value))
                out += (head, text, _SLOT_END)
        _extra(out, obj.extra)

    def _classifications(self, out: list[str], obj: MetadataObject, owner: str, ids: _SubIds) -> None:
        classified = _classified(owner)
        if not isinstance(obj, Folder):
            for author in obj.authors:
                out += (self.authors, ids.next(), classified, _author(author))
        for head, value_of, single in self.codes:
            value = value_of(obj)
            if value:
                for code in (value,) if single else value:
                    out += (head, ids.next(), classified, _code(code))
        if self.marker:
            out += ('<rim:Classification id="', ids.next(), classified, self.marker)


def _association(obj: Association, object_type: str | None, head: str, ids: _SubIds) -> str:
    owner = _attribute(obj.entry_uuid)
    out = [
        f'{head} id="{owner}"{_optional("objectType", object_type)}'
        f' associationType="{_attribute(obj.type)}" sourceObject="{_attribute(obj.source)}"'
        f' targetObject="{_attribute(obj.target)}">'
    ]
    if obj.submission_set_status:
        _extra(out, (Slot("SubmissionSetStatus", obj.submission_set_status),))
    _extra(out, obj.slots)
    _international(out, "Name", obj.name)
    _international(out, "Description", obj.comments)
    for code in obj.documentation:
        head = _classification(ASSOCIATION_DOCUMENTATION_SCHEME)
        out += (head, ids.next(), _classified(owner), _code(code))
    out.append("</rim:Association>")
    return "".join(out)


def _classification(scheme: str) -> str:
    return (
        f'<rim:Classification objectType="{CLASSIFICATION_OBJECT_TYPE}" classificationScheme="{scheme}" id="'
    )


def _classified(owner: str) -> str:
    return f'" classifiedObject="{owner}"'


def _identifier(owner: Owner, row: Attribute) -> tuple[str, str, Callable[[Any], Any]]:
    """Text before the id, text after the value, and where the value comes from."""
    head = (
        f'<rim:ExternalIdentifier objectType="{EXTERNAL_IDENTIFIER_OBJECT_TYPE}"'
        f' identificationScheme="{row.key}" id="'
    )
    tail = (
        f'"><rim:Name><rim:LocalizedString value="XDS{owner.value}.{row.name}"/></rim:Name>'
        "</rim:ExternalIdentifier>"
    )
    return head, tail, attrgetter(row.field)


@repeated
def _code(code: Code) -> str:
    """A code's Classification behind the id of its owner."""
    out = [f' nodeRepresentation="{_attribute(code.code)}">{_CODING_SCHEME}{_text(code.scheme)}{_SLOT_END}']
    _extra(out, code.extra)
    _international(out, "Name", code.display)
    out.append("</rim:Classification>")
    return "".join(out)


@repeated
def _author(author: Author) -> str:
    """An author's Classification behind the id of its owner."""
    out = [' nodeRepresentation="">']
    for slot, value_of, single in _AUTHOR_SLOTS:
        value = value_of(author)
        if value:
            out += (slot, _text(value) if single else _NEXT_VALUE.join(map(_text, value)), _SLOT_END)
    _extra(out, author.extra)
    out.append("</rim:Classification>")
    return "".join(out)


def _extra(out: list[str], slots: Iterable[Slot]) -> None:
    for slot in slots:
        head = f'<rim:Slot name="{_attribute(slot.name)}"{_optional("slotType", slot.slot_type)}>'
        if slot.values:
            out += (head, _VALUES, _NEXT_VALUE.join(map(_text, slot.values)), _SLOT_END)
        else:
            out += (head, "<rim:ValueList/></rim:Slot>")


def _international(out: list[str], element: str, texts: InternationalString) -> None:
    if texts:
        out.append(f"<rim:{element}>")
        for text in texts:
            lang, charset = _optional("xml:lang", text.lang), _optional("charset", text.charset)
            out.append(f'<rim:LocalizedString{lang}{charset} value="{_attribute(text.value)}"/>')
        out.append(f"</rim:{element}>")


def _optional(name: str, value: str | None) -> str:
    return "" if value is None else f' {name}="{_attribute(value)}"'


def _text(value: str) -> str:
    if not _SPECIAL(value):
        return value
    value = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return value.replace("\r", "&#13;")


def _attribute(value: str) -> str:
    if not _SPECIAL(value):
        return value
    return _text(value).replace('"', "&quot;").replace("\t", "&#9;").replace("\n", "&#10;")


#: Where patientId is, by kind: its ExternalIdentifier begins with this, and its value follows ``_VALUE``.
_PATIENT_ID: Final = {
    kind: _identifier(owner, row)[0].encode()
    for owner, kinds in _OWNED.items()
    for row in ATTRIBUTES[owner]
    if row.field == "patient_id"
    for kind in kinds
}
_VALUE: Final = b'" value="'

_WRITERS: Final = {
    DocumentEntry: _Writer.of(Owner.DOCUMENT_ENTRY),
    SubmissionSet: _Writer.of(Owner.SUBMISSION_SET, SUBMISSION_SET_NODE),
    Folder: _Writer.of(Owner.FOLDER, FOLDER_NODE),
}
