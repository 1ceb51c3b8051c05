"""Every setting in one table: limits, time-outs, paths, policies. docs/configuration.md is generated from it.

Read from a TOML file, then from ``MSIM_SECTION__NAME`` environment variables, then from options; later wins.
The unit stands in the name (``_bytes``, ``_s``).
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from msim_xds.access_settings import AccessSettings
from msim_xds.audit_settings import AuditSettings
from msim_xds.delivery_settings import DeliverySettings
from msim_xds.gateway_settings import GatewaySettings
from msim_xds.p1_settings import P1Settings
from msim_xds.signature_settings import SignatureSettings
from msim_xds.tls_settings import TlsSettings
from msim_xds.xua_settings import XuaSettings

MIB, GIB = 1 << 20, 1 << 30


class Level(StrEnum):
    """What a rule does when it is broken."""

    OFF = "off"
    WARN = "warn"
    REJECT = "reject"


class _Section(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


class ServerSettings(_Section):
    """The HTTP server."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="TCP port to listen on.")
    uds: Path | None = Field(None, description="Unix socket to listen on instead of host and port.")
    workers: int = Field(1, ge=1, description="Worker processes.")
    worker_max_mib: int = Field(
        2048,
        ge=256,
        description="Memory at which Granian replaces a worker (libxml2 keeps every XML name it meets).",
    )
    threads: int = Field(16, ge=1, description="Threads that carry out requests in each worker.")
    public_url: str = Field(
        "", description="Base URL that clients use, written into ?wsdl; empty takes host and port."
    )
    engine: Literal["granian", "cheroot"] = Field("granian", description="HTTP server library.")
    header_timeout_s: float = Field(
        10.0, gt=0, description="Longest wait for a request's headers, and for the next request."
    )
    body_timeout_s: float = Field(
        300.0, gt=0, description="Longest time for reading a request's body; looked at between chunks."
    )


class LimitSettings(_Section):
    """Bounds on everything that a client controls."""

    root_part_bytes: int = Field(
        8 * MIB, ge=65536, description="Largest SOAP part, documents taken out; larger is refused."
    )
    request_bytes: int = Field(8 * GIB, ge=65536, description="Largest request altogether.")
    document_bytes: int = Field(4 * GIB, ge=1, description="Largest single document.")
    parts: int = Field(1000, ge=1, description="MIME parts in one message.")
    part_header_bytes: int = Field(8192, ge=256, description="Size of one MIME part's headers.")
    objects: int = Field(5000, ge=1, description="Registry objects in one submission.")
    slots: int = Field(500, ge=1, description="Slots of one object or query.")
    values: int = Field(5000, ge=1, description="Values of one slot.")
    value_chars: int = Field(4096, ge=256, description="Length of one attribute value or text.")
    query_results: int = Field(
        10000, ge=1, description="Objects in a LeafClass answer; more is XDSTooManyResults."
    )
    query_references: int = Field(
        100000, ge=1, description="ObjectRefs in an answer; more is XDSTooManyResults."
    )
    retrieve_documents: int = Field(200, ge=1, description="Documents in one ITI-43 request.")
    findings: int = Field(100, ge=1, description="RegistryErrors in one answer.")


class DatabaseSettings(_Section):
    """The relational store."""

    url: str = Field(
        "", description="SQLAlchemy URL (postgresql+psycopg://…); empty is SQLite below the data directory."
    )
    pool_size: int = Field(20, ge=1, description="Connections kept by each worker.")
    busy_timeout_s: float = Field(10.0, gt=0, description="Longest wait for a lock.")
    statement_timeout_s: float = Field(30.0, gt=0, description="Longest statement on PostgreSQL.")


class RepositorySettings(_Section):
    """The Document Repository."""

    unique_id: str = Field(
        "2.16.840.1.113883.3.4424.2.7.99999.24.1",
        description="This repository's repositoryUniqueId (an OID). The default is a sample: set your own.",
    )
    store: str = Field(
        "", description="Directory or s3://bucket/prefix of the documents; empty is below the data directory."
    )
    s3_endpoint: str = Field("", description="URL of an S3-compatible object store.")
    s3_region: str = Field("us-east-1", description="Region of the object store.")
    s3_access_key_file: Path | None = Field(None, description="File that holds the access key id.")
    s3_secret_key_file: Path | None = Field(None, description="File that holds the secret access key.")
    encryption_keys: Path | None = Field(
        None,
        description="File of keys with which documents are encrypted at rest (`msim-xds keys new` makes it); "
        "none keeps them as they came.",
    )
    orphan_age_s: int = Field(
        86400, ge=0, description="Age from which `fsck --clean` removes blobs that no document refers to."
    )


