"""Conflicts that only the database's constraints see, as findings for the sender who came second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import IntegrityError

from msim_xds.findings import Finding, Refused

_TAKEN_ID: Final = Finding(
    "XDSRegistryMetadataError",
    "an id of this submission was registered with another submission at the same moment",
    "SubmitObjectsRequest",
    "entryUUID",
    allowed="new UUIDs, or symbolic ids",
    source="ITI TF-3 4.2.3.2.7",
)
_TAKEN_VERSION: Final = Finding(
    "XDSRegistryMetadataError",
    "another object has this logicalID and version already",
    "SubmitObjectsRequest",
    "logicalID",
    allowed="a logicalID of the object's own; later versions come by ITI-57",
    source="ITI TF-3 4.2.3.2.31",
)
_FINDINGS: Final = {
    "uq_registry_object_entry_uuid": _TAKEN_ID,
    "uq_association_entry_uuid": _TAKEN_ID,
    "uq_registry_object_version": _TAKEN_VERSION,
}
#: What SQLite says instead of a constraint's name.
_ON_SQLITE: Final = {"registry_object.logical_id, registry_object.version": "uq_registry_object_version"}


@contextmanager
def told_to_the_sender() -> Iterator[None]:
    """Raise Refused where another message has taken an entryUUID or a version in the meantime."""
    try:
        yield
    except IntegrityError as error:
        finding = _FINDINGS.get(_constraint(error))
        if finding is None:
            raise
        raise Refused([finding]) from error


def _constraint(error: IntegrityError) -> str:
    diagnosis = getattr(error.orig, "diag", None)
    if diagnosis is not None:
        return str(diagnosis.constraint_name)
    columns = str(error.orig).rpartition("failed: ")[2]
    return _ON_SQLITE.get(columns, columns)
