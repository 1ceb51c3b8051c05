"""The tables of queues: answers to deliver, publications at P1. A part of ``schema``."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
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

#: Answers of the asynchronous exchange that wait for delivery; deleted when delivered. ``payload`` is
#: the envelope to send; for a query or a retrieve it is the request, carried out at each attempt. ``due_at``
#: counts milliseconds since 1970 by the database's clock; while a process works on a row it is the moment at
#: which others may take the row over.
delivery = Table(
    "delivery",
    metadata,
    Column("id", ID, primary_key=True, autoincrement=False),
    Column("created_at", Text, nullable=False),
    Column("transaction", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("relates_to", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("mtom", Boolean, nullable=False),
    Column("deferred", Boolean, nullable=False),
    Column("remote_address", Text, nullable=False),
    Column("system", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("last_error", Text),
    Index("ix_delivery_due", "state", "due_at"),
)

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
