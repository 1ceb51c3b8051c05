"""homeCommunityId in requests: what must carry one, and whose it may be (ITI TF-2 3.18, 3.38, 3.39)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msim_xds.federation.patient_mapping import patient_slot
from msim_xds.findings import Finding
from msim_xds.ihe.names import RIM
from msim_xds.ihe.queries import QUERIES, StoredQuery
from msim_xds.repository.requests import Wanted

if TYPE_CHECKING:
    from lxml.etree import _Element

ADHOC_QUERY: Final = f"{{{RIM}}}AdhocQuery"


class Asked(NamedTuple):
    """What a query names, as far as a gateway looks at it.

    Attributes:
        row: the stored query; None for one that no row knows, which is for the registry to refuse.
        home: AdhocQuery/@home, empty where absent.
        patient_slot: name of the parameter that carries the patient; empty for queries by ids.
    """

    row: StoredQuery | None
    home: str
    patient_slot: str

    @property
    def by_patient(self) -> bool:
        """Whether it asks for a patient's objects, whosever they are."""
        return bool(self.patient_slot)

    @property
    def place(self) -> str:
        """The query, for findings."""
        return f"AdhocQuery {self.row.name}" if self.row else "AdhocQuery"


def asked(request: _Element) -> Asked:
    """What a query:AdhocQueryRequest names."""
    adhoc = next((child for child in request if child.tag == ADHOC_QUERY), None)
    if adhoc is None:
        return Asked(None, "", "")
    query_id = adhoc.get("id", "").strip().lower()
    return Asked(QUERIES.get(query_id), adhoc.get("home", "").strip(), patient_slot(query_id))


def query_problem(query: Asked, known: frozenset[str], section: str) -> Finding | None:
    """What is wrong with a query's homeCommunityId.

    Args:
        query: what it names.
        known: the homeCommunityIds that are answered for.
        section: the rule that the finding names.
    """
    if query.home:
        return None if query.home in known else _unknown(query.place, "home", query.home, known, section)
    if query.row is None or query.by_patient:
        return None
    return _missing(query.place, "home", known, section)


def retrieve_problem(wanted: Wanted, known: frozenset[str], section: str) -> Finding | None:
    """What is wrong with a DocumentRequest's homeCommunityId; its location is the DocumentUniqueId."""
    place = "DocumentRequest"
    if wanted.home is None:
        return _missing(place, "HomeCommunityId", known, section, wanted.unique_id)
    if wanted.home in known:
        return None
    return _unknown(place, "HomeCommunityId", wanted.home, known, section, wanted.unique_id)


def _missing(place: str, attribute: str, known: frozenset[str], section: str, location: str = "") -> Finding:
    return Finding(
        "XDSMissingHomeCommunityId",
        "is missing; it says which community is meant",
        place=place,
        attribute=attribute,
        allowed=", ".join(sorted(known)),
        source=section,
        location=location,
    )


def _unknown(
    place: str, attribute: str, seen: str, known: frozenset[str], section: str, location: str = ""
) -> Finding:
    return Finding(
        "XDSUnknownCommunity",
        "is no community that is answered for here",
        place=place,
        attribute=attribute,
        seen=seen,
        allowed=", ".join(sorted(known)),
        source=section,
        location=location,
    )
