"""Makes one registered object the next version of another, in the tables."""

from __future__ import annotations

from sqlalchemy import select, update

from msim_xds.database.engine import Database
from msim_xds.database.schema import registry_object
from msim_xds.registry.columns import SUPERSEDED

_columns = registry_object.c


def supersede(database: Database, earlier: str, later: str) -> None:
    """``later`` becomes the version of the same logical object that follows ``earlier``."""
    with database.write() as connection:
        row = connection.execute(select(registry_object).where(_columns.entry_uuid == earlier)).one()
        connection.execute(
            update(registry_object).where(_columns.entry_uuid == earlier).values(status=SUPERSEDED)
        )
        connection.execute(
            update(registry_object)
            .where(_columns.entry_uuid == later)
            .values(logical_id=row.logical_id, version=row.version + 1)
        )
