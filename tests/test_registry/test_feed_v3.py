"""ITI-44 at the registry: messages change it, and their acknowledgements say so; on both databases."""

from __future__ import annotations

import pytest
from lxml import etree

from msim_xds.database.engine import Database
from msim_xds.ihe.names import ResponseStatus
from msim_xds.ihe.transactions import ITI_44_ADD, ITI_44_MERGE, ITI_44_REVISE, Transaction
from msim_xds.registry.feed_v3 import PatientFeed
from msim_xds.wire import safexml
from msim_xds.wire.exchange import Addressing, Request
from tests.support.hl7v3 import AUTHORITY, MERGE, REVISE, ii, patient_message, replacement
from tests.support.metadata import OTHER_PATIENT, PATIENT
from tests.test_registry.identifying import Identifying

FIRST, SECOND = (ii(AUTHORITY, cx.partition("^")[0]) for cx in (PATIENT, OTHER_PATIENT))
PESEL_SETTINGS = {"policy": "known", "authorities": [AUTHORITY], "pesel": "warn"}


@pytest.fixture
def registry(database: Database) -> Identifying:
    return Identifying(database, patients=PESEL_SETTINGS)


def send(registry: Identifying, row: Transaction, message: str) -> tuple[str, list[str]]:
    """Outcome, and the codes of its details."""
    feed = PatientFeed(registry.identity, lambda: registry.now)
    answer = feed.carry_out(Request(row, safexml.parse(message.encode()), Addressing(row.action)))
    root = etree.fromstring(b"".join(answer.payload))
    (outcome,) = root.iterfind("{*}acknowledgement/{*}typeCode")
    codes = [code.get("code", "") for code in root.iterfind(".//{*}acknowledgementDetail/{*}code")]
    accepted = outcome.get("code") == "CA"
    assert answer.status is (ResponseStatus.SUCCESS if accepted else ResponseStatus.FAILURE)
    assert [finding.code for finding in answer.findings] == codes
    return outcome.get("code", ""), codes


def test_a_life(registry: Identifying) -> None:
    assert send(registry, ITI_44_ADD, patient_message(FIRST, ii("1.2.3", "L1"))) == ("CA", [])
    assert send(registry, ITI_44_REVISE, patient_message(SECOND, kind=REVISE)) == ("CA", ["102"])
    assert [each.cx for each in registry.identity.listed()] == [PATIENT, OTHER_PATIENT]
    entry = registry.added(patient_id=OTHER_PATIENT)
    resolved = patient_message(FIRST, kind=MERGE, more=replacement(SECOND))
    assert send(registry, ITI_44_MERGE, resolved) == ("CA", [])
    assert registry.documents(PATIENT) == {entry}
    assert [row.message_id for row in registry.merges()] == ["1.2.3.4.5^MSG1"]
    assert send(registry, ITI_44_MERGE, resolved) == ("CE", ["204"])


@pytest.mark.parametrize(
    ("row", "message", "expected"),
    [
        (ITI_44_ADD, patient_message(ii("1.2.3", "L1")), ("CE", ["204"])),
        (ITI_44_ADD, patient_message(), ("CE", ["101"])),
        (ITI_44_ADD, patient_message(FIRST, processing="X"), ("CR", ["202"])),
        (ITI_44_MERGE, patient_message(FIRST, kind=MERGE, more=replacement(SECOND)), ("CE", ["204", "204"])),
    ],
)
def test_refused(
    registry: Identifying, row: Transaction, message: str, expected: tuple[str, list[str]]
) -> None:
    assert send(registry, row, message) == expected
    assert registry.census()["patient"] == 0
