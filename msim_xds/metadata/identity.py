r"""Patient ids as feeds give them, and which of them are this domain's (ITI TF-2 3.8.4, 3.44.4, 3.64.4).

Inside the registry a patient id is the string that submissions carry: the CX ``id^^^&OID&ISO``, delimiters
within the id escaped (ITI TF-3 4.2.3.2.16).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from msim_xds.findings import Finding, Refused
from msim_xds.ihe.acknowledgements import Condition
from msim_xds.ihe.names import Severity
from msim_xds.metadata.pesel import pesel_fault
from msim_xds.metadata.values import is_oid
from msim_xds.settings import Level, PatientSettings

_FEED: Final = "ITI TF-2 3.8.4.1.2"
_MERGE: Final = "ITI TF-2 3.8.4.2.3"
_LONGEST: Final = 256  # what a Slot value or ExternalIdentifier of a submission can carry
_LETTERS: Final = {"\\": "E", "|": "F", "^": "S", "&": "T", "~": "R"}
_ESCAPES: Final = str.maketrans({character: f"\\{letter}\\" for character, letter in _LETTERS.items()})
_DELIMITERS: Final = {letter: character for character, letter in _LETTERS.items()}
_ESCAPED: Final = re.compile(r"\\([EFSTR])\\")


class Identifier(NamedTuple):
    """An id with its assigning authority, every part as sent without escapes; empty where absent."""

    value: str
    namespace: str = ""
    universal_id: str = ""
    universal_type: str = ""


class Given(NamedTuple):
    """Identifiers of one field. ``place`` is how findings name it, such as ``PID-3``."""

    place: str
    identifiers: tuple[Identifier, ...]


class Demographics(NamedTuple):
    """What a feed tells of a person; the registry shows it to operators and compares it with a PESEL."""

    family_name: str | None = None
    given_name: str | None = None
    birth_date: str | None = None
    sex: str | None = None


class Announcement(NamedTuple):
    """A patient to be known from now on: A01, A04, A05, A08; PRPA_IN201301UV02, PRPA_IN201302UV02."""

    patient: Given
    demographics: Demographics = Demographics()


class Merge(NamedTuple):
    """Two ids are one patient: A40, PRPA_IN201304UV02."""

    surviving: Given
    subsumed: Given


class LinkChange(NamedTuple):
    """A local id has another patient of the domain, or another local id, from now on: A43 (ITI-64).

    Attributes:
        patient: the patient of the domain that the local id belongs to now.
        previous: the one that it belonged to.
        local: the local id; empty when the message does not give it.
        previous_local: what the local id was before; empty when it has not changed.
    """

    patient: Given
    previous: Given
    local: Given
    previous_local: Given


def escape(text: str) -> str:
    """``text`` with the delimiters of HL7 v2 escaped (HL7 v2.5 2.7)."""
    return text.translate(_ESCAPES)


def unescape(text: str) -> str:
    """``text`` with its escape sequences as the delimiters that they stand for."""
    return _ESCAPED.sub(lambda match: _DELIMITERS[match[1]], text)


def identifier(cx: str) -> Identifier:
    """The identifier that a CX string ``id^^^&OID&ISO`` stands for."""
    value, _, authority = cx.strip().partition("^^^")
    parts = unescape(value), *authority.split("&")[:3]
    return Identifier(*parts)


def cx(given: Identifier) -> str:
    """The CX string of an identifier of an OID's authority."""
    return f"{escape(given.value.strip())}^^^&{given.universal_id}&ISO"


