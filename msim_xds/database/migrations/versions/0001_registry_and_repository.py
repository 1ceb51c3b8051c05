"""Registry and repository: patients, objects, associations, uniqueIds, stored documents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import CreateSequence, DropSequence

from msim_xds.database.migrations import access, p1

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """To this schema."""
    on_postgresql = op.get_context().dialect.name == "postgresql"
    if on_postgresql:
        op.execute(CreateSequence(sa.Sequence("object_id")))
    else:
        counter = op.create_table("object_counter", sa.Column("last", sa.BigInteger(), nullable=False))
        op.bulk_insert(counter, [{"last": 0}])
    _create_patients()
    op.create_table(
        "fragment_dictionary",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_fragment_dictionary"),
    )
    _create_objects()
    _create_repeated_attributes()
    _create_identities()
    _create_records_and_queues()
    _create_signatures()
    _create_audit_trail()
    p1.create(_ID)
    access.create()
    if on_postgresql:  # fragments are compressed already
        for table in ("registry_object", "association"):
            op.execute(f"ALTER TABLE {table} ALTER COLUMN fragment SET STORAGE EXTERNAL")


def _create_patients() -> None:
    op.create_table(
        "patient",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("cx", sa.Text(), nullable=False),
        sa.Column("announced", sa.Boolean(), nullable=False),
        sa.Column("survivor_id", sa.BigInteger()),
        sa.Column("family_name", sa.Text()),
        sa.Column("given_name", sa.Text()),
        sa.Column("birth_date", sa.Text()),
        sa.Column("sex", sa.Text()),
        sa.Column("changed_at", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_patient"),
        sa.ForeignKeyConstraint(["survivor_id"], ["patient.id"], name="fk_patient_survivor_id"),
        sa.UniqueConstraint("cx", name="uq_patient_cx"),
    )
    _create_partial_index("ix_patient_survivor_id", "patient", ["survivor_id"], "survivor_id IS NOT NULL")
    _create_partial_index("ix_patient_birth_date", "patient", ["birth_date"], "birth_date IS NOT NULL")
    op.create_table(
        "correlation",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("patient", "partner", "home", "external")),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("patient", "partner", "home", "external", name="pk_correlation"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_correlation_expires_at", "correlation", ["expires_at"])
    op.create_table(
        "patient_merge",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("surviving", sa.Text(), nullable=False),
        sa.Column("subsumed", sa.Text(), nullable=False),
        sa.Column("local_id", sa.Text()),
        sa.Column("message_id", sa.Text()),
        sa.Column("merged_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_patient_merge"),
    )


def _create_partial_index(
    name: str, table: str, columns: list[str], condition: str, *, unique: bool = False
) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where)


def _create_objects() -> None:
    op.create_table(
        "registry_object",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("patient_id", sa.BigInteger(), nullable=False),
        sa.Column("submitted_patient_id", sa.BigInteger()),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("time_low", sa.BigInteger()),
        sa.Column("time_high", sa.BigInteger()),
        sa.Column("start_low", sa.BigInteger()),
        sa.Column("start_high", sa.BigInteger()),
        sa.Column("stop_low", sa.BigInteger()),
        sa.Column("stop_high", sa.BigInteger()),
        sa.Column("entry_uuid", sa.Text(), nullable=False),
        sa.Column("logical_id", sa.Text(), nullable=False),
        sa.Column("version", sa.SmallInteger(), nullable=False),
        sa.Column("unique_id", sa.Text(), nullable=False),
        sa.Column("class_code", sa.Text()),
        sa.Column("type_code", sa.Text()),
        sa.Column("format_code", sa.Text()),
        sa.Column("healthcare_facility_type_code", sa.Text()),
        sa.Column("practice_setting_code", sa.Text()),
        sa.Column("content_type_code", sa.Text()),
        sa.Column("source_id", sa.Text()),
        sa.Column("document_availability", sa.Text()),
        sa.Column("repository_unique_id", sa.Text()),
        sa.Column("hash", sa.Text()),
        sa.Column("size", sa.BigInteger()),
        sa.Column("home", sa.Text()),
        sa.Column("last_update_time", sa.Text()),
        sa.Column("signature_id", sa.BigInteger()),
        sa.Column("dictionary_id", sa.SmallInteger(), nullable=False),
        sa.Column("fragment", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name="fk_registry_object_patient_id"),
        sa.ForeignKeyConstraint(
            ["submitted_patient_id"], ["patient.id"], name="fk_registry_object_submitted_patient_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_registry_object"),
        sa.UniqueConstraint("entry_uuid", name="uq_registry_object_entry_uuid"),
    )
    op.create_index(
        "ix_registry_object_patient", "registry_object", ["patient_id", "kind", "status", "time_low"]
    )
    op.create_index("ix_registry_object_unique_id", "registry_object", ["unique_id"])
    _create_partial_index(
        "uq_registry_object_version",
        "registry_object",
        ["logical_id", "version"],
        "logical_id <> entry_uuid",
        unique=True,
    )
    op.create_table(
        "association",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("patient_id", sa.BigInteger(), nullable=False),
        sa.Column("entry_uuid", sa.Text(), nullable=False),
        sa.Column("type", sa.SmallInteger(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("source_object", sa.BigInteger(), nullable=False),
        sa.Column("target_object", sa.BigInteger(), nullable=False),
        sa.Column("home", sa.Text()),
        sa.Column("dictionary_id", sa.SmallInteger(), nullable=False),
        sa.Column("fragment", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name="fk_association_patient_id"),
        sa.PrimaryKeyConstraint("id", name="pk_association"),
        sa.UniqueConstraint("entry_uuid", name="uq_association_entry_uuid"),
    )
    op.create_index("ix_association_source", "association", ["source_object", "type"])
    op.create_index("ix_association_target", "association", ["target_object", "type"])


def _create_repeated_attributes() -> None:
    op.create_table(
        "object_code",
        sa.Column("object_id", sa.BigInteger(), nullable=False),
        sa.Column("attribute", sa.SmallInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("object_id", "attribute", "code", name="pk_object_code"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "object_author",
        sa.Column("object_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("person_folded", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("object_id", "position", name="pk_object_author"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "object_reference",
        sa.Column("object_id", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("object_id", "value", name="pk_object_reference"),
        sqlite_with_rowid=False,
    )


def _create_identities() -> None:
    op.create_table(
        "unique_identity",
        sa.Column("unique_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("hash", sa.Text()),
        sa.Column("size", sa.BigInteger()),
        sa.Column("submission_digest", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("unique_id", name="pk_unique_identity"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "stored_document",
        sa.Column("unique_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("sha1", sa.Text(), nullable=False),
        sa.Column("xxh3", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mime_type", sa.Text(), nullable=False),
        sa.Column("registered", sa.Boolean(), nullable=False),
        sa.Column("stored_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("unique_id", name="pk_stored_document"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_stored_document_sha256", "stored_document", ["sha256"])


def _create_records_and_queues() -> None:
    op.create_table(
        "removal",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("removed_at", sa.Text(), nullable=False),
        sa.Column("transaction", sa.Text(), nullable=False),
        sa.Column("kind", sa.SmallInteger()),
        sa.Column("entry_uuid", sa.Text()),
        sa.Column("unique_id", sa.Text()),
        sa.Column("patient", sa.Text()),
        sa.Column("keep_until", sa.Text()),
        sa.Column("override_reason", sa.Text()),
        sa.Column("remover", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_removal"),
    )
    op.create_index("ix_removal_unique_id", "removal", ["unique_id"])
    op.create_table(
        "delivery",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("transaction", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("relates_to", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("mtom", sa.Boolean(), nullable=False),
        sa.Column("deferred", sa.Boolean(), nullable=False),
        sa.Column("remote_address", sa.Text(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("last_error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_delivery"),
    )
    op.create_index("ix_delivery_due", "delivery", ["state", "due_at"])
    op.create_table(
        "import_progress",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.Column("report_octets", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("imported", sa.BigInteger(), nullable=False),
        sa.Column("present", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", name="pk_import_progress"),
        sqlite_with_rowid=False,
    )


def _create_signatures() -> None:
    op.create_table(
        "signature_result",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("unique_id", sa.Text(), nullable=False),
        sa.Column("validated_at", sa.Text(), nullable=False),
        sa.Column("indication", sa.Text(), nullable=False),
        sa.Column("sub_indication", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("signing_time", sa.Text(), nullable=False),
        sa.Column("covers_document", sa.Boolean(), nullable=False),
        sa.Column("previous_id", sa.BigInteger()),
        sa.Column("revalidation_id", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_signature_result"),
    )
    op.create_index("ix_signature_result_unique_id", "signature_result", ["unique_id"])
    op.create_index(
        "ix_signature_result_revalidation",
        "signature_result",
        ["revalidation_id"],
        sqlite_where=sa.text("revalidation_id IS NOT NULL"),
        postgresql_where=sa.text("revalidation_id IS NOT NULL"),
    )
    op.create_table(
        "pending_signature",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("unique_id", sa.Text(), nullable=False),
        sa.Column("format_code", sa.Text()),
        sa.Column("set_unique_id", sa.Text(), nullable=False),
        sa.Column("queued_at", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pending_signature"),
    )
    op.create_table(
        "revalidation",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("finished_at", sa.Text()),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("position", "entries", "signed", "changed", "failed")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_revalidation"),
    )


def _create_audit_trail() -> None:
    op.create_table(
        "audit_record",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("recorded_at", sa.Text(), nullable=False),
        sa.Column("transaction", sa.Text(), nullable=False),
        sa.Column("outcome", sa.SmallInteger(), nullable=False),
        sa.Column("patient", sa.Text(), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.Column("feed", sa.Text()),
        sa.Column("mark", sa.LargeBinary(), nullable=False),
        sa.Column("position", sa.BigInteger()),
        sa.Column("seal", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_audit_record"),
    )
    op.create_index("ix_audit_record_patient", "audit_record", ["patient", "id"])
    _create_partial_index(
        "uq_audit_record_position", "audit_record", ["position"], "position IS NOT NULL", unique=True
    )
    _create_partial_index("ix_audit_record_unsealed", "audit_record", ["id"], "position IS NULL")
    op.create_table(
        "audit_head",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("mark", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_head"),
    )
    op.create_table(
        "audit_repository",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("held_until", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.Text()),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("problem", sa.Text()),
        sa.PrimaryKeyConstraint("name", name="pk_audit_repository"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Back to an empty database."""
    for table in (
        "p1_entry",
        "p1_outbox_entry",
        "p1_outbox",
        *access.TABLES,
        "revalidation",
        "pending_signature",
        "signature_result",
        "audit_repository",
        "audit_head",
        "audit_record",
        "import_progress",
        "delivery",
        "removal",
        "stored_document",
        "unique_identity",
        "object_reference",
        "object_author",
        "object_code",
        "association",
        "registry_object",
        "fragment_dictionary",
        "patient_merge",
        "correlation",
        "patient",
    ):
        op.drop_table(table)
    if op.get_context().dialect.name == "postgresql":
        op.execute(DropSequence(sa.Sequence("object_id")))
    else:
        op.drop_table("object_counter")
