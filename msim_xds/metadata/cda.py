"""What a CDA R2 header says about its document, in the forms that XDS metadata wants.

No field is guaranteed: real documents break their own guides, so whatever is absent, a nullFlavor or no
proper value is None or empty, never an error. Polish documents (PIK HL7 CDA) are known by their templates.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final

from msim_xds.metadata.model import Author, Code, LocalizedString

if TYPE_CHECKING:
    from lxml.etree import _Element

CDA: Final = "urn:hl7-org:v3"
_POLAND: Final = "2.16.840.1.113883.3.4424"
_NATIONAL_PERSON_IDS: Final = _POLAND + ".1.1."  # PESEL is .616; other countries have their ISO 3166-1 number
_PROVIDER_BOOK: Final = _POLAND + ".2.3.1"
_P1_CLASSES: Final = _POLAND + ".11.1.32"
_PIK_TEMPLATES: Final = _POLAND + ".13.10.1."
PIK_FORMAT: Final = Code(
    "urn:extPL:pl-cda", "Kody formatów P1", (LocalizedString("PIK HL7 CDA", "pl-PL", "UTF-8"),)
)

_NS: Final = {"h": CDA}
_OID: Final = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")
_TS: Final = re.compile(
    r"(?P<digits>\d{4}(?:\d\d){0,5})(?:\.\d{1,9})?(?:(?P<sign>[+-])(?P<hours>\d\d)(?P<minutes>\d\d))?",
    re.ASCII,
)
_FORMATS: Final = {10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_GENDERS: Final = {"M": "M", "F": "F", "UN": "O"}  # HL7 V3 AdministrativeGender to HL7 v2 table 0001
_ESCAPES: Final = str.maketrans(
    {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\", "\n": " ", "\r": " ", "\t": " "}
)


class NotCda(ValueError):
    """The XML is no CDA R2 document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CdaHeader:
    """A CDA header's facts; codes, CX, XCN, XON and DTM (UTC) as ITI TF-3 4.2.3.1.2 writes them.

    ``patient_ids`` begins with the national number if there is one. ``replaces`` holds the uniqueIds of the
    documents that this one is a new version of (relatedDocument RPLC). ``CdaHeader()`` says nothing.
    """

    unique_id: str | None = None
    set_id: str | None = None
    version_number: str | None = None
    title: str | None = None
    language_code: str | None = None
    creation_time: str | None = None
    service_start_time: str | None = None
    service_stop_time: str | None = None
    class_code: Code | None = None
    type_code: Code | None = None
    format_code: Code | None = None
    confidentiality_code: Code | None = None
    healthcare_facility_type_code: Code | None = None
    patient_ids: tuple[str, ...] = ()
    patient_info: tuple[str, ...] = ()
    authors: tuple[Author, ...] = ()
    legal_authenticator: str | None = None
    replaces: tuple[str, ...] = ()


def read(root: _Element) -> CdaHeader:
    """The header of a parsed ClinicalDocument.

    Raises:
        NotCda: the root element is not ClinicalDocument of CDA R2.

    Source: HL7 CDA R2 4.2; PIK HL7 CDA 1.3.2; ITI TF-3 4.2.3.2 for the target forms.
    """
    if root.tag != f"{{{CDA}}}ClinicalDocument":
        raise NotCda("root element is not ClinicalDocument in namespace urn:hl7-org:v3")
    start, stop = _service_times(root)
    return CdaHeader(
        unique_id=_identifier(_find(root, "h:id")),
        set_id=_identifier(_find(root, "h:setId")),
        version_number=_attribute(_find(root, "h:versionNumber"), "value"),
        title=_text(_find(root, "h:title")),
        language_code=_attribute(_find(root, "h:languageCode"), "code"),
        creation_time=dtm(_attribute(_find(root, "h:effectiveTime"), "value")),
        service_start_time=start,
        service_stop_time=stop,
        class_code=_class_code(root),
        type_code=_code(_find(root, "h:code")),
        format_code=PIK_FORMAT if _is_polish(root) else None,
        confidentiality_code=_code(_find(root, "h:confidentialityCode")),
        healthcare_facility_type_code=_code(
            _find(root, "h:componentOf/h:encompassingEncounter/h:location/h:healthCareFacility/h:code")
        ),
        patient_ids=_patient_ids(root),
        patient_info=tuple(_patient_info(root)),
        authors=tuple(_authors(root)),
        legal_authenticator=_legal_authenticator(root),
        replaces=tuple(_replaces(root)),
    )


