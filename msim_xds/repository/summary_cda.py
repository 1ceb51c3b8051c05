"""Writes an index of documents as CDA R2 with the header that PIK HL7 CDA 1.3.2 wants, in Polish.

What the registry does not know is left out or a nullFlavor, never made up: an address, a profession, a
signature under a list that nobody has signed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from lxml import etree

from msim_xds.ihe.names import HL7V3
from msim_xds.metadata.identity import identifier, unescape
from msim_xds.metadata.model import Author, Code, DocumentEntry
from msim_xds.metadata.period import is_dtm

_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_EXT_PL: Final = "http://www.csioz.gov.pl/xsd/extPL/r3"
_STYLESHEET: Final = 'href="CDA_PL_IG_1.3.2.xsl" type="text/xsl"'
_PIK: Final = "2.16.840.1.113883.3.4424.13.10"
_PIK_VERSION: Final = "1.3.2"
_P1_CLASSES: Final = "2.16.840.1.113883.3.4424.11.1.32"
_GENDERS: Final = {"M": "M", "F": "F", "O": "UN", "A": "UN"}  # HL7 v2 table 0001 to AdministrativeGender
#: Templates of an author's organisation, by the root of its id: organisational cell, organisational unit.
_ORGANIZATIONS: Final = {
    "2.16.840.1.113883.3.4424.2.3.3": f"{_PIK}.2.18",
    "2.16.840.1.113883.3.4424.2.3.2": f"{_PIK}.2.17",
}
_SOFTWARE: Final = "msim-xds"
_COLUMNS: Final = (
    "Utworzono",
    "Dokument",
    "Rodzaj",
    "Typ",
    "Autor",
    "Podmiot",
    "Świadczenie",
    "Repozytorium",
    "Identyfikator",
)
_INTRODUCTION: Final = (
    "Spis obejmuje zatwierdzone dokumenty pacjenta zarejestrowane w tym rejestrze. "
    "Nie wymienia dokumentów o wyższym stopniu poufności niż własny."
)
_EMPTY: Final = "W rejestrze nie ma takich dokumentów."


class Line(NamedTuple):
    """One document, in the registry's words: DTM, XCN and XON; empty where unknown."""

    created: str
    title: str
    kind: str
    type: str
    author: str
    institution: str
    start: str
    stop: str
    repository_unique_id: str
    unique_id: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What an index says.

    Attributes:
        entry: the on-demand entry that it is made for.
        repository_unique_id: of the repository that makes it.
        title: its title.
        time: DTM of the newest thing in it.
        patient_info: sourcePatientInfo of the patient.
        lines: the documents, in order.
    """

    entry: DocumentEntry
    repository_unique_id: str
    title: str
    time: str
    patient_info: tuple[str, ...]
    lines: tuple[Line, ...]


class SummaryDocument:
    """An index as a CDA document, without an id at first.

    Args:
        summary: what it says.
        zone: in which people read times.
        scheme: gives the OID of a coding scheme, however it is called.
    """

    def __init__(self, summary: Summary, zone: ZoneInfo, scheme: Callable[[str], str]) -> None:
        self._summary = summary
        self._zone = zone
        self._scheme = scheme
        namespaces: Any = {None: HL7V3, "extPL": _EXT_PL, "xsi": _XSI}
        self._root = etree.Element(
            f"{{{HL7V3}}}ClinicalDocument",
            {f"{{{_XSI}}}type": "extPL:ClinicalDocument"},
            nsmap=namespaces,
        )
        self._root.addprevious(etree.ProcessingInstruction("xml-stylesheet", _STYLESHEET))
        self._head()
        self._record_target()
        self._author()
        self._custodian()
        self._legal_authenticator()
        self._body()

    def octets(self) -> bytes:
        """The document as UTF-8."""
        return etree.tostring(self._root.getroottree(), xml_declaration=True, encoding="UTF-8")

    def identify(self, root: str, extension: str) -> None:
        """Give the document its id, which begins a set of its own: it is no version of an earlier index."""
        for name in ("id", "setId"):
            for element in self._root.iterchildren(f"{{{HL7V3}}}{name}"):
                element.attrib.update({"root": root, "extension": extension})

    # --- header -------------------------------------------------------------------------------------

    def _head(self) -> None:
        root, entry = self._root, self._summary.entry
        _add(root, "typeId", root="2.16.840.1.113883.1.3", extension="POCD_HD000040")
        _add(root, "templateId", root=f"{_PIK}.1.1", extension=_PIK_VERSION)
        _add(root, "id")
        code = self._coded(root, "code", entry.type_code)
        if entry.class_code is not None and self._scheme(entry.class_code.scheme) == _P1_CLASSES:
            self._coded(code, "translation", entry.class_code)
        _add(root, "title", self._summary.title)
        self._time(root, "effectiveTime")
        self._coded(root, "confidentialityCode", next(iter(entry.confidentiality_codes), None))
        _add(root, "languageCode", code="pl-PL")
        _add(root, "setId")
        _add(root, "versionNumber", value="1")

    def _record_target(self) -> None:
        role = _add(_templated(self._root, "recordTarget", "2.3"), "patientRole")
        entry = self._summary.entry
        for cx in dict.fromkeys(filter(None, (entry.patient_id, entry.source_patient_id))):
            found = identifier(cx)
            _add(role, "id", root=found.universal_id, extension=found.value)
        info = dict(each.partition("|")[::2] for each in reversed(self._summary.patient_info))
        if city := _city(info.get("PID-11", "")):
            _add(_add(role, "addr"), "city", city)
        patient = _add(role, "patient")
        if name := info.get("PID-5"):
            _name(patient, _component(name, 0), _component(name, 1), _component(name, 2))
        else:
            _add(patient, "name", nullFlavor="UNK")
        if gender := _GENDERS.get(info.get("PID-8", "")):
            _add(patient, "administrativeGenderCode", code=gender, codeSystem="2.16.840.1.113883.5.1")
        if birth := info.get("PID-7"):
            _add(patient, "birthTime", value=birth[:8])

    def _author(self) -> None:
        """The entry's first author; the software where that is no person."""
        author = self._declared_author()
        element = _templated(self._root, "author", "2.4")
        _add(element, "functionCode", nullFlavor="NI")
        self._time(element, "time")
        assigned = _add(element, "assignedAuthor")
        if author.person:
            _person(assigned, author.person)
        else:
            _add(assigned, "id", root=self._summary.repository_unique_id)
            _add(_add(assigned, "assignedAuthoringDevice"), "softwareName", _SOFTWARE)
        if author.institutions:
            oid, extension, name = _xon(author.institutions[0])
            organization = _add(assigned, "representedOrganization")
            if template := _ORGANIZATIONS.get(oid):
                _add(organization, "templateId", root=template)
            if oid:
                _add(organization, "id", root=oid, extension=extension)
            _add(organization, "name", name)

    def _declared_author(self) -> Author:
        return next(iter(self._summary.entry.authors), Author())

    def _custodian(self) -> None:
        element = _templated(self._root, "custodian", "2.5")
        organization = _add(_add(element, "assignedCustodian"), "representedCustodianOrganization")
        oid, extension, name = _xon(next(iter(self._declared_author().institutions), ""))
        if oid:
            _add(organization, "id", root=oid, extension=extension, displayable="false")
        else:
            _add(organization, "id", root=self._summary.repository_unique_id, displayable="false")
        if name:
            _add(organization, "name", name)

    def _legal_authenticator(self) -> None:
        """Whom the entry itself names."""
        if xcn := self._summary.entry.legal_authenticator:
            element = _templated(self._root, "legalAuthenticator", "2.6")
            self._time(element, "time")
            _add(element, "signatureCode", code="S")
            _person(_add(element, "assignedEntity"), xcn)

    # --- body ---------------------------------------------------------------------------------------

    def _body(self) -> None:
        body = _add(_add(self._root, "component"), "structuredBody")
        section = _add(_add(body, "component"), "section")
        _add(section, "title", self._summary.title)
        text = _add(section, "text")
        _add(text, "paragraph", _INTRODUCTION)
        if not self._summary.lines:
            _add(text, "paragraph", _EMPTY)
            return
        table = _add(text, "table", border="1")
        head = _add(_add(table, "thead"), "tr")
        for column in _COLUMNS:
            _add(head, "th", column)
        rows = _add(table, "tbody")
        for number, line in enumerate(self._summary.lines, 1):
            row = _add(rows, "tr", ID=f"DOKUMENT_{number}")
            for cell in self._cells(line):
                _add(row, "td", cell)

    def _cells(self, line: Line) -> tuple[str, ...]:
        """In the order of ``_COLUMNS``."""
        start, stop = self._shown(line.start), self._shown(line.stop)
        return (
            self._shown(line.created),
            line.title or "(bez tytułu)",
            line.kind,
            line.type,
            _shown_person(line.author),
            _xon(line.institution).name,
            start if start == stop or not stop else f"{start} – {stop}",
            line.repository_unique_id,
            line.unique_id,
        )

    def _shown(self, dtm: str) -> str:
        """A DTM as people here write it, as precise as it is."""
        if not is_dtm(dtm):
            return dtm
        if len(dtm) < len("YYYYMMDDhhmm"):  # an hour alone says little, and a day has no zone
            return ".".join(filter(None, (dtm[6:8], dtm[4:6], dtm[:4])))
        moment = datetime.strptime(dtm[:12], "%Y%m%d%H%M").replace(tzinfo=UTC)
        return moment.astimezone(self._zone).strftime("%d.%m.%Y %H:%M")

    def _time(self, parent: etree._Element, name: str) -> None:
        """The document's time, which is the same wherever its header asks for one."""
        time = self._summary.time
        if is_dtm(time):
            _add(parent, name, value=f"{time}+0000" if len(time) > len("YYYYMMDD") else time)
        else:
            _add(parent, name, nullFlavor="NI")

    def _coded(self, parent: etree._Element, name: str, code: Code | None) -> etree._Element:
        if code is None:
            return _add(parent, name, nullFlavor="NI")
        scheme = self._scheme(code.scheme)
        where = {"codeSystem": scheme} if scheme[:1].isdigit() else {"codeSystemName": scheme}
        display = code.display[0].value if code.display else code.code
        return _add(parent, name, code=code.code, **where, displayName=display)


