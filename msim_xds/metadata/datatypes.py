"""Value checks by the name of ``Attribute.datatype`` (ITI TF-3 4.2.3.1.7, Table 4.2.3.1.7-2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Final, NamedTuple

from msim_xds.ihe.names import ON_DEMAND_OBJECT_TYPE, STABLE_OBJECT_TYPE
from msim_xds.metadata import hl7v2
from msim_xds.metadata.period import Period, is_dtm, period
from msim_xds.metadata.values import LONGEST, is_oid, is_urn, is_uuid, looks_like_uuid
from msim_xds.settings import Tolerances

__all__ = ["Check", "Period", "Problem", "checks", "is_dtm", "period"]


class Problem(NamedTuple):
    """What is wrong with a value and what would be right."""

    problem: str
    allowed: str


Check = Callable[[str], Problem | None]

_SHA1: Final = re.compile(r"[0-9a-fA-F]{40}")
_LANGUAGE: Final = re.compile(r"[a-zA-Z]{1,8}(?:-[a-zA-Z0-9]{1,8})*")
_MIME_TYPE: Final = re.compile(r"[a-zA-Z0-9!#$&^_.+-]{1,127}/[a-zA-Z0-9!#$&^_.+-]{1,127}")
_URI: Final = re.compile(r"(?:[0-9]\|)?[a-zA-Z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_PRINTABLE: Final = re.compile(r"[!-~]+")
_SYMBOLIC: Final = re.compile(r"[^\s\x00-\x1f]+")
_MAX_INT64: Final = 2**63 - 1
_OLD_EXTENSION: Final = 16  # characters of the extension in OID^extension
_REMEMBERED: Final = 1024  # values of each data type, none over LONGEST
_AVAILABILITIES: Final = frozenset(
    {
        "urn:ihe:iti:2010:DocumentAvailability:Online",
        "urn:ihe:iti:2010:DocumentAvailability:Offline",
    }
)


def _rule(test: Callable[[str], bool], problem: str, allowed: str) -> Check:
    """A check that finds ``problem`` in values of sane length that fail ``test``.

    It remembers the values last tested: people, institutions, patients and times come again and again, often
    in the same submission.
    """
    found = Problem(problem, allowed)
    passes = lru_cache(maxsize=_REMEMBERED)(test)

    def check(value: str) -> Problem | None:
        return None if len(value) <= LONGEST and passes(value) else found

    return check


def _pattern(pattern: re.Pattern[str], problem: str, allowed: str) -> Check:
    found, matches = Problem(problem, allowed), pattern.fullmatch

    def check(value: str) -> Problem | None:
        return None if len(value) <= LONGEST and matches(value) else found

    return check


def _one_of(values: frozenset[str], problem: str) -> Check:
    return _rule(values.__contains__, problem, " or ".join(sorted(values)))


def _is_size(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= 19 and int(value) <= _MAX_INT64


def _is_home(value: str) -> bool:
    return value.startswith("urn:oid:") and is_oid(value[8:])


def _is_identifier(value: str) -> bool:
    """Any identifier; of OID^extension the extension has at most 16 characters."""
    if _PRINTABLE.fullmatch(value) is None:
        return False
    root, caret, extension = value.partition("^")
    return not (caret and is_oid(root)) or 0 < len(extension) <= _OLD_EXTENSION


def _is_oid_and_extension(value: str) -> bool:
    root, caret, extension = value.partition("^")
    return is_oid(root) and (not caret or _PRINTABLE.fullmatch(extension) is not None)


def _is_entry_uuid(value: str) -> bool:
    return is_uuid(value) if looks_like_uuid(value) else _SYMBOLIC.fullmatch(value) is not None


def _is_urn_or_symbolic(value: str) -> bool:
    return is_urn(value) if looks_like_uuid(value) else _SYMBOLIC.fullmatch(value) is not None


def _title(most: int, octets: bool) -> Check:
    found = Problem("is too long", f"at most {most} " + ("octets of UTF-8" if octets else "characters"))

    def check(value: str) -> Problem | None:
        return found if len(value.encode() if octets else value) > most else None

    return check


def _anything(value: str) -> Problem | None:
    """Text, and what other rules judge; the reader has bounded its length."""
    return None


_UUID_FORM: Final = "urn:uuid: and 32 lower-case hex digits as 8-4-4-4-12"
_OID_FORM: Final = "an OID of at most 64 characters"
_NO_OID: Final = "is no OID"

_STRICT: Final[Mapping[str, Check]] = {
    "cx": _rule(hl7v2.is_cx, "is no CX", "id^^^&OID&ISO"),
    "cxi": _rule(hl7v2.is_cxi, "is no CXi", "id^^^&OID&ISO^type code; accessions and orders need the OID"),
    "document_availability": _one_of(_AVAILABILITIES, "is no documentAvailability"),
    "dtm": _rule(is_dtm, "is no DTM", "YYYY[MM[DD[hh[mm[ss]]]]] in UTC, an existing time"),
    "entry_uuid": _rule(_is_entry_uuid, "is no id", f"{_UUID_FORM}, or a symbolic id without blanks"),
    "home_community_id": _rule(_is_home, "is no homeCommunityId", "urn:oid: and an OID"),
    "identifier": _rule(
        _is_identifier,
        "is no uniqueId",
        f"an OID, OID^extension of at most {_OLD_EXTENSION} characters, or a URI, in printable ASCII",
    ),
    "language": _pattern(_LANGUAGE, "is no language tag", "RFC 5646, such as pl-PL"),
    "logical_id": _anything,
    "mime_type": _pattern(_MIME_TYPE, "is no MIME type", "type/subtype, such as text/xml"),
    "object_type": _one_of(
        frozenset({STABLE_OBJECT_TYPE, ON_DEMAND_OBJECT_TYPE}), "is no objectType of a DocumentEntry"
    ),
    "oid": _rule(is_oid, _NO_OID, _OID_FORM),
    "recipient": _rule(
        hl7v2.is_recipient, "is no recipient", "XON|XCN|XTN, at least one of them, later ones optional"
    ),
    "set_by_registry": _anything,
    "set_identifier": _rule(is_oid, _NO_OID, _OID_FORM),
    "sha1": _pattern(_SHA1, "is no SHA-1", "40 hex digits"),
    "size": _rule(_is_size, "is no size", "decimal digits, number of octets, at most 2^63-1"),
    "source_patient_info": _rule(
        hl7v2.is_patient_info,
        "is no sourcePatientInfo",
        "PID-n|content; not PID-2, 4, 12, 19; PID-3 as CX, PID-7 as DTM, PID-8 one of F M O U A N",
    ),
    "text": _anything,
    "title_128": _title(128, octets=True),
    "title_256": _title(256, octets=True),
    "uri": _pattern(_URI, "is no URI", "RFC 3986 characters"),
    "version": _anything,
    "xcn": _rule(
        hl7v2.is_xcn, "is no XCN", "id^family^given^middle^suffix^prefix^degree^^&OID&ISO, id or family given"
    ),
    "xon": _rule(
        hl7v2.is_xon, "is no XON", "name, name^^^^^^^^^OID, or name^^^^^&OID&ISO^^^^id"
    ),
    "xtn": _rule(
        hl7v2.is_xtn, "is no XTN", "^PRN^PH^^48^12^3456789, ^PRN^PH^^^^^^^^^number, or ^^Internet^a@b.example"
    ),
}  # fmt: skip

_LENIENT: Final[Mapping[str, Mapping[str, Check]]] = {
    "long_unique_ids": {
        "identifier": _pattern(_PRINTABLE, "is no uniqueId", f"1 to {LONGEST} printable ASCII characters"),
        "set_identifier": _rule(_is_oid_and_extension, "is no uniqueId", "an OID or OID^extension"),
    },
    "lookalike_ids": {
        "entry_uuid": _rule(_is_urn_or_symbolic, "is no id", "a URN, or a symbolic id without blanks"),
    },
    "versioned_submission": {
        "logical_id": _rule(
            lambda value: looks_like_uuid(value) or is_urn(value), "is no logicalID", "a UUID or URN"
        ),
    },
    "full_utf8": {
        "title_128": _title(128, octets=False),
        "title_256": _title(256, octets=False),
    },
}


@cache
def checks(tolerances: Tolerances) -> Mapping[str, Check]:
    """The check of every data type, as lenient as ``tolerances`` say."""
    table = dict(_STRICT)
    for tolerance, lenient in _LENIENT.items():
        if getattr(tolerances, tolerance):
            table.update(lenient)
    return table
