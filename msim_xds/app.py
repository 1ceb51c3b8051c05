"""The composition root: the only module that wires stores, services and handlers together.

``create_app(settings)`` is a plain WSGI callable that can be mounted, measured and tested in process.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from msim_xds import garbage
from msim_xds.audit.key import make_key
from msim_xds.audit.operators import Ledger, Operator
from msim_xds.audit.setup import life, open_trail
from msim_xds.audit.trail import Trail
from msim_xds.database.engine import Database
from msim_xds.delivery.queue import DeliveryQueue
from msim_xds.federation.p1 import setup as p1
from msim_xds.gateway import setup as gateway
from msim_xds.gateway.neighbours import Neighbours
from msim_xds.ihe import transactions as iti
from msim_xds.importer.desk import Services
from msim_xds.metadata.ebrim import Reading
from msim_xds.metadata.rules import Rules
from msim_xds.registry.correlations import Correlations
from msim_xds.registry.discovery import PatientDirectory
from msim_xds.registry.feed_v3 import PatientFeed
from msim_xds.registry.fragment_codec import FragmentCodec
from msim_xds.registry.identity import PatientIdentity
from msim_xds.registry.reading import RegistryReader
from msim_xds.registry.registration import Registration
from msim_xds.registry.relinking import Relinker
from msim_xds.registry.removal import MetadataRemoval
from msim_xds.registry.retention import Retention
from msim_xds.registry.search import StoredQueries
from msim_xds.registry.service import RegistryService
from msim_xds.registry.updates import Updates, UpdateService
from msim_xds.repository.assembly import Assembly
from msim_xds.repository.blobs import BlobStore, open_store
from msim_xds.repository.index import DocumentIndex
from msim_xds.repository.late_validation import LateValidation
from msim_xds.repository.on_demand import Sources
from msim_xds.repository.registrar import LocalRegistrar, Registrar
from msim_xds.repository.removal import DocumentRemoval
from msim_xds.repository.service import RepositoryService
from msim_xds.repository.signed_submission import Kept, SubmittedSignatures
from msim_xds.repository.signing import Signing
from msim_xds.repository.snapshots import Clerk, Snapshots
from msim_xds.security.xua.setup import guards
from msim_xds.server import log
from msim_xds.server.front import build_front
from msim_xds.server.gate import Gate, open_gate
from msim_xds.server.parent import end_with_parent
from msim_xds.server.serve import served_settings
from msim_xds.server.wsdl import public_url
from msim_xds.settings import Settings
from msim_xds.wire.exchange import Handler

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from msim_xds.security.signatures.validator import Validator


def now() -> datetime:
    """The time of day, UTC."""
    return datetime.now(UTC)


def new_uuid() -> str:
    """A fresh ``urn:uuid:``."""
    return f"urn:uuid:{uuid.uuid4()}"


@dataclass(frozen=True, slots=True)
class Node:
    """The stores and services of one server process, wired together."""

    settings: Settings
    database: Database
    store: BlobStore
    index: DocumentIndex
    registration: Registration
    registry: RegistryService
    updates: UpdateService
    queries: StoredQueries
    repository: RepositoryService
    signing: Signing
    late_validation: LateValidation
    removal: MetadataRemoval
    document_removal: DocumentRemoval
    patients: PatientFeed
    deliveries: DeliveryQueue
    trail: Trail | None
    publications: p1.Outbox | None
    gate: Gate | None = None

    def our_patients(self) -> gateway.OurPatients:
        """Patients as gateways look them up."""
        directory = PatientDirectory(self.database, self.settings.patients)
        return gateway.OurPatients(directory, Correlations(self.database), now)

    def handlers(self, neighbours: Neighbours | None = None) -> Mapping[str, Handler]:
        """Who carries out which transaction; ``neighbours`` are the communities that a gateway asks."""
        handlers: Mapping[str, Handler] = {
            **gateway.handlers(
                self.settings,
                self.queries.answer,
                self.repository.deliver,
                self.our_patients(),
                neighbours,
            ),
            iti.ITI_18.name: self.queries.answer,
            iti.ITI_41.name: self.repository.provide_and_register,
            iti.ITI_42.name: self.registry.register_document_set,
            iti.ITI_43.name: self.repository.retrieve,
            iti.ITI_44_ADD.name: self.patients.carry_out,
            iti.ITI_44_REVISE.name: self.patients.carry_out,
            iti.ITI_44_MERGE.name: self.patients.carry_out,
            iti.ITI_51.name: self.queries.answer,
            iti.ITI_57.name: self.updates.update_document_set,
            iti.ITI_61.name: self.registry.register_document_set,
            iti.ITI_62.name: self.removal.remove_metadata,
            iti.ITI_86.name: self.document_removal.remove_documents,
            iti.ITI_92.name: self.updates.update_document_set,
        }
        return handlers if self.gate is None else self.gate.before(handlers)

    def ready(self) -> Mapping[str, object]:
        """What /health reports; ``ready`` is whether the database answers with this version's schema."""
        kind = "sqlite" if self.database.is_sqlite else "postgresql"
        facts: dict[str, object] = {"ready": True, "database": kind}
        try:
            self.database.check_schema()
            waiting = None if self.trail is None else self.trail.backlog.look()
            if self.settings.validates_later:
                facts["pending_signatures"] = self.late_validation.backlog()._asdict()
        except (OSError, RuntimeError) as error:
            return {"ready": False, "database": kind, "reason": str(error)}
        if self.trail is not None and waiting is not None:
            facts |= {"ready": not (waiting.is_full and self.trail.backlog.refuses), "audit": waiting.facts()}
        return facts

    def close(self) -> None:
        """Give connections back."""
        self.database.close()


