"""Reads one ebRIM object in one walk; its layout says what goes where (ITI TF-3 4.2.3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from msim_xds.findings import Finding
from msim_xds.ihe.names import LIMITED_METADATA_NODES, RIM, XML
from msim_xds.metadata import layout as layouts
from msim_xds.metadata.layout import Layout, Target
from msim_xds.metadata.model import (
    Author,
    Code,
    InternationalString,
    LocalizedString,
    RegistryObject,
    Slot,
)
from msim_xds.metadata.values import is_extra_metadata_name, is_urn
from msim_xds.settings import LimitSettings

if TYPE_CHECKING:
    from lxml.etree import _Element

SLOT: Final = f"{{{RIM}}}Slot"
CLASSIFICATION: Final = f"{{{RIM}}}Classification"
_NAME: Final = f"{{{RIM}}}Name"
_DESCRIPTION: Final = f"{{{RIM}}}Description"
_VERSION_INFO: Final = f"{{{RIM}}}VersionInfo"
_EXTERNAL_IDENTIFIER: Final = f"{{{RIM}}}ExternalIdentifier"
_VALUE_LIST: Final = f"{{{RIM}}}ValueList"
_VALUE: Final = f"{{{RIM}}}Value"
_LOCALIZED: Final = f"{{{RIM}}}LocalizedString"
_LANG: Final = f"{{{XML}}}lang"

#: Children of an object in schema order; the last is allowed and has no meaning in XDS.
_ORDER: Final = (
    SLOT,
    _NAME,
    _DESCRIPTION,
    _VERSION_INFO,
    CLASSIFICATION,
    _EXTERNAL_IDENTIFIER,
    f"{{{RIM}}}ContentVersionInfo",
)
_RANK: Final = {tag: rank for rank, tag in enumerate(_ORDER)}

_LONG_NAME: Final = 256  # characters of rim:LongName: slot names, values, codes
_FREE_FORM_TEXT: Final = 1024  # characters of rim:FreeFormText: titles, comments

_CODES: Final = "ITI TF-3 4.2.3.1.2"
_IDENTIFIERS: Final = "ITI TF-3 4.2.3.1.3"
_SLOTS: Final = "ITI TF-3 4.2.3.1"


@dataclass(slots=True)
class Report:
    """Collects the findings of one reading, no more than an answer can carry."""

    most: int
    findings: list[Finding] = field(default_factory=list)
    lenient: list[tuple[str, Finding]] = field(default_factory=list)
    sequence: list[Finding] = field(default_factory=list)

    def __call__(
        self,
        place: str,
        attribute: str,
        problem: str,
        seen: str | None = None,
        allowed: str = "",
        source: str = _SLOTS,
    ) -> None:
        """Note what no setting excuses."""
        if len(self.findings) < self.most:
            self.findings.append(_finding(place, attribute, problem, seen, allowed, source))

    def unless(self, tolerance: str, place: str, attribute: str, problem: str, allowed: str) -> None:
        """Note what the named tolerance excuses."""
        if len(self.lenient) < self.most:
            self.lenient.append((tolerance, _finding(place, attribute, problem, None, allowed, _CODES)))

    def schema(self, place: str, attribute: str, problem: str) -> None:
        """Note what the schema forbids and ``validation.sequence`` judges."""
        if len(self.sequence) < self.most:
            self.sequence.append(_finding(place, attribute, problem, None, "", "ebRIM 3.0 rim.xsd"))


def _finding(
    place: str, attribute: str, problem: str, seen: str | None, allowed: str, source: str
) -> Finding:
    return Finding("XDSRegistryMetadataError", problem, place, attribute, seen, allowed, source)


class ObjectReader:
    """Reads one object after the other; findings go to ``report``."""

    def __init__(self, limits: LimitSettings, report: Report) -> None:
        self._limits = limits
        self._report = report
        self._text_most = min(_FREE_FORM_TEXT, limits.value_chars)
        self._place = ""

    def read(
        self, element: _Element, name: str, layout: Layout, beside: Sequence[_Element]
    ) -> RegistryObject:
        """The object ``element``; ``beside`` are Classifications of it that stand outside.

        Args:
            element: rim:ExtrinsicObject, rim:RegistryPackage or rim:Association.
            name: its id, white space removed.
            layout: the layout of its kind.
            beside: Classifications with its id as classifiedObject in the RegistryObjectList.
        """
        self._place = f"{layout.kind} {name}"
        fields: dict[str, Any] = {"entry_uuid": name}
        if layout is layouts.ASSOCIATION:
            fields |= {"type": "", "source": "", "target": ""}
        xml = layout.xml
        for key, value in element.items():
            if value and (target := xml.get(str(key))) is not None:
                fields[target] = value.strip()
        children = [child for child in element if isinstance(child.tag, str)]
        if len(children) + len(beside) > self._limits.slots:
            self._report(
                self._place,
                "",
                "has too many slots, classifications and identifiers",
                str(len(children) + len(beside)),
                f"at most {self._limits.slots}",
            )
        else:
            self._children(children, name, layout, fields)
            for child in beside:
                self._classification(child, name, layout, fields)
        return layout.build(**fields)

    def _children(self, children: list[_Element], name: str, layout: Layout, fields: dict[str, Any]) -> None:
        seen: set[str] = set()
        last = 0
        ordered = True
        for child in children:
            tag = child.tag
            rank = _RANK.get(tag)
            if rank is None:
                self._report(self._place, _local(child), "is no element of an XDS object", allowed=_CHILDREN)
                continue
            ordered = ordered and rank >= last
            last = rank
            if tag == SLOT:
                self._slot(child, layout.slots, layout.extra, fields, seen, layout.kept)
            elif tag == CLASSIFICATION:
                self._classification(child, name, layout, fields)
            elif tag == _EXTERNAL_IDENTIFIER:
                self._identifier(child, name, layout, fields)
            else:
                self._single(child, layout, fields, seen)
        if not ordered:
            self._report.schema(self._place, "", "children are not in schema order")

    def _single(self, child: _Element, layout: Layout, fields: dict[str, Any], seen: set[str]) -> None:
        """Name, Description and VersionInfo: at most one each."""
        tag = child.tag
        if tag in seen:
            self._report(self._place, _local(child), "occurs more than once", allowed="one")
        seen.add(tag)
        if tag == _NAME:
            fields[layout.title] = self._international(child, layout.title)
        elif tag == _DESCRIPTION:
            fields["comments"] = self._international(child, "comments")
        elif tag == _VERSION_INFO and layout is not layouts.ASSOCIATION:
            fields["version"] = child.get("versionName")

    def _slot(
        self,
        element: _Element,
        known: Mapping[str, Target],
        extra: str,
        fields: dict[str, Any],
        seen: set[str],
        kept: frozenset[str] = frozenset(),
    ) -> None:
        name = element.get("name", "")
        target = known.get(name)
        if name in seen:
            self._report(self._place, name, "slot occurs more than once", allowed="one slot of that name")
        seen.add(name)
        values = self._values(element, name)
        if target is not None:
            given = tuple(filter(None, map(str.strip, values)))
            if not target.single:
                fields[target.field] = given
            elif given:
                fields[target.field] = given[0]
                if len(given) > 1:
                    self._report(self._place, name, "has several values", " | ".join(given[:4]), "one value")
            return
        if name not in kept and not is_extra_metadata_name(name):
            self._report(
                self._place,
                name,
                "unknown slot",
                name,
                "attributes of the framework, or extra metadata named by a URN outside urn:ihe:",
                "ITI TF-3 4.2.3.1.6",
            )
        slot_type = element.get("slotType")
        if slot_type is not None and not is_urn(slot_type):
            self._report(self._place, name, "slotType is no URN", slot_type, "a URN")
        fields[extra] = (*fields.get(extra, ()), Slot(name, values, slot_type))

    def _values(self, element: _Element, name: str) -> tuple[str, ...]:
        usual = _usual_value(element)
        if usual is not None and len(usual) <= _LONG_NAME:
            return (usual,)
        values = []
        for value in element.iter(_VALUE):
            text = value.text or ""
            if len(text) > _LONG_NAME:
                self._report(self._place, name, "value is too long", text, f"at most {_LONG_NAME} characters")
            if len(value):
                self._report(self._place, name, "value contains markup", allowed="text")
            values.append(text)
        if len(values) > self._limits.values:
            self._report(
                self._place, name, "has too many values", str(len(values)), f"at most {self._limits.values}"
            )
            return ()
        return tuple(values)

    def _classification(self, element: _Element, name: str, layout: Layout, fields: dict[str, Any]) -> None:
        self._reference(element, "classifiedObject", name)
        scheme = element.get("classificationScheme", "").strip()
        if not scheme:
            self._marker(element.get("classificationNode", "").strip(), layout)
            return
        target = layout.schemes.get(scheme)
        if target is None:
            self._report(
                self._place,
                "classificationScheme",
                f"is no classification scheme of a {layout.kind}",
                scheme,
                source=_CODES,
            )
        elif target.is_author:
            fields[target.field] = (*fields.get(target.field, ()), self._author(element))
        elif not target.single:
            fields[target.field] = (*fields.get(target.field, ()), self._code(element, target.name))
        elif target.field in fields:
            self._report(self._place, target.name, "occurs more than once", allowed="one code")
        else:
            fields[target.field] = self._code(element, target.name)

    def _marker(self, node: str, layout: Layout) -> None:
        if node in LIMITED_METADATA_NODES:
            self._report(
                self._place,
                "limitedMetadata",
                "limited metadata is prohibited in this transaction",
                node,
                source="ITI TF-3 4.2.3.2.32",
            )
        elif not node or node != layout.marker:
            self._report(
                self._place,
                "classificationNode",
                f"is no marker of a {layout.kind}",
                node,
                layout.marker,
                "ITI TF-3 4.2.1.2",
            )

    def _code(self, element: _Element, attribute: str) -> Code:
        fields: dict[str, Any] = {}
        display: InternationalString = ()
        seen: set[str] = set()
        for child in element:
            tag = child.tag
            if tag == SLOT:
                self._slot(child, layouts.CODE, "extra", fields, seen)
            elif tag == _NAME:
                display = self._international(child, attribute)
        code = element.get("nodeRepresentation", "").strip()
        if len(code) > _LONG_NAME:
            self._report(self._place, attribute, "code is too long", code, f"at most {_LONG_NAME} characters")
        if not fields.get("scheme"):
            self._report(
                self._place, attribute, "has no codingScheme", code, "a slot codingScheme, one value", _CODES
            )
        return Code(code, fields.get("scheme") or "", display, fields.get("extra", ()))

    def _author(self, element: _Element) -> Author:
        if element.get("nodeRepresentation") is None:
            self._report.unless(
                "lookalike_ids",
                self._place,
                "author",
                "Classification has no nodeRepresentation",
                'nodeRepresentation=""',
            )
        fields: dict[str, Any] = {}
        seen: set[str] = set()
        for child in element:
            if child.tag == SLOT:
                self._slot(child, layouts.AUTHOR, "extra", fields, seen)
        return Author(**fields)

    def _identifier(self, element: _Element, name: str, layout: Layout, fields: dict[str, Any]) -> None:
        self._reference(element, "registryObject", name)
        scheme = element.get("identificationScheme", "").strip()
        target = layout.identifiers.get(scheme)
        value = element.get("value", "").strip()
        if target is None:
            self._report(
                self._place,
                "identificationScheme",
                f"is no identifier of a {layout.kind}",
                scheme,
                " or ".join(layout.identifiers),
                _IDENTIFIERS,
            )
        elif target.field in fields:
            self._report(self._place, target.name, "occurs more than once", value, "one", _IDENTIFIERS)
        elif value:
            fields[target.field] = value

    def _reference(self, element: _Element, attribute: str, name: str) -> None:
        """A part must name the object that it belongs to."""
        owner = element.get(attribute)
        if owner is None:
            self._report.schema(self._place, attribute, f"{_local(element)} lacks this attribute")
        elif owner != name and owner.strip() != name:
            self._report(
                self._place,
                attribute,
                f"{_local(element)} belongs to another object than it names",
                owner,
                name,
            )
        if element.get("id") is None:
            self._report.schema(self._place, "id", f"{_local(element)} has no id")

    def _international(self, element: _Element, attribute: str) -> InternationalString:
        texts = []
        for child in element:
            if child.tag != _LOCALIZED:
                continue
            value = child.get("value")
            if value is None:
                self._report(self._place, attribute, "LocalizedString has no value", allowed="a value")
                continue
            if len(value) > self._text_most:
                self._report(
                    self._place, attribute, "text is too long", value, f"at most {self._text_most} characters"
                )
            texts.append(LocalizedString(value, child.get(_LANG), child.get("charset")))
        return tuple(texts)


def _usual_value(slot: _Element) -> str | None:
    """The text of a slot's only Value; None where there is not one ValueList with one Value of text.

    Nearly every slot is so, and an iterator of lxml costs more than the rest of its reading.
    """
    if len(slot) != 1:
        return None
    values = slot[0]
    if len(values) != 1 or values.tag != _VALUE_LIST:
        return None
    value = values[0]
    return None if len(value) or value.tag != _VALUE else value.text or ""


def _local(element: _Element) -> str:
    return str(element.tag).rpartition("}")[2]


_CHILDREN: Final = ", ".join(tag.rpartition("}")[2] for tag in _ORDER)
