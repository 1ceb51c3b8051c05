"""A registry that publishes at the double."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Self

from msim_xds.app import now, open_node
from msim_xds.federation.client import DocumentConsumer, DocumentSource
from msim_xds.federation.p1 import setup
from msim_xds.federation.p1.identifiers import as_written
from msim_xds.federation.p1.outbox import Outbox, Publication
from msim_xds.federation.p1.providers import read_providers
from msim_xds.federation.p1.tokens import Tokens, own_token
from msim_xds.ihe.names import Status
from msim_xds.ihe.queries import QUERIES
from msim_xds.ihe.transactions import ITI_42, ITI_57, Transaction
from msim_xds.metadata import ebrim
from msim_xds.metadata.model import Association, DocumentEntry, SubmissionSet
from msim_xds.p1_settings import P1Settings
from msim_xds.settings import DatabaseSettings, LimitSettings, Settings
from msim_xds.testing.p1 import Double
from msim_xds.testing.p1.server import REPOSITORY, SOURCE
from msim_xds.wire import safexml
from msim_xds.wire.exchange import Addressing, Answer, Request
from tests.support.metadata import (
    document_entry,
    new_oid,
    new_uuid,
    original,
    submission_set,
    submit_objects,
)

_numbers = itertools.count(10_000_000_000)
_GET_ALL = next(row for row in QUERIES.values() if row.name == "GetAll")


def new_patient() -> str:
    """A patient whom nobody else has."""
    return f"{next(_numbers)}^^^&2.16.840.1.113883.3.4424.1.1.616&ISO"


class World:
    """A registry, its outbox and its sender; nothing is published before ``publish``."""

    def __init__(self, double: Double, data: Path, database_url: str, **changes: Any) -> None:
        section = double.section(**{"deadline_s": 5.0, "first_pause_s": 0.001, **changes})
        self.settings = Settings(
            data=data,
            database=DatabaseSettings(url=database_url),
            p1=section,
        )
        self.node = open_node(self.settings)
        assert self.node.publications is not None
        self.outbox: Outbox = self.node.publications
        self.sender = setup.sender(self.settings, self.outbox, now)
        self.patient = new_patient()
        self._double = double

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.node.close()

    def carry_out(self, transaction: Transaction, payload: bytes) -> Answer:
        """A request that must not be refused."""
        request = Request(transaction, safexml.parse(payload), Addressing(transaction.action))
        return self.node.handlers()[transaction.name](request)

    def register(self, *more: str, source_id: str = SOURCE, **options: Any) -> str:
        """A new document; returns its entryUUID. Options go to ``document_entry``."""
        uuid = new_uuid()
        objects = (
            submission_set(patient_id=self.patient, source_id=source_id),
            document_entry(uuid, patient_id=self.patient, **options),
            original(uuid),
        )
        self.carry_out(ITI_42, submit_objects(*objects, *(each.replace("NEW", uuid) for each in more)))
        return uuid

    def update(self, payload: bytes) -> Answer:
        """Carry out an ITI-57."""
        return self.carry_out(ITI_57, payload)

    def publish(self) -> list[Publication]:
        """Publish all that is due; returns what is left."""
        self.sender.publish_due()
        return list(self.outbox.rows())

    def at_p1(self) -> dict[str, DocumentEntry]:
        """The patient's entries at P1."""
        return {each.entry_uuid: each for each in self._objects() if isinstance(each, DocumentEntry)}

    def sets_at_p1(self) -> list[SubmissionSet]:
        """The patient's SubmissionSets at P1."""
        return [each for each in self._objects() if isinstance(each, SubmissionSet)]

    def links_at_p1(self) -> list[Association]:
        """The patient's associations at P1."""
        return [each for each in self._objects() if isinstance(each, Association)]

    def calls(self, path: str) -> int:
        """How often a service of P1 was called."""
        return self._double.calls.count(path)

    def _objects(self) -> tuple[object, ...]:
        p1 = self.settings.p1
        provider = read_providers(p1, now).general
        wanted = own_token(provider, p1.purpose, as_written(self.patient))
        options = provider.with_assertion(Tokens(p1, now).get(wanted, provider))
        both = (Status.APPROVED, Status.DEPRECATED)
        parameters = {
            "$patientId": self.patient,
            "$XDSDocumentEntryStatus": both,
            "$XDSSubmissionSetStatus": both,
            "$XDSFolderStatus": both,
        }
        with DocumentConsumer(p1.base + p1.iti18, options=options) as consumer:
            return consumer.query(_GET_ALL.id, parameters).objects


def put_at_provider(double: Double, patient: str, content: bytes = b"hello") -> str:
    """A document in the repository that the double plays, and in its index; returns its uniqueId."""
    file, unique_id = double.directory / "document.xml", new_oid()
    file.write_bytes(content)
    objects = (
        submission_set(patient_id=patient),
        document_entry(unique_id=unique_id, patient_id=patient, repository=None, content=content),
        original(),
    )
    submission = ebrim.read(safexml.parse(submit_objects(*objects)), LimitSettings()).submission
    p1 = P1Settings.model_validate(double.section())
    provider = read_providers(p1, now).general
    token = Tokens(p1, now).get(own_token(provider, "TREAT", as_written(patient)), provider)
    with DocumentSource(double.addresses[REPOSITORY], provider.with_assertion(token)) as source:
        answer = source.provide_and_register(submission, {submission.entries[0].entry_uuid: file})
    assert answer.succeeded, answer
    return unique_id