class RegistrySettings(_Section):
    """The Document Registry."""

    url: str = Field(
        "",
        description="ITI-42 endpoint of another registry for this repository; empty is the one in process.",
    )
    timeout_s: float = Field(30.0, gt=0, description="Longest wait for that registry's answer.")
    home_community_id: str = Field(
        "", description="This community's homeCommunityId (urn:oid:…), put on every object of an answer."
    )


class PatientPolicy(StrEnum):
    """What happens to patient ids that nobody announced."""

    OPEN = "open"
    KNOWN = "known"


class PatientSettings(_Section):
    """Patients."""

    policy: PatientPolicy = Field(
        PatientPolicy.OPEN,
        description="open takes any well-formed patient id; known refuses those that no feed has announced.",
    )
    authorities: tuple[str, ...] = Field(
        (),
        description="OIDs that issue patient ids of this domain; feeds keep only theirs. Empty takes any.",
    )
    default_authority: str = Field(
        "", description="OID that a feed's id belongs to when it names no authority; empty refuses such ids."
    )
    default_namespace: str = Field(
        "", description="Namespace id by which feeds name `default_authority` where they give no OID."
    )
    pesel: Level = Field(
        Level.OFF,
        description="What a PESEL with a wrong checksum or date does in a feed; a PESEL is never required.",
    )
    pesel_authority: str = Field(
        "2.16.840.1.113883.3.4424.1.1.616", description="OID under which ids are PESEL numbers."
    )


class MllpSettings(_Section):
    """The patient feed by HL7 v2 (ITI-8, ITI-64)."""

    host: str = Field("127.0.0.1", description="Address on which the feed listens.")
    port: int | None = Field(
        None, ge=0, le=65535, description="TCP port of the feed; without one none listens."
    )
    connections: int = Field(100, ge=1, description="Connections at a time; further ones wait.")
    message_bytes: int = Field(1 * MIB, ge=1024, description="Largest message.")
    idle_timeout_s: float = Field(300.0, gt=0, description="Longest silence on a connection.")
    message_timeout_s: float = Field(30.0, gt=0, description="Longest time for one message to arrive.")
    character_set: str = Field(
        "UNICODE UTF-8",
        description="Character set (HL7 table 0211) of messages that name none in MSH-18, such as 8859/2.",
    )
    tls_certificate: Path | None = Field(None, description="PEM file; with it the feed speaks TLS only.")
    tls_key: Path | None = Field(None, description="PEM file of its private key.")
    tls_client_ca: Path | None = Field(
        None, description="PEM file of the authorities whose client certificates are required."
    )


class UpdateSettings(_Section):
    """Metadata update and removal (ITI-57, ITI-92, ITI-62, ITI-86)."""

    retention_years: int = Field(
        0,
        ge=0,
        le=200,
        description="Documents are kept to the end of their creation's year plus this; 0 looks only at "
        "the entry's own urn:extpl:SlotName:StorageCategory.",
    )


class OnDemandSettings(_Section):
    """On-demand documents (ITI-61)."""

    sources: tuple[str, ...] = Field(
        ("patient-summary",), description="On-demand document sources that are offered, by entry point name."
    )
    persist: bool = Field(
        False, description="Retrieved snapshots are stored and registered with IsSnapshotOf."
    )
    timeout_s: float = Field(30.0, gt=0, description="Longest time in which a source makes a document.")
    threads: int = Field(8, ge=1, description="Documents that each worker makes at a time.")


class CodeSettings(_Section):
    """Codes of the affinity domain."""

    policy: Level = Field(Level.WARN, description="What a code outside the table does.")
    table: Path | None = Field(
        None, description="TOML file with the domain's codes; empty takes the Polish table that is shipped."
    )


class Tolerances(_Section):
    """The Polish profile: what real HIS systems send beyond IHE's letter. Each can be switched alone."""

    long_unique_ids: bool = Field(
        False, description="uniqueId extensions over 16 characters; SubmissionSet.uniqueId with ^extension."
    )
    scheme_names: bool = Field(
        False, description="codingScheme as a name with Polish letters; queries match OID and names alike."
    )
    extpl_slots: bool = Field(
        False, description="urn:extpl:… slots are kept even where extra metadata is dropped."
    )
    lookalike_ids: bool = Field(
        False, description="ids that only look like UUIDs; missing objectType and nodeRepresentation."
    )
    versioned_submission: bool = Field(
        False, description="status, lid, VersionInfo and documentAvailability on a first submission."
    )
    full_utf8: bool = Field(False, description="Length limits of texts count characters, not UTF-8 octets.")
    local_time: bool = Field(
        False, description="Times of sources in `local_time_sources` are local; queries see UTC."
    )
    inline_documents: bool = Field(
        False, description="A request without MTOM is answered without MTOM, documents as base64."
    )


