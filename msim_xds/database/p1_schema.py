"""The tables of publications at P1; a part of ``schema``, kept apart for its length."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
)

from msim_xds.database.schema_base import ID, metadata

#: Publications at P1 that wait, each with its submission as it was registered here; deleted when P1 has them.
#: ``due_at`` is as in ``delivery``.
p1_outbox = Table(
    "p1_outbox",
    metadata,
    Column("id", ID, primary_key=True, autoincrement=False),
    Column("created_at", Text, nullable=False),
    Column("source_id", Text, nullable=False),
    Column("transaction", Text, nullable=False),
    Column("unique_id", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("last_error", Text),
    Index("ix_p1_outbox_due", "state", "due_at"),
)

#: The DocumentEntries that each of them concerns: of two that concern one entry, the earlier goes first.
p1_outbox_entry = Table(
    "p1_outbox_entry",
    metadata,
    Column("entry_uuid", Text, nullable=False),
    Column("outbox_id", BigInteger, nullable=False),
    PrimaryKeyConstraint("entry_uuid", "outbox_id"),
    Index("ix_p1_outbox_entry_outbox_id", "outbox_id"),
    sqlite_with_rowid=False,
)

#: Every version of a DocumentEntry that is, or is on its way to be, at P1, and whose provider's it is.
p1_entry = Table(
    "p1_entry",
    metadata,
    Column("entry_uuid", Text, primary_key=True),
    Column("source_id", Text, nullable=False),
    Column("outbox_id", BigInteger, nullable=False),
    Index("ix_p1_entry_outbox_id", "outbox_id"),
    sqlite_with_rowid=False,
)
