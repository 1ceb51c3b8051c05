"""The on-demand source ``patient-summary``: a CDA index of a patient's documents, made from the registry."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final
from zoneinfo import ZoneInfo

from msim_xds.ihe.codes import CodeTable
from msim_xds.metadata.model import Code, DocumentEntry, InternationalString, LocalizedString
from msim_xds.repository.on_demand import Claim, Order, Product
from msim_xds.repository.summary_cda import Line, Summary, SummaryDocument
from msim_xds.settings import Settings

_LOINC: Final = "2.16.840.1.113883.6.1"
_CONFIDENTIALITY: Final = "2.16.840.1.113883.5.25"
#: How confidential: what is registered as less tells nothing of what is more (HL7 Confidentiality).
_RANKS: Final = {"U": 1, "L": 2, "M": 3, "N": 4, "R": 5, "V": 6}

TYPE: Final = Code("60591-5", _LOINC, (LocalizedString("Patient summary Document", "en-US", "UTF-8"),))
FORMAT: Final = Code(
    "urn:ihe:iti:xds:2017:mimeTypeSufficient",
    "1.3.6.1.4.1.19376.1.2.3",
    (LocalizedString("mimeType Sufficient", "en-US", "UTF-8"),),
)
TITLE: Final = "Spis dokumentów pacjenta"
MIME_TYPE: Final = "text/xml"


class PatientSummary:
    """Lists the Approved stable documents of the order's patient, the newest first.

    A document that is more confidential than the on-demand entry itself is not listed. All of the content
    comes from the registry, its date too: it is that of the newest thing in it. So the same documents give
    the same octets.
    """

    claims: Sequence[Claim] = tuple(
        Claim(type_code=f"{TYPE.code}^^{_LOINC}", format_code=format_code)
        for format_code in (f"{FORMAT.code}^^{FORMAT.scheme}", "urn:extPL:pl-cda^^Kody formatów P1")
    )

    def __init__(self, settings: Settings) -> None:
        self._codes = CodeTable.load(settings.codes.table)
        self._zone = ZoneInfo(settings.validation.time_zone)

    def produce(self, order: Order) -> Product:
        """The index as of now. The id in it is that under which it is delivered."""
        lines: list[Line] = []
        time = order.submission.submission_time or ""
        named: tuple[str, tuple[str, ...]] = ("", ())
        for document in order.records.documents():
            if _may_be_listed(document, order.entry):
                line = _line(document)
                lines.append(line)
                time = max(time, line.created)
                if any(value.startswith("PID-5|") for value in document.source_patient_info):
                    named = max(named, (line.created, document.source_patient_info))
        lines.sort()
        lines.sort(key=lambda line: line.created, reverse=True)
        summary = Summary(
            entry=order.entry,
            repository_unique_id=order.repository_unique_id,
            title=_text(order.entry.title) or TITLE,
            time=time,
            patient_info=order.entry.source_patient_info or named[1],
            lines=tuple(lines),
        )
        rendered = SummaryDocument(summary, self._zone, self._scheme)
        digest = hashlib.sha256(rendered.octets()).digest()
        rendered.identify(*order.identifier(digest))
        return Product([rendered.octets()], MIME_TYPE, summary.title, digest)

    def _scheme(self, scheme: str) -> str:
        """The OID of a coding scheme, however its sender calls it."""
        return self._codes.synonyms(scheme)[0]


def _may_be_listed(document: DocumentEntry, index: DocumentEntry) -> bool:
    """Whether a document is at most as confidential as the index; unknown codes only where both have them."""
    own = {(each.code, each.scheme) for each in index.confidentiality_codes}
    most = max(filter(None, map(_rank, index.confidentiality_codes)), default=_RANKS["N"])
    for each in document.confidentiality_codes:
        rank = _rank(each)
        if (each.code, each.scheme) not in own and (rank is None or rank > most):
            return False
    return True


def _rank(code: Code) -> int | None:
    return _RANKS.get(code.code) if code.scheme == _CONFIDENTIALITY else None


def _line(document: DocumentEntry) -> Line:
    author = next((each for each in document.authors if each.person), None)
    institutions = (name for each in document.authors for name in each.institutions)
    return Line(
        created=document.creation_time or "",
        title=_text(document.title),
        kind=_display(document.class_code),
        type=_display(document.type_code),
        author=author.person if author and author.person else "",
        institution=next(institutions, ""),
        start=document.service_start_time or "",
        stop=document.service_stop_time or "",
        repository_unique_id=document.repository_unique_id or "",
        unique_id=document.unique_id or "",
    )


def _display(code: Code | None) -> str:
    return "" if code is None else _text(code.display) or code.code


def _text(texts: InternationalString) -> str:
    """The Polish text where there are several, else the first."""
    polish = (text.value for text in texts if (text.lang or "").lower().startswith("pl"))
    return next(polish, texts[0].value if texts else "")