class _Organization(NamedTuple):
    oid: str
    extension: str
    name: str


def _add(parent: etree._Element, name: str, text: str | None = None, **attributes: str) -> etree._Element:
    """A child; attributes without a value are left out."""
    given = {key: value for key, value in attributes.items() if value}
    element = etree.SubElement(parent, f"{{{HL7V3}}}{name}", given)
    element.text = text
    return element


def _templated(parent: etree._Element, name: str, template: str) -> etree._Element:
    element = _add(parent, name)
    _add(element, "templateId", root=f"{_PIK}.{template}")
    return element


def _component(field: str, index: int) -> str:
    """A component of an HL7 v2 field, the first subcomponent of it, without escapes."""
    parts = field.partition("~")[0].split("^")
    return unescape(parts[index].partition("&")[0]).strip() if index < len(parts) else ""


def _city(address: str) -> str:
    """The city of an XAD; P1's clients send nothing but the city."""
    return _component(address, 2 if "^" in address else 0)


def _authority(field: str, index: int) -> str:
    """The OID of an assigning authority ``&OID&ISO``."""
    parts = field.split("^")
    return parts[index].strip("&").partition("&")[0] if index < len(parts) else ""


def _xon(xon: str) -> _Organization:
    """An organisation: id and name (ITI TF-3 Table 4.2.3.1.7-2)."""
    oid, extension, name = _authority(xon, 5), _component(xon, 9), _component(xon, 0)
    if not oid and extension[:1].isdigit() and "." in extension:  # XON.10 alone is the OID itself
        return _Organization(extension, "", name)
    return _Organization(oid, extension, name)


def _person(parent: etree._Element, xcn: str) -> None:
    """A person's id and name (ITI TF-3 Table 4.2.3.1.7-2)."""
    oid, extension = _authority(xcn, 8), _component(xcn, 0)
    if oid and extension:
        _add(parent, "id", root=oid, extension=extension)
    else:
        _add(parent, "id", nullFlavor="NI")
    names = [_component(xcn, index) for index in (1, 2, 3, 5)]
    if any(names):
        family, given, further, prefix = names
        _name(_add(parent, "assignedPerson"), family, given, further, prefix)


def _name(parent: etree._Element, family: str, given: str, further: str, prefix: str = "") -> None:
    element = _add(parent, "name")
    for kind, text in (("prefix", prefix), ("given", given), ("given", further), ("family", family)):
        if text:
            _add(element, kind, text)


def _shown_person(xcn: str) -> str:
    """Title, given names and family name; the id where there is no name."""
    names = [_component(xcn, index) for index in (5, 2, 3, 1)]
    return " ".join(filter(None, names)) or _component(xcn, 0)