def open_node(settings: Settings, clock: Callable[[], datetime] = now, *, publish: bool = True) -> Node:
    """Open the stores below ``settings.data``, migrate the database and wire the services.

    What is registered is kept for publication at P1 where the settings want it, except without ``publish``.

    Raises:
        OSError: the data directory or the document store cannot be used.
        RuntimeError: the database was made by a newer version.
        ValueError: settings contradict what is installed.
    """
    settings.data.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database_url, settings.database)
    database.migrate()
    rules = Rules.from_settings(settings)
    codec = FragmentCodec(database)
    publications = p1.open_outbox(settings, database, clock) if publish else None
    announce = p1.announcer(settings, publications)
    registration = Registration(codec, rules, settings, clock, new_uuid, announce)
    store = open_store(settings)
    index = DocumentIndex(clock, store)
    retention = Retention(codec, settings.update, clock)
    signing = Signing(settings, partial(_validator, settings, clock), clock)
    registrar = _registrar(settings, database, registration, index)
    knows = registrar.knows if isinstance(registrar, LocalRegistrar) else _unknown
    later = settings.validates_later
    signatures = SubmittedSignatures(signing, store, Kept(store, index, database), knows, later=later)
    return Node(
        settings=settings,
        database=database,
        store=store,
        index=index,
        registration=registration,
        registry=RegistryService(database, registration, settings.limits),
        updates=UpdateService(database, Updates(codec, rules, settings, clock, new_uuid, announce), settings),
        queries=StoredQueries(
            database, codec, settings, rules.codes.expand if rules.general.scheme_names else None
        ),
        repository=_repository(
            settings,
            database,
            store,
            index,
            registrar,
            codec,
            rules,
            clock,
            None if settings.signatures.is_off else signatures,
        ),
        signing=signing,
        late_validation=LateValidation(signing, store, index, database, settings.signatures, clock),
        removal=MetadataRemoval(database, retention, settings.limits, clock),
        patients=PatientFeed(_identity(settings, database, codec, clock), clock),
        document_removal=DocumentRemoval(settings, store, index, database, retention, clock),
        deliveries=DeliveryQueue(database, settings.delivery, clock),
        trail=_trail(settings, database, clock),
        publications=publications,
        gate=open_gate(settings, database, clock),
    )


def _trail(settings: Settings, database: Database, clock: Callable[[], datetime]) -> Trail | None:
    """The audit trail, where one is wanted."""
    if not settings.audit.enabled:
        return None
    feeds = [each.name for each in p1.audit_feeds(settings)]
    return open_trail(settings.audit, settings.data, public_url(settings), database, clock, feeds)


def _repository(
    settings: Settings,
    database: Database,
    store: BlobStore,
    index: DocumentIndex,
    registrar: Registrar,
    codec: FragmentCodec,
    rules: Rules,
    clock: Callable[[], datetime],
    signatures: SubmittedSignatures | None,
) -> RepositoryService:
    """The repository; it makes on-demand documents where the registry of their entries is in this process."""
    build = partial(RepositoryService, settings, store, index, database, registrar)
    consent = p1.decisions(settings, clock)
    if settings.registry.url:
        return build(signatures=signatures, decisions=consent)
    reader = RegistryReader(database, codec, settings)
    sources = Sources.load(settings, rules.codes.expand if rules.general.scheme_names else None)
    assembly = Assembly(sources, reader, store, settings)
    snapshots = None
    if settings.on_demand.persist:
        clerk = Clerk(clock, new_uuid, rules.zone_for)
        snapshots = Snapshots(reader, registrar, store, index, database, settings, clerk)
    return build(assembly, snapshots, signatures, consent)


