"""Tables of access decisions: consents, and emergency access."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, Table, Text

from msim_xds.database.schema_base import ID, metadata

#: What patients have said about who may see their documents. A consent has a row for each spelling of its
#: codes, all with one ``number``; what is NULL of its scope is open. Withdrawn ones are kept.
consent = Table(
    "consent",
    metadata,
    Column("id", ID, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("patient_id", BigInteger, ForeignKey("patient.id"), nullable=False),
    Column("opt_in", Boolean, nullable=False),
    *(Column(name, Text) for name in ("class_code", "facility_code", "event_code", "institution")),
    Column("created_low", BigInteger),
    Column("created_high", BigInteger),
    Column("recorded_at", Text, nullable=False),
    Column("recorder", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("withdrawn_at", Text),
    Column("withdrawer", Text),
    Column("withdrawal_reason", Text),
    Index("ix_consent_patient", "patient_id"),
)

#: Requests that passed as emergency access, one row for each patient concerned, for later review.
emergency_access = Table(
    "emergency_access",
    metadata,
    Column("id", ID, primary_key=True, autoincrement=False),
    *(
        Column(name, Text, nullable=False)
        for name in (
            *("happened_at", "transaction", "patient", "caller", "organization", "system"),
            *("roles", "purposes", "reason"),
        )
    ),
    Column("documents", Integer, nullable=False),
    Column("reviewed_at", Text),
    Column("reviewer", Text),
    Column("verdict", Text),
)