def dtm(ts: str | None) -> str | None:
    """A CDA point in time as DTM in UTC; None where it is no time. Without a zone it is taken as UTC.

    The precision stays, fractions of a second go (ITI TF-3 Table 4.2.3.1.7-2).
    """
    match = _TS.fullmatch(ts or "")
    if match is None:
        return None
    digits = match["digits"]
    try:
        padded = digits + "00010101000000"[len(digits) :]
        local = datetime.strptime(padded, "%Y%m%d%H%M%S").replace(tzinfo=_zone(match))
        shape = _FORMATS.get(len(digits))
        return local.astimezone(UTC).strftime(shape) if shape else digits
    except (ValueError, OverflowError):
        return None


def _zone(match: re.Match[str]) -> timezone:
    if match["sign"] is None:
        return UTC
    offset = timedelta(hours=int(match["hours"]), minutes=int(match["minutes"]))
    return timezone(-offset if match["sign"] == "-" else offset)


def _find(element: _Element | None, path: str) -> _Element | None:
    return None if element is None else element.find(path, _NS)


def _attribute(element: _Element | None, name: str) -> str | None:
    if element is None or element.get("nullFlavor"):
        return None
    return " ".join((element.get(name) or "").split()) or None


def _text(element: _Element | None) -> str | None:
    if element is None:
        return None
    return " ".join(str(element.xpath("string()")).split()) or None


def _oid(root: str | None) -> str | None:
    """The OID of an instance identifier's root; a UUID becomes its OID below 2.25 (ITU-T X.667)."""
    if root is None or _OID.fullmatch(root):
        return root
    try:
        return f"2.25.{uuid.UUID(root).int}"
    except ValueError:
        return None


def _identifier(element: _Element | None) -> str | None:
    """``root^extension``, or ``root`` alone (ITI TF-3 4.2.3.2.26)."""
    root, extension = _oid(_attribute(element, "root")), _attribute(element, "extension")
    if root is None:
        return None
    return f"{root}^{extension}" if extension else root


def _code(element: _Element | None) -> Code | None:
    code, scheme = _attribute(element, "code"), _attribute(element, "codeSystem")
    if code is None or scheme is None:
        return None
    display = _attribute(element, "displayName")
    return Code(code, scheme, (LocalizedString(display),) if display else ())


def _class_code(root: _Element) -> Code | None:
    translations = map(_code, root.iterfind("h:code/h:translation", _NS))
    return next((code for code in translations if code and code.scheme == _P1_CLASSES), None)


def _is_polish(root: _Element) -> bool:
    return any(
        (template.get("root") or "").startswith(_PIK_TEMPLATES)
        for template in root.iterfind("h:templateId", _NS)
    )


def _service_times(root: _Element) -> tuple[str | None, str | None]:
    """Start and stop of the service, else of the encounter; none where they contradict each other."""
    for path in ("h:documentationOf/h:serviceEvent", "h:componentOf/h:encompassingEncounter"):
        for owner in root.iterfind(path, _NS):
            time = _find(owner, "h:effectiveTime")
            point = _attribute(time, "value")
            start = dtm(_attribute(_find(time, "h:low"), "value") or point)
            stop = dtm(_attribute(_find(time, "h:high"), "value") or point)
            if start and stop and start[: len(stop)] > stop[: len(start)]:
                continue
            if start or stop:
                return start, stop
    return None, None


def _escape(text: str | None) -> str:
    """Text inside a component of an HL7 v2 field (ITI TF-3 4.2.3.1.7)."""
    return (text or "").translate(_ESCAPES)


def _patient_ids(root: _Element) -> tuple[str, ...]:
    found = []
    for element in root.iterfind("h:recordTarget/h:patientRole/h:id", _NS):
        oid, extension = _oid(_attribute(element, "root")), _attribute(element, "extension")
        if oid and extension:
            found.append((not oid.startswith(_NATIONAL_PERSON_IDS), f"{_escape(extension)}^^^&{oid}&ISO"))
    return tuple(cx for _, cx in sorted(found, key=lambda pair: pair[0]))


def _patient_info(root: _Element) -> Iterator[str]:
    """sourcePatientInfo: name, birth date, sex, city (ITI TF-3 4.2.3.2.23)."""
    role = _find(root, "h:recordTarget/h:patientRole")
    patient = _find(role, "h:patient")
    family, given, further, *_ = _name_parts(_find(patient, "h:name"))
    if family or given:
        yield f"PID-5|{family}^{given}^{further}^^^^^"
    birth = dtm((_attribute(_find(patient, "h:birthTime"), "value") or "")[:8])
    if birth:
        yield f"PID-7|{birth}"
    gender = _GENDERS.get(_attribute(_find(patient, "h:administrativeGenderCode"), "code") or "")
    if gender:
        yield f"PID-8|{gender}"
    city = _text(_find(role, "h:addr/h:city"))
    if city:
        yield f"PID-11|^^{_escape(city)}"


