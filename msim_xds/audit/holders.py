"""Whose documents they are: a retrieval names documents only, and its records need the patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, bindparam, select

from msim_xds.database.among import among, given
from msim_xds.database.driver import Prepared
from msim_xds.database.schema import patient, registry_object
from msim_xds.wire.exchange import Concerns, Named

_GIVEN: Final[BindParameter[Any]] = bindparam("given")
_PATIENTS: Final = Prepared(
    select(registry_object.c.unique_id, patient.c.cx)
    .join(patient, patient.c.id == registry_object.c.patient_id)
    .where(among(registry_object.c.unique_id, _GIVEN))
)


def with_patients(connection: Connection, concerns: Concerns) -> Concerns:
    """The same, with the patients of its documents as far as this registry knows them.

    Of documents that it does not know, as of those whose entries went before, what was known stays.
    """
    unique_ids = {each.id for each in (*concerns.done, *concerns.refused)}
    if not unique_ids:
        return concerns
    rows = _PATIENTS.rows(connection, {"given": given(connection, unique_ids)})
    patients: dict[str, str] = {unique_id: cx for unique_id, cx in rows}

    def named(things: Sequence[Named]) -> tuple[Named, ...]:
        return tuple(each._replace(patient=patients.get(each.id, each.patient)) for each in things)

    return concerns._replace(done=named(concerns.done), refused=named(concerns.refused))
