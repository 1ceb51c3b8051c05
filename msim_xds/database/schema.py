"""The tables, for SQLite and PostgreSQL alike. Everything that a patient owns carries ``patient_id`` first.

Times are kept as a period of two integers YYYYMMDDhhmmss: the earliest and the latest reading of the DTM, so
that precision rules become two comparisons (ITI TF-2 3.18.4.1.2.3.4). Codes are kept as ``code^^scheme``.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    SmallInteger,
    Table,
    Text,
    text,
)

from msim_xds.database import access_tables, queue_schema  # noqa: F401  # their tables are tables of every database
from msim_xds.database.schema_base import ID as _ID
from msim_xds.database.schema_base import metadata as metadata

#: Revision of the last migration, which is what these tables are.
VERSION: Final = "0001"

#: Where PostgreSQL takes ids from.
object_id: Final = Sequence("object_id", metadata=metadata)

#: Where SQLite takes them from: one row with the last id given. Not among the tables of every database.
object_counter = Table("object_counter", MetaData(), Column("last", BigInteger, nullable=False))

#: Patients by their CX string, as the registry meets them or is fed them. ``announced`` by a feed or an
#: operator; ``survivor_id`` is the patient that a merged one belongs to, at the end of every chain of merges.
patient = Table(
    "patient",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=False),
    Column("cx", Text, nullable=False, unique=True),
    Column("announced", Boolean, nullable=False),
    Column("survivor_id", BigInteger, ForeignKey("patient.id")),
    *(Column(name, Text) for name in ("family_name", "given_name", "birth_date", "sex", "changed_at")),
    Index(
        "ix_patient_survivor_id",
        "survivor_id",
        sqlite_where=text("survivor_id IS NOT NULL"),
        postgresql_where=text("survivor_id IS NOT NULL"),
    ),
    Index(
        "ix_patient_birth_date",
        "birth_date",
        sqlite_where=text("birth_date IS NOT NULL"),
        postgresql_where=text("birth_date IS NOT NULL"),
    ),
)

#: Which ids our patients have in other communities, as discovered (ITI-55), until ``expires_at`` (seconds
#: since 1970). A row without home and id says that nobody there matches.
correlation = Table(
    "correlation",
    metadata,
    Column("patient", Text, nullable=False),
    Column("partner", Text, nullable=False),
    Column("home", Text, nullable=False),
    Column("external", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("patient", "partner", "home", "external"),
    Index("ix_correlation_expires_at", "expires_at"),
    sqlite_with_rowid=False,
)

#: Merges and link changes as they came, for ever: what happened to a patient's objects, and by which message.
patient_merge = Table(
    "patient_merge",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=False),
    Column("surviving", Text, nullable=False),
    Column("subsumed", Text, nullable=False),
    Column("local_id", Text),
    Column("message_id", Text),
    Column("merged_at", Text, nullable=False),
)

#: Trained zstd dictionaries; kept for ever, since fragments refer to them.
fragment_dictionary = Table(
    "fragment_dictionary",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
)

#: DocumentEntries, SubmissionSets and Folders: narrow search columns and one ready ebRIM fragment each.
#: ``time_*`` is creationTime, submissionTime or lastUpdateTime, by kind. A merge of patients changes
#: ``patient_id`` and notes in ``submitted_patient_id`` whom the fragment names; a fragment never changes.
#: ``signature_id`` is the signature_result that is shown with an entry, or the pending_signature.
registry_object = Table(
    "registry_object",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=False),
    Column("patient_id", BigInteger, ForeignKey("patient.id"), nullable=False),
    Column("submitted_patient_id", BigInteger, ForeignKey("patient.id")),
    Column("kind", SmallInteger, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("time_low", BigInteger),
    Column("time_high", BigInteger),
    Column("start_low", BigInteger),
    Column("start_high", BigInteger),
    Column("stop_low", BigInteger),
    Column("stop_high", BigInteger),
    Column("entry_uuid", Text, nullable=False, unique=True),
    Column("logical_id", Text, nullable=False),
    Column("version", SmallInteger, nullable=False),
    Column("unique_id", Text, nullable=False),
    Column("class_code", Text),
    Column("type_code", Text),
    Column("format_code", Text),
    Column("healthcare_facility_type_code", Text),
    Column("practice_setting_code", Text),
    Column("content_type_code", Text),
    Column("source_id", Text),
    Column("document_availability", Text),
    Column("repository_unique_id", Text),
    Column("hash", Text),
    Column("size", BigInteger),
    Column("home", Text),
    Column("last_update_time", Text),
    Column("signature_id", BigInteger),
    Column("dictionary_id", SmallInteger, nullable=False),
    Column("fragment", LargeBinary, nullable=False),
    Index("ix_registry_object_patient", "patient_id", "kind", "status", "time_low"),
    Index("ix_registry_object_unique_id", "unique_id"),
    # Later versions only, and first ones that keep their sender's lid: the others are found by their
    # entryUUID. Unique, so that of two updates of one version the second fails.
    Index(
        "uq_registry_object_version",
        "logical_id",
        "version",
        unique=True,
        sqlite_where=text("logical_id <> entry_uuid"),
        postgresql_where=text("logical_id <> entry_uuid"),
    ),
)

#: Associations; ``source_object`` and ``target_object`` are ids of registry_object or association.
association = Table(
    "association",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=False),
    Column("patient_id", BigInteger, ForeignKey("patient.id"), nullable=False),
    Column("entry_uuid", Text, nullable=False, unique=True),
    Column("type", SmallInteger, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("source_object", BigInteger, nullable=False),
    Column("target_object", BigInteger, nullable=False),
    Column("home", Text),
    Column("dictionary_id", SmallInteger, nullable=False),
    Column("fragment", LargeBinary, nullable=False),
    Index("ix_association_source", "source_object", "type"),
    Index("ix_association_target", "target_object", "type"),
)

#: Codes of which an object may have several, and ids of its authors' institutions; ``attribute`` numbers them
#: (see registry.columns).
object_code = Table(
    "object_code",
    metadata,
    Column("object_id", BigInteger, nullable=False),
    Column("attribute", SmallInteger, nullable=False),
    Column("code", Text, nullable=False),
    PrimaryKeyConstraint("object_id", "attribute", "code"),
    sqlite_with_rowid=False,
)

#: authorPerson of each author: NFC text, and the same folded (no case, no diacritics).
object_author = Table(
    "object_author",
    metadata,
    Column("object_id", BigInteger, nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("person", Text, nullable=False),
    Column("person_folded", Text, nullable=False),
    PrimaryKeyConstraint("object_id", "position"),
    sqlite_with_rowid=False,
)

#: referenceIdList values (CXi).
object_reference = Table(
    "object_reference",
    metadata,
    Column("object_id", BigInteger, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("object_id", "value"),
    sqlite_with_rowid=False,
)

#: First use of each uniqueId: SubmissionSets and Folders never share one (XDSDuplicateUniqueIdInRegistry),
#: entries that share one have the same hash and size (XDSNonIdenticalHash). ``submission_digest`` recognises
#: the retry of a SubmissionSet. The primary key decides races.
unique_identity = Table(
    "unique_identity",
    metadata,
    Column("unique_id", Text, primary_key=True),
    Column("kind", SmallInteger, nullable=False),
    Column("hash", Text),
    Column("size", BigInteger),
    Column("submission_digest", LargeBinary),
    sqlite_with_rowid=False,
)

#: The repository's own index: which octets answer for a DocumentUniqueId. ``registered`` turns true when the
#: registry has accepted the entry.
stored_document = Table(
    "stored_document",
    metadata,
    Column("unique_id", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("sha1", Text, nullable=False),
    Column("xxh3", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mime_type", Text, nullable=False),
    Column("registered", Boolean, nullable=False),
    Column("stored_at", Text, nullable=False),
    Index("ix_stored_document_sha256", "sha256"),
    sqlite_with_rowid=False,
)

#: What was removed from registry and repository, by whom and why; kept for ever.
removal = Table(
    "removal",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=False),
    Column("removed_at", Text, nullable=False),
    Column("transaction", Text, nullable=False),
    Column("kind", SmallInteger),
    Column("entry_uuid", Text),
    Column("unique_id", Text),
    Column("patient", Text),
    Column("keep_until", Text),
    Column("override_reason", Text),
    Column("remover", Text, nullable=False),
    Index("ix_removal_unique_id", "unique_id"),
)

#: What validations of documents' signatures came to; rows are added, never changed. ``previous_id`` is what
#: was shown before, ``revalidation_id`` the run that found it, if it was one.
signature_result = Table(
    "signature_result",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=False),
    Column("unique_id", Text, nullable=False),
    Column("validated_at", Text, nullable=False),
    Column("indication", Text, nullable=False),
    Column("sub_indication", Text, nullable=False),
    Column("level", Text, nullable=False),
    Column("signing_time", Text, nullable=False),
    Column("covers_document", Boolean, nullable=False),
    Column("previous_id", BigInteger),
    Column("revalidation_id", BigInteger),
    Index("ix_signature_result_unique_id", "unique_id"),
    Index(
        "ix_signature_result_revalidation",
        "revalidation_id",
        sqlite_where=text("revalidation_id IS NOT NULL"),
        postgresql_where=text("revalidation_id IS NOT NULL"),
    ),
)

#: Documents that may be signed and were not looked at yet; deleted when they were. ``id`` is the key of the
#: entry with which one came, and what ``signature_id`` of its entries says meanwhile. ``due_at`` is as in
#: ``delivery``. No index: the queue is worked off in the order of its keys.
pending_signature = Table(
    "pending_signature",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=False),
    Column("unique_id", Text, nullable=False),
    Column("format_code", Text),
    Column("set_unique_id", Text, nullable=False),
    Column("queued_at", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
)

#: Runs of ``msim-xds signatures revalidate``: ``position`` is the entry up to which all were looked at.
revalidation = Table(
    "revalidation",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=False),
    Column("started_at", Text, nullable=False),
    Column("finished_at", Text),
    Column("position", BigInteger, nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("signed", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
)

#: The audit trail (ITI-20): ``message`` is an AuditMessage, the columns beside it are what it is looked for
#: by. ``mark`` proves who wrote the row; ``position`` and ``seal`` are its place in the chain, NULL until it
#: has one. ``feed`` names the one party for which it is; NULL where it is everybody's.
audit_record = Table(
    "audit_record",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=False),
    Column("recorded_at", Text, nullable=False),
    Column("transaction", Text, nullable=False),
    Column("outcome", SmallInteger, nullable=False),
    Column("patient", Text, nullable=False),
    Column("message", LargeBinary, nullable=False),
    Column("feed", Text),
    Column("mark", LargeBinary, nullable=False),
    Column("position", BigInteger),
    Column("seal", LargeBinary),
    Index("ix_audit_record_patient", "patient", "id"),
    Index(
        "uq_audit_record_position",
        "position",
        unique=True,
        sqlite_where=text("position IS NOT NULL"),
        postgresql_where=text("position IS NOT NULL"),
    ),
    Index(
        "ix_audit_record_unsealed",
        "id",
        sqlite_where=text("position IS NULL"),
        postgresql_where=text("position IS NULL"),
    ),
)

#: Where the audit trail's chain ends: one row, number 1, which whoever seals records holds locked. ``mark``
#: proves who wrote it, so that records missing at the end are noticed.
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("position", BigInteger, nullable=False),
    Column("seal", LargeBinary, nullable=False),
    Column("mark", LargeBinary, nullable=False),
)

#: How far each Audit Record Repository has been told: records up to ``position`` have arrived there. One
#: process at a time sends to it, the ``holder``, until ``held_until`` (milliseconds since 1970).
audit_repository = Table(
    "audit_repository",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
    Column("held_until", BigInteger, nullable=False),
    Column("sent_at", Text),
    Column("failures", BigInteger, nullable=False),
    Column("problem", Text),
    sqlite_with_rowid=False,
)

#: How far each import has come, so that it can go on after a crash: submissions dealt with, by outcome, and
#: the octets of its report. A row is written in the transaction of the batch that it counts.
import_progress = Table(
    "import_progress",
    metadata,
    Column("source", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("report", Text, nullable=False),
    Column("report_octets", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("imported", BigInteger, nullable=False),
    Column("present", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Column("updated_at", Text, nullable=False),
    sqlite_with_rowid=False,
)