def _name_parts(name: _Element | None) -> tuple[str, str, str, str, str]:
    """Family, given, further given, suffix, prefix of a person's name, escaped."""
    if name is None:
        return "", "", "", "", ""

    def parts(kind: str) -> list[str]:
        elements = name.iterfind(f"h:{kind}", _NS)
        return [_escape(text) for e in elements if e.get("qualifier") != "CL" and (text := _text(e))]

    family, given = " ".join(parts("family")), parts("given")
    if not family and not given:
        family = _escape(_text(name))
    suffix, prefix = " ".join(parts("suffix")), " ".join(parts("prefix"))
    return family, " ".join(given[:1]), " ".join(given[1:]), suffix, prefix


def _xcn(entity: _Element | None) -> str | None:
    """A person: identifier and name of an assignedAuthor or assignedEntity (ITI TF-3 4.2.3.1.7)."""
    if entity is None:
        return None
    family, given, further, suffix, prefix = _name_parts(_find(entity, "h:assignedPerson/h:name"))
    oid = extension = None
    for element in entity.iterfind("h:id", _NS):
        oid, extension = _oid(_attribute(element, "root")), _attribute(element, "extension")
        if oid and extension:
            break
    known = bool(oid and extension)
    if not known and not family:
        return None
    fields = [_escape(extension) if known else "", family, given, further, suffix, prefix, "", ""]
    return "^".join([*fields, f"&{oid}&ISO"] if known else fields).rstrip("^")


def _organizations(author: _Element) -> Iterator[_Element]:
    """The author's organisation and those it is part of, from the inside out."""
    organization = _find(author, "h:representedOrganization")
    while organization is not None:
        yield organization
        organization = _find(organization, "h:asOrganizationPartOf/h:wholeOrganization")


def _xon(author: _Element) -> str | None:
    """The organisation: a Polish provider by its book number, else the innermost that has a name."""
    candidates = []
    for organization in _organizations(author):
        ids = [
            (oid, _attribute(element, "extension"))
            for element in organization.iterfind("h:id", _NS)
            if (oid := _oid(_attribute(element, "root")))
        ]
        ids.sort(key=lambda pair: pair[0] != _PROVIDER_BOOK)
        if name := _text(_find(organization, "h:name")):
            candidates.append((_escape(name), *(ids[0] if ids else (None, None))))
    candidates.sort(key=lambda candidate: candidate[1] != _PROVIDER_BOOK)
    for name, oid, extension in candidates[:1]:
        if oid and extension:
            return f"{name}^^^^^&{oid}&ISO^^^^{_escape(extension)}"
        return f"{name}^^^^^^^^^{oid}" if oid else name
    return None


def _authors(root: _Element) -> Iterator[Author]:
    for author in root.iterfind("h:author", _NS):
        assigned = _find(author, "h:assignedAuthor")
        if assigned is None:
            continue
        function, profession = _find(author, "h:functionCode"), _find(assigned, "h:code")
        role = _attribute(function, "displayName") or _attribute(function, "code")
        specialty = _attribute(profession, "displayName") or _attribute(profession, "code")
        person, institution = _xcn(assigned), _xon(assigned)
        if person:
            yield Author(
                person,
                institutions=(institution,) if institution else (),
                roles=(role,) if role else (),
                specialties=(specialty,) if specialty else (),
            )


def _legal_authenticator(root: _Element) -> str | None:
    """The XCN; PIK lets the name be absent where the id is an author's, whose XCN it then is."""
    xcn = _xcn(_find(root, "h:legalAuthenticator/h:assignedEntity"))
    if xcn is None:
        return None
    identity = xcn.partition("^")[0]
    if identity and not xcn.split("^")[1]:
        same = (_xcn(assigned) for assigned in root.iterfind("h:author/h:assignedAuthor", _NS))
        return next((person for person in same if person and person.partition("^")[0] == identity), xcn)
    return xcn


def _replaces(root: _Element) -> Iterator[str]:
    for related in root.iterfind("h:relatedDocument", _NS):
        if related.get("typeCode") == "RPLC":
            for element in related.iterfind("h:parentDocument/h:id", _NS):
                if identifier := _identifier(element):
                    yield identifier