class Domain:
    """The affinity domain: whose ids it takes, and how they are written."""

    def __init__(self, settings: PatientSettings) -> None:
        self._settings = settings

    def ids(self, given: Given) -> tuple[str, ...]:
        """The CX strings of those ids that belong to the domain; others are none of its business.

        Raises:
            Refused: there is none.
        """
        own = self.candidates(given.identifiers)
        if not own:
            raise Refused([self._foreign(given)])
        return own

    def candidates(self, identifiers: Iterable[Identifier]) -> tuple[str, ...]:
        """The CX strings of those ids that may be the domain's; none where all are foreign."""
        return tuple(dict.fromkeys(filter(None, map(self._own, identifiers))))

    def single(self, given: Given) -> str:
        """The CX string of the only id.

        Raises:
            Refused: there is none of the domain, or more than one.
        """
        first, *more = self.ids(given)
        if more:
            raise Refused([_several(given)])
        return first

    def pair(self, merge: Merge) -> tuple[str, str]:
        """Surviving and subsumed id of a merge; of several surviving ids the one of the same authority.

        Raises:
            Refused: the message does not name one pair.
        """
        subsumed = self.single(merge.subsumed)
        surviving = self.ids(merge.surviving)
        if len(surviving) > 1:
            authority = subsumed.partition("^")[2]
            surviving = tuple(cx for cx in surviving if cx.partition("^")[2] == authority)
        if len(surviving) != 1:
            raise Refused([_several(merge.surviving)])
        return surviving[0], subsumed

    def local(self, given: Given) -> str | None:
        """The CX string of a local id of whatever authority; None when the field is empty.

        Raises:
            Refused: it names no authority by OID.
        """
        if not given.identifiers:
            return None
        written = _cx(given.identifiers[0], self._authority(given.identifiers[0]))
        if written is None:
            raise Refused([_unnamed_authority(given)])
        return written

    def doubts(self, announcement: Announcement) -> list[Finding]:
        """What ``patients.pesel`` finds wrong with the ids that are PESEL numbers."""
        level = self._settings.pesel
        if level is Level.OFF:
            return []
        severity = Severity.ERROR if level is Level.REJECT else Severity.WARNING
        person = announcement.demographics
        return [
            Finding(
                Condition.DATA_TYPE,
                fault,
                attribute=announcement.patient.place,
                source="settings patients.pesel",
                severity=severity,
            )
            for given in announcement.patient.identifiers
            if self._authority(given) == self._settings.pesel_authority
            and (fault := pesel_fault(given.value.strip(), person.birth_date, person.sex))
        ]

    def _own(self, given: Identifier) -> str | None:
        authority = self._authority(given)
        if self._settings.authorities and authority not in self._settings.authorities:
            return None
        return _cx(given, authority)

    def _authority(self, given: Identifier) -> str:
        """OID of the assigning authority; the domain's own where that is meant (ITI TF-2 3.8.4.1.2.3)."""
        if given.universal_id:
            return given.universal_id if given.universal_type.upper() in ("ISO", "") else ""
        if given.namespace and given.namespace != self._settings.default_namespace:
            return ""
        return self._settings.default_authority

    def _foreign(self, given: Given) -> Finding:
        authorities = ", ".join(self._settings.authorities) or "any OID"
        if not any(each.value.strip() for each in given.identifiers):
            condition, problem = Condition.REQUIRED_FIELD_MISSING, "no patient id"
        else:
            condition, problem = Condition.UNKNOWN_KEY, "no id of this affinity domain"
        return Finding(
            condition,
            problem,
            attribute=given.place,
            seen=_seen(given.identifiers),
            allowed=f"an id of assigning authority {authorities}",
            source=_FEED,
        )


def _cx(given: Identifier, authority: str) -> str | None:
    value = given.value.strip()
    if not value or not value.isprintable() or not is_oid(authority):
        return None
    written = cx(given._replace(universal_id=authority))
    return written if len(written) <= _LONGEST else None


def _unnamed_authority(given: Given) -> Finding:
    return Finding(
        Condition.UNKNOWN_KEY,
        "this id does not name its assigning authority",
        attribute=given.place,
        seen=_seen(given.identifiers),
        allowed="id^^^&OID&ISO",
        source="ITI TF-2 3.64.4.1.2",
    )


def _several(given: Given) -> Finding:
    return Finding(
        Condition.DATA_TYPE,
        "one id of this affinity domain is expected",
        attribute=given.place,
        seen=_seen(given.identifiers),
        allowed="one pair of ids in each message",
        source=_MERGE,
    )


def _seen(identifiers: Iterable[Identifier]) -> str:
    return "~".join(
        f"{each.value}^^^{each.namespace}&{each.universal_id}&{each.universal_type}" for each in identifiers
    )
