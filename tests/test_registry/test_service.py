"""ITI-42 from payload to payload."""

from __future__ import annotations

import pytest
from lxml import etree

from msim_xds.database.engine import Database
from msim_xds.findings import Refused
from msim_xds.ihe.names import ResponseStatus
from msim_xds.ihe.transactions import ITI_42
from msim_xds.registry.service import RegistryService
from msim_xds.wire import safexml
from msim_xds.wire.exchange import Addressing, Answer, Request
from tests.support.metadata import single_document
from tests.test_registry.registering import Registering


def ask(registering: Registering, message: bytes) -> Answer:
    service = RegistryService(registering.database, registering.registration, registering.settings.limits)
    request = Request(ITI_42, safexml.parse(message), Addressing(ITI_42.action))
    return service.register_document_set(request)


def test_success(registering: Registering) -> None:
    answer = ask(registering, single_document())
    root = etree.fromstring(b"".join(answer.payload))
    assert (root.tag, root.get("status")) == (ITI_42.answer.value, ResponseStatus.SUCCESS)
    assert len(root) == 0
    assert registering.census()["registry_object"] == 2


def test_success_carries_warnings(database: Database) -> None:
    registering = Registering(database, validation={"extra_metadata": "drop"})
    answer = ask(registering, single_document(slots={"urn:pl:ward": "7B"}))
    root = etree.fromstring(b"".join(answer.payload))
    assert root.get("status") == ResponseStatus.SUCCESS
    assert [error.get("errorCode") for error in root[0]] == ["XDSExtraMetadataNotSaved"]
    assert [finding.code for finding in answer.findings] == ["XDSExtraMetadataNotSaved"]


def test_a_refusal_leaves_nothing(registering: Registering) -> None:
    with pytest.raises(Refused):
        ask(registering, single_document(patient_id=None))
    assert not any(count for table, count in registering.census().items() if table != "fragment_dictionary")
