"""Which ids our patients have in another community: by a table, shared authorities, or discovery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msim_xds.federation.community import Correlation, Errand, PatientMapping
from msim_xds.ihe.queries import QUERIES

_SLOTS: Final = {
    row.id: param.name for row in QUERIES.values() for param in row.params if param.attribute == "patient_id"
}


def patient_slot(query_id: str) -> str:
    """The name of the parameter that carries a query's patient; empty for queries by ids."""
    return _SLOTS.get(query_id.strip().lower(), "")


def authority(cx: str) -> str:
    """The OID of a CX's assigning authority; empty where it has none."""
    parts = cx.partition("^^^&")[2].split("&")
    return parts[0]


class KnownPatients:
    """A table, and assigning authorities that both communities share; a ``community.PatientMapping``.

    Args:
        home: homeCommunityId of the other community.
        table: our CX to theirs.
        shared: OIDs of authorities whose ids are the same there.
        discovery: is asked for patients whom these do not tell; None asks nobody.
    """

    def __init__(
        self,
        home: str,
        table: Mapping[str, str],
        shared: Sequence[str],
        discovery: PatientMapping | None = None,
    ) -> None:
        self._home = home
        self._table = table
        self._shared = frozenset(shared)
        self._discovery = discovery

    def close(self) -> None:
        """Close what a discovery keeps open."""
        if self._discovery is not None:
            self._discovery.close()

    def find(self, patient: str, errand: Errand) -> Sequence[Correlation]:
        """The patient's ids there; one, unless they are discovered. Raises as ``PatientMapping.find``."""
        known = self._table.get(patient)
        if known is not None:
            return [Correlation(self._home, known)]
        if authority(patient) in self._shared:
            return [Correlation(self._home, patient)]
        return [] if self._discovery is None else self._discovery.find(patient, errand)
