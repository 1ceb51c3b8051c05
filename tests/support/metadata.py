"""Valid ebRIM submissions for tests, each value replaceable: the sender's side, written independently of the product."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections.abc import Iterable, Mapping
from xml.sax.saxutils import escape, quoteattr

RIM = "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"
LCM = "urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0"
XDS = "urn:ihe:iti:xds-b:2007"
HAS_MEMBER = "urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember"
RPLC, APND, XFRM, XFRM_RPLC, SIGNS = (
    f"urn:ihe:iti:2007:AssociationType:{name}" for name in ("RPLC", "APND", "XFRM", "XFRM_RPLC", "signs")
)
SNAPSHOT = "urn:ihe:iti:2010:AssociationType:IsSnapshotOf"
STABLE, ON_DEMAND = (
    "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1",
    "urn:uuid:34268e47-fdf5-41a6-ba33-82133c465248",
)
SUBMISSION_SET = "urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd"
APPROVED = "urn:oasis:names:tc:ebxml-regrep:StatusType:Approved"
DEPRECATED = "urn:oasis:names:tc:ebxml-regrep:StatusType:Deprecated"
PATIENT = "58831404726^^^&2.16.840.1.113883.3.4424.1.1.616&ISO"
OTHER_PATIENT = "84910211372^^^&2.16.840.1.113883.3.4424.1.1.616&ISO"
REPOSITORY = "2.16.840.1.113883.3.4424.2.7.99999.24.1"
SOURCE = "2.16.840.1.113883.3.4424.2.7.99999"
AUTHOR = "2999999^Wzorcowy^Adam^^^dr^^^&2.16.840.1.113883.3.4424.1.6.2&ISO"

_numbers = itertools.count(1)
_RUN = uuid.uuid4().int % 10**12

SCHEMES = {
    "author": "93606bcf-9494-43ec-9b4e-a7748d1a838d",
    "classCode": "41a5887f-8865-4c09-adf7-e362475b143a",
    "confidentialityCode": "f4f85eac-e6cb-4883-b524-f2705394840f",
    "eventCodeList": "2c6b8cb7-8b2a-4051-b291-b1ae6a575ef4",
    "formatCode": "a09d5840-386c-46f2-b5ad-9c3699a4309d",
    "healthcareFacilityTypeCode": "f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1",
    "practiceSettingCode": "cccf5598-8b07-4b77-a05e-ae952c785ead",
    "typeCode": "f0306f51-975f-434e-a61c-c59651d33983",
    "contentTypeCode": "aa543740-bdda-424e-8c96-df4873be8500",
    "codeList": "1ba97051-7806-41a8-a48b-8fce7af683c5",
}
#: Codes of the shipped Polish table: (code, scheme, display).
CODES: Mapping[str, tuple[str, str, str]] = {
    "classCode": ("00.20", "2.16.840.1.113883.3.4424.11.1.32", "Karta informacyjna leczenia szpitalnego"),
    "typeCode": ("18842-5", "2.16.840.1.113883.6.1", "Discharge summary"),
    "formatCode": (
        "urn:ihe:iti:xds:2017:mimeTypeSufficient",
        "1.3.6.1.4.1.19376.1.2.3",
        "mimeType Sufficient",
    ),
    "healthcareFacilityTypeCode": ("4500", "2.16.840.1.113883.3.4424.11.2.4", "Oddział chirurgiczny ogólny"),
    "practiceSettingCode": ("05", "Dziedzina medyczna", "Chirurgia ogólna"),
    "confidentialityCode": ("N", "2.16.840.1.113883.5.25", "normal"),
    "contentTypeCode": ("18842-5", "2.16.840.1.113883.6.1", "Discharge summary"),
    "codeList": ("00.20", "2.16.840.1.113883.3.4424.11.1.32", "Karta informacyjna"),
}


def new_uuid() -> str:
    """A fresh urn:uuid."""
    return f"urn:uuid:{uuid.uuid4()}"


def new_oid() -> str:
    """A fresh OID below the sample node."""
    return f"2.16.840.1.113883.3.4424.2.7.99999.7.{_RUN}.{next(_numbers)}"


def slot(name: str, *values: str) -> str:
    """A rim:Slot."""
    inner = "".join(f"<rim:Value>{escape(v)}</rim:Value>" for v in values)
    return f"<rim:Slot name={quoteattr(name)}><rim:ValueList>{inner}</rim:ValueList></rim:Slot>"


def text(element: str, value: str | None) -> str:
    """rim:Name or rim:Description."""
    if value is None:
        return ""
    return f'<rim:{element}><rim:LocalizedString xml:lang="pl-PL" charset="UTF-8" value={quoteattr(value)}/></rim:{element}>'


def classification(owner: str, scheme: str, code: tuple[str, str, str]) -> str:
    """A code."""
    return (
        f'<rim:Classification id="{new_uuid()}" classificationScheme="urn:uuid:{scheme}" classifiedObject={quoteattr(owner)}'
        f" nodeRepresentation={quoteattr(code[0])}>{slot('codingScheme', code[1])}{text('Name', code[2])}</rim:Classification>"
    )


def identifier(owner: str, scheme: str, name: str, value: str | None) -> str:
    """A rim:ExternalIdentifier."""
    if value is None:
        return ""
    return (
        f'<rim:ExternalIdentifier id="{new_uuid()}" identificationScheme="urn:uuid:{scheme}" registryObject={quoteattr(owner)}'
        f" value={quoteattr(value)}>{text('Name', name)}</rim:ExternalIdentifier>"
    )


def _slots(values: Mapping[str, str | Iterable[str] | None]) -> str:
    out = []
    for name, value in values.items():
        if value is not None:
            out.append(slot(name, *([value] if isinstance(value, str) else value)))
    return "".join(out)


def author(owner: str, scheme: str, person: str = AUTHOR) -> str:
    """An author Classification."""
    return (
        f'<rim:Classification id="{new_uuid()}" classificationScheme="urn:uuid:{scheme}" classifiedObject={quoteattr(owner)}'
        f' nodeRepresentation="">{slot("authorPerson", person)}'
        + slot(
            "authorInstitution",
            "Szpital Przykładowy w Krakowie^^^^^&2.16.840.1.113883.3.4424.2.3.1&ISO^^^^000000999901",
        )
        + slot("authorRole", "Lekarz")
        + "</rim:Classification>"
    )


def document_entry(
    id: str = "Document01",
    *,
    unique_id: str | None = "",
    patient_id: str | None = PATIENT,
    content: bytes | None = b"hello",
    repository: str | None = REPOSITORY,
    codes: Mapping[str, tuple[str, str, str] | list[tuple[str, str, str]] | None] | None = None,
    slots: Mapping[str, str | Iterable[str] | None] | None = None,
    title: str | None = "Karta informacyjna",
    comments: str | None = None,
    authors: tuple[str, ...] = (AUTHOR,),
    attributes: str = "",
    object_type: str = STABLE,
    mime_type: str | None = "text/xml",
    extra: str = "",
) -> str:
    """A complete rim:ExtrinsicObject; a None value leaves the attribute out; ``content`` gives hash and size."""
    all_slots: dict[str, str | Iterable[str] | None] = {
        "creationTime": "20260914113000",
        "languageCode": "pl-PL",
        "sourcePatientId": "104233^^^&2.16.840.1.113883.3.4424.2.7.99999.17.1&ISO",
        "repositoryUniqueId": repository,
        "hash": None if content is None else hashlib.sha1(content).hexdigest(),
        "size": None if content is None else str(len(content)),
        **(slots or {}),
    }
    names = (
        "classCode",
        "typeCode",
        "formatCode",
        "healthcareFacilityTypeCode",
        "practiceSettingCode",
        "confidentialityCode",
    )
    all_codes: dict[str, tuple[str, str, str] | list[tuple[str, str, str]] | None] = {
        **{name: CODES[name] for name in names},
        **(codes or {}),
    }
    inner = _slots(all_slots) + text("Name", title) + text("Description", comments)
    inner += "".join(author(id, SCHEMES["author"], person) for person in authors)
    for name, value in all_codes.items():
        for code in value if isinstance(value, list) else [value]:
            if code is not None:
                inner += classification(id, SCHEMES[name], code)
    inner += identifier(id, "58a6f841-87b3-4a3e-92fd-a8ffeff98427", "XDSDocumentEntry.patientId", patient_id)
    uid = new_oid() if unique_id == "" else unique_id
    inner += identifier(id, "2e82c1f6-a085-4c72-9da3-8640a32e42ab", "XDSDocumentEntry.uniqueId", uid)
    mime = "" if mime_type is None else f" mimeType={quoteattr(mime_type)}"
    return f'<rim:ExtrinsicObject id={quoteattr(id)} objectType="{object_type}"{mime}{attributes}>{inner}{extra}</rim:ExtrinsicObject>'


def on_demand_entry(
    id: str = "Document01", slots: Mapping[str, str | Iterable[str] | None] | None = None, **options: object
) -> str:
    """A complete on-demand DocumentEntry: as ``document_entry``, without what only content has."""
    return document_entry(
        id,
        object_type=ON_DEMAND,
        content=None,
        slots={"creationTime": None, **(slots or {})},
        **options,  # type: ignore[arg-type]
    )


def _marker(owner: str, node: str) -> str:
    return f'<rim:Classification id="{new_uuid()}" classifiedObject={quoteattr(owner)} classificationNode="urn:uuid:{node}"/>'


def submission_set(
    id: str = "SubmissionSet01",
    *,
    unique_id: str | None = "",
    patient_id: str | None = PATIENT,
    source_id: str | None = SOURCE,
    submission_time: str | None = "20260914113512",
    content_type: tuple[str, str, str] | None = CODES["contentTypeCode"],
    slots: Mapping[str, str | Iterable[str] | None] | None = None,
    title: str | None = "Wysyłka EDM",
    authors: tuple[str, ...] = (AUTHOR,),
    attributes: str = "",
    extra: str = "",
) -> str:
    """A complete SubmissionSet."""
    uid = new_oid() if unique_id == "" else unique_id
    inner = _slots({"submissionTime": submission_time, **(slots or {})}) + text("Name", title)
    inner += "".join(author(id, "a7058bb9-b4e4-4307-ba5b-e3f0ab85e12d", person) for person in authors)
    if content_type is not None:
        inner += classification(id, SCHEMES["contentTypeCode"], content_type)
    inner += _marker(id, SUBMISSION_SET.removeprefix("urn:uuid:"))
    inner += identifier(id, "6b5aea1a-874d-4603-a4bc-96a0a7b38446", "XDSSubmissionSet.patientId", patient_id)
    inner += identifier(id, "554ac39e-e3fe-47fe-b233-965d2a147832", "XDSSubmissionSet.sourceId", source_id)
    inner += identifier(id, "96fdda7c-d067-4183-912e-bf5ee74998a8", "XDSSubmissionSet.uniqueId", uid)
    return f"<rim:RegistryPackage id={quoteattr(id)}{attributes}>{inner}{extra}</rim:RegistryPackage>"


def folder(
    id: str = "Folder01",
    *,
    unique_id: str | None = "",
    patient_id: str | None = PATIENT,
    codes: tuple[tuple[str, str, str], ...] = (CODES["codeList"],),
    title: str | None = "Teczka",
    attributes: str = "",
    extra: str = "",
) -> str:
    """A complete Folder."""
    uid = new_oid() if unique_id == "" else unique_id
    inner = text("Name", title)
    inner += "".join(classification(id, SCHEMES["codeList"], code) for code in codes)
    inner += _marker(id, "d9d542f3-6cc4-48b6-8870-ea235fbc94c2")
    inner += identifier(id, "f64ffdf0-4b97-4e06-b79f-a52b38ec2f8a", "XDSFolder.patientId", patient_id)
    inner += identifier(id, "75df8f67-9973-4fbe-a900-df66cefecc5a", "XDSFolder.uniqueId", uid)
    return f"<rim:RegistryPackage id={quoteattr(id)}{attributes}>{inner}{extra}</rim:RegistryPackage>"


def association(
    source: str,
    target: str,
    type: str = HAS_MEMBER,
    *,
    id: str = "",
    status: str | None = None,
    slots: Mapping[str, str | Iterable[str] | None] | None = None,
    extra: str = "",
) -> str:
    """A rim:Association; ``status`` is the SubmissionSetStatus slot."""
    inner = _slots({"SubmissionSetStatus": status, **(slots or {})})
    return (
        f'<rim:Association id={quoteattr(id or new_uuid())} associationType="{type}" sourceObject={quoteattr(source)}'
        f" targetObject={quoteattr(target)}>{inner}{extra}</rim:Association>"
    )


def original(target: str = "Document01", source: str = "SubmissionSet01") -> str:
    """The HasMember that puts a new DocumentEntry into its SubmissionSet."""
    return association(source, target, status="Original")


def submit_objects(*objects: str) -> bytes:
    """lcm:SubmitObjectsRequest."""
    return (
        f'<lcm:SubmitObjectsRequest xmlns:lcm="{LCM}" xmlns:rim="{RIM}"><rim:RegistryObjectList>'
        f"{''.join(objects)}</rim:RegistryObjectList></lcm:SubmitObjectsRequest>"
    ).encode()


def single_document(**options: object) -> bytes:
    """One SubmissionSet with one DocumentEntry; options go to ``document_entry``."""
    patient = options.get("patient_id", PATIENT)
    return submit_objects(
        submission_set(patient_id=patient),  # type: ignore[arg-type]
        document_entry(**options),  # type: ignore[arg-type]
        original(),
    )
