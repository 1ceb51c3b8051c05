r"""HL7 v2 strings as XDS uses them: CX, CXi, XCN, XON, XTN and more (ITI TF-3 4.2.3.1.7).

Delimiters inside a value are escaped (``\S\``, ``\T\``, ``\F\``, ``\R\``), so splitting is safe.
"""

from __future__ import annotations

import re
from typing import Final

from msim_xds.metadata.period import is_dtm
from msim_xds.metadata.values import is_oid

_CX: Final = re.compile(r"[^\^&|~]+\^\^\^&([0-9.]+)&ISO")
_PID: Final = re.compile(r"PID-([1-9][0-9]?)(?:\.[0-9]{1,2})?\|(.*)", re.DOTALL)
_PID_PROHIBITED: Final = frozenset({"2", "4", "12", "19"})
_SEXES: Final = frozenset("FMOUAN")

_XCN_COMPONENTS: Final = 23
_XON_USED: Final = frozenset({0, 5, 9})
_PHONES: Final = frozenset({"PH", "CP"})
_NEEDS_AUTHORITY: Final = frozenset({"urn:ihe:iti:xds:2013:accession", "urn:ihe:iti:xds:2013:order"})


def is_cx(text: str) -> bool:
    """``id^^^&OID&ISO`` and nothing else."""
    match = _CX.fullmatch(text)
    return match is not None and is_oid(match[1])


def is_cxi(text: str) -> bool:
    """A reference: id, assigning authority where its type wants one, type code, and home community."""
    parts = _components(text)
    if not 5 <= len(parts) <= 6 or not parts[0] or parts[1] or parts[2] or not parts[4]:
        return False
    if parts[3]:
        return _is_authority(parts[3].partition("&")[2], prefix="")
    return parts[4] not in _NEEDS_AUTHORITY


def is_xcn(text: str) -> bool:
    """A person: id or family name; an assigning authority only with an id."""
    parts = _components(text)
    if len(parts) > _XCN_COMPONENTS or not any(parts[:2]):
        return False
    authority = _at(parts, 8)
    return not authority or (bool(parts[0]) and _is_authority(authority))


def is_xon(text: str) -> bool:
    """An organisation: name, and perhaps an OID or an id with its assigning authority."""
    parts = _components(text)
    if not parts[0] or any(part and at not in _XON_USED for at, part in enumerate(parts)):
        return False
    authority, identifier = _at(parts, 5), _at(parts, 9)
    if authority:
        return _is_authority(authority)
    return not identifier or is_oid(identifier)


def is_xtn(text: str) -> bool:
    """A telephone number or an e-mail address."""
    parts = [*_components(text), *[""] * 12][:12]
    if parts[2] == "Internet":
        return bool(parts[3]) and parts[1] in ("", "NET") and not any(parts[4:])
    numbered = bool(parts[6]) != bool(parts[11])
    return parts[2] in _PHONES and numbered and parts[1] != "NET" and not parts[3]


def is_recipient(text: str) -> bool:
    """``XON|XCN|XTN``: any of the three may be empty, not all."""
    parts = text.split("|")
    tests = (is_xon, is_xcn, is_xtn)
    return (
        len(parts) <= len(tests)
        and any(parts)
        and all(not part or test(part) for part, test in zip(parts, tests, strict=False))
    )


def is_patient_info(text: str) -> bool:
    """One ``PID-n|content`` of sourcePatientInfo."""
    match = _PID.fullmatch(text)
    if match is None or match[1] in _PID_PROHIBITED:
        return False
    content = match[2]
    if not content:
        return True
    if match[1] == "3":
        return all(map(_is_patient_identifier, content.split("~")))
    if match[1] == "7":
        return is_dtm(content)
    return match[1] != "8" or content in _SEXES


def patient_info_field(text: str) -> str:
    """The ``PID-n`` of one value of sourcePatientInfo."""
    return text.partition("|")[0]


def _is_patient_identifier(text: str) -> bool:
    """A CX that may say more than XDS asks, such as its type."""
    parts = text.split("^")
    return len(parts) >= 4 and bool(parts[0]) and _is_authority(parts[3].partition("&")[2], prefix="")


def _is_authority(text: str, prefix: str = "&") -> bool:
    """``&OID&ISO``."""
    return text.startswith(prefix) and text.endswith("&ISO") and is_oid(text[len(prefix) : -4])


def _components(text: str) -> list[str]:
    """Components without the empty ones at the end; at least one."""
    return text.rstrip("^").split("^")


def _at(parts: list[str], index: int) -> str:
    return parts[index] if index < len(parts) else ""
