"""The entries and requests that the benchmarks use, and how a request is made in process."""

from __future__ import annotations

import io
import sys
import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from msim_xds.ihe.names import (
    QUERY,
    RIM,
    SOAP,
    STABLE_OBJECT_TYPE,
    WSA,
    WSA_ANONYMOUS,
    XDS,
    XOP,
    AssociationType,
    Status,
)
from msim_xds.metadata import fragments
from msim_xds.metadata.model import (
    Association,
    Author,
    Code,
    DocumentEntry,
    LocalizedString,
    Submission,
    SubmissionSet,
)

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

SOAP_TYPE: Final = "application/soap+xml; charset=UTF-8"
REPOSITORY: Final = "2.16.840.1.113883.3.4424.2.7.99999.24.1"
FIND_DOCUMENTS: Final = "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d"
GET_DOCUMENTS: Final = "urn:uuid:5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4"
#: Entries of the patients that have many and of those that have few; half of all entries belong to each.
MANY, FEW = 100, 10
_FIRST_WITH_FEW: Final = 1000001
_FACILITIES: Final = "2.16.840.1.113883.3.4424.11.2.1"


class Message(NamedTuple):
    """A request's body and its Content-Type."""

    body: bytes
    content_type: str = SOAP_TYPE


def patients(entries: int) -> list[tuple[int, int]]:
    """(patient, number of entries) of a store that holds so many entries."""
    few = entries // 2 // FEW
    return [(n, MANY) for n in range(1, entries // 2 // MANY + 1)] + [
        (n, FEW) for n in range(_FIRST_WITH_FEW, _FIRST_WITH_FEW + few)
    ]


def patient_of(i: int, entries: int) -> int:
    """Owner of entry ``i``: scattered, so that the rows of one patient are no neighbours."""
    half = entries // 2
    place = i * 7919 % entries  # 7919 is prime, and a store's size has the factors 2 and 5 only
    return 1 + place % (half // MANY) if place < half else _FIRST_WITH_FEW + (place - half) % (half // FEW)


def patient_id(patient: int) -> str:
    """A patient's CX."""
    return f"{patient:011d}^^^&2.16.840.1.113883.3.4424.1.1.616&ISO"


def entry_uuid(i: int) -> str:
    """entryUUID of entry ``i``."""
    return f"urn:uuid:{uuid.UUID(int=(0xA5 << 120) + i)}"


def unique_id(i: int) -> str:
    """uniqueId of entry ``i``."""
    return f"2.16.840.1.113883.3.4424.2.7.9.{i}"


def _text(value: str) -> tuple[LocalizedString, ...]:
    return (LocalizedString(value, "pl-PL", "UTF-8"),)


def _code(code: str, scheme: str, display: str) -> Code:
    return Code(code, scheme, _text(display))


def document_entry(i: int, patient: int) -> DocumentEntry:
    """Entry ``i`` with everything that a Polish hospital system fills in, about 8 kB of ebRIM."""
    time = (
        f"20{21 + i % 6}{1 + i // 7 % 12:02d}{1 + i // 11 % 28:02d}{i % 24:02d}{i % 60:02d}{i // 13 % 60:02d}"
    )
    doctor = f"{i % 5000:07d}^Kowalski^Jan"
    people = "^^^lek.^^^&2.16.840.1.113883.3.4424.1.6.2&ISO"
    hospital = "Szpital Wojewódzki^^^^^&2.16.840.1.113883.3.4424.2.3.1&ISO^^^^"
    return DocumentEntry(
        entry_uuid=entry_uuid(i),
        object_type=STABLE_OBJECT_TYPE,
        mime_type="text/xml",
        home="urn:oid:2.16.840.1.113883.3.4424.9.1",
        title=_text("Karta informacyjna leczenia szpitalnego"),
        authors=(
            Author(
                person=f"{doctor}{i % 97}{people}",
                institutions=(f"{hospital}{i % 300:09d}",),
                roles=("LEK",),
                specialties=("0731^^^&2.16.840.1.113883.3.4424.11.3&ISO",),
            ),
        ),
        class_code=_code(f"0{i % 6}.10", "2.16.840.1.113883.3.4424.11.1.32", "Dokument medyczny"),
        type_code=_code(f"{i % 20:02d}.80", "2.16.840.1.113883.3.4424.11.1.32", "Karta informacyjna"),
        format_code=_code("urn:extPL:pl-cda", "1.3.6.1.4.1.19376.1.2.3", "PL CDA"),
        healthcare_facility_type_code=_code(f"{i % 9}", _FACILITIES, "Szpital"),
        practice_setting_code=_code(
            f"{i % 40:04d}", "2.16.840.1.113883.3.4424.11.2.4", "Oddział chorób wewnętrznych"
        ),
        confidentiality_codes=(_code("N", "2.16.840.1.113883.5.25", "Normal"),),
        event_codes=(_code(f"I{i % 99:02d}", "2.16.840.1.113883.6.3", "ICD-10"),),
        patient_id=patient_id(patient),
        unique_id=unique_id(i),
        creation_time=time,
        service_start_time=time,
        service_stop_time=time,
        language_code="pl-PL",
        hash=f"{i * 0x9E3779B97F4A7C15 % (1 << 160):040x}",
        size=str(40000 + i % 20000),
        repository_unique_id=REPOSITORY,
        source_patient_id=patient_id(patient),
        source_patient_info=(
            f"PID-3|{patient_id(patient)}",
            "PID-5|Nowak^Anna^^^",
            "PID-7|19700101",
            "PID-8|F",
        ),
        legal_authenticator=f"{doctor}{people}",
        reference_ids=(f"{i}^^^&2.16.840.1.113883.3.4424.2.3&ISO^urn:ihe:iti:xds:2013:accession",),
    )


def submission(i: int, patient: int) -> Submission:
    """Entry ``i`` as a hospital sends it: in a SubmissionSet, its codes from the Polish table."""
    entry = replace(
        document_entry(i, patient),
        home=None,
        hash=None,
        size=None,
        repository_unique_id=None,
        class_code=_code("00.20", "2.16.840.1.113883.3.4424.11.1.32", "Karta informacyjna"),
        type_code=_code("18842-5", "2.16.840.1.113883.6.1", "Discharge summary"),
        format_code=_code(
            "urn:ihe:iti:xds:2017:mimeTypeSufficient", "1.3.6.1.4.1.19376.1.2.3", "mimeType Sufficient"
        ),
        healthcare_facility_type_code=_code("4500", "2.16.840.1.113883.3.4424.11.2.4", "Oddział"),
        practice_setting_code=_code("05", "Dziedzina medyczna", "Chirurgia ogólna"),
    )
    package = SubmissionSet(
        entry_uuid="SubmissionSet01",
        title=_text("Wysyłka EDM"),
        authors=entry.authors,
        content_type_code=_code("18842-5", "2.16.840.1.113883.6.1", "Discharge summary"),
        patient_id=entry.patient_id,
        source_id="2.16.840.1.113883.3.4424.2.7.99999",
        unique_id=f"{entry.unique_id}.1",
        submission_time="20261114120000",
    )
    member = Association(
        entry_uuid="Member01",
        type=AssociationType.HAS_MEMBER,
        source=package.entry_uuid,
        target=entry.entry_uuid,
        submission_set_status=("Original",),
    )
    return Submission((package,), (entry,), (), (member,))


def envelope(action: str, body: str) -> bytes:
    """A SOAP 1.2 envelope with the WS-Addressing headers that IHE asks for."""
    return (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:a="{WSA}"><s:Header><a:Action s:mustUnderstand="1">{action}</a:Action>'
        f"<a:MessageID>urn:uuid:{uuid.uuid4()}</a:MessageID><a:ReplyTo><a:Address>{WSA_ANONYMOUS}</a:Address>"
        '</a:ReplyTo><a:To s:mustUnderstand="1">http://127.0.0.1/xds</a:To></s:Header>'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def _query(query_id: str, slots: Iterable[tuple[str, str]]) -> Message:
    inner = "".join(
        f'<rim:Slot name="{name}"><rim:ValueList><rim:Value>{value.replace("&", "&amp;")}</rim:Value></rim:ValueList></rim:Slot>'
        for name, value in slots
    )
    return Message(
        envelope(
            "urn:ihe:iti:2007:RegistryStoredQuery",
            f'<q:AdhocQueryRequest xmlns:q="{QUERY}" xmlns:rim="{RIM}">'
            '<q:ResponseOption returnComposedObjects="true" returnType="LeafClass"/>'
            f'<rim:AdhocQuery id="{query_id}">{inner}</rim:AdhocQuery></q:AdhocQueryRequest>',
        )
    )


def find_documents(patient: int) -> Message:
    """FindDocuments for one patient, with a time range and nine facility codes: all of the patient's entries."""
    facilities = ",".join(f"'{k}^^{_FACILITIES}'" for k in range(9))
    return _query(
        FIND_DOCUMENTS,
        (
            ("$XDSDocumentEntryPatientId", f"'{patient_id(patient)}'"),
            ("$XDSDocumentEntryStatus", f"('{Status.APPROVED}')"),
            ("$XDSDocumentEntryCreationTimeFrom", "20200101000000"),
            ("$XDSDocumentEntryCreationTimeTo", "20270101000000"),
            ("$XDSDocumentEntryHealthcareFacilityTypeCode", f"({facilities})"),
        ),
    )


def all_documents(patient: int) -> Message:
    """FindDocuments for one patient, without any filter."""
    return _query(
        FIND_DOCUMENTS,
        (
            ("$XDSDocumentEntryPatientId", f"'{patient_id(patient)}'"),
            ("$XDSDocumentEntryStatus", f"('{Status.APPROVED}')"),
        ),
    )


def get_documents(parameter: str, value: str) -> Message:
    """GetDocuments of one entry, by ``EntryUUID`` or ``UniqueId``."""
    return _query(GET_DOCUMENTS, ((f"$XDSDocumentEntry{parameter}", f"('{value}')"),))


def retrieve(repository: str, document: str, home: str = "") -> Message:
    """ITI-43 of one document, of another community with ``home``."""
    community = f"<x:HomeCommunityId>{home}</x:HomeCommunityId>" if home else ""
    return Message(
        envelope(
            "urn:ihe:iti:2007:RetrieveDocumentSet",
            f'<x:RetrieveDocumentSetRequest xmlns:x="{XDS}"><x:DocumentRequest>{community}'
            f"<x:RepositoryUniqueId>{repository}</x:RepositoryUniqueId><x:DocumentUniqueId>{document}</x:DocumentUniqueId></x:DocumentRequest>"
            "</x:RetrieveDocumentSetRequest>",
        )
    )


def provide_and_register(i: int, patient: int, document: bytes) -> Message:
    """ITI-41 of entry ``i`` as MTOM."""
    include = f'<xop:Include xmlns:xop="{XOP}" href="cid:document@example"/>'
    root = envelope(
        "urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b",
        f'<x:ProvideAndRegisterDocumentSetRequest xmlns:x="{XDS}">'
        f"{fragments.submit_objects(submission(i, patient)).decode()}"
        f'<x:Document id="{entry_uuid(i)}">{include}</x:Document></x:ProvideAndRegisterDocumentSetRequest>',
    )
    head = (
        b"--boundary01\r\nContent-Type: %s\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <%s>\r\n\r\n"
    )
    body = b"".join(
        (
            head % (b'application/xop+xml; charset=UTF-8; type="application/soap+xml"', b"root@example"),
            root,
            b"\r\n" + head % (b"text/xml", b"document@example"),
            document,
            b"\r\n--boundary01--\r\n",
        )
    )
    return Message(
        body,
        'multipart/related; boundary="boundary01"; type="application/xop+xml"; start="<root@example>";'
        ' start-info="application/soap+xml"',
    )


def call(application: WSGIApplication, path: str, message: Message) -> int:
    """Carry out a request in process; the number of octets in the answer. Raises RuntimeError unless 2xx."""
    answer = list(_chunks(application, path, message))
    return sum(map(len, answer))


def answer(application: WSGIApplication, path: str, message: Message) -> bytes:
    """The answer to a request in process. Raises RuntimeError unless it is a Success."""
    content = b"".join(_chunks(application, path, message))
    if b"ResponseStatusType:Success" not in content:
        raise RuntimeError(f"{path}: {content[:2000].decode('utf-8', 'replace')}")
    return content


def _written(_: bytes) -> None:
    raise RuntimeError("write() of old is not offered (PEP 3333)")


def _chunks(application: WSGIApplication, path: str, message: Message) -> Iterable[bytes]:
    statuses: list[str] = []

    def start_response(
        status: str, _headers: list[tuple[str, str]], _exc_info: OptExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        statuses.append(status)
        return _written

    chunks = application(_environ(path, message), start_response)
    try:
        yield from chunks
    finally:
        getattr(chunks, "close", lambda: None)()
    if not statuses[-1].startswith("2"):
        raise RuntimeError(f"{path}: {statuses[-1]}")


def _environ(path: str, message: Message) -> WSGIEnvironment:
    return {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": message.content_type,
        "CONTENT_LENGTH": str(len(message.body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(message.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
