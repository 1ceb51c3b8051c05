"""The tables of access decisions, as revision 0001 makes them."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

TABLES: Final = ("emergency_access", "consent")
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def create() -> None:
    """Create them."""
    op.create_table(
        "consent",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("patient_id", sa.BigInteger(), nullable=False),
        sa.Column("opt_in", sa.Boolean(), nullable=False),
        *(
            sa.Column(name, sa.Text())
            for name in ("class_code", "facility_code", "event_code", "institution")
        ),
        *(sa.Column(name, sa.BigInteger()) for name in ("created_low", "created_high")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("recorded_at", "recorder", "reason")),
        *(sa.Column(name, sa.Text()) for name in ("withdrawn_at", "withdrawer", "withdrawal_reason")),
        sa.PrimaryKeyConstraint("id", name="pk_consent"),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name="fk_consent_patient_id"),
    )
    op.create_index("ix_consent_patient", "consent", ["patient_id"])
    names = ("happened_at", "transaction", "patient", "caller", "organization", "system", "roles", "purposes")
    op.create_table(
        "emergency_access",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in (*names, "reason")),
        sa.Column("documents", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text()) for name in ("reviewed_at", "reviewer", "verdict")),
        sa.PrimaryKeyConstraint("id", name="pk_emergency_access"),
    )
