"""What a feed by HL7 v2 records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from msim_xds.audit.backlog import Backlog
from msim_xds.audit.message import AuditSource
from msim_xds.audit.outbox import Outbox
from msim_xds.audit.trail import Place, Trail
from msim_xds.audit_settings import AuditSettings
from msim_xds.database.engine import Database
from msim_xds.mllp.feed import Feed
from msim_xds.mllp.framing import Frame
from msim_xds.registry.fragment_codec import FragmentCodec
from msim_xds.registry.identity import PatientIdentity
from msim_xds.registry.relinking import Relinker
from msim_xds.settings import DatabaseSettings, Settings
from tests.support.atna import Read, details, trail
from tests.support.metadata import new_uuid
from tests.test_mllp.messages import announcement, header, link_change, merge, message, segments

NOW = datetime(2026, 9, 14, 12, tzinfo=UTC)
ONE, TWO = ("1^^^&1.2.3&ISO", "2^^^&1.2.3&ISO")
LOCAL = "L^^^&1.2.3.4&ISO"


@dataclass
class Fed:
    """A feed that records."""

    feed: Feed
    database: Database

    def send(self, data: bytes, *, whole: bool = True) -> tuple[str, list[Read]]:
        """Acknowledgement code, and what was recorded."""
        before = len(trail(self.database))
        answer = segments(self.feed.answer(Frame(data, whole), "192.0.2.9"))
        return answer["MSA"][1], trail(self.database)[before:]


@pytest.fixture
def fed(database_url: str) -> Iterator[Fed]:
    settings = Settings(patients={"authorities": ["1.2.3"]})
    database = Database(database_url, DatabaseSettings())
    database.migrate()
    relinker = Relinker(FragmentCodec(database), lambda: NOW, new_uuid)
    identity = PatientIdentity(database, settings.patients, relinker, lambda: NOW)
    place = Place(AuditSource("rejestr"), "https://reg.example.org", 4711)
    audit = Trail(
        database, Outbox(database, b"k" * 32), place, lambda: NOW, Backlog(database, AuditSettings())
    )
    yield Fed(Feed(identity, "UNICODE UTF-8", lambda: NOW, audit), database)
    database.close()


@pytest.mark.parametrize(("event", "action"), [("A01", "C"), ("A04", "C"), ("A05", "C"), ("A08", "U")])
def test_announcements(fed: Fed, event: str, action: str) -> None:
    code, (record,) = fed.send(announcement(ONE, event))
    assert code == "AA"
    assert record.short == ("110110", "ITI-8", action, "0")
    assert record.patients == [ONE]
    assert details(record.objects("2")[0]) == {"MSH-10": "MSG1"}
    source, destination = record.participants
    assert (source["UserID"], source["NetworkAccessPointID"]) == ("KRK|HIS", "192.0.2.9")
    assert (destination["UserID"], destination["NetworkAccessPointID"]) == ("RHIE|MSIM", "reg.example.org")


def test_a_merge_ends_one_patient_and_changes_the_other(fed: Fed) -> None:
    fed.send(announcement(ONE))
    fed.send(announcement(TWO))
    for code, outcome in (("AA", "0"), ("AE", "8")):  # the second time it is refused
        seen, records = fed.send(merge(ONE, TWO))
        assert seen == code
        assert [(each.short, each.patients) for each in records] == [
            (("110110", "ITI-8", "D", outcome), [TWO]),
            (("110110", "ITI-8", "U", outcome), [ONE]),
        ]


def test_a_link_change(fed: Fed) -> None:
    fed.send(announcement(ONE))
    fed.send(announcement(TWO))
    code, (record,) = fed.send(link_change(f"{ONE}~{LOCAL}", TWO))
    assert code == "AA"
    assert record.short == ("110110", "ITI-64", "U", "0")
    assert record.patients == [LOCAL, ONE, TWO]


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (announcement("1^^^&9.9&ISO"), True),
        (message(header("A01")), True),
        (announcement(ONE), False),
    ],
)
def test_refusals(fed: Fed, data: bytes, whole: bool) -> None:
    code, (record,) = fed.send(data, whole=whole)
    assert code != "AA"
    assert (record.short, record.patients) == (("110110", "ITI-8", "C", "8"), [])


def test_what_belongs_to_no_transaction_is_not_recorded(fed: Fed) -> None:
    code, records = fed.send(message(header("A99")))
    assert (code, records) == ("AR", [])


def test_nothing_is_accepted_without_its_record(fed: Fed) -> None:
    with fed.database.write() as connection:
        connection.execute(text("ALTER TABLE audit_record RENAME TO away"))
    answer = segments(fed.feed.answer(Frame(announcement(ONE), True), ""))
    assert answer["MSA"][1] == "AE"
    with fed.database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM patient")).scalar_one() == 0
