"""CDA documents for the tests: as little as `submit` needs."""

from __future__ import annotations

import itertools
import uuid
from pathlib import Path

_numbers = itertools.count(1)
OID = "1.3.6.1.4.1.99999"


def patient() -> str:
    """A patient that no other test has."""
    return f"P{uuid.uuid4().hex[:12]}^^^&{OID}.1&ISO"


def cda(
    folder: Path, patient_id: str, extension: str | None = None, *, replaces: str = "", text: str = ""
) -> Path:
    """A document of ``patient_id``; ``extension`` is that of its id, fresh by default."""
    number = next(_numbers)
    extension = extension or uuid.uuid4().hex[:12]
    related = (
        f'<relatedDocument typeCode="RPLC"><parentDocument><id root="{OID}.2" extension="{replaces}"/>'
        "</parentDocument></relatedDocument>"
    )
    path = folder / f"document-{number}.xml"
    path.write_text(
        f'<ClinicalDocument xmlns="urn:hl7-org:v3"><id root="{OID}.2" extension="{extension}"/>'
        '<code code="18842-5" codeSystem="2.16.840.1.113883.6.1" displayName="Discharge summary"/>'
        f"<title>Dokument {number}</title>"
        '<effectiveTime value="202609141330+0200"/><languageCode code="pl-PL"/>'
        f'<recordTarget><patientRole><id root="{OID}.1" extension="{patient_id.partition("^")[0]}"/>'
        "</patientRole></recordTarget>"
        '<author><assignedAuthor><id root="1.2.3" extension="7"/><assignedPerson><name>'
        "<given>Adam</given><family>Wzorcowy</family></name></assignedPerson></assignedAuthor></author>"
        f"{related if replaces else ''}"
        f"<component><nonXMLBody><text>{text}\r\n</text></nonXMLBody></component>"
        "</ClinicalDocument>\r\n",
        encoding="utf-8",
        newline="",
    )
    return path