def _validator(settings: Settings, clock: Callable[[], datetime]) -> Validator:
    """The validator of signatures. Raises OSError or ValueError where what it trusts cannot be read."""
    from msim_xds.security.signatures.setup import validator  # its libraries are heavy

    section, fetcher = settings.signatures, None
    if section.fetch_hosts:
        from msim_xds.federation.revocation import NetworkFetcher

        fetcher = NetworkFetcher(section.fetch_hosts, section.fetch_timeout_s, section.crl_bytes)
    return validator(section, clock(), fetcher)


def _unknown(_: Reading) -> bool:
    """That a submission is registered already is for a registry elsewhere to know."""
    return False


def _registrar(
    settings: Settings, database: Database, registration: Registration, index: DocumentIndex
) -> Registrar:
    """The registry in this process, or the one at ``registry.url``."""
    if not settings.registry.url:
        return LocalRegistrar(database, registration, index)
    from msim_xds.federation.registrar import RemoteRegistrar  # zeep is heavy and seldom needed

    return RemoteRegistrar(settings, database, index)


def open_services(settings: Settings) -> Services:
    """What an import works with, in each of its processes. Raises as ``open_node``."""
    node = open_node(settings, publish=False)  # an archive is no news
    ledger = None if node.trail is None else Ledger(node.trail, Operator.of_process("msim-xds import"))
    return Services(
        settings, node.database, node.store, node.index, node.registration, node.signing, now, ledger
    )


def create_app(settings: Settings) -> WSGIApplication:
    """The server as a WSGI callable. Where nobody has set up structlog, it logs warnings and errors.

    What ``serve`` has processes for beside it (patient feed, audit trail, signatures that may wait), whoever
    mounts it elsewhere runs by commands.

    It also has the process look for garbage more seldom, see ``garbage``.
    """
    log.configure_if_nobody_has()
    garbage.loaded()
    node = open_node(settings)
    if settings.signatures.speaks or (settings.registry.url and not settings.signatures.is_off):
        node.signing.load()  # so that a wrong setting shows now, and the first signed document does not wait
    if node.publications is not None:
        p1.sender(settings, node.publications, now).start()
    checks = guards(settings.xua, settings.data, now, p1.signed_messages(settings, now))
    platforms = p1.communities(settings, now)
    handlers = node.handlers(gateway.open_neighbours(settings, node.our_patients(), platforms))
    homes = gateway.error_locations(settings)
    return build_front(settings, handlers, node.store, node.ready, node.deliveries, checks, node.trail, homes)


def from_environment() -> WSGIApplication:
    """The server as a worker process starts it: settings travel in one environment variable."""
    end_with_parent(partial(os.kill, os.getpid(), signal.SIGTERM))
    settings = served_settings()
    log.configure(settings.log, lasting=True)
    return create_app(settings)


@contextmanager
def open_identity(settings: Settings, clock: Callable[[], datetime] = now) -> Iterator[PatientIdentity]:
    """The registry's patients on the configured database, which is migrated first.

    Raises:
        OSError: the data directory cannot be used.
        RuntimeError: the database was made by a newer version.
    """
    database = Database(settings.database_url, settings.database)
    try:
        database.migrate()
        yield _identity(settings, database, FragmentCodec(database), clock)
    finally:
        database.close()


@contextmanager
def open_audit(settings: Settings) -> Iterator[Trail | None]:
    """The audit trail in the configured database, which is migrated first; None where nothing is recorded."""
    if not settings.audit.enabled:
        yield None
        return
    settings.data.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database_url, settings.database)
    try:
        database.migrate()
        yield _trail(settings, database, now)
    finally:
        database.close()


@contextmanager
def running(settings: Settings) -> Iterator[None]:
    """The application's life: start, stop and changed settings are recorded in the audit trail.

    Raises:
        OSError: the data directory cannot be used.
        RuntimeError: the database was made by a newer version.
        ValueError: the key of the audit trail is too short.
    """
    with open_audit(settings) as trail:
        if trail is None:
            yield
            return
        key = make_key(settings.audit.key_in(settings.data))
        with life(trail, settings, key, settings.data / "audit.settings"):
            yield


def _identity(
    settings: Settings, database: Database, codec: FragmentCodec, clock: Callable[[], datetime]
) -> PatientIdentity:
    relinker = Relinker(codec, clock, new_uuid)
    return PatientIdentity(database, settings.patients, relinker, clock)
