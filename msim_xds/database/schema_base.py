"""What the modules of the schema share."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Integer, MetaData

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: Ids of patients, objects and associations, all from one number space. On SQLite the column must be spelt
#: INTEGER to be the row id itself, which saves an index.
ID: Final = BigInteger().with_variant(Integer(), "sqlite")
