"""The tables of publications at P1, as revision 0001 makes them; kept apart for its length."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def create(identifier: sa.types.TypeEngine[int]) -> None:
    """Make them; ``identifier`` is the type of ids."""
    op.create_table(
        "p1_outbox",
        sa.Column("id", identifier, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("transaction", sa.Text(), nullable=False),
        sa.Column("unique_id", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("last_error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_p1_outbox"),
    )
    op.create_index("ix_p1_outbox_due", "p1_outbox", ["state", "due_at"])
    op.create_table(
        "p1_outbox_entry",
        sa.Column("entry_uuid", sa.Text(), nullable=False),
        sa.Column("outbox_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("entry_uuid", "outbox_id", name="pk_p1_outbox_entry"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_p1_outbox_entry_outbox_id", "p1_outbox_entry", ["outbox_id"])
    op.create_table(
        "p1_entry",
        sa.Column("entry_uuid", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("outbox_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("entry_uuid", name="pk_p1_entry"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_p1_entry_outbox_id", "p1_entry", ["outbox_id"])