class ValidationSettings(_Section):
    """How strictly metadata is judged."""

    profile: Literal["ihe", "pl"] = Field(
        "ihe", description="ihe is the framework's letter; pl switches every tolerance below on."
    )
    tolerate: dict[str, bool] = Field(
        default_factory=dict, description="Single tolerances on or off, over the profile (see below)."
    )
    sources: dict[str, Literal["ihe", "pl"]] = Field(
        default_factory=dict, description="Profile per sourceId, over the general one."
    )
    extra_metadata: Literal["keep", "drop"] = Field(
        "keep", description="Extra-metadata slots are stored and returned, or dropped with a warning."
    )
    sequence: Level = Field(
        Level.OFF, description="ebRIM children out of schema order, or missing ids, in submissions."
    )
    unlisted_folders: Level = Field(
        Level.REJECT, description="A new Folder, or its HasMember, that the SubmissionSet does not contain."
    )
    time_zone: str = Field("Europe/Warsaw", description="Zone of times that a source gives as local.")
    local_time_sources: frozenset[str] = Field(
        frozenset(), description="sourceIds whose times are local instead of UTC (needs local_time)."
    )

    def tolerances(self, source_id: str | None = None) -> Tolerances:
        """The switches that hold for a source: its profile, overridden by ``tolerate``."""
        profile = self.sources.get(source_id or "", self.profile)
        switches = dict.fromkeys(Tolerances.model_fields, profile == "pl")
        return Tolerances(**{**switches, **self.tolerate})


class SearchSettings(_Section):
    """Stored queries."""

    cache_bytes: int = Field(
        32 * MIB,
        ge=0,
        description="Unpacked metadata that each worker keeps at hand, about 8 kB an entry; 0 keeps none.",
    )
    preview: bool = Field(
        False, description="Offer the stored queries that are not Final Text yet (FindDocumentsExclude, …)."
    )
    fold_authors: bool = Field(False, description="authorPerson patterns ignore case and diacritics.")
    all_patients_timeout_s: float = Field(
        5.0, gt=0, description="Longest search of an ITI-51 query that names no patient."
    )
    unknown_patient: Literal["empty", "error"] = Field(
        "empty", description="A query for an unknown patient: empty Success, or XDSUnknownPatientId."
    )


class LogSettings(_Section):
    """Logging, to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level shown.")
    format: Literal["console", "json"] = Field("console", description="For people or for machines.")


class Settings(BaseSettings):
    """The whole configuration."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix="MSIM_", env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    data: Annotated[Path, Field(description="Directory for everything that is kept.")] = Path("var")
    server: ServerSettings = ServerSettings()
    tls: TlsSettings = TlsSettings()
    access: AccessSettings = AccessSettings()
    limits: LimitSettings = LimitSettings()
    database: DatabaseSettings = DatabaseSettings()
    repository: RepositorySettings = RepositorySettings()
    registry: RegistrySettings = RegistrySettings()
    patients: PatientSettings = PatientSettings()
    mllp: MllpSettings = MllpSettings()
    update: UpdateSettings = UpdateSettings()
    on_demand: OnDemandSettings = OnDemandSettings()
    delivery: DeliverySettings = DeliverySettings()
    codes: CodeSettings = CodeSettings()
    validation: ValidationSettings = ValidationSettings()
    search: SearchSettings = SearchSettings()
    signatures: SignatureSettings = SignatureSettings()
    xua: XuaSettings = XuaSettings()
    audit: AuditSettings = AuditSettings()
    gateway: GatewaySettings = GatewaySettings()
    p1: P1Settings = P1Settings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options over environment over the TOML file."""
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls))

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.database.url or f"sqlite:///{(self.data / 'msim.db').absolute()}"

    @property
    def document_store(self) -> str:
        """Directory or s3:// URL in force."""
        return self.repository.store or str((self.data / "documents").absolute())

    @property
    def validates_later(self) -> bool:
        """Whether signatures are validated after registration; not for a registry elsewhere."""
        return not (self.registry.url or self.signatures.is_off)


def load(config: Path | None = None, **options: Any) -> Settings:  # noqa: ANN401  # values of any section
    """Settings from file, environment and options (nested dicts by section).

    Raises:
        FileNotFoundError: ``config`` does not exist.
        pydantic.ValidationError: a value is unknown or out of range; its message names the setting.
    """
    if config is not None and not config.is_file():
        raise FileNotFoundError(config)

    class Loaded(Settings):
        model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
            toml_file=config or os.environ.get("MSIM_CONFIG")
        )

    return Loaded(**options)
